"""Writes many rows of one table at once, without a model instance for each.

Rows enter by COPY into a temporary table and from there by one statement, because COPY itself does not apply row-level
security. The temporary table empties itself at the end of the transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.tenancy import connection

_NULL = "\\N"
_CHARACTERS_AT_ONCE = 1 << 18


class JsonText(str):
    """A value of a JSON column that is text already."""

    __slots__ = ()


json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def stage_rows(
    model: type[models.Model],
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    shared: Sequence[str] = (),
) -> None:
    """Put rows, as values of the columns named, where `insert_staged` and `update_staged` find them, in this order.

    Takes away what was staged before. The text of a value that is one object in many rows is made once if its name is
    in `shared`.
    """
    link = connection()
    stage = _stage_of(model)
    with link.wrap_database_errors, link.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS "
            f'SELECT 0 AS row_no, t.* FROM "{model._meta.db_table}" t WITH NO DATA; DELETE FROM {stage}'
        )
        with cursor.copy(f"COPY {stage} (row_no, {_listed(names)}) FROM STDIN") as copy:
            for text in _copy_texts(_writers(model, names, shared), rows):
                copy.write(text)


def insert_staged(model: type[models.Model], names: Sequence[str], **given: str) -> list[int]:
    """Insert the staged rows that have no id; returns their new ids in the order of the rows.

    `given` are further columns with their SQL, the same for each row.
    """
    with connection().cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{model._meta.db_table}" ({_listed([*names, *given])}) '
            f"SELECT {', '.join([_listed(names), *given.values()])} FROM {_stage_of(model)} "
            "WHERE id IS NULL ORDER BY row_no RETURNING id"
        )
        # Identities are given in the order of the rows, whichever order they are returned in.
        return sorted(row_id for (row_id,) in cursor.fetchall())


def update_staged(model: type[models.Model], names: Sequence[str]) -> None:
    """Set these columns of the rows that are staged with their id and account."""
    changes = ", ".join(f'"{name}" = s."{name}"' for name in names)
    with connection().cursor() as cursor:
        cursor.execute(
            f'UPDATE "{model._meta.db_table}" t SET {changes} FROM {_stage_of(model)} s '
            "WHERE t.account_id = s.account_id AND t.id = s.id"
        )


def delete_of_staged(model: type[models.Model], name: str, staged: type[models.Model]) -> None:
    """Delete the rows that point by this column at rows which are staged with their id and account."""
    with connection().cursor() as cursor:
        cursor.execute(
            f'DELETE FROM "{model._meta.db_table}" t USING {_stage_of(staged)} s '
            f'WHERE t.account_id = s.account_id AND t."{name}" = s.id'
        )


def _stage_of(model: type[models.Model]) -> str:
    return f'"staged_{model._meta.db_table}"'


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


Writer = Callable[[Any], str]


def _writers(model: type[models.Model], names: Sequence[str], shared: Sequence[str]) -> list[Writer]:
    writers = []
    for name in names:
        writer = _writer_of(model, name)
        writers.append(_once_each(writer) if name in shared else writer)
    return writers


@cache
def _writer_of(model: type[models.Model], name: str) -> Writer:
    """What writes values of a column as COPY reads them."""
    [field] = [field for field in model._meta.concrete_fields if field.attname == name]
    if isinstance(field, models.JSONField):
        return _json_text
    if isinstance(field, ArrayField):
        return _array_text
    if isinstance(field, models.CharField | models.TextField):
        return _plain_text
    return _scalar_text


def _once_each(writer: Writer) -> Writer:
    """The same for values that come again as the very same object."""
    # The value is kept beside its text, so that no other object gets its identity meanwhile.
    written: dict[int, tuple[Any, str]] = {}

    def write(value: Any) -> str:
        known = written.get(id(value))
        if known is None:
            known = written[id(value)] = (value, writer(value))
        return known[1]

    return write


def _copy_texts(writers: Sequence[Writer], rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    """The rows as text, some hundred kilobytes at once: the server reads them while the next are made."""
    lines: list[str] = []
    size = 0
    for number, row in enumerate(rows):
        cells = [write(value) for write, value in zip(writers, row, strict=True)]
        line = f"{number}\t" + "\t".join(cells) + "\n"
        lines.append(line)
        size += len(line)
        if size > _CHARACTERS_AT_ONCE:
            yield "".join(lines)
            lines, size = [], 0
    if lines:
        yield "".join(lines)


def _json_text(value: Any) -> str:
    if value is None:
        return _NULL
    if value == {}:
        return "{}"
    # Control characters are escaped in JSON already, so the backslash is all that COPY would misread.
    text = value if isinstance(value, JsonText) else json_text(value)
    return text.replace("\\", "\\\\")


def _plain_text(value: str | None) -> str:
    if value is None:
        return _NULL
    if value.isprintable() and "\\" not in value:
        return value
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


@lru_cache(maxsize=1024)
def _array_text(values: tuple[str, ...]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return _plain_text("{" + ",".join(f'"{value}"' for value in quoted) + "}")


def _scalar_text(value: Any) -> str:
    if value is None:
        return _NULL
    if isinstance(value, datetime):
        return value.isoformat()
    return ("t" if value else "f") if isinstance(value, bool) else str(value)
