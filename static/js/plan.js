// The text of a plan: line numbers beside it, and a fault's line that is gone to. Decides nothing; the server checks.
"use strict";

function numberLines(numbers, text) {
  const count = text.value.split("\n").length;
  numbers.textContent = Array.from({ length: count }, (_, line) => line + 1).join("\n");
  numbers.scrollTop = text.scrollTop;
}

function goToLine(text, line) {
  const before = text.value.split("\n").slice(0, line - 1).join("\n");
  const start = before.length + (line > 1 ? 1 : 0);
  const end = text.value.indexOf("\n", start);
  text.focus({ preventScroll: true });
  text.setSelectionRange(start, end < 0 ? text.value.length : end);
  const lineHeight = parseFloat(getComputedStyle(text).lineHeight);
  text.scrollTop = Math.max(0, (line - 4) * lineHeight);
  text.scrollIntoView({ block: "center" });
}

for (const numbers of document.querySelectorAll("[data-lines-of]")) {
  const text = document.getElementById(numbers.dataset.linesOf);
  text.addEventListener("input", () => numberLines(numbers, text));
  text.addEventListener("scroll", () => { numbers.scrollTop = text.scrollTop; });
  numberLines(numbers, text);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-line]");
  if (!link) return;
  event.preventDefault();
  goToLine(document.querySelector(link.hash), Number(link.dataset.line));
});
