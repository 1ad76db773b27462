"""Takes a batch out of the books again: its revisions are retracted, and the highest that is left becomes current.

Nothing is deleted from history. A retracted revision stays known, so that sending it again does not bring it back; a
higher one counts. Watermarks do not fall: what was believed complete had been received. One stretch of lines after the
other, each in a transaction of the caller's, whose rollups follow from the rows left on ingest's stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from accounts.tenancy import connection
from insights.ingest.archive_operations import months_sealing_batch
from insights.ingest.operations import CHUNK_LINES
from insights.ingest.stage_operations import REPLACEMENT, open_stage
from insights.ingest.store_operations import MOVE_IDENTITY
from insights.models import Batch, BatchRevert
from insights.values.months import month_text

DAYS_KEPT_MAX = 400


@dataclass(frozen=True, slots=True)
class RevertRun:
    """A batch being reverted, and the stretches of its lines that still are in the books, each about one chunk."""

    revert_id: int
    batch_id: int
    source_id: int
    key_kind: str
    first_window: datetime | None
    last_window_end: datetime | None
    stretches: tuple[tuple[int, int], ...]


def find_open_revert(batch_id: int) -> BatchRevert | None:
    """Return the batch's revert if a worker has to do something for it: prepare it, or carry it out."""
    revert = BatchRevert.objects.filter(batch_id=batch_id, finished_at=None).first()
    is_open = revert is not None and (revert.prepared_at is None or revert.confirmed_at is not None)
    return revert if is_open else None


def open_revert(revert: BatchRevert) -> RevertRun:
    """Read what is left to be done; a stretch whose revert has committed is not there any more."""
    batch = Batch.objects.select_related("source").get(pk=revert.batch_id)
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT min(first_window), max(last_window_end) FROM insights_batchpart WHERE batch_id = %s",
            [batch.pk],
        )
        first_window, last_window_end = cursor.fetchone()
        cursor.execute(
            """
            SELECT first_line, last_line FROM (
                SELECT first_line, last_line FROM insights_ledgerentry
                WHERE batch_id = %(batch)s AND kind IN ('chunk', 'replay')
                UNION ALL
                -- A backfill's entry is of all its batches and has no lines, so stretches are laid out anew.
                SELECT line, least(line + %(most)s - 1, b.lines_done)
                FROM insights_batch b CROSS JOIN generate_series(1, b.lines_done, %(most)s) line
                WHERE b.id = %(batch)s AND b.backfill_id IS NOT NULL
            ) stretches
            WHERE first_line > coalesce(
                (SELECT max(last_line) FROM insights_ledgerentry WHERE batch_id = %(batch)s AND kind = 'revert'), 0)
            ORDER BY first_line
            """,
            {"batch": batch.pk, "most": CHUNK_LINES},
        )
        stretches = tuple(cursor.fetchall())
    return RevertRun(
        revert_id=revert.pk,
        batch_id=batch.pk,
        source_id=batch.source_id,
        key_kind=batch.source.key_kind,
        first_window=first_window,
        last_window_end=last_window_end,
        stretches=stretches,
    )


# The months of the batch alone are looked into; within them the block ranges of batch ids lead to its rows.
_OF_BATCH = """u.batch_id = %(batch)s AND u.window_start >= %(first_window)s AND u.window_start < %(last_window_end)s"""
_RETRACTED = """
    SELECT 1 FROM insights_usagerevision x
    WHERE x.source_id = h.source_id AND x.account_id = h.account_id AND x.series_id = h.series_id
      AND x.window_start = h.window_start AND x.row_id = h.row_id AND x.revision = h.revision AND x.kind = 'retracted'
"""
_BY_IDENTITY = {
    "window": "h.series_id = t.series_id AND h.window_start = t.window_start AND h.row_id = ''",
    "row_id": "h.source_id = %(source)s AND h.row_id = t.row_id AND h.row_id <> ''",
}
# The batch's own revisions are left out even before their stretch is retracted.
_BEST_LEFT = f"""
    SELECT h.account_id, h.series_id, h.window_start, h.row_id, h.revision, h.quantity, h.batch_id, h.line_no
    FROM insights_usagerevision h
    WHERE h.account_id = t.account_id AND {{identity}} AND NOT h.is_further
      AND h.kind <> 'retracted' AND h.batch_id <> %(batch)s AND NOT EXISTS ({_RETRACTED})
    ORDER BY h.revision DESC LIMIT 1
"""
_DAYS = f"""
    WITH t AS (
        SELECT u.account_id, u.series_id, u.window_start, u.row_id FROM insights_usagerecord u WHERE {_OF_BATCH}
    ), moved AS (
        SELECT account_id, series_id, window_start, 1 AS leaves, 0 AS returns FROM t
        UNION ALL
        SELECT best.account_id, best.series_id, best.window_start, 0, 1 FROM t CROSS JOIN LATERAL ({_BEST_LEFT}) best
    ), days AS (
        SELECT v.account_id, s.meter_id, (v.window_start AT TIME ZONE a.billing_zone)::date AS day,
            sum(v.leaves) AS leaves, sum(v.returns) AS returns
        FROM moved v JOIN accounts_account a ON a.id = v.account_id
        JOIN insights_series s ON s.account_id = v.account_id AND s.id = v.series_id
        GROUP BY 1, 2, 3
    )
    SELECT m.name, d.day, count(*), sum(d.leaves), sum(d.returns), sum(r.records)
    FROM days d JOIN insights_meter m ON m.id = d.meter_id CROSS JOIN LATERAL (
        SELECT coalesce(sum(r.records), 0) AS records FROM insights_usagerollup r
        WHERE r.account_id = d.account_id AND r.meter_id = d.meter_id AND r.day = d.day
    ) r
    GROUP BY m.id, d.day ORDER BY m.position, m.key, m.version, d.day
"""


def _parameters(run: RevertRun, **further: Any) -> dict[str, Any]:
    return {
        "batch": run.batch_id,
        "source": run.source_id,
        "first_window": run.first_window,
        "last_window_end": run.last_window_end,
        **further,
    }


def _for_kind(run: RevertRun, statement: str) -> str:
    return statement.replace("{identity}", _BY_IDENTITY[run.key_kind])


def prepare_revert(run: RevertRun, *, now: datetime) -> None:
    """Count what the revert would do to each meter and day, in records, and keep it for the staff page."""
    with connection().cursor() as cursor:
        cursor.execute(_for_kind(run, _DAYS), _parameters(run))
        days = [
            {
                "meter": meter,
                "day": day.isoformat(),
                "accounts": accounts,
                "before": int(before),
                "leaves": int(leaves),
                "returns": int(returns),
                "after": int(before - leaves + returns),
            }
            for meter, day, accounts, leaves, returns, before in cursor.fetchall()
        ]
    archived = months_sealing_batch(
        run.batch_id, returns_on=[date.fromisoformat(str(day["day"])) for day in days if day["returns"]]
    )
    preview = {
        "archived": [month_text(month) for month in archived],
        "leaves": sum(day["leaves"] for day in days),
        "returns": sum(day["returns"] for day in days),
        "days_in_all": len(days),
        "days": days[:DAYS_KEPT_MAX],
    }
    BatchRevert.objects.filter(pk=run.revert_id).update(preview=preview, prepared_at=now)


_TAKE_OUT = f"""
    WITH taken AS (
        DELETE FROM insights_usagerecord u
        WHERE {_OF_BATCH} AND u.line_no BETWEEN %(first_line)s AND %(last_line)s
        RETURNING u.*
    ), named AS (
        INSERT INTO ingest_taken (account_id, series_id, window_start, row_id, revision)
        SELECT account_id, series_id, window_start, row_id, revision FROM taken
    )
    INSERT INTO insights_usagerevision (account_id, source_id, series_id, window_start, row_id, revision, quantity,
        entry_id, batch_id, line_no, kind, ended_by_entry_id, is_further)
    SELECT account_id, %(source)s, series_id, window_start, row_id, revision, quantity, entry_id, batch_id, line_no,
        'retracted', %(entry)s,
        EXISTS (SELECT 1 FROM insights_ledgerentry e WHERE e.id = taken.entry_id AND e.kind = 'revert')
    FROM taken
"""
# What is past already keeps its row; a further one, empty in time, says that it is not to come back.
_RETRACT_PAST = f"""
    INSERT INTO insights_usagerevision (account_id, source_id, series_id, window_start, row_id, revision, quantity,
        entry_id, batch_id, line_no, kind, ended_by_entry_id, is_further)
    SELECT h.account_id, h.source_id, h.series_id, h.window_start, h.row_id, h.revision, h.quantity, %(entry)s,
        h.batch_id, h.line_no, 'retracted', %(entry)s, true
    FROM insights_usagerevision h
    WHERE h.batch_id = %(batch)s AND h.line_no BETWEEN %(first_line)s AND %(last_line)s AND NOT h.is_further
      AND h.kind <> 'retracted' AND NOT EXISTS ({_RETRACTED})
"""
_PUT_BACK = f"""
    WITH best AS MATERIALIZED (
        SELECT best.*, s.meter_id FROM ingest_taken t CROSS JOIN LATERAL ({_BEST_LEFT}) best
        JOIN insights_series s ON s.account_id = best.account_id AND s.id = best.series_id
    ), put AS (
        INSERT INTO insights_usagerecord (account_id, series_id, window_start, row_id, revision, quantity, entry_id,
            batch_id, line_no)
        SELECT account_id, series_id, window_start, row_id, revision, quantity, %(entry)s, batch_id, line_no
        FROM best ORDER BY account_id, series_id, window_start, row_id
    )
    INSERT INTO ingest_stage (phase, line_no, account_id, series_id, meter_id, window_start, row_id, revision, quantity)
    SELECT %(phase)s, line_no, account_id, series_id, meter_id, window_start, row_id, revision, quantity FROM best
"""


def revert_stretch(run: RevertRun, first_line: int, last_line: int) -> int:
    """Retract the lines of one stretch and return the ledger entry; inside the caller's transaction.

    No chunk of the source runs meanwhile, so nothing that is looked at here can change.
    """
    open_stage()
    with connection().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('revert'), %s)", [run.source_id])
        cursor.execute(
            "INSERT INTO insights_ledgerentry (kind, batch_id, first_line, last_line) "
            "VALUES ('revert', %s, %s, %s) RETURNING id",
            [run.batch_id, first_line, last_line],
        )
        entry_id = int(cursor.fetchone()[0])
        parameters = _parameters(
            run, entry=entry_id, first_line=first_line, last_line=last_line, phase=REPLACEMENT
        )
        cursor.execute(_TAKE_OUT, parameters)
        leaves = cursor.rowcount
        cursor.execute(_RETRACT_PAST, parameters)
        # Index look-ups one by one, as nothing is known yet about rows just written.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(_for_kind(run, _PUT_BACK), parameters)
        returns = cursor.rowcount
        cursor.execute("SET LOCAL enable_seqscan = on")
        if run.key_kind == "row_id":
            cursor.execute(MOVE_IDENTITY, parameters)
        cursor.execute(
            "UPDATE insights_batchrevert SET records_out = records_out + %s, records_back = records_back + %s "
            "WHERE id = %s",
            [leaves, returns, run.revert_id],
        )
    return entry_id


def close_revert(run: RevertRun) -> None:
    """Mark a batch and its parts as reverted, in the transaction of its last stretch."""
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_batch SET state = 'reverted', finished_at = coalesce(finished_at, clock_timestamp()), "
            "error_code = '', error_detail = '', error_line = NULL, error_field = '' WHERE id = %s",
            [run.batch_id],
        )
        cursor.execute(
            "UPDATE insights_batchpart SET reverted_at = clock_timestamp() WHERE batch_id = %s",
            [run.batch_id],
        )
        cursor.execute(
            "UPDATE insights_batchrevert SET finished_at = clock_timestamp() WHERE id = %s", [run.revert_id]
        )
