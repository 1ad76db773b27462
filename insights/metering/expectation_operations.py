"""Says of which sources usage is expected, and of which no longer; called where a source is made or changed.

A declared end counts for every account alike. A source that is switched off without one ends for each account with
the last window that came.
"""

from __future__ import annotations

from accounts.tenancy import connection

_EXPECT = """
    INSERT INTO insights_watermark (account_id, source_id, source_slug, source_name, cadence_seconds, counts_from,
        ended_at)
    SELECT account_id, id, slug, name, cadence_seconds, now(), ended_at
    FROM insights_source WHERE id = %(source)s AND account_id IS NOT NULL
    ON CONFLICT (account_id, source_id) DO UPDATE SET ended_at = excluded.ended_at
"""
# A source bound elsewhere has sent nothing yet, so that it ends for the account it was bound to with nothing said.
_EXPECT_NO_OTHER = """
    UPDATE insights_watermark w SET ended_at = w.counts_from
    FROM insights_source s
    WHERE w.source_id = %(source)s AND s.id = w.source_id AND w.account_id IS DISTINCT FROM s.account_id
"""
# In the order in which ingest raises them, so that neither waits for the other.
_ITS_MARKS = """
    SELECT w.id FROM insights_watermark w WHERE w.source_id = %(source)s ORDER BY w.account_id FOR UPDATE
"""
_END_AS_DECLARED = f"""
    UPDATE insights_watermark SET ended_at = (SELECT s.ended_at FROM insights_source s WHERE s.id = %(source)s)
    WHERE id IN ({_ITS_MARKS})
"""
_END_WITH_LAST_WINDOW = f"""
    UPDATE insights_watermark SET ended_at = coalesce(last_window_end, counts_from) WHERE id IN ({_ITS_MARKS})
"""
_END_SOURCE_WITH_LAST_WINDOW = """
    UPDATE insights_source s SET ended_at = coalesce(
        (SELECT max(w.last_window_end) FROM insights_watermark w WHERE w.source_id = s.id),
        date_trunc('second', s.created_at))
    WHERE s.id = %(source)s
"""


def expect_source(*, source_id: int) -> None:
    """Give the account that a source is bound to its watermark, with nothing complete; none to any other."""
    _execute(_EXPECT_NO_OTHER, source_id)
    _execute(_EXPECT, source_id)


def apply_declared_end(*, source_id: int) -> None:
    """Copy the end of a source, or that it has none, to what its accounts see."""
    _execute(_END_AS_DECLARED, source_id)


def end_with_last_window(*, source_id: int) -> None:
    """End a source with what it has sent, account by account."""
    _execute(_END_SOURCE_WITH_LAST_WINDOW, source_id)
    _execute(_END_WITH_LAST_WINDOW, source_id)


def _execute(statement: str, source_id: int) -> None:
    with connection().cursor() as cursor:
        cursor.execute(statement, {"source": source_id})
