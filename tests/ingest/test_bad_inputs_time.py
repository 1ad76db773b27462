"""Times and windows: one written form, windows on the grid, limits both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from insights.ingest.outcomes import AcceptedLine
from tests.ingest.deliveries import FORMS, NOW, Bare, accepted, body, outcome, parse, refused, row, source

BERLIN = source(clock_zone="Europe/Berlin", max_age_days=None)
BERLIN_DAYS = source(clock_zone="Europe/Berlin", window="day", max_age_days=None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-11-23", "timestamp_format"),
        ("2026-11-23T10:00:00", "timestamp_naive"),
        ("2026-W01-1", "timestamp_format"),
        ("20261123T100000Z", "timestamp_format"),
        ("2026-11-23 10:00:00Z", "timestamp_format"),
        ("2026-11-23t10:00:00Z", "timestamp_format"),
        ("2026-11-23T10:00:00z", "timestamp_format"),
        ("2026-11-23T10:00Z", "timestamp_format"),
        ("2026-06-30T23:59:60Z", "timestamp_format"),
        ("2026-11-22T24:00:00Z", "timestamp_format"),
        ("2026-11-23T10:00:00.1234567Z", "timestamp_format"),
        ("2026-11-23T10:00:00.123456789Z", "timestamp_format"),
        ("2026-11-23T10:00:00.Z", "timestamp_format"),
        ("2026-11-23T10:00:00,5Z", "timestamp_format"),
        ("\uff12026-11-23T10:00:00Z", "timestamp_format"),
        ("2026-11-23T10:00:00\u221202:00", "timestamp_format"),
        ("2026-11-23T10:00:00+25:00", "timestamp_format"),
        ("2026-11-23T10:00:00+14:01", "timestamp_format"),
        ("2026-11-23T10:00:00+01:60", "timestamp_format"),
        ("2026-11-23T10:00:00-00:00", "timestamp_format"),
        ("2026-11-23T10:00:00+0100", "timestamp_format"),
        ("2026-02-30T00:00:00Z", "timestamp_format"),
        ("2025-02-29T00:00:00Z", "timestamp_format"),
        ("2026-13-01T00:00:00Z", "timestamp_format"),
        ("2026-00-01T00:00:00Z", "timestamp_format"),
        ("0001-01-01T00:00:00Z", "timestamp_too_old"),
        ("0001-01-01T00:00:00+14:00", "timestamp_too_old"),
        ("1999-12-31T23:00:00Z", "timestamp_too_old"),
        ("2000-01-01T00:00:00+14:00", "timestamp_too_old"),
        ("9999-12-31T23:00:00Z", "timestamp_future"),
        ("9999-12-31T23:00:00-14:00", "timestamp_future"),
        ("10000-01-01T00:00:00Z", "timestamp_format"),
        ("-2026-01-01T00:00:00Z", "timestamp_format"),
        ("1767225600", "timestamp_format"),
        ("1767225600000", "timestamp_format"),
        ("01/02/2026", "timestamp_format"),
        ("45292", "timestamp_format"),
        (" 2026-11-23T10:00:00Z", "timestamp_format"),
        ("2026-11-23T10:00:00Z\t", "control_char"),
        ("2062-01-01T00:00:00Z", "timestamp_future"),
    ],
)
def test_any_other_written_form_is_refused(form: str, text: str, code: str) -> None:
    assert refused(form, window_start=text) == code


@pytest.mark.parametrize("form", ["ndjson", "json"])
@pytest.mark.parametrize("token", ["1767225600", "1767225600.5", "true", "[]", "{}"])
def test_a_bare_number_is_never_guessed_to_be_a_time(form: str, token: str) -> None:
    assert refused(form, window_start=Bare(token)) == "timestamp_format"


def test_a_leap_second_is_named_as_one() -> None:
    found = outcome("csv", window_start="2026-06-30T23:59:60Z")

    assert "leap second" in found.message  # type: ignore[union-attr]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T10:00:00Z",
        "2026-11-23T10:00:00.000Z",
        "2026-11-24T00:00:00+14:00",
        "2026-11-23T11:00:00+01:00",
        "2026-11-22T20:00:00-14:00",
    ],
)
def test_an_offset_names_the_same_instant(form: str, text: str) -> None:
    assert accepted(form, window_start=text).window_start == datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize("form", FORMS)
def test_a_half_hour_offset_fits_half_hour_windows(form: str) -> None:
    found = accepted(form, source(window="30min"), window_start="2026-11-23T10:00:00+05:30")

    assert found.window_start == datetime(2026, 11, 23, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize("form", FORMS)
def test_the_age_limits_are_exact(form: str) -> None:
    definition = source(window="5min", max_ahead_seconds=300)
    at_limit = (NOW + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    data = body(form, [row(window_start=at_limit)])

    assert len(parse(data, definition=definition, form=form).accepted) == 1
    too_early = parse(data, definition=definition, form=form, now=NOW - timedelta(seconds=1))
    assert [line.code for line in too_early.rejected] == ["timestamp_future"]
    assert too_early.rejected[0].retryable


@pytest.mark.parametrize("form", FORMS)
def test_a_window_past_the_age_limit_is_doubtful_and_keeps_its_record(form: str) -> None:
    data = body(form, [row(window_start="2026-10-19T12:00:00Z")])

    assert len(parse(data, form=form).accepted) == 1
    late = parse(data, form=form, now=NOW + timedelta(seconds=1))
    ((record, rejection),) = late.doubtful
    assert not late.rejected
    assert record.window_start == datetime(2026, 10, 19, 12, tzinfo=UTC)
    assert (rejection.code, rejection.account_id) == ("timestamp_too_old", 1)


@pytest.mark.parametrize("form", FORMS)
def test_a_source_without_age_limit_takes_any_year_from_2000(form: str) -> None:
    found = accepted(form, source(max_age_days=None), window_start="2000-01-01T00:00:00Z")

    assert found.window_start.year == 2000


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z", "window_inverted"),
        ("2026-11-23T10:00:00Z", "2026-11-23T09:00:00Z", "window_inverted"),
        ("2026-11-23T10:07:00Z", "2026-11-23T11:07:00Z", "window_misaligned"),
        ("2026-11-23T10:00:00Z", "2026-11-23T12:00:00Z", "window_misaligned"),
        ("2026-11-23T10:00:00.000001Z", "", "window_misaligned"),
        ("2026-11-23T10:00:00+05:30", "", "window_misaligned"),
        ("2026-11-23T10:00:00Z", "2026-11-23", "timestamp_format"),
    ],
)
def test_a_window_off_the_grid_is_refused(form: str, start: str, end: str, code: str) -> None:
    assert refused(form, window_start=start, window_end=end) == code


@pytest.mark.parametrize("form", FORMS)
def test_a_window_longer_than_the_meters_grain_is_refused(form: str) -> None:
    assert refused(form, source(window="day"), window_start="2026-11-22T00:00:00Z") == "window_misaligned"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00", None),
        ("2026-10-25T00:00:00+02:00", "2026-10-25T23:00:00+01:00", "window_misaligned"),
        ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", None),
        ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+01:00", "window_misaligned"),
        ("2026-03-29T00:00:00", "2026-03-30T00:00:00", None),
        ("2026-03-29T00:00:00Z", "", "window_misaligned"),
    ],
)
def test_a_day_is_exactly_the_local_day(form: str, start: str, end: str, code: str | None) -> None:
    found = outcome(form, BERLIN_DAYS, meter="daily", window_start=start, window_end=end)

    assert (None if isinstance(found, AcceptedLine) else found.code) == code


@pytest.mark.parametrize("form", FORMS)
def test_a_skipped_local_hour_needs_an_offset(form: str) -> None:
    assert refused(form, BERLIN, window_start="2026-03-29T02:00:00") == "timestamp_nonexistent"
    found = accepted(form, BERLIN, window_start="2026-03-29T02:00:00+01:00")
    assert found.window_start == datetime(2026, 3, 29, 1, tzinfo=UTC)


@pytest.mark.parametrize("form", FORMS)
def test_a_repeated_local_hour_is_two_windows_with_offsets_and_none_without(form: str) -> None:
    assert refused(form, BERLIN, window_start="2026-10-25T02:00:00") == "timestamp_ambiguous"
    first = accepted(form, BERLIN, window_start="2026-10-25T02:00:00+02:00")
    second = accepted(form, BERLIN, window_start="2026-10-25T02:00:00+01:00")
    assert second.window_start - first.window_start == timedelta(hours=1)


@pytest.mark.parametrize("form", FORMS)
def test_a_local_time_is_read_by_the_clock_of_the_source(form: str) -> None:
    found = accepted(form, BERLIN, window_start="2026-07-01T02:00:00")

    assert found.window_start == datetime(2026, 7, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize("form", FORMS)
def test_times_may_fall_from_line_to_line(form: str) -> None:
    starts = [f"2026-11-23T{hour:02}:00:00Z" for hour in (11, 10, 9)]

    parsed = parse(body(form, [row(window_start=start) for start in starts]), form=form)

    assert [line.window_start.hour for line in parsed.accepted] == [11, 10, 9]
