"""The words and drawings of pages: exact values stay reachable, and nothing missing looks like a zero."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.template import Context, Template
from hypothesis import given
from hypothesis import strategies as st

from insights.templatetags import figures, portal, tones
from insights.values.quantity import Scale, scale_for

NARROW = "\u202f"
MINUS = "\u2212"
NOW = datetime(2026, 11, 3, 14, 0, tzinfo=UTC)


def rendered(source: str, **context: Any) -> str:
    return Template(source).render(Context(context))


class TestQuantity:
    def test_is_scaled_with_every_digit_in_the_title_and_the_value(self) -> None:
        html = portal.quantity(Decimal("62512345678"), "B")

        assert f">62.51{NARROW}GB<" in html
        assert f'title="62,512,345,678{NARROW}B"' in html
        assert 'value="62512345678"' in html

    def test_a_negative_one_has_a_real_minus_on_screen_and_a_plain_one_in_the_value(self) -> None:
        html = portal.quantity(Decimal("-1.5"), "kWh")

        assert f">{MINUS}1.5{NARROW}kWh<" in html
        assert 'value="-1.5"' in html

    @pytest.mark.parametrize(
        "filter_name", ["quantity", "exact", "integer", "percent", "signed_percent", "day"]
    )
    def test_a_missing_one_says_so_and_is_not_a_zero(self, filter_name: str) -> None:
        html = rendered("{{ value|" + filter_name + " }}", value=None)

        assert html == '<span class="no-data">no data</span>'

    def test_a_unit_cannot_add_markup(self) -> None:
        html = portal.quantity(Decimal(1), '"><script>')

        assert "<script>" not in html

    def test_exact_drops_trailing_zeros_and_groups(self) -> None:
        assert portal.exact(Decimal("1234567.500000000"), "h") == f"1,234,567.5{NARROW}h"


class TestQuantityInAColumn:
    def test_all_rows_share_the_decimals_of_the_scale(self) -> None:
        scale = scale_for("B", Decimal(10**10))

        assert ">10.00<" in portal.quantity_in(Decimal(10**10), "B", scale)
        assert ">0.25<" in portal.quantity_in(Decimal(250_000_000), "B", scale)

    def test_what_would_round_to_nothing_is_not_shown_as_zero(self) -> None:
        scale = scale_for("B", Decimal(10**10))

        assert "&lt;0.01" in portal.quantity_in(Decimal(1), "B", scale)
        assert ">0.00<" in portal.quantity_in(Decimal(0), "B", scale)

    def test_an_unscaled_fraction_keeps_three_decimals_unless_told(self) -> None:
        scale = Scale("kWh", 0)

        assert ">0.489<" in portal.quantity_in(Decimal("0.489"), "kWh", scale)
        assert ">0.5<" in portal.quantity_in(Decimal("0.489"), "kWh", scale, 1)


class TestPercent:
    @pytest.mark.parametrize(
        ("ratio", "text"),
        [("0.043", "4.3"), ("0.5", "50.0"), ("12.5", "1,250.0"), ("0", "0.0"), ("0.0004", "<0.1")],
    )
    def test_a_ratio_becomes_a_percentage(self, ratio: str, text: str) -> None:
        assert portal.percent(Decimal(ratio)) == f"{text}{NARROW}%"

    @pytest.mark.parametrize(
        ("ratio", "text"),
        [
            ("0.043", "+4.3"),
            ("-0.043", f"{MINUS}4.3"),
            ("0", "0.0"),
            ("0.0001", "<0.1"),
            ("-0.0001", f"{MINUS}<0.1"),
        ],
    )
    def test_a_change_carries_its_sign(self, ratio: str, text: str) -> None:
        assert portal.signed_percent(Decimal(ratio)) == f"{text}{NARROW}%"

    def test_a_change_without_an_earlier_value_says_so(self) -> None:
        assert "no comparison" in portal.change(None)


class TestTimes:
    def test_a_day_is_written_in_words(self) -> None:
        assert portal.day(date(2026, 11, 3)) == "3 Nov 2026"
        assert portal.day_short(date(2026, 11, 3)) == "3 Nov"

    def test_an_instant_is_refused_where_a_day_is_meant(self) -> None:
        with pytest.raises(TypeError, match="zone"):
            portal.day(NOW)

    def test_an_instant_is_on_the_clock_of_its_zone_with_utc_in_the_title(self) -> None:
        html = portal.instant(datetime(2026, 11, 2, 23, 30, tzinfo=UTC), "Europe/Berlin")

        assert ">3 Nov 2026, 00:30<" in html
        assert 'datetime="2026-11-02T23:30:00Z"' in html
        assert 'title="2 Nov 2026, 23:30:00 UTC"' in html

    @pytest.mark.parametrize(
        ("before_now", "text"),
        [
            (timedelta(seconds=3), "just now"),
            (timedelta(seconds=40), "40 seconds ago"),
            (timedelta(minutes=1), "1 minute ago"),
            (timedelta(hours=5, minutes=59), "5 hours ago"),
            (timedelta(days=2), "2 days ago"),
            (timedelta(minutes=-20), "in 20 minutes"),
        ],
    )
    def test_how_long_ago_is_said_plainly(self, before_now: timedelta, text: str) -> None:
        assert f">{text}<" in portal.ago(NOW - before_now, NOW)

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0 seconds"),
            (1, "1 second"),
            (3_600, "1 hour"),
            (100_800, "1 day 4 hours"),
            (86_400 * 1_200, "1,200 days"),
        ],
    )
    def test_a_span_is_said_in_its_largest_units(self, seconds: int, text: str) -> None:
        assert portal.duration(seconds) == text
        assert portal.duration(timedelta(seconds=seconds)) == text


class TestBadges:
    def test_a_state_has_an_icon_and_a_word(self) -> None:
        html = portal.state_badge("partly_done")

        assert "badge--warn" in html
        assert "#alert" in html
        assert "Partly done" in html

    def test_an_unknown_state_is_shown_without_a_colour(self) -> None:
        assert "badge--neutral" in portal.state_badge("something new")

    def test_every_icon_named_in_templates_and_filters_is_drawn(self) -> None:
        drawn = set(re.findall(r'<symbol id="([a-z-]+)"', Path("static/img/icons.svg").read_text()))
        named = {
            icon
            for path in Path("templates").rglob("*.html")
            for icon in re.findall(r'{% icon "([a-z-]+)" %}', path.read_text())
        }
        named |= {icon for _, icon in (*tones.STATES.values(), *tones.COMPLETENESS.values())}
        named |= set(tones.TONE_ICONS.values())

        assert named <= drawn


class TestSparkline:
    def test_a_zero_a_gap_and_an_incomplete_value_look_different(self) -> None:
        points = [
            {"y": Decimal(0), "kind": "zero"},
            {"y": None, "kind": "gap"},
            {"y": Decimal(5), "kind": "incomplete"},
            {"y": Decimal(10), "kind": "value", "title": "4 Nov <b>"},
        ]

        html = rendered("{% sparkline points 'Requests per day' %}", points=points)

        assert re.findall(r'class="kind-(\w+)"', html) == ["zero", "gap", "incomplete", "value"]
        assert 'fill="url(#hatch)"' in html
        assert 'aria-label="Requests per day"' in html
        assert "4 Nov &lt;b&gt;" in html
        assert "style=" not in html

    def test_the_smallest_value_is_still_visible(self) -> None:
        drawing = figures.sparkline_of([{"y": Decimal("0.001")}, {"y": Decimal(10**9)}])

        assert [bar.height for bar in drawing.bars] == [1, figures.SPARKLINE_HEIGHT]

    def test_no_points_draw_an_empty_axis(self) -> None:
        assert figures.sparkline_of([]).bars == ()

    @given(st.lists(st.decimals(min_value=-(10**18), max_value=10**18, places=9), max_size=100))
    def test_every_bar_stays_inside_the_drawing(self, values: list[Decimal]) -> None:
        drawing = figures.sparkline_of([{"y": value, "kind": "value"} for value in values])

        for bar in drawing.bars:
            assert bar.x >= 0
            assert bar.x + bar.width <= drawing.width
            assert 0 <= bar.y <= drawing.height
            assert bar.y + bar.height <= drawing.height + 1


class TestShareBar:
    @given(st.lists(st.decimals(min_value=0, max_value=10**18, places=9), min_size=1, max_size=30))
    def test_whole_parts_add_up_exactly(self, weights: list[Decimal]) -> None:
        parts = figures.whole_parts(weights, 1000)

        assert sum(parts) == (1000 if any(weights) else 0)

    def test_segments_touch_the_right_end_and_name_their_series(self) -> None:
        parts = [
            {"label": "eu-west", "series": 1, "weight": Decimal(2), "share": "67 %"},
            {"label": "other", "series": "other", "weight": Decimal(1), "share": "33 %"},
        ]

        segments = figures.share_segments(parts)
        html = rendered("{% share_bar parts 'By region' %}", parts=parts)

        assert segments[-1].x + segments[-1].width == figures.SHARE_WIDTH
        assert [segment.kind for segment in segments] == ["series-1", "series-other"]
        assert "By region: eu-west, 67 %; other, 33 %" in html

    def test_a_series_that_is_not_a_number_cannot_reach_the_class(self) -> None:
        assert figures.series_class('1" onload="x') == "series-other"


class TestBars:
    @pytest.mark.parametrize(
        ("value", "maximum", "width"),
        [(5, 10, 500), (0, 10, 0), (-1, 10, 0), (20, 10, 1000), (1, 0, 0), (1, 10**9, 1)],
    )
    def test_a_bar_fills_its_share_of_the_largest(self, value: int, maximum: int, width: int) -> None:
        assert figures.width_of(Decimal(value), Decimal(maximum)) == width

    def test_use_beyond_what_is_included_gets_its_own_mark(self) -> None:
        html = rendered("{% meter_bar used included 'x' %}", used=Decimal(15), included=Decimal(10))

        assert 'class="over" x="666" y="0" width="334"' in html


class TestContentPolicy:
    def test_templates_hold_no_inline_style_or_script(self) -> None:
        inline = re.compile(r"\sstyle=|<style|\son[a-z]+=|hx-on|hx-vals=['\"]js:|<script(?![^>]*\ssrc=)")

        found = [str(path) for path in Path("templates").rglob("*.html") if inline.search(path.read_text())]

        assert found == []

    def test_the_id_that_stops_plotly_adding_map_styles_is_the_one_it_looks_for(self) -> None:
        from usage_portal.static_assets import plotly_script_path

        ids = re.findall(r'<script id="([0-9a-f]{64})"', Path("templates/_chart_scripts.html").read_text())

        assert len(ids) == 1
        assert f'getElementById("{ids[0]}")' in plotly_script_path().read_text()

    def test_filters_are_known_to_every_template(self) -> None:
        assert "insights.templatetags.portal" in settings.TEMPLATES[0]["OPTIONS"]["builtins"]
