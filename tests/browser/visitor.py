"""A person at a browser who notices what is wrong: barriers, sideways scrolling, errors of scripts and of the CSP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources

from playwright.sync_api import ConsoleMessage, Page, Response

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
WIDE, NARROW = 1440, 390
SIZES_AND_THEMES = ((WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark"))
# What the browser itself says of a page that answers with an error on purpose.
STATUS_MESSAGE = "Failed to load resource: the server responded with a status of"
# A drawing is one image with a summary and a table below. The admin's own picker has no name for what it shows; the
# staff page of a source asks for the account in a plain field.
FIND_FAULTS = """async (rules) => {
  const { violations } = await axe.run({ exclude: [".chart-canvas > *", ".select2"] }, {
    resultTypes: ["violations"], preload: false,
    ...(rules.length ? { runOnly: { type: "rule", values: rules } } : {}),
  });
  return violations.map((fault) => `${fault.id}: ${fault.nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}"""
# At a width that was looked at before, another theme changes colours alone.
COLOUR_RULES = ("color-contrast", "link-in-text-block")
# A swap fades in once and colours change at once; a frame later all of it is drawn.
SETTLE = """() => Promise.all(document.getAnimations()
  .filter((one) => one.effect.getComputedTiming().endTime !== Infinity).map((one) => one.finished.catch(() => null)))
  .then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))"""


# Without slots, since Playwright hangs a note on whoever listens.
@dataclass
class Visitor:
    """One open page of one person, and what its console complained about so far."""

    page: Page
    site: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(STATUS_MESSAGE):
            self.complaints.append(f"{message.type}: {message.text}")

    def open(self, path: str) -> Response:
        response = self.page.goto(path if path.startswith("http") else self.site + path)
        assert response is not None
        return response

    def settle(self) -> None:
        """Wait until what has come stands still."""
        self.page.evaluate(SETTLE)

    def list_faults(self, looks: Iterable[tuple[int, str]] = SIZES_AND_THEMES) -> list[str]:
        """Look at the open page at both widths in both themes, or as said."""
        faults: list[str] = []
        seen: set[tuple[int, str]] = set()
        self.page.evaluate(AXE)
        for width, theme in looks:
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            self.page.evaluate(SETTLE)
            where = f"{width} px, {theme}"
            rules = COLOUR_RULES if (width, "light") in seen else ()
            seen.add((width, theme))
            faults += [f"{where}: {fault}" for fault in self.page.evaluate(FIND_FAULTS, rules)]
            over = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if over > 0:
                faults.append(f"{where}: scrolls sideways by {over} px")
        return faults + self.complaints
