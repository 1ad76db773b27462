"""Series: account, source, meter and dimension values get one id each, once, for ever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db import transaction

from accounts.tenancy import connection, current_alias

# (account id, meter id, sorted dimension pairs)
SeriesKey = tuple[int, int, tuple[tuple[str, str], ...]]
# (account id, meter id, name of a dimension), whose values are limited
Slot = tuple[int, int, str]

# More distinct values of one dimension than this are a mistake of the sender (a request id, a time).
DIMENSION_VALUES_MAX = 10_000
LOCK_GROUPS = 256


def dimensions_sha256(dimensions: Iterable[tuple[str, str]]) -> bytes:
    """Return the hash that stands for a set of dimension values, independent of their order."""
    text = json.dumps(dict(sorted(dimensions)), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def intern_series(
    *, source_id: int, window_seconds: int, keys: Sequence[SeriesKey], is_backfill: bool = False
) -> tuple[dict[SeriesKey, int], dict[SeriesKey, str]]:
    """Return the id of every series, making the missing ones, and which keys a full dimension refuses.

    Its own short transaction: a series without records is harmless, a series id that was rolled back is not. A
    backfill makes them in its long one, takes no lock here that others would wait for, and calls `is_within_limit` at
    its end.
    """
    hashes = {key: dimensions_sha256(key[2]) for key in keys}
    found = _find(source_id, hashes)
    missing = sorted(key for key in keys if key not in found)
    if not missing:
        return found, {}
    with transaction.atomic(using=current_alias()):
        if not is_backfill:
            _wait_for_backfill(source_id)
            _lock_accounts({key[0] for key in missing})
        found |= _find(source_id, {key: hashes[key] for key in missing})
        wanted = [key for key in missing if key not in found]
        refused = _over_dimension_limit(wanted)
        made = [key for key in wanted if key not in refused]
        found |= _make(source_id, window_seconds, {key: hashes[key] for key in made})
    return found, refused


def find_series(*, source_id: int, keys: Sequence[SeriesKey]) -> dict[SeriesKey, int]:
    """Return the ids of the series that exist; makes none."""
    return _find(source_id, {key: dimensions_sha256(key[2]) for key in keys})


def _find(source_id: int, hashes: dict[SeriesKey, bytes]) -> dict[SeriesKey, int]:
    with connection().cursor() as cursor:
        cursor.execute(
            """
            SELECT s.account_id, s.meter_id, s.dimensions_sha256, s.id
            FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[]) AS w (account_id, meter_id, dimensions_sha256)
            JOIN insights_series s USING (account_id, meter_id, dimensions_sha256)
            WHERE s.source_id = %s
            """,
            [*_columns(hashes), source_id],
        )
        ids = {
            (account, meter, bytes(digest)): series for account, meter, digest, series in cursor.fetchall()
        }
    return {
        key: ids[(key[0], key[1], digest)]
        for key, digest in hashes.items()
        if (key[0], key[1], digest) in ids
    }


def _columns(hashes: dict[SeriesKey, bytes]) -> list[list[Any]]:
    return [[key[0] for key in hashes], [key[1] for key in hashes], list(hashes.values())]


def _lock_accounts(account_ids: set[int]) -> None:
    # By groups of accounts, because the server has room for only so many locks.
    _lock_groups({account_id % LOCK_GROUPS for account_id in account_ids})


def _lock_groups(groups: Iterable[int]) -> None:
    """Let nobody else make series for these groups of accounts until the caller's transaction ends.

    In ascending order, so that two workers that meet new series of the same accounts cannot deadlock.
    """
    with connection().cursor() as cursor:
        for group in sorted(groups):
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('series'), %s)", [group])


def _wait_for_backfill(source_id: int) -> None:
    """Wait for a backfill that may be making the same series, before any lock is held that other sources ask for."""
    with connection().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext('backfill run'), %s)", [source_id])


def slots_of(keys: Iterable[SeriesKey]) -> set[Slot]:
    """The dimensions that series have values of."""
    return {(account_id, meter_id, name) for account_id, meter_id, values in keys for name, _value in values}


_ANY_OVER = """
    SELECT EXISTS (
        SELECT 1 FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS s (account_id, meter_id, key)
        CROSS JOIN LATERAL (
            SELECT count(DISTINCT d.value) AS number FROM insights_seriesdimension d
            WHERE d.account_id = s.account_id AND d.meter_id = s.meter_id AND d.key = s.key
        ) v
        WHERE v.number > %s
    )
"""


def is_within_limit(slots: Collection[Slot]) -> bool:
    """Whether dimensions have no more values than they may, those of the caller's transaction among them.

    Nobody makes more of them before the transaction ends, so that it has to end at once.
    """
    if not slots:
        return True
    _lock_accounts({account_id for account_id, _meter_id, _name in slots})
    with connection().cursor() as cursor:
        columns = [list(column) for column in zip(*slots, strict=True)]
        cursor.execute(_ANY_OVER, [*columns, DIMENSION_VALUES_MAX])
        return not cursor.fetchone()[0]


def _over_dimension_limit(keys: Sequence[SeriesKey]) -> dict[SeriesKey, str]:
    values: dict[tuple[int, int, str], set[str]] = {}
    refused: dict[SeriesKey, str] = {}
    for key in keys:
        account_id, meter_id, dimensions = key
        for name, value in dimensions:
            slot = (account_id, meter_id, name)
            if slot not in values:
                values[slot] = _known_values(slot)
            if value not in values[slot] and len(values[slot]) >= DIMENSION_VALUES_MAX:
                refused[key] = name
        if key not in refused:
            for name, value in dimensions:
                values[(account_id, meter_id, name)].add(value)
    return refused


def _known_values(slot: tuple[int, int, str]) -> set[str]:
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT value FROM insights_seriesdimension WHERE account_id = %s AND meter_id = %s AND key = %s",
            slot,
        )
        return {row[0] for row in cursor.fetchall()}


def _make(source_id: int, window_seconds: int, hashes: dict[SeriesKey, bytes]) -> dict[SeriesKey, int]:
    if not hashes:
        return {}
    with connection().cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO insights_series (account_id, source_id, meter_id, dimensions_sha256, dimensions, window_seconds)
            SELECT account_id, %s, meter_id, digest, dimensions::jsonb, %s
            FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[], %s::text[])
                AS w (account_id, meter_id, digest, dimensions)
            RETURNING account_id, meter_id, dimensions_sha256, id
            """,
            [source_id, window_seconds, *_columns(hashes), [json.dumps(dict(key[2])) for key in hashes]],
        )
        ids = {
            (account, meter, bytes(digest)): series for account, meter, digest, series in cursor.fetchall()
        }
        made = {key: ids[(key[0], key[1], digest)] for key, digest in hashes.items()}
        rows = [
            (key[0], series, key[1], name, value) for key, series in made.items() for name, value in key[2]
        ]
        cursor.execute(
            """
            INSERT INTO insights_seriesdimension (account_id, series_id, meter_id, key, value)
            SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[])
            """,
            [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], [], []],
        )
    return made
