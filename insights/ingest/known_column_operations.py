"""What the ledger knows of a chunk that may be one thing throughout: asked by series and not line by line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from accounts.tenancy import connection
from insights.ingest.known_operations import SAME_AS_STAGE, Ledger
from insights.ingest.verdicts import StagedLine

if TYPE_CHECKING:
    from insights.ingest.staged_columns import Probe, StagedColumns

_HAS_RETRACTED = (
    "SELECT EXISTS (SELECT 1 FROM insights_usagerevision WHERE source_id = %s AND kind = 'retracted')"
)
# Whatever was retracted has one row that is not further, by which it is found.
_ANY_PAST = """
    SELECT EXISTS (
        SELECT 1 FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
            AS p (account_id, series_id, first, last)
        CROSS JOIN LATERAL (
            SELECT 1 FROM insights_usagerevision h
            WHERE h.account_id = p.account_id AND h.series_id = p.series_id AND h.row_id = '' AND NOT h.is_further
              AND h.window_start >= p.first AND h.window_start <= p.last LIMIT 1
        ) past
    )
"""
_SAMPLE = """
    SELECT count(same), count(*) FILTER (WHERE same.others > 0)
    FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::text[], %s::int[], %s::numeric[])
        AS p (account_id, series_id, window_start, row_id, revision, quantity)
    CROSS JOIN LATERAL (
        SELECT (SELECT count(*) - 1 FROM insights_usagerecord o
            WHERE o.account_id = r.account_id AND o.series_id = r.series_id AND o.window_start = r.window_start
        ) AS others
        FROM insights_usagerecord r
        WHERE r.account_id = p.account_id AND r.series_id = p.series_id AND r.window_start = p.window_start
          AND r.row_id = p.row_id AND r.revision = p.revision AND r.quantity = p.quantity LIMIT 1
    ) same
"""
_STAGED = f"SELECT count(*) FROM ({SAME_AS_STAGE}) same"
# Neighbouring windows are found by one walk through the index, at half the cost of a look-up for each line.
_CONTENT = """
    SELECT held.content, held.windows
    FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::text[])
        WITH ORDINALITY AS p (account_id, series_id, first, last, windows, place)
    CROSS JOIN LATERAL (
        SELECT string_agg(
                r.revision::text || ' ' || r.quantity::text || ' ' || r.row_id, E'\\n' ORDER BY r.window_start
            ) AS content, count(DISTINCT r.window_start) AS windows
        FROM insights_usagerecord r
        WHERE r.account_id = p.account_id AND r.series_id = p.series_id
          AND r.window_start >= p.first AND r.window_start <= p.last
          AND r.window_start = ANY (p.windows::timestamptz[])
    ) held
    ORDER BY p.place
"""
# With fewer lines a series and month, the walks cost more than look-ups.
_LINES_PER_PROBE_MIN = 4


def has_retracted(ledger: Ledger) -> bool:
    """Tell whether any fact of the source was ever retracted."""
    return bool(_rows(_HAS_RETRACTED, [ledger.source_id])[0][0])


def may_be_retracted(ledger: Ledger, columns: StagedColumns) -> bool:
    """Tell whether a line may name a window whose record was retracted: it has none, and is known all the same."""
    # A row id is known by its identity, which stays when its record is retracted.
    if ledger.key_kind == "row_id" or not has_retracted(ledger):
        return False
    return bool(_rows(_ANY_PAST, _columns(columns.probes())[:4])[0][0])


def look_at_sample(lines: Sequence[StagedLine]) -> tuple[int, bool]:
    """Return how many of a few lines equal the current record, and whether each of these is alone in its window."""
    [(same, crowded)] = _rows(_SAMPLE, _columns(lines)[1:])
    return same, not crowded


def find_walks(columns: StagedColumns) -> list[Probe]:
    """Return what `are_content` has to look up; nothing if lines share a window, or lie too far from each other."""
    if columns.has_repeats(key_kind="window"):
        return []
    probes = columns.probes()
    return probes if columns.count >= _LINES_PER_PROBE_MIN * len(probes) else []


def are_content(columns: StagedColumns, probes: Sequence[Probe]) -> bool:
    """Tell whether the lines equal the current records of their windows, and all of these.

    Content is compared as one text, in the order of series and windows. As many windows as lines, and as many records,
    is one record in each.
    """
    held = _rows(_CONTENT, _columns(probes))
    if sum(windows for _content, windows in held) != columns.count:
        return False
    return columns.content_text() == "\n".join(content for content, _windows in held)


def count_staged_duplicates() -> int:
    """Return how many lines on the stage equal the current record."""
    return int(_rows(_STAGED, [])[0][0])


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _rows(statement: str, parameters: Sequence[Any]) -> list[Any]:
    with connection().cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(statement, parameters)
        found = cursor.fetchall()
        cursor.execute("SET LOCAL enable_seqscan = on")
    return list(found)
