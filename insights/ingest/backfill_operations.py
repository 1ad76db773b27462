"""Writes all held batches of a backfill in one transaction, with one ledger entry; a preview does it and takes it back.

Batches come in the order in which they arrived, chunk by chunk as any batch, so that memory does not grow with a
backfill and the books are those of the same files sent plainly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.tenancy import connection, current_alias
from insights.ingest import chunk_operations as chunks
from insights.ingest import work_operations
from insights.ingest.backfill_queries import Summary, summarise_backfill
from insights.ingest.lines import Chunk
from insights.ingest.read_operations import BatchRun, open_batch, read_chunk
from insights.ingest.series_operations import SeriesKey, Slot, find_series, is_within_limit, slots_of
from insights.ingest.work_operations import Lease
from insights.models import Backfill, BackfillState, Batch, BatchState

PROBLEM_CHARACTERS_MAX = 300
OTHER_THAN_PREVIEWED = (
    "The close would have done something else than the preview said, because usage, accounts, meters or the source "
    "changed in between. Nothing has changed. Preview again."
)
_WORKED_ON = frozenset({BackfillState.PREVIEWING, BackfillState.CLOSING, BackfillState.DISCARDED})


class _DryRunOver(Exception):
    """The preview has been counted; what it wrote is to be taken back."""

    def __init__(self, summary: Summary) -> None:
        super().__init__("the preview is over")
        self.summary = summary


class _OtherThanPreviewed(Exception):
    """The close would do something else than what was confirmed; nothing of it is to stay."""


@dataclass(frozen=True, slots=True)
class BackfillRun:
    """A backfill that a worker has something to do for, as it was when the work began."""

    backfill_id: int
    source_id: int
    state: str
    takes_any_age: bool
    confirmed: str

    @property
    def is_preview(self) -> bool:
        return self.state == BackfillState.PREVIEWING

    @property
    def is_discarded(self) -> bool:
        return self.state == BackfillState.DISCARDED


def find_backfill_run(batch_id: int) -> BackfillRun | None:
    """Return the backfill that a held batch stands for if a worker has to preview, close or discard it."""
    batch = Batch.objects.filter(pk=batch_id, state=BatchState.HELD).first()
    if batch is None or batch.backfill_id is None:
        return None
    backfill = Backfill.objects.get(pk=batch.backfill_id)
    if backfill.state not in _WORKED_ON:
        return None
    return BackfillRun(
        backfill_id=backfill.pk,
        source_id=backfill.source_id,
        state=backfill.state,
        takes_any_age=backfill.takes_any_age,
        confirmed=backfill.preview.get("digest", ""),
    )


def is_held(batch_id: int) -> bool:
    """Tell whether a batch is not to be read by itself: it is held, or was discarded with its backfill."""
    return Batch.objects.filter(pk=batch_id, state__in=[BatchState.HELD, BatchState.DISCARDED]).exists()


def is_source_taken(source_id: int) -> bool:
    """Tell whether a backfill of the source is being written just now, which other batches of it would wait for."""
    with connection().cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(hashtext('backfill run'), %s)", [source_id])
        return not cursor.fetchone()[0]


def _held_batches(run: BackfillRun) -> Iterator[Batch]:
    """Yield the batches by arrival; their source is read by the backfill's own age limit."""
    held = Batch.objects.filter(backfill_id=run.backfill_id, state=BatchState.HELD).order_by("id")
    for batch_id in list(held.values_list("id", flat=True)):
        batch = Batch.objects.select_related("source").get(pk=batch_id)
        if run.takes_any_age:
            batch.source.max_age_days = None
        yield batch


@dataclass(frozen=True, slots=True)
class Ready:
    """What the lines of a backfill need: months, which are there now, and dimensions that get new series."""

    months: frozenset[tuple[int, int]]
    slots: frozenset[Slot]


def make_ready(run: BackfillRun) -> Ready:
    """Make the months that the lines need, and say which dimensions of accounts that exist will get new series.

    Series and accounts are seen by customers, so they are made in the one transaction with their usage. Nobody waits
    for them there: how many values a dimension has is looked at once more at its end, when this is known.
    """
    months: set[tuple[int, int]] = set()
    slots: set[Slot] = set()
    for batch in _held_batches(run):
        # Accounts that only the backfill makes have no values but its own.
        batch.create_accounts = False
        batch_run, waiting = open_batch(batch)
        for chunk in waiting:
            slots |= slots_of(_try_reading(batch_run, chunk))
        _ensure_months(batch_run.months)
        months |= batch_run.months
    return Ready(frozenset(months), frozenset(slots))


def _try_reading(batch_run: BatchRun, chunk: Chunk) -> list[SeriesKey]:
    """Read a chunk, take back what that made, and return the series that were missing."""
    before = set(batch_run.series)
    with transaction.atomic(using=current_alias()):
        read_chunk(batch_run, chunk)
        transaction.set_rollback(True, using=current_alias())
    met = [key for key in batch_run.series if key not in before]
    there = find_series(source_id=batch_run.batch.source_id, keys=met)
    missing = [key for key in met if key not in there]
    for key in missing:
        del batch_run.series[key]
    return missing


def _ensure_months(months: Iterable[tuple[int, int]]) -> None:
    with connection().cursor() as cursor:
        for year, month in sorted(months):
            cursor.execute("SELECT portal_ensure_month(%s)", [date(year, month, 1)])


def write_backfill(
    run: BackfillRun,
    lease: Lease,
    *,
    ready: Ready,
    roll_up: Callable[[], None],
    move_watermarks: Callable[..., None],
    now: datetime,
) -> None:
    """Write all batches with one ledger position, or nothing; of a preview only its counts stay.

    `ready` is what make_ready returned, `roll_up` sums what is on ingest's stage, `move_watermarks` raises those of
    uploads that are done.
    """
    with transaction.atomic(using=current_alias()):
        work_operations.hold_lease(lease)
        try:
            # The lease is held around what is taken back, or another worker could begin in between.
            with transaction.atomic(using=current_alias()):
                _take_source(run.source_id)
                entry_id, upload_ids = _write_held_lines(run, ready, roll_up)
                summary = summarise_backfill(backfill_id=run.backfill_id, entry_id=entry_id)
                if run.is_preview:
                    raise _DryRunOver(summary)
                _close(run, summary)
                move_watermarks(upload_ids=upload_ids, source_id=run.source_id)
                work_operations.finish_work(lease)
                if not is_within_limit(ready.slots):
                    raise _OtherThanPreviewed
                chunks.take_position(entry_id)
        except _DryRunOver as over:
            document = over.summary.document
            _move(run, lease, state=BackfillState.READY, preview=document, previewed_at=now, problem="")
        except _OtherThanPreviewed:
            _move(run, lease, state=BackfillState.FAILED, problem=OTHER_THAN_PREVIEWED)


def _write_held_lines(
    run: BackfillRun, ready: Ready, roll_up: Callable[[], None]
) -> tuple[int, tuple[UUID, ...]]:
    """Write everything but the position; return the ledger entry and the uploads that are done by it."""
    entry_id = _open_entry(run.backfill_id)
    uploads: dict[UUID, None] = {}
    for batch in _held_batches(run):
        batch_run, waiting = open_batch(batch)
        batch_run.is_backfill = True
        # Asking for a month again may take the lock of all months, and keep it to the end.
        batch_run.months |= ready.months
        for chunk in waiting:
            read = read_chunk(batch_run, chunk)
            _empty_temporary_tables()
            stored = chunks.store_chunk(batch_run, read, entry_id=entry_id)
            if stored.changes_records:
                roll_up()
            chunks.close_chunk(batch_run, read, stored)
            batch_run.batch.lines_done = chunk.last_line_no
        chunks.close_batch(batch_run)
        uploads[batch.upload_id] = None
    return entry_id, tuple(uploads)


def _take_source(source_id: int) -> None:
    """Keep the source's other chunks and its reverts out until the transaction ends.

    Many chunks in one transaction meet rollups in no order, so beside another one they could deadlock.
    """
    with connection().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('backfill run'), %s)", [source_id])
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('revert'), %s)", [source_id])


def _open_entry(backfill_id: int) -> int:
    with connection().cursor() as cursor:
        cursor.execute(
            "INSERT INTO insights_ledgerentry (kind, backfill_id) VALUES ('backfill_close', %s) RETURNING id",
            [backfill_id],
        )
        return int(cursor.fetchone()[0])


def _empty_temporary_tables() -> None:
    """Do between two chunks what a commit would do: the tables of a chunk empty themselves at its end."""
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(format('pg_temp.%I', relname), ', ') FROM pg_class "
            "WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'"
        )
        (tables,) = cursor.fetchone()
        if tables:
            cursor.execute(f"TRUNCATE {tables}")


def _close(run: BackfillRun, summary: Summary) -> None:
    if summary.digest != run.confirmed:
        raise _OtherThanPreviewed
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_backfill SET state = 'closed', ended_at = clock_timestamp(), problem = '' "
            "WHERE id = %s AND state = 'closing'",
            [run.backfill_id],
        )
        if cursor.rowcount != 1:
            raise RuntimeError(f"backfill {run.backfill_id} was moved on by another worker")


def fail_backfill(run: BackfillRun, lease: Lease, problem: str) -> None:
    """Say why nothing was written; the backfill stays open."""
    with transaction.atomic(using=current_alias()):
        work_operations.hold_lease(lease)
        _move(run, lease, state=BackfillState.FAILED, problem=problem[:PROBLEM_CHARACTERS_MAX])


def _move(run: BackfillRun, lease: Lease, **values: Any) -> None:
    Backfill.objects.filter(pk=run.backfill_id, state=run.state).update(**values)
    work_operations.finish_work(lease)


def end_held_batches(run: BackfillRun | None, lease: Lease, *, now: datetime) -> None:
    """End the batches of a backfill that staff discarded, if there is one; their bytes are kept as any batch's."""
    with transaction.atomic(using=current_alias()):
        work_operations.hold_lease(lease)
        if run is not None:
            held = Batch.objects.filter(backfill_id=run.backfill_id, state=BatchState.HELD)
            held.update(state=BatchState.DISCARDED, finished_at=now)
        work_operations.finish_work(lease)
