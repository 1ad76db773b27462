"""A preview says of each first line exactly what ingest would make of it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from insights.feeds.preview import Preview, open_preview, preview_lines
from insights.ingest.catalogue import AccountFact, Catalogue, MeterFact
from insights.ingest.refusals import RequestRefused
from insights.ingest.source_definition import SourceDefinition, UnitConversion

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
METER = MeterFact(id=7, key="electricity", unit="kWh", grain_seconds=86400, dimensions=("site",))
DEFINITION = SourceDefinition(
    slug="meters",
    name="Meters",
    key_kind="window",
    window="30min",
    columns={
        "account": "customer",
        "window_start": "read_at",
        "quantity": "wh",
        "dimension.site": "site",
    },
    constants={"meter": "electricity", "unit": "Wh"},
    conversions={"electricity": UnitConversion("Wh", Decimal("0.001"))},
    clock_zone="Europe/Berlin",
)
HEADER = "customer,read_at,wh,site\n"


def previewed(text: str, definition: SourceDefinition = DEFINITION) -> Preview:
    opening = open_preview([text.encode()], definition=definition, meters={"electricity": METER})
    known = {"ansel": AccountFact(id=1)}
    catalogue = Catalogue(
        accounts={name: fact for name, fact in known.items() if name in opening.references},
        meters={"electricity": METER},
    )
    return preview_lines(opening, definition=definition, catalogue=catalogue, now=NOW)


def test_a_line_is_shown_in_utc_and_in_the_unit_of_the_meter() -> None:
    (line,) = previewed(HEADER + "ansel,2026-11-03T01:00:00,1500,roof\n").lines

    assert (line.line_no, line.account, line.meter, line.unit) == (2, "ansel", "electricity", "kWh")
    assert line.window_start == datetime(2026, 11, 3, 0, 0, tzinfo=UTC)
    assert line.window_end == datetime(2026, 11, 3, 0, 30, tzinfo=UTC)
    assert line.quantity == Decimal("1.5")
    assert line.dimensions == (("site", "roof"),)


def test_a_refused_line_carries_its_code_field_and_message() -> None:
    preview = previewed(
        HEADER + "nobody,2026-11-03T01:00:00,1,roof\nansel,2026-11-03T01:00:00,1e3,roof\n\nansel,2026-11-03\n"
    )

    assert [(line.line_no, line.code, line.field) for line in preview.lines] == [
        (2, "unknown_account", "customer"),
        (3, "number_format", "wh"),
        (5, "column_count", ""),
    ]
    assert all(line.message for line in preview.lines)
    assert (preview.accepted, preview.refused, preview.blank) == (0, 3, 1)


def test_a_line_past_the_age_limit_says_that_a_repeat_would_pass() -> None:
    (line,) = previewed(HEADER + "ansel,2026-01-03T01:00:00,1,roof\n").lines

    assert (line.code, line.is_known_only) == ("timestamp_too_old", True)


def test_at_most_twenty_lines_are_read() -> None:
    lines = "".join(f"ansel,2026-11-02T{hour:02}:00:00,1,roof\n" for hour in range(24))

    assert len(previewed(HEADER + lines).lines) == 20


def test_a_wrong_header_refuses_as_an_upload_would() -> None:
    with pytest.raises(RequestRefused) as refused:
        previewed("customer;read_at;wh;site\n")

    assert refused.value.code == "header"


def test_a_header_alone_is_an_empty_preview() -> None:
    preview = previewed(HEADER)

    assert (preview.lines, preview.accepted, preview.refused) == ((), 0, 0)


def test_a_local_day_of_25_hours_ends_25_hours_later() -> None:
    daily = SourceDefinition(
        slug="daily",
        name="Daily",
        key_kind="window",
        window="day",
        clock_zone="Europe/Berlin",
        constants={"meter": "electricity"},
    )

    (line,) = previewed(
        "account,window_start,quantity\nansel,2026-10-25T00:00:00,1\n", definition=daily
    ).lines

    assert line.window_start is not None
    assert line.window_end is not None
    assert (line.window_end - line.window_start).total_seconds() == 25 * 3600
