"""A chunk of lines to accepted, doubtful and rejected lines, quickly.

Plain lines go a quick way that remembers what repeats (account, meter and dimensions; instants;
revisions). Whatever is odd in any respect goes to the strict reader, whose answer is the meaning; the
quick way never refuses anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

from insights.ingest.catalogue import Catalogue
from insights.ingest.cells import read_object
from insights.ingest.grammar import NumberToken
from insights.ingest.layout import Header, Layout
from insights.ingest.line_reader import LineReader, Subject
from insights.ingest.lines import Chunk
from insights.ingest.outcomes import AcceptedLine, ParsedChunk, RejectedLine
from insights.ingest.refusals import Refusal
from insights.ingest.remembered import PLAIN_CHARACTERS, PLAIN_QUANTITY, PLAIN_ROW_ID, memories_of
from insights.ingest.source_definition import SourceDefinition
from insights.values.quantity import InexactConversion, convert

__all__ = ["AcceptedLine", "ParsedChunk", "RejectedLine", "parse_chunk"]

_PLAIN_QUANTITY = re.compile(PLAIN_QUANTITY).fullmatch
_PLAIN_ROW_ID = re.compile(PLAIN_ROW_ID).fullmatch
_REPLACEMENT_CHARACTER = "\ufffd"

Cells = list[str]


def parse_chunk(
    chunk: Chunk,
    *,
    header: Header,
    definition: SourceDefinition,
    catalogue: Catalogue,
    now: datetime,
    aged_at: datetime | None = None,
    batch_revision: int | None = None,
) -> ParsedChunk:
    """Every line of the chunk with its outcome.

    now bounds the future. aged_at is when the line first came, by which its age is judged; now when left out.
    """
    reader = LineReader(
        header=header,
        definition=definition,
        catalogue=catalogue,
        now=now,
        aged_at=aged_at,
        batch_revision=batch_revision,
    )
    quick_line = _quick_line(reader)
    parsed = ParsedChunk(accepted=[], rejected=[], doubtful=[])
    accept = parsed.accepted.append
    joined = "".join(chunk.lines)
    all_plain = joined.isprintable() and max(map(len, chunk.lines), default=0) <= PLAIN_CHARACTERS
    blank = 0
    for line_no, line in enumerate(chunk.lines, chunk.first_line_no):
        if all_plain or (line.isprintable() and len(line) <= PLAIN_CHARACTERS):
            quick = quick_line(line_no, line)
            if quick is not None:
                accept(quick)
                continue
        outcome = reader.read_line(line_no, line)
        if outcome is None:
            blank += 1
        elif isinstance(outcome, AcceptedLine):
            accept(outcome)
        elif isinstance(outcome, RejectedLine):
            parsed.rejected.append(outcome)
        else:
            parsed.doubtful.append(outcome)
    return replace(parsed, blank=blank, replacement_characters=joined.count(_REPLACEMENT_CHARACTER))


def _quick_line(reader: LineReader) -> Callable[[int, str], AcceptedLine | None]:
    """A function that takes a plain line to its record, or to None for the strict reader."""
    layout, has_row_id = reader.layout, reader.definition.key_kind == "row_id"

    memories = memories_of(reader)
    subjects, subject_key = memories.subjects, _key(layout, memories.subjects.fields)
    starts, start_key = memories.starts, _key(layout, memories.starts.fields)
    revisions, revision_key = memories.revisions, _key(layout, memories.revisions.fields)
    plain_cells = _plain_csv_cells(layout) if layout.form == "csv" else _plain_json_cells(layout)
    quantity_place = layout.place_of("quantity")
    row_id_place = layout.place_of("row_id") if has_row_id else 0
    usual_revision = None if revisions.fields else reader.usual_revision
    # A NamedTuple's own constructor takes twice the time, on every line.
    make = tuple.__new__

    def quick_line(line_no: int, line: str) -> AcceptedLine | None:
        cells = plain_cells(line)
        if cells is None or _PLAIN_QUANTITY(text := cells[quantity_place]) is None:
            return None
        subject: Subject | None = subjects[subject_key(cells)]
        start: datetime | None = starts[start_key(cells)]
        revision: int | None = usual_revision or revisions[revision_key(cells)]
        if subject is None or start is None or revision is None:
            return None
        account_id, meter, dimensions, factor, begins_at, ends_at = subject
        if ends_at is not None and start >= ends_at:
            return None
        # A window from before belongs to an earlier version of its meter, which the strict reader finds.
        if begins_at is not None and start < begins_at:
            return None
        row_id = cells[row_id_place] if has_row_id else ""
        if has_row_id and _PLAIN_ROW_ID(row_id) is None:
            return None
        quantity = Decimal(text)
        if factor is not None:
            try:
                quantity = convert(quantity, factor)
            except InexactConversion:
                return None
        record = (line_no, account_id, meter.id, dimensions, start, row_id, revision, quantity)
        return make(AcceptedLine, record)

    return quick_line


def _key(layout: Layout, fields: Sequence[str]) -> Callable[[Cells], Any]:
    places = [layout.place_of(field) for field in fields]
    return itemgetter(*places) if places else lambda cells: ()


def _plain_csv_cells(layout: Layout) -> Callable[[str], Cells | None]:
    width = layout.width

    def plain_cells(line: str) -> Cells | None:
        cells = line.split(",")
        return cells if len(cells) == width and '"' not in line else None

    return plain_cells


def _plain_json_cells(layout: Layout) -> Callable[[str], Cells | None]:
    known_names, columns = layout.known_names, layout.columns
    number_places = {
        place
        for field, place in zip(layout.fields, layout.places, strict=True)
        if field in ("quantity", "revision")
    }

    def plain_cells(line: str) -> Cells | None:
        # Escapes and nested values are where texts can hide what printing the line does not show.
        if "\\" in line or "[" in line or line.count("{") != 1:
            return None
        try:
            row = read_object(line)
        except Refusal:
            return None
        if not known_names.issuperset(row):
            return None
        cells = [row.get(column, "") for column in columns]
        for place, cell in enumerate(cells):
            if type(cell) is not str and not (place in number_places and type(cell) is NumberToken):
                return None
        return cells  # type: ignore[return-value]

    return plain_cells
