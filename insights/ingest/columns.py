"""A chunk of wholly plain CSV lines, read by columns instead of line by line.

May only repeat what line_reader.py accepts: the cells are split without being interpreted, each is held to the
grammar of plain lines, and what a subject, an instant or a revision means is asked of the strict reader once for each
text that occurs. If anything in the chunk is odd there are no columns, and the lines are read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from insights.ingest.layout import Layout
from insights.ingest.line_reader import LineReader, Subject
from insights.ingest.lines import Chunk
from insights.ingest.remembered import (
    PLAIN_CHARACTERS,
    PLAIN_QUANTITY,
    PLAIN_ROW_ID,
    Memories,
    Memory,
)
from insights.values.quantity import InexactConversion, convert

_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class PlainColumns:
    """Every line of a chunk in its order: line_no, subject, start, row_id, revision, quantity.

    subject and start are places in the lists beside; starts rise and are distinct, subjects need not be. Quantities
    are decimals as text, in the meter's unit; row_id is empty for window sources.
    """

    frame: pl.DataFrame
    subjects: list[Subject]
    starts: list[datetime]


def read_columns(chunk: Chunk, reader: LineReader, memories: Memories) -> PlainColumns | None:
    """The lines of a chunk if all of them are plain and accepted, else None.

    The memories are the reader's, and may be those of the chunk before.
    """
    layout = reader.layout
    cells = _split(chunk, layout)
    if cells is None:
        return None
    has_row_id = reader.definition.key_kind == "row_id"
    meant = {"quantity", *memories.subjects.fields, *memories.starts.fields, *memories.revisions.fields}
    if has_row_id:
        meant.add("row_id")
    if not _are_plain(
        cells, has_row_id=has_row_id, unread=[name for name in cells.columns if name not in meant]
    ):
        return None
    subjects = _meanings(cells, memories.subjects)
    starts = _meanings(cells, memories.starts)
    revisions = _meanings(cells, memories.revisions)
    if subjects is None or starts is None or revisions is None:
        return None
    instants = sorted(set(starts.meanings))
    ranks = {instant: rank for rank, instant in enumerate(instants)}
    frame = pl.DataFrame(
        {
            "line_no": pl.int_range(
                chunk.first_line_no, chunk.first_line_no + chunk.count, dtype=pl.Int32, eager=True
            ),
            "subject": subjects.places,
            "start": _taken(starts.places, [ranks[instant] for instant in starts.meanings]),
            "row_id": cells["row_id"] if has_row_id else pl.repeat("", chunk.count, eager=True),
            "revision": _taken(revisions.places, revisions.meanings),
            "quantity": cells["quantity"],
        }
    )
    if not _lie_within(frame, subjects.meanings, instants):
        return None
    converted = _converted(frame, subjects.meanings)
    return None if converted is None else PlainColumns(converted, subjects.meanings, instants)


def _split(chunk: Chunk, layout: Layout) -> pl.DataFrame | None:
    """The cells as texts under our fields' names; columns that are not ours under their places.

    No line has a cell too many, or reading fails; and all commas together are as many as the cells need. So no line
    has a cell too few.
    """
    text = chunk.text
    if text is None or layout.form != "csv" or layout.width < 2:
        return None
    if (
        '"' in text
        or text.startswith(_BYTE_ORDER_MARK)
        or text.count(",") != chunk.count * (layout.width - 1)
    ):
        return None
    names = dict(zip(layout.places, layout.fields, strict=True))
    schema = {names.get(place, f" {place}"): pl.String for place in range(layout.width)}
    try:
        cells = pl.read_csv(
            text.encode(),
            has_header=False,
            schema=schema,
            quote_char=None,
            empty_string_is_null=False,
            extra_columns="raise",
        )
    except pl.exceptions.PolarsError:
        return None
    return cells.rechunk() if cells.height == chunk.count else None


def _are_plain(cells: pl.DataFrame, *, has_row_id: bool, unread: Sequence[str]) -> bool:
    line_bytes = pl.sum_horizontal(pl.all().str.len_bytes()) + len(cells.columns)
    checks = [
        pl.col("quantity").str.contains(f"^(?:{PLAIN_QUANTITY})$").all(),
        (line_bytes <= PLAIN_CHARACTERS).all(),
    ]
    if has_row_id:
        checks.append(pl.col("row_id").str.contains(f"^(?:{PLAIN_ROW_ID})$").all())
    are_plain = all(cells.select(check.alias(str(number)) for number, check in enumerate(checks)).row(0))
    return are_plain and all("".join(cells[name].unique()).isprintable() for name in unread)


@dataclass(frozen=True, slots=True)
class _Meanings:
    """What each line means, as a place in a list."""

    places: pl.Series
    meanings: list[Any]


def _meanings(cells: pl.DataFrame, memory: Memory) -> _Meanings | None:
    """Ask the memory once for each combination of texts; None when the strict reader has to tell of one."""
    fields = list(memory.fields)
    if not fields:
        meaning = memory[()]
        return None if meaning is None else _Meanings(pl.repeat(0, cells.height, eager=True), [meaning])
    distinct = cells.select(fields).unique(maintain_order=True)
    texts = distinct.to_series().to_list() if len(fields) == 1 else distinct.rows()
    meanings = list(map(memory.__getitem__, texts))
    if any(meaning is None for meaning in meanings):
        return None
    places = cells.join(distinct.with_row_index(" place"), on=fields, how="left", maintain_order="left")
    return _Meanings(places[" place"], meanings)


def _taken(places: pl.Series, values: Sequence[int]) -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).gather(places)


def _lie_within(frame: pl.DataFrame, subjects: Sequence[Subject], starts: Sequence[datetime]) -> bool:
    """Whether every window lies where its meter's newest version and its account take usage."""
    if all(subject.begins_at is None and subject.ends_at is None for subject in subjects):
        return True
    spans = frame.group_by("subject").agg(
        pl.col("start").min().alias("first"), pl.col("start").max().alias("last")
    )
    return all(
        _is_open(subjects[place], starts[first], starts[last]) for place, first, last in spans.iter_rows()
    )


def _is_open(subject: Subject, first: datetime, last: datetime) -> bool:
    has_begun = subject.begins_at is None or first >= subject.begins_at
    return has_begun and (subject.ends_at is None or last < subject.ends_at)


def _converted(frame: pl.DataFrame, subjects: Sequence[Subject]) -> pl.DataFrame | None:
    """The frame with quantities in their meters' units, or None when one cannot be converted exactly.

    Decimals of the standard library do it, once for each text and factor.
    """
    factors = sorted({subject.factor for subject in subjects if subject.factor is not None})
    if not factors:
        return frame
    numbers = [-1 if subject.factor is None else factors.index(subject.factor) for subject in subjects]
    frame = frame.with_columns(_taken(frame["subject"], numbers).alias("factor"))
    distinct = frame.select("quantity", "factor").unique()
    try:
        texts = [
            text if number < 0 else format(convert(Decimal(text), factors[number]), "f")
            for text, number in distinct.iter_rows()
        ]
    except InexactConversion:
        return None
    table = distinct.with_columns(pl.Series("converted", texts, dtype=pl.String))
    joined = frame.join(table, on=["quantity", "factor"], how="left", maintain_order="left")
    return joined.drop("quantity", "factor").rename({"converted": "quantity"})
