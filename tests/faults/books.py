"""Reads the stored books with plain SQL and holds them against the oracle's, difference by difference."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.faults.load import Load
from tests.faults.oracle import COUNTED, Books, Plan, Rollup, Series, Stretch

DIFFERENCES_SHOWN = 3


@dataclass(slots=True)
class Comparison:
    """How many rows were looked at, and every kind of difference with a few examples."""

    rows: int = 0
    differences: int = 0
    lines: list[str] = field(default_factory=list)

    def same(self, kind: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> None:
        self.rows += max(len(expected), len(found))
        wrong = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
        self.differences += len(wrong)
        for key in wrong[:DIFFERENCES_SHOWN]:
            self.lines.append(f"{kind} {key}: expected {expected.get(key)}, stored {found.get(key)}")
        if len(wrong) > DIFFERENCES_SHOWN:
            self.lines.append(f"{kind}: {len(wrong)} differences in all")

    def claim(self, sentence: str, *, holds: bool) -> None:
        if not holds:
            self.differences += 1
            self.lines.append(sentence)


def compare(conninfo: str, load: Load) -> Comparison:
    """Hold everything stored against what the files of the load say, in the order of the ledger."""
    comparison = Comparison()
    plan = Plan(load.directory)
    with psycopg.connect(conninfo) as connection:
        # One snapshot, so that work that goes on meanwhile cannot look like a difference.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        stretches = _stretches(connection, plan, comparison)
        books = plan.books(stretches)
        comparison.same("record", _expected_current(books), _stored_current(connection))
        comparison.same("past revision", books.past, _stored_past(connection))
        comparison.same("rollup", plan.rollups(books), _stored_rollups(connection))
        comparison.same("counts of batch", *_counts(connection, books))
        comparison.same("counts of part", _expected_parts(books), _stored_parts(connection))
        comparison.same("rejected line", books.rejects, _stored_rejects(connection))
        comparison.same("watermark", books.watermarks, _stored_watermarks(connection))
        comparison.same("identity", _expected_identities(books), _stored_identities(connection))
    return comparison


def _stretches(connection: psycopg.Connection, plan: Plan, comparison: Comparison) -> list[Stretch]:
    """The ledger in order; each batch must be covered once, from its first line to its last."""
    names = plan.names_by_sha256()
    batches = {
        row[0]: (names[bytes(row[1])], row[2])
        for row in connection.execute(
            "SELECT id, sha256, lines_total FROM insights_batch WHERE state = 'done'"
        )
    }
    # A CSV's header is line 1 and belongs to no chunk.
    following = {
        batch: 2 if plan.files[name]["form"] == "csv" else 1 for batch, (name, _last) in batches.items()
    }
    stretches = []
    for position, batch, first, last in _entries(connection, comparison):
        if batch not in batches:
            comparison.claim(f"entry {position} is of batch {batch}, which is not done", holds=False)
            continue
        name, last_of_all = batches[batch]
        # A backfill's entry says no lines: it has all of every batch.
        begins, ends = (following[batch], last_of_all) if first is None else (first, last)
        comparison.claim(
            f"batch {batch}: lines {begins} to {ends} follow line {following[batch] - 1}",
            holds=begins == following[batch],
        )
        following[batch] = ends + 1
        stretches.append(Stretch(batch, name, begins, ends))
    for batch, (_name, last) in batches.items():
        comparison.claim(
            f"batch {batch} ends at line {following[batch] - 1}, not {last}",
            holds=following[batch] == last + 1,
        )
    return stretches


def _entries(
    connection: psycopg.Connection, comparison: Comparison
) -> list[tuple[int, int, int | None, int | None]]:
    """Position, batch, first and last line of every entry; a backfill's stands for its batches as they came."""
    entries = connection.execute(
        "SELECT e.position, coalesce(e.batch_id, b.id), e.first_line, e.last_line FROM insights_ledgerentry e "
        "LEFT JOIN insights_batch b ON b.backfill_id = e.backfill_id ORDER BY e.position, b.id"
    ).fetchall()
    positions = list(dict.fromkeys(row[0] for row in entries))
    comparison.claim("positions have a gap", holds=positions == list(range(1, len(positions) + 1)))
    return entries


def _dimensions(found: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(found.items()))


def _utc(instant: datetime | None) -> datetime | None:
    return instant and instant.astimezone(UTC)


_NATURAL = """
    JOIN insights_series s ON s.account_id = u.account_id AND s.id = u.series_id
    JOIN accounts_account a ON a.id = u.account_id
    JOIN insights_source o ON o.id = s.source_id JOIN insights_meter m ON m.id = s.meter_id
"""


def _expected_current(books: Books) -> Counter[tuple[Any, ...]]:
    return Counter((identity[0], *fact) for identity, fact in books.current.items())


def _stored_current(connection: psycopg.Connection) -> Counter[tuple[Any, ...]]:
    rows = connection.execute(
        "SELECT o.slug, a.reference, m.key, s.dimensions, u.window_start, u.row_id, u.revision, u.quantity "
        f"FROM insights_usagerecord u {_NATURAL}"
    )
    return Counter((*row[:3], _dimensions(row[3]), _utc(row[4]), *row[5:]) for row in rows)


def _stored_past(connection: psycopg.Connection) -> Counter[tuple[Any, ...]]:
    rows = connection.execute(
        "SELECT o.slug, a.reference, m.key, s.dimensions, u.window_start, u.row_id, u.revision, u.quantity, u.kind "
        f"FROM insights_usagerevision u {_NATURAL}"
    )
    return Counter((*row[:3], _dimensions(row[3]), _utc(row[4]), *row[5:]) for row in rows)


def _stored_rollups(connection: psycopg.Connection) -> dict[Any, Rollup]:
    rows = connection.execute(
        "SELECT a.reference, o.slug, m.key, s.dimensions, u.day, u.quantity, u.records, u.windows_used, u.maximum, "
        f"u.latest_window, u.latest_quantity FROM insights_usagerollup u {_NATURAL}"
    )
    return {
        (Series(*row[:3], _dimensions(row[3])), row[4]): Rollup(*row[5:9], _utc(row[9]), row[10])
        for row in rows
    }


def _counts(
    connection: psycopg.Connection, books: Books
) -> tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]:
    expected = {
        batch: (counts.total(), *(counts[name] for name in COUNTED)) for batch, counts in books.counts.items()
    }
    rows = connection.execute(
        "SELECT id, received, new, replaced, duplicate, stale, rejected FROM insights_batch WHERE state = 'done'"
    )
    return expected, {row[0]: row[1:] for row in rows}


def _expected_parts(books: Books) -> dict[tuple[int, str], tuple[int, ...]]:
    return {
        place: (counts.total(), *(counts[name] for name in COUNTED)) for place, counts in books.parts.items()
    }


def _stored_parts(connection: psycopg.Connection) -> dict[tuple[int, str], tuple[int, ...]]:
    rows = connection.execute(
        "SELECT p.batch_id, a.reference, p.received, p.new, p.replaced, p.duplicate, p.stale, p.rejected "
        "FROM insights_batchpart p JOIN accounts_account a ON a.id = p.account_id"
    )
    return {(row[0], row[1]): row[2:] for row in rows}


def _stored_rejects(connection: psycopg.Connection) -> dict[tuple[int, int], str]:
    rows = connection.execute(
        "SELECT batch_id, line_no, code FROM insights_rejectedline "
        "UNION ALL SELECT batch_id, line_no, code FROM insights_unattributedreject"
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _stored_watermarks(connection: psycopg.Connection) -> dict[tuple[str, str], datetime | None]:
    rows = connection.execute(
        "SELECT a.reference, o.slug, w.complete_to FROM insights_watermark w "
        "JOIN accounts_account a ON a.id = w.account_id JOIN insights_source o ON o.id = w.source_id"
    )
    return {(row[0], row[1]): _utc(row[2]) for row in rows}


def _expected_identities(books: Books) -> dict[tuple[str, str, str], datetime]:
    return {
        (identity[0], fact.account, fact.row_id): fact.window
        for identity, fact in books.current.items()
        if fact.row_id
    }


def _stored_identities(connection: psycopg.Connection) -> dict[tuple[str, str, str], datetime | None]:
    rows = connection.execute(
        "SELECT o.slug, a.reference, u.row_id, u.window_start FROM insights_usageidentity u "
        "JOIN accounts_account a ON a.id = u.account_id JOIN insights_source o ON o.id = u.source_id"
    )
    return {row[:3]: _utc(row[3]) for row in rows}


def digest(conninfo: str, *, prefix: str = "") -> str:
    """One hash over everything that money is computed from, without who delivered it and when.

    With a prefix only accounts that begin with it count, and the prefix does not.
    """

    def mine(rows: Iterable[tuple[Any, ...]], place: int) -> list[str]:
        return sorted(
            repr((*row[:place], row[place].removeprefix(prefix), *row[place + 1 :]))
            for row in rows
            if row[place].startswith(prefix)
        )

    with psycopg.connect(conninfo) as connection:
        past = _stored_past(connection)
        parts = (
            mine(_stored_current(connection), 1),
            # Whether a lower revision came too late or was replaced depends on the order, and is not money.
            mine((row[:-1] for row in past.elements()), 1),
            mine(((*place[0], place[1], rollup) for place, rollup in _stored_rollups(connection).items()), 0),
            mine(((*place, mark) for place, mark in _stored_watermarks(connection).items()), 0),
            mine(((*place, window) for place, window in _stored_identities(connection).items()), 1),
        )
    return hashlib.sha256(repr(parts).encode()).hexdigest()
