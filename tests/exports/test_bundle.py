"""The zip of a proof: the same bytes every time, whole members, and nothing held of what has left."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from insights.exports.bundle import Bundle, MeterOfProof, Table, zip_pieces
from insights.exports.stream import Lines
from tests.exports.proofs import COLUMNS, Chain, zip_of

METER = MeterOfProof(
    key="requests", version=1, unit="unit", aggregation="sum", dimensions=(), unique_dimensions=()
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    chain = Chain(5)
    return chain.bundle(chain.issue_all()[-1])


def test_the_same_bill_is_the_same_bytes_and_carries_its_own_time(bundle: Bundle) -> None:
    content = zip_of(bundle)

    assert content == zip_of(bundle)
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        assert {info.date_time for info in opened.infolist()} == {bundle.issued_at.timetuple()[:6]}


def test_the_manifest_says_every_other_member(bundle: Bundle) -> None:
    with zipfile.ZipFile(io.BytesIO(zip_of(bundle))) as opened:
        manifest = json.loads(opened.read("manifest.json"))
        for member in manifest["members"]:
            content = opened.read(member["name"])
            assert (member["sha256"], member["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
            if member["name"].startswith("records/"):
                assert member["records"] == len(content.splitlines()) - 1 > 0
        assert {member["name"] for member in manifest["members"]} == {*opened.namelist()} - {"manifest.json"}


def test_a_name_that_a_spreadsheet_would_run_is_not_run(bundle: Bundle) -> None:
    document = json.loads(bundle.bill.text)
    document["lines"][0]["name"] = "=cmd()"
    odd = replace(bundle, bill=replace(bundle.bill, text=json.dumps(document).encode()))

    with zipfile.ZipFile(io.BytesIO(zip_of(odd))) as opened:
        [first, *_] = csv.DictReader(io.StringIO(opened.read("lines.csv").decode()))
    assert first["name"] == "'=cmd()"


def pieces_of(count: int) -> Iterator[Lines]:
    """A heading and records in pieces as the database gives them, a thousand in each."""
    yield Lines((",".join(COLUMNS) + "\n").encode() + _records(0), 1001)
    for number in range(1, count):
        yield Lines(_records(number), 1000)


def _records(number: int) -> bytes:
    at = f"{datetime(2026, 3, 1, tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}"
    return b"".join(
        f"{number},{{}},{at},3600,{row * 7919 % 1013},edge,,1,,{row}\n".encode() for row in range(1000)
    )


def test_memory_stays_flat_however_many_records_there_are(bundle: Bundle) -> None:
    def peak(thousands: int) -> int:
        table = Table(meter=METER, number=bundle.bill.number, is_corrected=False, source=thousands)
        tracemalloc.start()
        try:
            sent = sum(len(piece.text) for piece in zip_pieces(replace(bundle, tables=(table,)), pieces_of))
            assert sent > 2_000 * thousands
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(5), peak(60)

    assert large - small < 500_000
