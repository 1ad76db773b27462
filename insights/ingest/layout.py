"""Which of a file's columns is which of our fields, settled once from the header line.

A header that leaves a doubt (a name twice, a name unknown, a needed name absent, another separator)
refuses the file.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from insights.ingest.cells import split_cells, strings_in
from insights.ingest.grammar import refuse_control_characters
from insights.ingest.refusals import Refusal, RequestRefused, shown
from insights.ingest.source_definition import SourceDefinition
from insights.ingest.source_faults import DIMENSION, FIELDS

_OTHER_SEPARATORS = {";": "semicolon", "\t": "tab", "|": "vertical bar"}


@dataclass(frozen=True, slots=True)
class Header:
    """The form of a delivery (csv, ndjson or json) and, for csv, the column names in file order."""

    form: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Our fields, the sender's column for each, and where a line's cell list has it."""

    form: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    places: tuple[int, ...]
    width: int
    known_names: frozenset[str]

    def place_of(self, field: str) -> int:
        return self.places[self.fields.index(field)]

    def column_of(self, field: str) -> str:
        """The sender's own word for a field, which is what messages should name."""
        return self.columns[self.fields.index(field)] if field in self.fields else field

    def values_of_cells(self, line: str) -> dict[str, object]:
        cells = split_cells(line)
        if len(cells) != self.width:
            message = f"the line has {len(cells)} cells, the header {self.width}"
            raise Refusal("column_count", "", message, line)
        for place, cell in enumerate(cells):
            if place not in self.places:
                refuse_control_characters(cell, f"cell {place + 1}")
        return {field: cells[place] for field, place in zip(self.fields, self.places, strict=True)}

    def values_of_object(self, row: dict[str, object]) -> dict[str, object]:
        for name in row:
            if name not in self.known_names:
                message = f"{shown(name)!r} is not a field of this source"
                raise Refusal("unknown_field", shown(name), message, row[name])
        for name in self.known_names.difference(self.columns).intersection(row):
            for text in strings_in(row[name]):
                refuse_control_characters(text, name)
        return {field: row.get(column, "") for field, column in zip(self.fields, self.columns, strict=True)}


def columns_of(definition: SourceDefinition, dimension_keys: Collection[str]) -> dict[str, str]:
    """The sender's column for each of our fields: as mapped, else under our own names."""
    if definition.columns:
        return dict(definition.columns)
    fields = [field for field in FIELDS if field != "row_id" or definition.key_kind == "row_id"]
    columns = {field: field for field in fields}
    columns |= {DIMENSION + key: key for key in sorted(dimension_keys) if key not in FIELDS}
    return {field: name for field, name in columns.items() if field not in definition.constants}


def layout_of(header: Header, definition: SourceDefinition, dimension_keys: Collection[str]) -> Layout:
    columns = columns_of(definition, dimension_keys)
    known_names = frozenset(columns.values()).union(definition.ignored)
    if header.form == "csv":
        columns = {field: name for field, name in columns.items() if name in header.names}
        places = tuple(header.names.index(name) for name in columns.values())
        width = len(header.names)
    else:
        places, width = tuple(range(len(columns))), len(columns)
    return Layout(
        form=header.form,
        fields=tuple(columns),
        columns=tuple(columns.values()),
        places=places,
        width=width,
        known_names=known_names,
    )


def read_header(
    line: str,
    *,
    definition: SourceDefinition,
    dimension_keys: Collection[str],
    columns_max: int,
) -> Header:
    """The header of a CSV file, or RequestRefused with the code header."""
    _refuse_what_is_no_header(line)
    if line.count(",") >= columns_max:
        raise _refused(f"the first line names more than {columns_max} columns")
    try:
        names = split_cells(line)
    except Refusal as refusal:
        raise _refused(refusal.message) from None
    columns = columns_of(definition, dimension_keys)
    known_names = set(columns.values()).union(definition.ignored)
    for name in names:
        if names.count(name) > 1:
            raise _refused(f"the column {shown(name)!r} comes twice", field=name)
        if name not in known_names:
            expected = ", ".join(sorted(known_names))
            detail = f"the column {shown(name)!r} is unknown; known are: {expected}"
            raise _refused(detail, field=name)
    needed = definition.columns or definition.required_fields
    for field in needed:
        if columns[field] not in names:
            raise _refused(f"the column {columns[field]!r} is missing", field=columns[field])
    return Header("csv", tuple(names))


def _refuse_what_is_no_header(line: str) -> None:
    if not line.strip():
        raise _refused("the file is empty or its first line is blank; name the columns there")
    if line.casefold().startswith("sep="):
        raise _refused("remove the first line sep=...; the columns are separated by commas")
    if line.startswith("#"):
        raise _refused("remove the comment lines; the first line names the columns")
    if "," not in line:
        for separator, name in _OTHER_SEPARATORS.items():
            if separator in line:
                raise _refused(f"the columns are separated by {name}; use commas")


def _refused(detail: str, *, field: str | None = None) -> RequestRefused:
    return RequestRefused("header", detail, line=1, field=None if field is None else shown(field))
