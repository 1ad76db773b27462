"""What a strict content policy needs from Plotly is read out of the installed bundle."""

import re

import pytest
from django.contrib.staticfiles import finders

from usage_portal.static_assets import UnknownPlotlyBundle, plotly_script_path, plotly_style_rules


def test_every_rule_of_the_installed_bundle_is_read() -> None:
    rules = plotly_style_rules(plotly_script_path().read_text())

    assert rules.count("\n") == 66
    assert all(re.fullmatch(r"[^{}]+\{[^{}]*\}", line) for line in rules.splitlines())
    assert ".js-plotly-plot .plotly .cursor-crosshair{cursor:crosshair;}" in rules
    assert ".plotly-notifier{" in rules


def test_rules_come_in_the_order_in_which_inserting_would_leave_them() -> None:
    script = """var rules={"X,X div":'margin:0;',"X a:hover":"color:red;",Y:"top:0;"};"""

    assert plotly_style_rules(script).splitlines() == [
        ".plotly-notifier{top:0;}",
        ".js-plotly-plot .plotly a:hover{color:red;}",
        ".js-plotly-plot .plotly,.js-plotly-plot .plotly div{margin:0;}",
    ]


@pytest.mark.parametrize("script", ["", """{"X,X div":margin()}"""])
def test_bundle_of_another_shape_is_refused(script: str) -> None:
    with pytest.raises(UnknownPlotlyBundle):
        plotly_style_rules(script)


@pytest.mark.parametrize(
    "name", ["plotly/plotly.min.js", "plotly/plotly-styles.css", "django_htmx/htmx-2.min.js"]
)
def test_scripts_and_styles_are_found_in_their_packages(name: str) -> None:
    assert isinstance(finders.find(name), str)
