// A page nobody looks at asks for nothing: polling rests while the tab is hidden.
"use strict";

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.hasAttribute("data-poll")) event.preventDefault();
});
