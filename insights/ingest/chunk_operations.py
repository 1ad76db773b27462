"""Stores and counts one chunk of a batch, all in one transaction.

The caller opens the transaction, lets metering sum between `store_chunk` and `close_chunk`, and so decides the order;
`take_position` is the transaction's last statement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from accounts.tenancy import connection
from insights.ingest.archive_operations import set_sealed_apart
from insights.ingest.column_operations import store_columns
from insights.ingest.count_operations import Part, VerdictRun, count_chunk, parts_of, verdict_runs
from insights.ingest.known_operations import Ledger, duplicates_among
from insights.ingest.lines import Chunk
from insights.ingest.outcomes import RejectedLine
from insights.ingest.read_operations import BatchRun, ReadChunk
from insights.ingest.refusals import VALUE_CHARACTERS_MAX
from insights.ingest.store_operations import store_lines
from insights.ingest.verdicts import StagedLine, Verdict
from insights.ingest.windows import window_end
from insights.models import Batch, EntryKind

if TYPE_CHECKING:
    from insights.ingest.staged_columns import AccountSpan

_TAKEN = (Verdict.NEW, Verdict.REPLACED, Verdict.DUPLICATE, Verdict.STALE)


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """What became of a chunk's lines, ready to be counted."""

    entry_id: int
    counts: Mapping[Verdict, int]
    parts: Mapping[int, Part]
    runs: Sequence[VerdictRun]
    rejected: Sequence[RejectedLine]

    @property
    def changes_records(self) -> bool:
        """Whether current records came, went or were replaced, so that sums have to follow."""
        return bool(self.counts[Verdict.NEW] or self.counts[Verdict.REPLACED])


def store_chunk(run: BatchRun, read: ReadChunk, *, entry_id: int | None = None) -> StoredChunk:
    """Write a chunk's records inside the caller's transaction; raises ConcurrentChange to be tried again.

    A chunk has an entry of its own unless the caller names one that several share.
    """
    _hold_off_reverts(run.batch.source_id)
    read = set_sealed_apart(run, read)
    ledger = Ledger(
        source_id=run.batch.source_id,
        key_kind=run.definition.key_kind,
        batch_id=run.batch.pk,
        entry_id=_open_entry(run.batch, read.chunk) if entry_id is None else entry_id,
        meters=run.meters,
    )
    if read.columns is None:
        return _store_lines(ledger, read)
    verdict = store_columns(ledger, read.columns)
    if verdict is None:
        return _store_lines(ledger, replace(read, lines=read.columns.lines(), columns=None))
    return _stored_alike(ledger.entry_id, read.columns.spans(), verdict)


def _stored_alike(entry_id: int, spans: Sequence[AccountSpan], verdict: Verdict) -> StoredChunk:
    """Count a chunk whose lines all have one verdict, which is a single run for each account if it is not new."""
    parts = {
        span.account_id: Part(Counter({verdict: span.lines}), span.first_window, span.last_window)
        for span in spans
    }
    runs = [
        VerdictRun(span.account_id, verdict, span.first_line, span.last_line, span.lines)
        for span in sorted(spans, key=lambda span: span.first_line)
    ]
    return StoredChunk(
        entry_id=entry_id,
        counts=Counter({verdict: sum(span.lines for span in spans)}),
        parts=parts,
        runs=[] if verdict is Verdict.NEW else runs,
        rejected=[],
    )


def _store_lines(ledger: Ledger, read: ReadChunk) -> StoredChunk:
    verdicts = store_lines(ledger, read.lines)
    known = duplicates_among(ledger, [line for line, _reject in read.doubtful])
    # An old line that is known is a duplicate for ever; only an unknown one is too old.
    verdicts |= dict.fromkeys(known, Verdict.DUPLICATE)
    rejected = read.parsed.rejected + read.refused
    rejected += [reject for line, reject in read.doubtful if line.line_no not in known]
    conflicts = {line_no: verdict for line_no, verdict in verdicts.items() if verdict in _REFUSALS}
    rejected += [
        _REFUSALS[conflicts[line.line_no]](line, read.chunk)
        for line in read.lines
        if line.line_no in conflicts
    ]
    rejected.sort(key=lambda reject: reject.line_no)
    lines = read.lines + [line for line, _reject in read.doubtful if line.line_no in known]
    if conflicts:
        lines = [line for line in lines if line.line_no not in conflicts]
        verdicts = {line_no: verdict for line_no, verdict in verdicts.items() if line_no not in conflicts}
    counts = Counter(verdicts.values())
    counts[Verdict.NEW] = len(lines) - len(verdicts)
    return StoredChunk(
        entry_id=ledger.entry_id,
        counts=counts,
        parts=parts_of(lines, verdicts, rejected),
        runs=verdict_runs(lines, verdicts, rejected),
        rejected=rejected,
    )


def _conflict(line: StagedLine, chunk: Chunk) -> RejectedLine:
    return RejectedLine(
        line_no=line.line_no,
        code="id_conflict",
        field="quantity",
        value=f"{line.quantity:f}",
        message=f"revision {line.revision} of this record is known with other content; send a higher revision",
        account_id=line.account_id,
        account_reference=None,
        raw=chunk.lines[line.line_no - chunk.first_line_no].encode(),
        retryable=False,
    )


def _moved(line: StagedLine, chunk: Chunk) -> RejectedLine:
    return RejectedLine(
        line_no=line.line_no,
        code="period_archived",
        field="row_id",
        value=line.row_id[:VALUE_CHARACTERS_MAX],
        message="the record of this row id is in an archived month, which no longer changes",
        account_id=line.account_id,
        account_reference=None,
        raw=chunk.lines[line.line_no - chunk.first_line_no].encode(),
        retryable=False,
    )


# What a line that met a known record can be refused for.
_REFUSALS = {Verdict.ID_CONFLICT: _conflict, Verdict.PERIOD_ARCHIVED: _moved}


def _hold_off_reverts(source_id: int) -> None:
    """Keep a revert of the source out until this transaction ends; other chunks come in beside it.

    A line whose record is being retracted would otherwise wait for the revert and then be taken for new.
    """
    with connection().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext('revert'), %s)", [source_id])


def _open_entry(batch: Batch, chunk: Chunk) -> int:
    kind = EntryKind.REPLAY if batch.replay_of_id else EntryKind.CHUNK
    with connection().cursor() as cursor:
        cursor.execute(
            "INSERT INTO insights_ledgerentry (kind, batch_id, first_line, last_line) "
            "VALUES (%s, %s, %s, %s) RETURNING id",
            [kind, batch.pk, chunk.first_line_no, chunk.last_line_no],
        )
        return int(cursor.fetchone()[0])


def close_chunk(run: BatchRun, read: ReadChunk, stored: StoredChunk) -> None:
    """Count the chunk, for the batch and for each account, in the transaction that wrote it."""
    new, replaced, duplicate, stale = (stored.counts[verdict] for verdict in _TAKEN)
    rejected = len(stored.rejected)
    with connection().cursor() as cursor:
        cursor.execute(
            """
            UPDATE insights_batch SET state = 'processing', lines_done = %s, blank_lines = blank_lines + %s,
                received = received + %s, new = new + %s, replaced = replaced + %s, duplicate = duplicate + %s,
                stale = stale + %s, rejected = rejected + %s
            WHERE id = %s AND lines_done = %s
            """,
            [read.chunk.last_line_no, read.parsed.blank, new + replaced + duplicate + stale + rejected, new, replaced,
             duplicate, stale, rejected, run.batch.pk, run.batch.lines_done],
        )  # fmt: skip
        if cursor.rowcount != 1:
            raise RuntimeError(f"batch {run.batch.pk} was moved on by another worker")
    count_chunk(
        batch=run.batch,
        window_end=partial(
            window_end,
            length=timedelta(seconds=run.definition.window_seconds),
            zone=ZoneInfo(run.definition.clock_zone or "UTC"),
        ),
        parts=stored.parts,
        runs=stored.runs,
        rejected=stored.rejected,
    )


def close_batch(run: BatchRun) -> None:
    """Mark a batch and its parts as done, in the transaction of its last chunk."""
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_batch SET state = 'done', finished_at = clock_timestamp() WHERE id = %s",
            [run.batch.pk],
        )
        cursor.execute(
            "UPDATE insights_batchpart SET finished_at = clock_timestamp() WHERE batch_id = %s",
            [run.batch.pk],
        )


def take_position(entry_id: int) -> None:
    """Give the entry the next ledger position. The last statement of every ledger transaction.

    The single row stays locked until the commit, so that positions rise in the order of commits without a gap.
    """
    with connection().cursor() as cursor:
        cursor.execute(
            """
            WITH head AS (UPDATE insights_ledgerhead SET position = position + 1 WHERE id = 1 RETURNING position)
            UPDATE insights_ledgerentry SET position = head.position, committed_at = clock_timestamp()
            FROM head WHERE insights_ledgerentry.id = %s
            """,
            [entry_id],
        )
