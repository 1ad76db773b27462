// What pages do beyond plain HTML: theme choice, copying, focus on errors, and saying that a request failed.
// Every page works without this file; it holds no data and decides nothing.
"use strict";

const root = document.documentElement;

// --- Theme: "system" stores nothing and follows the reader's system -----------------------------
function currentTheme() {
  return root.dataset.theme || "system";
}

function showTheme() {
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === currentTheme()));
  }
}

function chooseTheme(choice) {
  if (choice === "system") delete root.dataset.theme;
  else root.dataset.theme = choice;
  try {
    if (choice === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", choice);
  } catch {
    // The choice then lasts as long as the page.
  }
  showTheme();
  document.dispatchEvent(new CustomEvent("portal:theme"));
}

// --- Copying: the button says what happened, in place --------------------------------------------
async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  const label = button.querySelector("span") || button;
  const before = label.dataset.before || label.textContent;
  label.dataset.before = before;
  try {
    await navigator.clipboard.writeText(source.value || source.textContent.trim());
    label.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    label.textContent = "Selected; press Ctrl C";
  }
  setTimeout(() => { label.textContent = before; }, 2500);
}

// --- Toasts: only for what failed outside any form ------------------------------------------------
function toast(words) {
  const place = document.getElementById("toasts");
  if (!place) return;
  const box = document.createElement("div");
  box.className = "toast";
  const text = document.createElement("p");
  text.textContent = words;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button button--small";
  close.textContent = "Close";
  close.addEventListener("click", () => box.remove());
  box.append(text, close);
  place.replaceChildren(box);
}

function failureWords(status) {
  if (status === 401 || status === 403) return "You are no longer allowed to see this. Load the page again to sign in.";
  if (status === 404) return "This is no longer here. Load the page again.";
  if (status === 429) return "Too many requests at once. Wait a few seconds and try again.";
  return "The server could not answer. Nothing was changed; try again.";
}

// --- Focus: on the first field to mend, or on the summary when no field is to blame ---------------
function focusError(part) {
  const field = part.querySelector("[aria-invalid='true']") || part.querySelector("[data-form-errors]");
  if (field) field.focus();
}

// A swap takes the pressed control away. Focus goes on to what it led to, so that the next Tab does not begin at the
// top of the page; a part that renews itself never takes it.
function keepFocus(part, { requestConfig, target }) {
  focusError(part);
  // What is swapped on the side, such as a count in the heading, leads nowhere.
  if (part.id !== target.id) return;
  const kind = requestConfig?.triggeringEvent?.type;
  if (document.activeElement !== document.body || (kind !== "click" && kind !== "submit")) return;
  const cameFromPeriod = requestConfig.elt?.closest?.(".period");
  const next = (cameFromPeriod && part.querySelector("#period-choice")) || part.querySelector("#key-once") || part;
  if (!next.matches("a, button, summary, [tabindex]")) next.tabIndex = -1;
  next.focus({ preventScroll: next === part });
}

document.addEventListener("click", (event) => {
  const theme = event.target.closest("[data-theme-choice]");
  if (theme) chooseTheme(theme.dataset.themeChoice);
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  // An open period picker closes when the reader goes on elsewhere, as a menu does.
  for (const open of document.querySelectorAll(".period > details[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector(".period > details[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  event.detail.target?.setAttribute("aria-busy", "true");
});
document.addEventListener("htmx:afterRequest", (event) => {
  event.detail.target?.removeAttribute("aria-busy");
});
document.addEventListener("htmx:responseError", (event) => toast(failureWords(event.detail.xhr.status)));
document.addEventListener("htmx:sendError", () => toast("The portal cannot be reached. Check the connection and try again."));
document.addEventListener("htmx:timeout", () => toast("This takes too long. Nothing was changed; try again."));
document.addEventListener("htmx:afterSwap", (event) => keepFocus(event.target, event.detail));

showTheme();
focusError(document);
