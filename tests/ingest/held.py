"""What tests of backfills share: a source of either key kind, and each step as staff and the worker take it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from accounts.models import User
from accounts.tenancy import as_staff, as_worker, connection
from insights.feeds.backfill_operations import ask_preview, confirm_close, discard_backfill, open_backfill
from insights.ingest.operations import receive_batch
from insights.models import Backfill, Batch, Source
from insights.tasks import ingest_batch

HEADER = "account,meter,window_start,quantity,endpoint,revision,row_id\n"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def line(
    hour: int,
    quantity: object,
    *,
    revision: int = 1,
    account: str = "ansel",
    meter: str = "bytes_out",
    day: str = "2026-11-03",
    row: str = "",
) -> str:
    """One line; its row id, where the source has one, names the same fact as its window unless `row` says otherwise."""
    name = row or f"{account}-{meter}-{day}-{hour}"
    return f"{account},{meter},{day}T{hour:02d}:00:00Z,{quantity},a,{revision},{name}\n"


def body_of(source: Source, *lines: str) -> bytes:
    """A file of the lines; a source of windows has no row id."""
    body = HEADER + "".join(lines)
    if source.key_kind == "window":
        body = "".join(text.rpartition(",")[0] + "\n" for text in body.splitlines())
    return body.encode()


def opened(source: Source, staff: User, *, takes_any_age: bool = True) -> UUID:
    """Open a backfill of the source."""
    with as_staff():
        return open_backfill(
            slug=source.slug, actor=staff, reason="October was never sent", takes_any_age=takes_any_age
        )


def hold(source: Source, backfill: UUID, *lines: str, **said: Any) -> Batch:
    """Send lines to an open backfill."""
    received = receive_batch(
        pieces=[body_of(source, *lines)],
        source_id=source.pk,
        via=said.pop("via", "api"),
        backfill=backfill,
        **said,
    )
    with as_worker():
        return Batch.objects.get(pk=received.batch_id)


def preview(backfill: UUID, staff: User) -> Backfill:
    """Ask for the preview and let the worker count."""
    with as_staff():
        batch_id = ask_preview(public_id=backfill, actor=staff)
    ingest_batch(batch_id)
    return found(backfill)


def confirm(backfill: UUID, staff: User, *, reason: str = "checked with the sender") -> int:
    """Confirm the close; the worker has not done it yet."""
    with as_staff():
        return confirm_close(public_id=backfill, actor=staff, reason=reason)


def close(backfill: UUID, staff: User) -> Backfill:
    """Confirm, and let the worker write it."""
    ingest_batch(confirm(backfill, staff))
    return found(backfill)


def discard(backfill: UUID, staff: User, *, reason: str = "the wrong month") -> Backfill:
    """Discard, and let the worker end the batches."""
    with as_staff():
        batch_id = discard_backfill(public_id=backfill, actor=staff, reason=reason, now=NOW)
    if batch_id is not None:
        ingest_batch(batch_id)
    return found(backfill)


def found(backfill: UUID) -> Backfill:
    """The backfill as it stands."""
    with as_worker():
        return Backfill.objects.get(public_id=backfill)


_SERIES = """JOIN insights_series s ON s.id = {}.series_id JOIN insights_meter m ON m.id = s.meter_id
    JOIN accounts_account a ON a.id = {}.account_id"""
# Every table that a record's way leaves something in, by what it says and not by the ids it was given.
_BOOKS = {
    "records": f"""
        SELECT b.source_id, a.reference, m.key, m.version, s.dimensions::text, u.window_start, u.row_id, u.revision,
            u.quantity, u.line_no, b.name
        FROM insights_usagerecord u {_SERIES.format("u", "u")} JOIN insights_batch b ON b.id = u.batch_id
    """,
    "history": """
        SELECT h.source_id, a.reference, h.window_start, h.row_id, h.revision, h.quantity, h.kind, h.line_no, b.name,
            h.is_further
        FROM insights_usagerevision h JOIN accounts_account a ON a.id = h.account_id
        JOIN insights_batch b ON b.id = h.batch_id
    """,
    "identities": """
        SELECT i.source_id, a.reference, i.row_id, i.window_start FROM insights_usageidentity i
        JOIN accounts_account a ON a.id = i.account_id
    """,
    "rollups": f"""
        SELECT s.source_id, a.reference, m.key, s.dimensions::text, r.day, r.quantity, r.records, r.windows_used,
            r.maximum, r.latest_window, r.latest_quantity
        FROM insights_usagerollup r {_SERIES.format("r", "r")}
    """,
    "parts": """
        SELECT b.source_id, a.reference, b.name, p.received, p.new, p.replaced, p.duplicate, p.stale, p.rejected,
            p.first_window, p.last_window_end, p.finished_at IS NULL
        FROM insights_batchpart p JOIN accounts_account a ON a.id = p.account_id
        JOIN insights_batch b ON b.id = p.batch_id
    """,
    "verdicts": """
        SELECT b.source_id, a.reference, b.name, v.first_line, v.last_line, v.lines, v.verdict
        FROM insights_lineverdict v JOIN accounts_account a ON a.id = v.account_id
        JOIN insights_batch b ON b.id = v.batch_id
    """,
    "refused": """
        SELECT b.source_id, b.name, r.line_no, r.code, r.field, r.message FROM (
            SELECT batch_id, line_no, code, field, message FROM insights_rejectedline
            UNION ALL SELECT batch_id, line_no, code, field, message FROM insights_unattributedreject
        ) r JOIN insights_batch b ON b.id = r.batch_id
    """,
    "watermarks": """
        SELECT w.source_id, a.reference, w.complete_to, w.counts_from, w.last_window_end
        FROM insights_watermark w JOIN accounts_account a ON a.id = w.account_id
    """,
    "batches": """
        SELECT b.source_id, b.name, b.state, b.received, b.new, b.replaced, b.duplicate, b.stale, b.rejected,
            b.blank_lines, b.lines_done
        FROM insights_batch b
    """,
    "positions": "SELECT NULL::bigint AS source_id, position FROM insights_ledgerhead",
}


def books(source: Source | None = None, *, without: frozenset[str] = frozenset()) -> dict[str, list[Any]]:
    """All of the books, or those of a source but for positions, as rows in one order."""
    told = {}
    with as_worker(), connection().cursor() as cursor:
        for name, statement in _BOOKS.items():
            if name not in without:
                cursor.execute(
                    f"SELECT to_jsonb(t) - 'source_id' FROM ({statement}) t "
                    "WHERE %(source)s::bigint IS NULL OR source_id = %(source)s ORDER BY t::text",
                    {"source": source and source.pk},
                )
                told[name] = [json.loads(row[0]) for row in cursor.fetchall()]
    return told
