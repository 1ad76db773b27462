"""Writes many rows of one table by one statement, as one JSON value: what the ORM takes most of a draft's time for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models

from accounts.tenancy import connection


def insert_rows(rows: Sequence[models.Model]) -> None:
    """Insert rows of one model and set their ids; inside the caller's transaction."""
    if not rows:
        return
    fields = [field for field in rows[0]._meta.concrete_fields if not field.primary_key and _is_given(field)]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    statement = (
        f'INSERT INTO "{rows[0]._meta.db_table}" ({columns}) '
        f"SELECT {columns} FROM {_record_set(fields)} ORDER BY row_no RETURNING id"
    )
    with connection().cursor() as cursor:
        cursor.execute(statement, [_document(rows, fields)])
        # Identities are given in the order of the rows, whichever order they are returned in.
        for row, row_id in zip(rows, sorted(found for (found,) in cursor.fetchall()), strict=True):
            row.pk = row_id


def update_rows(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Set these fields of rows that have an id and an account; inside the caller's transaction."""
    if not rows:
        return
    meta = rows[0]._meta
    fields: list[Any] = [meta.get_field(name) for name in names]
    keys: list[Any] = [meta.get_field("id"), meta.get_field("account")]
    changes = ", ".join(f'"{field.column}" = r."{field.column}"' for field in fields)
    statement = (
        f'UPDATE "{meta.db_table}" t SET {changes} FROM {_record_set([*keys, *fields])} '
        "WHERE t.account_id = r.account_id AND t.id = r.id"
    )
    with connection().cursor() as cursor:
        cursor.execute(statement, [_document(rows, [*keys, *fields])])


def _is_given(field: Any) -> bool:
    """Whether the row has the value; what the database fills in by itself is left to it."""
    return not field.has_db_default()


def _record_set(fields: Sequence[Any]) -> str:
    columns = ", ".join(f'"{field.column}" {_type_of(field)}' for field in fields)
    return f"jsonb_to_recordset(%s::jsonb) AS r (row_no int, {columns})"


def _type_of(field: Any) -> str:
    database = connection()
    return str(field.rel_db_type(database) if field.primary_key else field.db_type(database))


def _document(rows: Sequence[models.Model], fields: Sequence[Any]) -> str:
    documents = [
        {"row_no": number, **{field.column: _plain(getattr(row, field.attname)) for field in fields}}
        for number, row in enumerate(rows)
    ]
    return json.dumps(documents, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return f"\\x{value.hex()}" if isinstance(value, bytes) else value
