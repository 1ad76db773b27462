"""The Celery tasks of a batch's way, and the only place where the stages of the pipeline are chained.

A task's argument is the id of a row and nothing else; what it may do with it is decided by that row's lease.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from functools import partial

import structlog
from celery import shared_task
from django.db import OperationalError, transaction

from accounts.tenancy import as_worker, current_alias
from insights.ingest import backfill_operations as backfills
from insights.ingest import chunk_operations as chunks
from insights.ingest import replay_operations, turn_queries, work_operations
from insights.ingest import revert_operations as reverts
from insights.ingest.read_operations import BatchRun, ReadChunk, open_batch, read_chunk
from insights.ingest.refusals import RequestRefused
from insights.ingest.retry_operations import hand_back, with_retries
from insights.ingest.revert_operations import RevertRun
from insights.ingest.work_operations import Lease, LeaseLost
from insights.metering import operations as metering
from insights.models import Batch, BatchState

logger = structlog.get_logger(__name__)

SET_ASIDE = (BatchState.REFUSED, BatchState.QUARANTINED)


def ring(batch_id: int) -> None:
    """Tell the workers about a batch. Never raises: a lost bell is rung again from the work list."""
    try:
        take_turn.apply_async(args=[batch_id], retry=False)
    except Exception as error:
        logger.warning("bell not rung", batch_id=batch_id, error=type(error).__name__)


@shared_task
def take_turn(batch_id: int) -> None:
    """Answer a bell with the batch whose turn it is, which need not be the one that the bell was rung for.

    There is a bell for each batch that waits, so that the other is taken at another one's.
    """
    with as_worker():
        turns = turn_queries.list_turns()
    if not any(_take(candidate) for candidate in turns):
        with as_worker():
            _release_replay(batch_id)


@shared_task
def ingest_batch(batch_id: int) -> None:
    """Take one batch to its end, or until it has to step back, if nobody else does. For bells of earlier releases."""
    _take(batch_id)


def _take(batch_id: int) -> bool:
    """Work on a batch, chunk by chunk; False if it is not to be had."""
    owner = f"{socket.gethostname()}:{os.getpid()}"
    with as_worker():
        lease = work_operations.claim_work(batch_id=batch_id, owner=owner)
        if lease is None:
            _release_replay(batch_id)
            return False
        try:
            with work_operations.kept_lease(lease):
                _work_on(lease)
        except LeaseLost:
            logger.warning("lease lost", batch_id=batch_id)
        except RequestRefused as refusal:
            _refuse(lease, refusal)
        except OperationalError as error:
            logger.exception("batch interrupted", batch_id=batch_id)
            if hand_back(lease, error):
                ring(lease.batch_id)
            raise
    return True


def _work_on(lease: Lease) -> None:
    """Read a batch into the books, or do what its revert or its backfill waits for."""
    revert = reverts.find_open_revert(lease.batch_id)
    if backfills.is_held(lease.batch_id):
        _work_on_backfill(lease)
    elif revert is None:
        _ingest(lease)
    elif revert.prepared_at is None:
        with transaction.atomic(using=current_alias()):
            work_operations.hold_lease(lease)
            reverts.prepare_revert(reverts.open_revert(revert), now=datetime.now(UTC))
            work_operations.finish_work(lease)
    else:
        _revert(lease, reverts.open_revert(revert))


def _refuse(lease: Lease, refusal: RequestRefused) -> None:
    """End a batch whose kept bytes can no longer be read as its source now says, with the reason."""
    logger.warning("batch refused by the worker", batch_id=lease.batch_id, code=refusal.code)
    with transaction.atomic(using=current_alias()):
        work_operations.hold_lease(lease)
        work_operations.refuse_batch(
            lease, code=refusal.code, detail=refusal.detail, line=refusal.line, field=refusal.field or ""
        )
    _release_replay(lease.batch_id)


def _release_replay(batch_id: int) -> None:
    """Let the lines of a replay that was set aside wait for another one."""
    batch = Batch.objects.filter(pk=batch_id, state__in=SET_ASIDE, replay_of__isnull=False).first()
    if batch is not None:
        replay_operations.release_replayed_lines(batch)


def _ingest(lease: Lease) -> None:
    """Go through the chunks that are left. Between two of them, whoever's turn it is by now is let past."""
    batch = Batch.objects.select_related("source").get(pk=lease.batch_id)
    if batch.replay_of_id is not None:
        with transaction.atomic(using=current_alias()):
            work_operations.hold_lease(lease)
            replay_operations.fetch_replayed_lines(batch)
        batch.refresh_from_db()
    run, waiting = open_batch(batch)
    # Looking one chunk ahead tells which is the last, whose transaction also closes the batch.
    following = next(waiting, None)
    if following is None:
        with transaction.atomic(using=current_alias()):
            work_operations.hold_lease(lease)
            _close(run, lease)
    while following is not None:
        chunk, following = following, next(waiting, None)
        if backfills.is_source_taken(run.batch.source_id):
            # A backfill may take minutes; other sources get this worker, and the sweep rings for the batch again.
            work_operations.give_back(lease, is_counted=False)
            return
        read = read_chunk(run, chunk)
        with_retries(partial(_write_chunk, run, read, lease, is_last=following is None))
        run.batch.lines_done = chunk.last_line_no
        if following is not None and _step_back(lease):
            return


def _step_back(lease: Lease) -> bool:
    """Give a batch back between two chunks if another one's turn has come; tell whether that was so."""
    if not turn_queries.is_others_turn(mine=lease.batch_id):
        return False
    work_operations.give_back(lease, is_counted=False)
    ring(lease.batch_id)
    return True


def _work_on_backfill(lease: Lease) -> None:
    """Do what a backfill waits for, under the lease of its first batch; nothing if it waits for nothing."""
    run = backfills.find_backfill_run(lease.batch_id)
    if run is None or run.is_discarded:
        backfills.end_held_batches(run, lease, now=datetime.now(UTC))
        return
    try:
        write = partial(
            backfills.write_backfill,
            run,
            lease,
            ready=backfills.make_ready(run),
            roll_up=metering.roll_up_stage,
            move_watermarks=metering.move_watermarks_together,
            now=datetime.now(UTC),
        )
        with_retries(write)
    except RequestRefused as refusal:
        logger.warning("backfill not read", backfill_id=run.backfill_id, code=refusal.code)
        backfills.fail_backfill(run, lease, f"{refusal.code}: {refusal.detail}")


def _revert(lease: Lease, run: RevertRun) -> None:
    """Take a batch out of the books, one of its chunks after the other, in the order in which they went in."""
    if not run.stretches:
        with transaction.atomic(using=current_alias()):
            work_operations.hold_lease(lease)
            reverts.close_revert(run)
            work_operations.finish_work(lease)
    for stretch in run.stretches:
        is_last = stretch == run.stretches[-1]
        with_retries(partial(_write_revert, run, stretch, lease, is_last=is_last))
        if not is_last and _step_back(lease):
            return


def _write_revert(run: RevertRun, stretch: tuple[int, int], lease: Lease, *, is_last: bool) -> None:
    """Retractions, what is current instead, rollups and the ledger position: all of it or nothing."""
    with transaction.atomic(using=current_alias()):
        work_operations.hold_lease(lease)
        entry_id = reverts.revert_stretch(run, *stretch)
        metering.roll_up_stage()
        if is_last:
            reverts.close_revert(run)
            work_operations.finish_work(lease)
        else:
            work_operations.extend_lease(lease)
        chunks.take_position(entry_id)


def _write_chunk(run: BatchRun, read: ReadChunk, lease: Lease, *, is_last: bool) -> None:
    """Records, rollups, counters, watermarks and the ledger position: all of it or nothing."""
    with transaction.atomic(using=current_alias()):
        work_operations.hold_lease(lease)
        stored = chunks.store_chunk(run, read)
        if stored.changes_records:
            metering.roll_up_stage()
        chunks.close_chunk(run, read, stored)
        if is_last:
            _close(run, lease)
        else:
            work_operations.extend_lease(lease)
        chunks.take_position(stored.entry_id)


def _close(run: BatchRun, lease: Lease) -> None:
    chunks.close_batch(run)
    metering.move_watermarks(upload_id=run.batch.upload_id, source_id=run.batch.source_id)
    work_operations.finish_work(lease)


@shared_task
def ring_waiting_work() -> int:
    """Ring again for every batch that waits too long or whose worker died; return how many."""
    with as_worker():
        waiting_since = datetime.now(UTC) - work_operations.bell_patience()
        batch_ids = work_operations.list_open_work(waiting_since=waiting_since)
    for batch_id in batch_ids:
        ring(batch_id)
    return len(batch_ids)
