"""Every link of the filter bar asks a question that can be answered, and changes only what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest

from insights.metering.faults import Fault
from insights.metering.usage_filter import UsageFilter, parse_usage_filter
from insights.web.filters import (
    Choice,
    FilterBar,
    make_filter_bar,
    make_refused_bar,
    with_value,
    without_value,
)
from tests.metering.facts import meter_facts

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)
REQUESTS = meter_facts(id=1)
HOURS = meter_facts(id=2, key="endpoint_hours", name="Endpoint hours", dimensions=("endpoint",))
UNUSED = meter_facts(id=3, key="unused", has_usage=False)
METERS = (REQUESTS, HOURS, UNUSED)


def parse(query: str) -> UsageFilter:
    return parse_usage_filter(
        parse_qsl(query.removeprefix("?"), keep_blank_values=True),
        meters=METERS,
        zone=BERLIN,
        now=NOW,
        default_meter="requests",
    )


def bar_of(query: str) -> FilterBar:
    values = {"region": ("eu", "us")}
    return make_filter_bar(parse(query), meters=METERS, values=values, zone=BERLIN, now=NOW)


def links_of(bar: FilterBar) -> list[str]:
    choices: list[Choice] = [
        *bar.meters, *bar.granularities, *bar.groups, *bar.comparison, *bar.clocks, *bar.chips
    ]  # fmt: skip
    picker = [
        bar.picker["previous_url"],
        bar.picker["next_url"],
        *(one["url"] for one in bar.picker["presets"]),
    ]
    return [link for link in [*(choice.url for choice in choices), *picker] if link]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "period=last-12-months&group_by=endpoint&dimension.region=eu&dimension.region=us",
        "period=last-7-days&granularity=hour&clock=utc&compare=none",
        "from=2026-10-25&to=2026-10-25&group_by=region",
        "meter=endpoint_hours&period=last-month&granularity=month",
    ],
)
def test_every_link_can_be_answered(query: str) -> None:
    for link in links_of(bar_of(query)):
        assert parse(link)


def test_another_meter_keeps_what_it_knows() -> None:
    bar = bar_of("group_by=region&dimension.endpoint=a&dimension.region=eu&period=last-month")

    [hours] = [parse(choice.url) for choice in bar.meters if choice.label == "Endpoint hours"]

    assert (hours.group_by, hours.values, hours.preset) == ("", (("endpoint", ("a",)),), "last-month")


def test_meters_without_usage_are_not_offered() -> None:
    assert [choice.label for choice in bar_of("").meters] == ["Requests", "Endpoint hours"]


def test_a_step_too_fine_for_the_period_has_no_link() -> None:
    urls = {choice.label: choice.url for choice in bar_of("period=last-12-months").granularities}

    assert urls["Hour"] == ""
    assert urls["Day"]


def test_a_chip_removes_its_own_value() -> None:
    bar = bar_of("dimension.region=eu&dimension.region=us")

    assert [chip.label for chip in bar.chips] == ["region: eu", "region: us"]
    assert parse(bar.chips[0].url).values == (("region", ("us",)),)


def test_the_form_carries_the_whole_question() -> None:
    question = parse("dimension.region=eu&group_by=endpoint&period=last-7-days")
    bar = make_filter_bar(question, meters=METERS, values={}, zone=BERLIN, now=NOW)

    assert parse("&".join(f"{name}={value}" for name, value in bar.hidden)) == question


@pytest.mark.parametrize(
    ("query", "before", "after"),
    [
        ("period=last-month", ("2026-09-01", "2026-09-30"), ("2026-11-01", "2026-11-30")),
        ("from=2026-11-10&to=2026-11-16", ("2026-11-03", "2026-11-09"), ("2026-11-17", "2026-11-23")),
        ("from=2025-12-01&to=2026-02-28", ("2025-09-01", "2025-11-30"), ("2026-03-01", "2026-05-31")),
    ],
)
def test_neighbours_are_periods_of_the_same_kind(
    query: str, before: tuple[str, str], after: tuple[str, str]
) -> None:
    picker = bar_of(query).picker

    for link, days in ((picker["previous_url"], before), (picker["next_url"], after)):
        question = parse(link)
        assert (question.first_day.isoformat(), question.last_day.isoformat()) == days


def test_there_is_no_link_into_the_future() -> None:
    assert bar_of("period=this-month").picker["next_url"] is None


def test_the_clock_can_be_switched_among_hours_only() -> None:
    assert bar_of("granularity=day").clocks == ()
    assert [choice.label for choice in bar_of("period=last-7-days&granularity=hour").clocks] == [
        "Europe/Berlin",
        "UTC",
    ]


def test_a_value_is_added_and_taken_away() -> None:
    question = with_value(parse("group_by=region"), "region", "eu")

    assert (question.values, question.group_by) == ((("region", ("eu",)),), "")
    assert without_value(question, "region", "eu").values == ()


def test_a_refused_question_keeps_what_was_typed_and_marks_the_field() -> None:
    typed = (("from", "2026-12-01"), ("to", "2026-11-01"), ("dimension.region", "e\u202eu"), ("form", "1"))
    faults = (
        Fault("range", "from", "The first day is after the last day."),
        Fault("control_char", "dimension.region", "Cannot be seen."),
        Fault("unknown_parameter", "form", "There is no parameter “form”."),
    )

    bar = make_refused_bar(typed, faults, usable=parse(""), meters=METERS, values={}, zone=BERLIN, now=NOW)

    assert bar.picker["errors"] == ["The first day is after the last day."]
    assert (bar.picker["from_value"], bar.picker["to_value"]) == ("2026-12-01", "2026-11-01")
    [region] = [field for field in bar.dimensions if field.name == "dimension.region"]
    assert (region.typed, region.error) == ("e\u202eu", "Cannot be seen.")
    assert bar.errors == ("There is no parameter “form”.",)
