"""What is read by columns is what the strict reader accepts, and anything odd is left to it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.ingest.columns import PlainColumns, read_columns
from insights.ingest.layout import Header
from insights.ingest.line_reader import LineReader
from insights.ingest.lines import Chunk
from insights.ingest.outcomes import AcceptedLine
from insights.ingest.remembered import memories_of
from insights.ingest.source_definition import SourceDefinition, UnitConversion
from insights.ingest.staged_columns import SeriesFact, StagedColumns, stage_columns
from insights.ingest.verdicts import StagedLine
from tests.ingest.deliveries import CATALOGUE, NOW, source
from tests.ingest.test_parse import CELLS, DEFINITIONS, names_for

USUAL = {
    "account": ["ansel", "brook", "caf\u00e9"],
    "meter": ["bytes_out", "corrections"],
    "window_start": ["2026-11-23T10:00:00Z", "2026-11-23T09:00:00+00:00", "2026-11-23T11:00:00+01:00"],
    "window_end": [""],
    "quantity": ["5", "0", "0.000", "1.5", "0.000000001", "9" * 19, "12.50"],
    "unit": ["", "B"],
    "revision": ["", "1", "2", "2147483647"],
    "row_id": ["r1", "r2", "a b", "a\\b", "\\N", "x" * 200],
    "region": ["", "eu", "us", "\\."],
}
# Cells that would break a line, or hide in one, when they stand there without quotes.
BARE = [
    '"',
    'a"b',
    "a,b",
    ",",
    "\x0b",
    "\u2028",
    "\ufeff",
    "\x00",
    "a\tb",
    " ",
    "5 ",
    "+5",
    "1e3",
    "#",
    "5.",
    ".5",
    "05",
]
EVERY_DEFINITION = (
    *DEFINITIONS,
    source(ignored=("note",)),
    source(conversions={"bytes_out": UnitConversion("GB", Decimal("0.000000001"))}),
)
usual = st.fixed_dictionaries({name: st.sampled_from(cells) for name, cells in USUAL.items()})
odd_change = st.one_of(
    *(st.tuples(st.just(name), st.sampled_from(cells)) for name, cells in CELLS.items()),
    st.tuples(st.sampled_from(list(USUAL)), st.sampled_from(BARE)),
)


def reader_of(header: Header, definition: SourceDefinition) -> LineReader:
    return LineReader(header=header, definition=definition, catalogue=CATALOGUE, now=NOW)


def columns_of(chunk: Chunk, reader: LineReader) -> PlainColumns | None:
    return read_columns(chunk, reader, memories_of(reader))


def accepted_of(columns: PlainColumns) -> list[AcceptedLine]:
    """The lines that columns stand for."""
    lines = []
    for line_no, subject, start, row_id, revision, quantity in columns.frame.select(
        "line_no", "subject", "start", "row_id", "revision", "quantity"
    ).iter_rows():
        meant = columns.subjects[subject]
        lines.append(
            AcceptedLine(
                line_no,
                meant.account_id,
                meant.meter.id,
                meant.dimensions,
                columns.starts[start],
                row_id,
                revision,
                Decimal(quantity),
            )
        )
    return lines


def assert_strictly_the_same(names: list[str], lines: list[str], definition: SourceDefinition) -> bool:
    """Whether there were columns; if so, they are the lines that the strict reader accepts, all of them."""
    header = Header("csv", tuple(names))
    text = "".join(f"{line}\n" for line in lines)

    columns = columns_of(Chunk.of_text(7, text, len(lines)), reader_of(header, definition))

    if columns is None:
        return False
    strict = reader_of(header, definition)
    assert accepted_of(columns) == [strict.read_line(number, line) for number, line in enumerate(lines, 7)]
    assert columns.starts == sorted(set(columns.starts))
    return True


@settings(max_examples=400, deadline=None)
@given(
    rows=st.lists(usual, min_size=1, max_size=12),
    changes=st.lists(st.tuples(st.integers(0, 11), odd_change), max_size=2),
    definition=st.sampled_from(EVERY_DEFINITION),
)
def test_columns_are_what_the_strict_reader_accepts(
    rows: list[dict[str, str]], changes: list[tuple[int, tuple[str, str]]], definition: SourceDefinition
) -> None:
    names = names_for(definition)
    for place, (name, cell) in changes:
        rows[place % len(rows)] |= {name: cell}
    lines = [",".join(cells[name] for name in names) for cells in rows]
    if definition.ignored:
        names.append("note")
        lines = [f"{line},{cells['row_id']}" for line, cells in zip(lines, rows, strict=True)]

    assert_strictly_the_same(names, lines, definition)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.text(
            alphabet=st.characters(blacklist_characters="\n\r", blacklist_categories=["Cs"]), max_size=40
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_text_is_accepted_by_columns_only_if_it_is_strictly(lines: list[str]) -> None:
    names = ["account", "meter", "window_start", "quantity", "row_id"]

    assert_strictly_the_same(names, lines, source())


PLAIN = "ansel,bytes_out,2026-11-23T10:00:00Z,5,r1"


@pytest.mark.parametrize(
    "odd",
    [
        PLAIN + ",",
        PLAIN.removesuffix(",r1"),
        "",
        f"{PLAIN}\n{PLAIN},x",
        "\ufeff" + PLAIN,
        PLAIN.replace("ansel", '"ansel"'),
        PLAIN.replace("ansel", "absent"),
        PLAIN.replace("5,r1", "-5,r1"),
        PLAIN.replace("r1", "r1 "),
        PLAIN.replace("r1", "r\x7f"),
        PLAIN.replace("2026-11-23T10", "2026-11-23T10:30"),
        PLAIN.replace("2026", "2062"),
        PLAIN.replace("2026", "2016"),
        PLAIN.replace("bytes_out", "retired"),
        PLAIN.replace("ansel", "closed"),
    ],
)
def test_one_odd_line_leaves_the_chunk_to_the_strict_reader(odd: str) -> None:
    names = ["account", "meter", "window_start", "quantity", "row_id"]
    lines = [PLAIN, *odd.split("\n"), PLAIN.replace("r1", "r2")]

    assert assert_strictly_the_same(names, [PLAIN], source())
    assert not assert_strictly_the_same(names, lines, source())
    assert not assert_strictly_the_same(names, odd.split("\n"), source())


def test_a_line_too_long_is_never_plain_even_in_columns_that_nobody_reads() -> None:
    names = ["account", "meter", "window_start", "quantity", "row_id", "note"]
    definition = source(ignored=("note",))

    assert assert_strictly_the_same(names, [f"{PLAIN},{'n' * 1000}"], definition)
    assert not assert_strictly_the_same(names, [f"{PLAIN},{'n' * 70_000}"], definition)
    assert not assert_strictly_the_same(names, [f"{PLAIN},a\u200bb"], definition)


def test_windows_before_and_after_a_meters_version_are_told_apart() -> None:
    names = ["account", "meter", "window_start", "quantity", "row_id"]
    line = PLAIN.replace("bytes_out", "renewed")

    assert assert_strictly_the_same(names, [line], source())
    assert not assert_strictly_the_same(names, [line, line.replace("11-23", "11-09")], source())


def staged(lines: list[str]) -> StagedColumns:
    header = Header("csv", ("account", "meter", "window_start", "quantity", "row_id"))
    columns = columns_of(Chunk.of_text(2, "\n".join([*lines, ""]), len(lines)), reader_of(header, source()))
    assert columns is not None
    facts = [SeriesFact(subject.account_id, 100 - subject.account_id, 10) for subject in columns.subjects]
    return stage_columns(columns, facts)


def test_staged_columns_are_sorted_by_the_ledgers_key_and_keep_their_lines() -> None:
    later = PLAIN.replace("T10", "T11").replace("r1", "a\\b")
    columns = staged([PLAIN.replace("ansel", "brook"), later, PLAIN.replace("5,r1", "1.50,r2")])

    lines = columns.lines()

    found = [(line.line_no, line.account_id, line.row_id) for line in lines]
    assert found == [(2, 2, "r1"), (3, 1, "a\\b"), (4, 1, "r2")]
    assert columns.copy_text(phase=1).decode().splitlines() == [
        "4\t1\t99\t2026-11-23T10:00:00+00:00\tr2\t1\t1.50\t10\t1",
        "3\t1\t99\t2026-11-23T11:00:00+00:00\ta\\\\b\t1\t5\t10\t1",
        "2\t2\t98\t2026-11-23T10:00:00+00:00\tr1\t1\t5\t10\t1",
    ]
    assert [(span.account_id, span.lines, span.first_line, span.last_line) for span in columns.spans()] == [
        (1, 2, 3, 4),
        (2, 1, 2, 2),
    ]
    assert [span.last_window for span in columns.spans()] == [lines[1].window_start, lines[0].window_start]
    assert isinstance(lines[0], StagedLine)


def test_repeats_are_told_by_what_names_a_fact() -> None:
    other_window = [PLAIN, PLAIN.replace("T10", "T09")]
    other_row = [PLAIN, PLAIN.replace("r1", "r2")]
    other_account = [PLAIN, PLAIN.replace("ansel", "brook")]

    told = {
        kind: [staged(lines).has_repeats(key_kind=kind) for lines in (other_window, other_row, other_account)]
        for kind in ("row_id", "window")
    }

    assert told == {"row_id": [True, False, False], "window": [False, True, False]}
