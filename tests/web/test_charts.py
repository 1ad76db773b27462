"""The figure shows the same quantities as the table, exact in words and as heights in one scale."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from insights.metering.assemble import Reads, assemble
from insights.metering.coarser import coarser, hours_a_bar
from insights.metering.completeness import SourceMark, completeness_of
from insights.metering.explore import Exploration, PeriodRead, Plan, SlotRow
from insights.metering.usage_filter import parse_usage_filter
from insights.metering.windows import slots_before, slots_of
from insights.web.charts import scale_of, usage_figure
from insights.web.colours import series_of
from insights.web.words import hour_words
from tests.metering.facts import meter_facts

NOW = datetime(2026, 11, 6, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
FIRST_USE = datetime(2026, 9, 1, tzinfo=UTC)
# Days 1 to 5: a value, a zero, a gap, a value, and one that is not complete; in thousands and odd units.
QUANTITIES: dict[int, int] = {0: 1_234_567, 1: 0, 3: 2_000_001, 4: 5}


def answer_of(
    query: str,
    rows: list[SlotRow],
    plan: Plan,
    previous: list[SlotRow] | None = None,
    zone: tzinfo = UTC,
    **meter: Any,
) -> Exploration:
    facts = meter_facts(**meter)
    question = parse_usage_filter(
        parse_qsl(query), meters=[facts], zone=zone, now=NOW, default_meter=facts.key
    )
    period = question.period(zone)
    slots = slots_of(period, granularity=question.granularity, zone=zone, now=NOW)
    before = slots_before(period, granularity=question.granularity, zone=zone, count=len(slots))
    complete_to = datetime(2026, 11, 5, tzinfo=UTC)
    mark = SourceMark(
        source_id=1,
        slug="edge",
        name="Edge",
        cadence_seconds=3600,
        counts_from=FIRST_USE,
        complete_to=complete_to,
        last_received_at=NOW,
    )
    return assemble(
        question,
        Reads(
            plan=plan,
            current=PeriodRead(slots, tuple(rows), (), {}),
            previous=PeriodRead(before, tuple(previous), (), {}) if previous else None,
            completeness=completeness_of([mark], source_ids={1}, now=NOW, since=period.start),
            first_used_day=FIRST_USE.date(),
            first_used_at=FIRST_USE,
            has_series=True,
        ),
    )


WHOLE = Plan((None,), (), names_rest=False)
DAYS = "from=2026-11-01&to=2026-11-05"


def rows_of(quantities: dict[int, int], group_no: int = 0) -> list[SlotRow]:
    return [SlotRow(slot, group_no, Decimal(quantity), 1, False) for slot, quantity in quantities.items()]


def figure_of(answer: Exploration) -> dict[str, Any]:
    figure = usage_figure(answer, zone=UTC, clock=UTC, scale=scale_of(answer))
    decoded: dict[str, Any] = json.loads(json.dumps(figure))
    return decoded


class TestUsageFigure:
    def test_every_digit_is_sent_and_the_scale_of_the_heights(self) -> None:
        figure = figure_of(answer_of(DAYS, rows_of(QUANTITIES), WHOLE))

        assert figure["data"][0]["quantities"] == ["1234567", "0", None, "2000001", "5"]
        assert (figure["points"]["unit"], figure["points"]["exponent"]) == ("requests", 6)
        assert figure["points"]["states"] == ["", "Measured zero", "No data arrived", "", "Not yet complete"]

    def test_zero_gap_and_incomplete_are_marked_apart(self) -> None:
        figure = figure_of(answer_of(DAYS, rows_of(QUANTITIES), WHOLE))

        marks = {trace["meta"]["series"]: trace["x"] for trace in figure["data"][1:]}
        assert marks == {"gap": ["3 Nov 2026"], "zero": ["2 Nov 2026"]}
        assert figure["data"][0]["meta"]["incomplete"] == [4]

    def test_parts_that_add_up_are_stacked_and_say_their_share(self) -> None:
        plan = Plan(("eu", "us"), ("ap", "sa"), names_rest=True)
        rows = rows_of({0: 30}, 0) + rows_of({0: 50}, 1) + rows_of({0: 20}, 2)

        figure = figure_of(answer_of(f"{DAYS}&group_by=region", rows, plan))

        assert figure["layout"]["barmode"] == "stack"
        assert [trace["name"] for trace in figure["data"][:3]] == ["eu", "us", "2 others"]
        assert figure["data"][2]["meta"]["series"] == "other"
        assert [trace["quantities"][0] for trace in figure["data"][:3]] == ["30", "50", "20"]
        assert figure["points"]["wholes"][0] == "100"
        assert figure["points"]["of"] == " of the day"

    def test_peaks_stand_side_by_side_without_shares(self) -> None:
        plan = Plan(("eu", "us"), (), names_rest=False)
        rows = rows_of({0: 30}, 0) + rows_of({0: 50}, 1)

        figure = figure_of(answer_of(f"{DAYS}&group_by=region", rows, plan, aggregation="max"))

        assert figure["layout"]["barmode"] == "group"
        assert "wholes" not in figure["points"]

    def test_the_period_before_is_a_line_that_names_its_days(self) -> None:
        answer = answer_of(DAYS, rows_of(QUANTITIES), WHOLE, previous=rows_of({0: 7, 1: 8}))

        lines = [trace for trace in figure_of(answer)["data"] if trace["meta"]["series"] == "previous"]

        assert [(line["quantities"][0], line["beside"][0]) for line in lines] == [("7", "27 Oct 2026")]

    def test_names_are_plain_text(self) -> None:
        plan = Plan(("<b>x</b>", "=1+1"), (), names_rest=False)

        figure = figure_of(answer_of(f"{DAYS}&group_by=region", rows_of({0: 1}), plan))

        assert [trace["name"] for trace in figure["data"][:2]] == ["<b>x</b>", "=1+1"]

    def test_no_label_stands_for_two_bars(self) -> None:
        labels = figure_of(answer_of(DAYS, rows_of(QUANTITIES), WHOLE))["points"]["x"]

        assert len(set(labels)) == len(labels) == 5


class TestCoarser:
    """Three months by hour in eleven groups are five times what a chart has room for."""

    QUARTER = "from=2026-08-01&to=2026-10-31&granularity=hour&group_by=region"
    PLAN = Plan(tuple(f"r{number}" for number in range(10)), ("ap", "sa"), names_rest=True)

    def hours(self, **meter: Any) -> Exploration:
        rows = [SlotRow(no, group, Decimal(no), 1, False) for no in range(92 * 24) for group in (0, 10)]
        return answer_of(self.QUARTER, rows, self.PLAN, zone=BERLIN, **meter)

    def test_as_many_hours_are_taken_together_as_leave_five_thousand_points(self) -> None:
        answer = self.hours()

        assert hours_a_bar(answer) == 6
        drawn = coarser(answer, hours=6)
        assert len(drawn.buckets) == 92 * 4
        assert drawn.buckets[1].quantity == 2 * (6 + 7 + 8 + 9 + 10 + 11)
        assert drawn.buckets[1].parts[0] == drawn.buckets[1].parts[10] == 6 + 7 + 8 + 9 + 10 + 11

    def test_nothing_is_lost_on_the_day_of_25_hours(self) -> None:
        drawn = coarser(self.hours(), hours=6)

        assert sum(bucket.records for bucket in drawn.buckets) == 2 * 92 * 24
        assert [
            (bucket.slot.end - bucket.slot.start) // timedelta(hours=1)
            for bucket in drawn.buckets
            if bucket.slot.day == date(2026, 10, 25)
        ] == [6, 6, 6, 7]
        for one, following in pairwise(drawn.buckets):
            assert one.slot.end == following.slot.start

    def test_hours_that_do_not_add_up_show_the_highest(self) -> None:
        drawn = coarser(self.hours(aggregation="max"), hours=6)

        assert drawn.buckets[1].quantity == 2 * 11
        assert drawn.buckets[1].parts[0] == 11

    def test_days_and_a_month_of_hours_keep_their_bars(self) -> None:
        month = answer_of("from=2026-10-01&to=2026-10-31&granularity=hour", [], WHOLE)

        assert hours_a_bar(month) == hours_a_bar(answer_of(DAYS, [], WHOLE)) == 1

    def test_the_label_names_both_ends_and_none_stands_twice(self) -> None:
        drawn = coarser(self.hours(), hours=6)
        figure = usage_figure(drawn, zone=BERLIN, clock=BERLIN, scale=scale_of(drawn), hours=6)

        assert figure["points"]["x"][1] == "1 Aug, 06:00 to 12:00"
        assert len(set(figure["points"]["x"])) == 92 * 4
        assert figure["points"]["of"] == " of the 6 hours"


class TestSeriesOf:
    def test_eight_values_have_eight_colours(self) -> None:
        assert sorted(series_of(f"v{n}" for n in range(8)).values()) == list(range(1, 9))

    def test_a_value_keeps_its_colour_when_order_changes(self) -> None:
        values = ["eu-central", "us-east", "us-west", "ap-northeast"]

        assert series_of(values) == series_of(reversed(values))

    def test_a_repeated_colour_is_not_a_neighbours(self) -> None:
        values = [f"v{n}" for n in range(10)]
        colours = [series_of(values)[value] for value in values]

        assert all(one != following for one, following in pairwise(colours))


def test_the_hour_that_happens_twice_has_two_labels() -> None:
    first = datetime(2026, 10, 25, 0, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")

    said = [hour_words(first + number * timedelta(hours=1), berlin) for number in range(3)]

    assert said == ["25 Oct, 02:00 (UTC+02:00)", "25 Oct, 02:00 (UTC+01:00)", "25 Oct, 03:00"]
