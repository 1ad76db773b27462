"""The quick way and the strict way read every line alike; chunks and forms do not matter."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.ingest.layout import Header
from insights.ingest.limits import Limits
from insights.ingest.line_reader import LineReader
from insights.ingest.lines import Chunk
from insights.ingest.outcomes import AcceptedLine, ParsedChunk, RejectedLine
from insights.ingest.parse import parse_chunk
from insights.ingest.source_definition import SourceDefinition, UnitConversion, parse_source_toml
from tests.ingest.deliveries import CATALOGUE, FORMS, NOW, body, parse, row, source

NAMES = ("account", "meter", "window_start", "window_end", "quantity", "unit", "revision", "row_id", "region")
CELLS = {
    "account": ["ansel", "ansel", "brook", "closed", "absent", "caf\u00e9", "cafe\u0301", "", " ansel"],
    "meter": ["bytes_out", "bytes_out", "corrections", "retired", "renewed", "daily", "absent", ""],
    "window_start": [
        "2026-11-23T10:00:00Z",
        "2026-11-01T00:00:00Z",
        "2026-11-23T11:00:00+01:00",
        "2026-11-23T10:30:00Z",
        "2026-01-01T00:00:00Z",
        "2062-01-01T00:00:00Z",
        "2026-11-23T10:00:00",
        "2026-03-29T02:00:00",
        "",
    ],
    "window_end": ["", "", "2026-11-23T11:00:00Z", "2026-11-01T01:00:00Z", "2026-11-23T10:00:00Z", "later"],
    "quantity": [
        "5",
        "0",
        "-0",
        "0.000",
        "-1",
        "1.5",
        "0.0000000001",
        "1e3",
        "9" * 19,
        "9" * 20,
        "",
        "\u0663",
    ],
    "unit": ["", "", "B", "GB", "GiB"],
    "revision": ["", "", "1", "2", "0", "01", str(2**31)],
    "row_id": ["r1", "r2", "e\u0301", " r", "", "x" * 200, "x" * 201, "a b", "a\u200bb", 'say "hi"', "a,b"],
    "region": ["", "eu", "us", " eu", "e\u0301", "a\x00"],
}
DEFINITIONS = (
    source(),
    source(key_kind="window"),
    source(clock_zone="Europe/Berlin", max_age_days=None),
    source(account_id=1, default_revision=3),
    source(conversions={"bytes_out": UnitConversion("GB", Decimal("0.5"))}),
)
odd_cells = st.fixed_dictionaries({name: st.sampled_from(cells) for name, cells in CELLS.items()})
any_text = st.text(
    alphabet=st.characters(blacklist_characters="\n\r", blacklist_categories=["Cs"]), max_size=12
)


def strictly(chunk: Chunk, header: Header, definition: SourceDefinition) -> ParsedChunk:
    reader = LineReader(header=header, definition=definition, catalogue=CATALOGUE, now=NOW)
    outcomes = [
        reader.read_line(line_no, line) for line_no, line in enumerate(chunk.lines, chunk.first_line_no)
    ]
    return ParsedChunk(
        accepted=[found for found in outcomes if isinstance(found, AcceptedLine)],
        rejected=[found for found in outcomes if isinstance(found, RejectedLine)],
        doubtful=[found for found in outcomes if type(found) is tuple],
        blank=outcomes.count(None),
    )


def assert_read_alike(lines: list[str], header: Header, definition: SourceDefinition) -> None:
    chunk = Chunk(2, lines)

    quick = parse_chunk(chunk, header=header, definition=definition, catalogue=CATALOGUE, now=NOW)
    strict = strictly(chunk, header, definition)

    assert (quick.accepted, quick.rejected, quick.doubtful, quick.blank) == (
        strict.accepted,
        strict.rejected,
        strict.doubtful,
        strict.blank,
    )
    assert list(map(str, quick.accepted)) == list(map(str, strict.accepted))
    assert quick.received + quick.blank == len(lines)


def csv_line(cells: list[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(cells)
    return written.getvalue()


def names_for(definition: SourceDefinition) -> list[str]:
    return [name for name in NAMES if name != "row_id" or definition.key_kind == "row_id"]


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(odd_cells, min_size=1, max_size=25), definition=st.sampled_from(DEFINITIONS))
def test_csv_is_read_alike_quickly_and_strictly(
    rows: list[dict[str, str]], definition: SourceDefinition
) -> None:
    names = names_for(definition)
    lines = [csv_line([cells[name] for name in names]) for cells in rows]

    assert_read_alike(lines, Header("csv", tuple(names)), definition)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(odd_cells, min_size=1, max_size=25), definition=st.sampled_from(DEFINITIONS))
@pytest.mark.parametrize("is_ascii", [True, False])
def test_json_is_read_alike_quickly_and_strictly(
    is_ascii: bool, rows: list[dict[str, str]], definition: SourceDefinition
) -> None:
    names = names_for(definition)
    lines = [json.dumps({name: cells[name] for name in names}, ensure_ascii=is_ascii) for cells in rows]

    assert_read_alike(lines, Header("ndjson"), definition)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(any_text, st.lists(any_text, min_size=5, max_size=5).map(csv_line)), max_size=10))
def test_any_text_at_all_is_read_alike(lines: list[str]) -> None:
    header = Header("csv", ("account", "meter", "window_start", "quantity", "row_id"))

    assert_read_alike(lines, header, source())
    assert_read_alike(lines, Header("ndjson"), source())


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(odd_cells, max_size=20), chunk_lines=st.integers(1, 30), piece_bytes=st.integers(1, 500))
def test_chunks_and_pieces_do_not_matter(
    rows: list[dict[str, str]], chunk_lines: int, piece_bytes: int
) -> None:
    data = body("csv", [dict.fromkeys(NAMES, ""), *rows])

    whole = parse(data)
    parts = parse(data, limits=Limits(chunk_lines=chunk_lines), piece_bytes=piece_bytes)

    assert whole == parts
    assert whole.received == len(rows) + 1


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(odd_cells, min_size=1, max_size=20))
def test_the_three_forms_of_a_row_mean_the_same(rows: list[dict[str, str]]) -> None:
    meanings = []
    for form in FORMS:
        parsed = parse(body(form, rows), form=form)
        first = 2 if form == "csv" else 1
        accepted = [line._replace(line_no=line.line_no - first) for line in parsed.accepted]
        rejected = [(line.line_no - first, line.code, line.field, line.value) for line in parsed.rejected]
        meanings.append((accepted, rejected, len(parsed.doubtful)))

    assert meanings[0] == meanings[1] == meanings[2]


def test_mapped_columns_name_the_senders_words_in_refusals() -> None:
    definition = source(
        columns={"account": "customer", "window_start": "from", "quantity": "amount", "row_id": "key"},
        constants={"meter": "bytes_out", "dimension.region": "eu"},
        ignored=("note",),
    )
    good = "x,5,k1,2026-11-23T10:00:00Z,ansel"
    bad = good.replace(",5,", ",many,")
    data = f"note,amount,key,from,customer\n{good}\n{bad}\n".encode()

    parsed = parse(data, definition=definition)

    assert parsed.accepted[0].dimensions == (("region", "eu"),)
    assert [(line.code, line.field, line.value) for line in parsed.rejected] == [
        ("number_format", "amount", "many")
    ]


def test_a_bound_account_that_nobody_looked_up_is_our_own_mistake() -> None:
    with pytest.raises(LookupError):
        parse(body("csv", [row()]), definition=source(account_id=99))


def test_the_example_of_the_trial_keeps_intervals_that_share_a_time() -> None:
    definition = parse_source_toml(Path("docs/examples/sgsc.toml").read_text(encoding="utf-8"))
    data = (
        b"customer_id,reading_datetime,calendar_key,event_key,general_supply_kwh,controlled_load_kwh\n"
        b"ansel,2012-10-07T03:00:00,41,0,0.141,0\n"
        b"ansel,2012-10-07T03:00:00,42,0,0.088,\n"
    )

    parsed = parse(data, definition=definition)

    assert [(line.row_id, line.quantity) for line in parsed.accepted] == [
        ("41", Decimal("0.141")),
        ("42", Decimal("0.088")),
    ]
