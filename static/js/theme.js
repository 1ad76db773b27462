// Runs before the page is drawn, so that a chosen theme never flashes, and says that scripts run.
document.documentElement.dataset.script = "";
try {
  const choice = localStorage.getItem("theme");
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
} catch {
  // Storage may be closed to the page; the system's theme is then the right one.
}
