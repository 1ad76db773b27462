"""A window belongs to the version of its meter that was in force when it began, whenever it is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError

from accounts.tenancy import as_worker
from insights.ingest.mapping import list_meter_facts
from insights.ingest.source_definition import UnitConversion
from insights.models import Meter, Series, UsageRecord
from tests import factories
from tests.ingest.deliveries import CATALOGUE, FORMS, accepted, parse, refused, source

TURN = datetime(2026, 11, 10, tzinfo=UTC)
BEFORE, AFTER = "2026-11-09T23:00:00Z", "2026-11-10T00:00:00Z"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("start", "version_id"), [(BEFORE, 15), (AFTER, 16)])
def test_the_window_chooses_the_version(form: str, start: str, version_id: int) -> None:
    assert accepted(form, meter="renewed", window_start=start).meter_id == version_id


@pytest.mark.parametrize(("start", "known", "unknown"), [(BEFORE, "site", "zone"), (AFTER, "zone", "site")])
def test_a_line_may_name_the_dimensions_of_its_own_version(start: str, known: str, unknown: str) -> None:
    line = accepted("csv", meter="renewed", window_start=start, **{known: "a"})

    assert line.dimensions == ((known, "a"),)
    assert refused("csv", meter="renewed", window_start=start, **{unknown: "a"}) == "unknown_field"


def test_a_factor_to_the_new_unit_is_not_used_on_the_old_one() -> None:
    new = CATALOGUE.meters["renewed"]
    catalogue = replace(CATALOGUE, meters={"renewed": replace(new, unit="kB")})
    definition = source(conversions={"renewed": UnitConversion("MB", Decimal(1000))})
    header = "account,meter,window_start,quantity,row_id,unit\n"
    lines = [
        f"ansel,renewed,{start},5,r{place},{unit}\n"
        for place, (start, unit) in enumerate([(BEFORE, "MB"), (BEFORE, ""), (BEFORE, "B"), (AFTER, "MB")])
    ]

    parsed = parse((header + "".join(lines)).encode(), definition=definition, catalogue=catalogue)

    assert [(line.line_no, line.code) for line in parsed.rejected] == [(2, "bad_unit"), (3, "bad_unit")]
    assert [(line.meter_id, line.quantity) for line in parsed.accepted] == [(15, 5), (16, 5000)]


@pytest.mark.usefixtures("portal_db")
class TestStored:
    """The versions as rows, and what was sent before sent again after the change of version."""

    def test_each_version_begins_where_the_one_before_it_ended(self) -> None:
        first = factories.make_meter("bytes_out", retired_at=TURN)
        second = factories.make_meter("bytes_out", version=2, retired_at=datetime(2026, 11, 20, tzinfo=UTC))
        third = factories.make_meter("bytes_out", version=3)

        with as_worker():
            newest = list_meter_facts()["bytes_out"]

        starts = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 10, 19, 20, 30)]
        assert [newest.at(start).id for start in starts] == [
            first.pk, second.pk, second.pk, third.pk, third.pk,
        ]  # fmt: skip

    @pytest.mark.parametrize("key_kind", ["window", "row_id"])
    def test_a_file_sent_again_under_a_new_version_is_known(self, key_kind: str) -> None:
        old = factories.make_meter("bytes_out")
        factories.make_account("ansel")
        edge = factories.make_source("edge", key_kind=key_kind)
        rows = [("ansel,bytes_out,2026-10-31T22:00:00Z,5,a"), ("ansel,bytes_out,2026-10-31T23:00:00Z,6,b")]
        factories.ingest_now(edge, _body(key_kind, rows))
        with as_worker():
            Meter.objects.filter(pk=old.pk).update(retired_at=datetime(2026, 11, 1, tzinfo=UTC))
        new = factories.make_meter("bytes_out", version=2)

        again = factories.ingest_now(
            edge, _body(key_kind, [*rows, "ansel,bytes_out,2026-11-01T00:00:00Z,7,c"])
        )

        assert (again.duplicate, again.new, again.rejected) == (2, 1, 0)
        assert _stored() == [(old.pk, 5), (old.pk, 6), (new.pk, 7)]

    def test_one_version_of_a_meter_is_open(self) -> None:
        factories.make_meter("bytes_out")

        with pytest.raises(IntegrityError, match="meter_one_open_version"):
            factories.make_meter("bytes_out", version=2)
        factories.make_meter("requests")

    def test_a_version_is_not_put_before_another(self) -> None:
        factories.make_meter("bytes_out", version=2, retired_at=TURN)

        with pytest.raises(ProgrammingError, match="comes after those there are"):
            factories.make_meter("bytes_out", version=1, retired_at=TURN)

    @pytest.mark.parametrize("end", [None, datetime(2026, 12, 1, tzinfo=UTC)])
    def test_the_end_of_a_version_is_final(self, end: datetime | None) -> None:
        meter = factories.make_meter("bytes_out", retired_at=TURN)

        with as_worker(), pytest.raises(ProgrammingError, match="the end of a meter version is final"):
            Meter.objects.filter(pk=meter.pk).update(retired_at=end)
        with as_worker():
            Meter.objects.filter(pk=meter.pk).update(retired_at=TURN, name="Egress")

    @pytest.mark.parametrize(
        ("version", "end", "message"),
        [
            (1, None, "version 1 is open; retire it"),
            (3, TURN, "version 3 exists; a new version comes after it"),
        ],
    )
    def test_importing_a_version_out_of_turn_says_so(
        self, tmp_path: Path, version: int, end: datetime | None, message: str
    ) -> None:
        factories.make_meter("bytes_out", version=version, retired_at=end)
        file = tmp_path / "meters.toml"
        file.write_text('[[meters]]\nkey = "bytes_out"\nversion = 2\nname = "Egress"\nunit = "kB"\n')

        with pytest.raises(CommandError, match=message):
            call_command("import_meters", str(file))


def _body(key_kind: str, rows: list[str]) -> str:
    last = "row_id" if key_kind == "row_id" else "endpoint"
    return "\n".join([f"account,meter,window_start,quantity,{last}", *rows]) + "\n"


def _stored() -> list[Any]:
    with as_worker():
        series = UsageRecord.objects.order_by("window_start").values_list("series_id", "quantity")
        meters = dict(Series.objects.values_list("id", "meter_id"))
        return [(meters[series_id], quantity) for series_id, quantity in series]
