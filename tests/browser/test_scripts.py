"""What the portal's own scripts do in a page: where focus goes after a refusal, and what a chart says on hovering."""

from __future__ import annotations

import json

from tests.browser.conftest import Visit
from tests.browser.world import World

HOVER = """(figures) => {
  const figure = document.querySelector("figure.chart[data-chart-source]");
  document.getElementById(figure.dataset.chartSource).textContent = figures;
  document.dispatchEvent(new CustomEvent("portal:theme"));
  const canvas = figure.querySelector(".chart-canvas");
  Plotly.Fx.hover(canvas, [{ curveNumber: 0, pointNumber: 0 }]);
  return canvas.querySelector(".hoverlayer").textContent;
}"""
FOCUS = "document.activeElement.id"


def test_focus_goes_to_the_field_at_fault_after_a_swap(world: World, visit: Visit) -> None:
    page = (visitor := visit("owner")).page
    visitor.open(f"/a/{world.account.public_id}/usage/")
    visitor.settle()
    page.evaluate("document.body.dataset.stayed = 'yes'")

    page.click("#period-choice")
    page.fill("#period-from", "2026-11-20")
    page.fill("#period-to", "2026-11-10")
    with page.expect_response(lambda response: response.status == 422):
        page.click(".period form button[type=submit]")
    visitor.settle()

    assert page.evaluate("document.body.dataset.stayed") == "yes", "the whole page was loaded"
    assert page.evaluate(FOCUS) == "period-from"
    assert page.locator("#period-from").is_visible()


def test_a_name_that_looks_like_a_template_is_shown_as_it_is(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    visitor.open(f"/a/{world.account.public_id}/usage/")
    visitor.settle()

    for customdata in ([["5 bytes", "", ""]], None):
        trace = {"type": "bar", "name": "%{y} <b>%{x}</b>", "x": ["3 Nov"], "y": [5]}
        figure = {"data": [trace | ({"customdata": customdata} if customdata else {})], "layout": {}}
        said = visitor.page.evaluate(HOVER, json.dumps(figure))
        assert "%{y} <b>%{x}</b>" in said
    assert visitor.complaints == []


# Every digit, a zero, less than a tenth, and a correction below zero.
SAID = {
    (
        "1234567890123456789.250000000",
        "4938271560493827157",
    ): "1,234,567,890,123,456,789.25\u202fB25.0\u202f%",
    ("0.000000000", "7"): "0\u202fB0.0\u202f%",
    ("0.049", "100"): "0.049\u202fB<0.1\u202f%",
    ("-1000", "8000"): "\u22121,000\u202fB\u221212.5\u202f%",
}


def test_what_is_said_of_a_bar_is_exact_and_its_share_as_in_tables(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    visitor.open(f"/a/{world.account.public_id}/usage/")
    visitor.settle()
    points = {"x": ["3 Nov"], "states": [""], "unit": "B", "exponent": 0, "of": " of the day"}

    for (part, whole), said in SAID.items():
        # Plotly lets one hover pass in fifty milliseconds.
        visitor.page.wait_for_timeout(100)
        trace = {"type": "bar", "name": "api", "quantities": [part]}
        figure = {"data": [trace], "points": points | {"wholes": [whole]}, "layout": {}}
        assert f"{said} of the day" in visitor.page.evaluate(HOVER, json.dumps(figure))
