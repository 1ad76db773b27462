"""Query strings are read strictly: what is not understood is refused with a code and a field."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.metering.faults import UsageFilterRefused
from insights.metering.usage_filter import GRANULARITIES, PRESETS, UsageFilter, parse_usage_filter
from tests.metering.facts import meter_facts

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)
OLD = meter_facts(id=1, version=1, is_newest=False)
NEW = meter_facts(id=2, version=2)
HOURS = meter_facts(id=3, key="endpoint_hours", dimensions=("endpoint",), aggregation="unique_count")
METERS = (OLD, NEW, HOURS)


def parse(query: str, *, default_meter: str = "requests", now: datetime = NOW) -> UsageFilter:
    pairs = parse_qsl(query, keep_blank_values=True)
    return parse_usage_filter(pairs, meters=METERS, zone=BERLIN, now=now, default_meter=default_meter)


class TestParseUsageFilter:
    def test_nothing_said_is_this_month_by_day(self) -> None:
        question = parse("")

        assert (question.first_day, question.last_day) == (date(2026, 11, 1), date(2026, 11, 30))
        assert (question.granularity, question.group_by, question.compares) == ("day", "", True)
        assert question.meter is NEW

    @pytest.mark.parametrize(
        ("preset", "first", "last", "granularity"),
        [
            ("this-month", date(2026, 11, 1), date(2026, 11, 30), "day"),
            ("last-month", date(2026, 10, 1), date(2026, 10, 31), "day"),
            ("last-7-days", date(2026, 11, 17), date(2026, 11, 23), "day"),
            ("last-30-days", date(2026, 10, 25), date(2026, 11, 23), "day"),
            ("last-12-months", date(2025, 12, 1), date(2026, 11, 30), "month"),
        ],
    )
    def test_presets_are_days_of_the_billing_zone(
        self, preset: str, first: date, last: date, granularity: str
    ) -> None:
        question = parse(f"period={preset}")

        assert (question.first_day, question.last_day, question.granularity) == (first, last, granularity)

    def test_today_is_that_of_the_billing_zone(self) -> None:
        question = parse("period=this-month", now=datetime(2026, 10, 31, 23, 30, tzinfo=UTC))

        assert question.first_day == date(2026, 11, 1)

    def test_both_days_are_included(self) -> None:
        question = parse("from=2026-10-25&to=2026-10-25")

        period = question.period(BERLIN)
        assert period.duration.total_seconds() == 25 * 3600
        assert question.granularity == "hour"

    def test_an_older_version_is_named_with_its_number(self) -> None:
        assert parse("meter=requests:1").meter is OLD
        assert parse("meter=requests:1").pairs()[0] == ("meter", "requests:1")

    def test_values_of_one_dimension_may_be_several(self) -> None:
        question = parse("dimension.region=us&dimension.region=eu&dimension.endpoint=a")

        assert question.values == (("endpoint", ("a",)), ("region", ("eu", "us")))

    def test_empty_values_are_absent_as_forms_send_them(self) -> None:
        question = parse("group_by=&dimension.region=&dimension.endpoint=&from=&to=")

        assert (question.group_by, question.values, question.preset) == ("", (), "this-month")

    @pytest.mark.parametrize(
        ("query", "code", "field"),
        [
            ("from=2026-11-02&to=2026-11-01", "range", "from"),
            ("from=2026-11-02", "missing_parameter", "to"),
            ("to=2026-11-02", "missing_parameter", "from"),
            ("period=this-month&from=2026-11-02&to=2026-11-03", "range", "period"),
            ("period=this-year", "unknown_period", "period"),
            ("from=2026-02-30&to=2026-03-01", "date_format", "from"),
            ("from=2026-W01-1&to=2026-03-01", "date_format", "from"),
            ("from=0001-01-01&to=9999-12-31", "date_format", "from"),
            ("from=\uff12026-01-01&to=2026-03-01", "date_format", "from"),
            ("from=1926-01-01&to=2026-01-01", "date_format", "from"),
            ("from=2000-01-01&to=2026-01-01&granularity=hour", "range_too_large", "granularity"),
            ("from=2000-01-01&to=2026-01-01&granularity=day", "range_too_large", "granularity"),
            ("period=last-12-months&granularity=hour&group_by=endpoint", "range_too_large", "granularity"),
            ("granularity=minute", "unknown_granularity", "granularity"),
            ("meter=none", "unknown_meter", "meter"),
            ("meter=requests:3", "unknown_meter", "meter"),
            ("group_by=colour", "unknown_dimension", "group_by"),
            ("meter=endpoint_hours&group_by=region", "unknown_dimension", "group_by"),
            ("dimension.colour=red", "unknown_dimension", "dimension.colour"),
            (f"dimension.region={'x' * 201}", "field_too_long", "dimension.region"),
            ("dimension.region=%00", "control_char", "dimension.region"),
            ("dimension.region=%E2%80%AE", "control_char", "dimension.region"),
            ("form=2026-01-01", "unknown_parameter", "form"),
            ("meter=requests&meter=requests", "duplicate_parameter", "meter"),
            ("group_by=region&group_by=endpoint", "duplicate_parameter", "group_by"),
            ("dimension.region=eu&dimension.region=eu", "duplicate_parameter", "dimension.region"),
            ("compare=yes", "unknown_compare", "compare"),
            ("clock=local", "unknown_clock", "clock"),
        ],
    )
    def test_refuses_with_code_and_field(self, query: str, code: str, field: str) -> None:
        with pytest.raises(UsageFilterRefused) as refused:
            parse(query)

        assert (code, field) in {(fault.code, fault.field) for fault in refused.value.faults}

    def test_refuses_more_values_than_anybody_types(self) -> None:
        with pytest.raises(UsageFilterRefused) as refused:
            parse("&".join(f"dimension.region=r{number}" for number in range(51)))

        assert [fault.code for fault in refused.value.faults] == ["too_many_values"]

    def test_says_every_fault_at_once(self) -> None:
        with pytest.raises(UsageFilterRefused) as refused:
            parse("form=1&group_by=colour&from=2026-11-02&to=2026-11-01")

        assert len(refused.value.faults) == 3

    def test_too_long_a_range_names_what_would_fit(self) -> None:
        with pytest.raises(UsageFilterRefused, match="Choose day or month"):
            parse("from=2026-01-01&to=2026-04-04&granularity=hour")

    @pytest.mark.parametrize("group_by", ["", "&group_by=endpoint"])
    def test_the_longest_three_months_may_be_asked_by_hour(self, group_by: str) -> None:
        parse(f"from=2026-07-01&to=2026-09-30&granularity=hour{group_by}")
        parse(f"from=2026-01-01&to=2026-04-03&granularity=hour{group_by}")

    def test_a_meter_must_be_named_where_there_is_no_default(self) -> None:
        with pytest.raises(UsageFilterRefused) as refused:
            parse("", default_meter="")

        assert refused.value.faults[0].code == "missing_parameter"

    def test_callers_may_have_parameters_of_their_own(self) -> None:
        question = parse_usage_filter(
            [("meter", "requests"), ("page", "2")],
            meters=METERS,
            zone=BERLIN,
            now=NOW,
            also=frozenset({"page"}),
        )

        assert question.meter is NEW


VALUES = st.text(st.characters(exclude_categories=("C",), max_codepoint=0x2FF), min_size=1, max_size=20)


class TestPairs:
    @given(
        st.sampled_from(PRESETS),
        st.sampled_from(GRANULARITIES[1:]),
        st.sampled_from(["", "endpoint", "region"]),
        st.lists(VALUES, max_size=3),
        st.booleans(),
    )
    def test_ask_the_same_question_again(
        self, preset: str, granularity: str, group_by: str, values: list[str], compares: bool
    ) -> None:
        pairs = [
            ("period", preset),
            ("granularity", granularity),
            ("group_by", group_by),
            ("compare", "previous" if compares else "none"),
            *(("dimension.region", value) for value in dict.fromkeys(values)),
        ]
        question = parse_usage_filter(pairs, meters=METERS, zone=BERLIN, now=NOW, default_meter="requests")

        again = parse_usage_filter(question.pairs(), meters=METERS, zone=BERLIN, now=NOW)

        assert again == question

    def test_a_permanent_question_names_its_days(self) -> None:
        query = parse("period=last-7-days").permanent().query_string()

        assert query == "meter=requests&from=2026-11-17&to=2026-11-23&granularity=day"
