"""Cells of records in a file as the database writes them: under their names, and safe in a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from insights.exports.formatting import FORMULA_PATTERN


def named_cells(cells: Sequence[sql.Composable], names: Sequence[str]) -> sql.Composed:
    """The cells of a row, each under its name in the heading."""
    return sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(cell, sql.Identifier(name))
        for cell, name in zip(cells, names, strict=True)
    )


def dimension_columns(keys: Sequence[str], *, raw: bool) -> list[sql.Composed]:
    """Further columns of a query of series `s`: the value of each dimension, written once for all its records."""
    return [
        sql.SQL(", {} AS {}").format(
            safe_cell(sql.SQL("s.dimensions ->> {}").format(sql.Literal(key)), raw=raw), _dimension(number)
        )
        for number, key in enumerate(keys)
    ]


def dimension_cells(keys: Sequence[str]) -> list[sql.Composed]:
    """The same values as cells of a record's row."""
    return [sql.SQL("s.{}").format(_dimension(number)) for number in range(len(keys))]


def _dimension(number: int) -> sql.Identifier:
    return sql.Identifier(f"dimension_{number}")


def safe_cell(expression: sql.Composable, *, raw: bool) -> sql.Composable:
    """Return a text column as a cell; unless raw, what a spreadsheet would run gets an apostrophe."""
    if raw:
        return expression
    return sql.SQL("CASE WHEN {0} ~ {1} THEN '''' || ({0}) ELSE {0} END").format(
        sql.SQL("({})").format(expression), sql.Literal(FORMULA_PATTERN)
    )
