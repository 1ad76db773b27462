"""One chunk of a batch: read by the source's definition, stored, counted line by line, all in one transaction.

The caller opens the transaction, lets metering sum between `store_chunk` and `close_chunk`, and so decides the order;
`close_chunk` takes the ledger position as the transaction's last statement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from accounts.operations import ensure_account
from accounts.tenancy import connection
from insights.ingest.catalogue import AccountFact, Catalogue, MeterFact
from insights.ingest.count_operations import count_chunk
from insights.ingest.layout import Header
from insights.ingest.lines import Chunk
from insights.ingest.mapping import definition_of
from insights.ingest.operations import open_kept_delivery
from insights.ingest.outcomes import AcceptedLine, ParsedChunk, RejectedLine
from insights.ingest.parse import parse_chunk
from insights.ingest.series_operations import DIMENSION_VALUES_MAX, SeriesKey, intern_series
from insights.ingest.source_definition import SourceDefinition
from insights.ingest.store_operations import Ledger, duplicates_among, store_lines
from insights.ingest.verdicts import StagedLine, Verdict
from insights.models import Batch, EntryKind, Meter


@dataclass(slots=True)
class BatchRun:
    """What a worker knows while it goes through one batch: facts read once, ids met so far."""

    batch: Batch
    definition: SourceDefinition
    header: Header
    catalogue: Catalogue
    series: dict[SeriesKey, int] = field(default_factory=dict)
    over_limit: set[SeriesKey] = field(default_factory=set)
    meters: dict[int, int] = field(default_factory=dict)
    months: set[date] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """A chunk's lines by outcome, with series ids; nothing is written yet."""

    chunk: Chunk
    parsed: ParsedChunk
    lines: list[StagedLine]
    doubtful: list[tuple[StagedLine, RejectedLine]]
    over_limit: list[RejectedLine]


def open_batch(batch: Batch) -> tuple[BatchRun, Iterator[Chunk]]:
    """Open a kept batch behind its last committed line."""
    delivery = open_kept_delivery(batch.source, _kept_pieces(batch.pk), form=batch.media_type)
    run = BatchRun(
        batch=batch,
        definition=definition_of(batch.source),
        header=delivery.header,
        catalogue=_catalogue(batch.source.account_id),
    )
    return run, delivery.chunks(from_line=batch.lines_done + 1)


def _kept_pieces(batch_id: int) -> Iterator[bytes]:
    number = 0
    while True:
        with connection().cursor() as cursor:
            cursor.execute(
                "SELECT data FROM insights_batchbytes WHERE batch_id = %s AND piece_no = %s", [batch_id, number]
            )
            row = cursor.fetchone()
        if row is None:
            return
        yield bytes(row[0])
        number += 1


def _catalogue(only_account_id: int | None) -> Catalogue:
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT reference, id, state, closed_at FROM accounts_account WHERE %(only)s::bigint IS NULL OR id = %(only)s",
            {"only": only_account_id},
        )
        accounts = {row[0]: AccountFact(id=row[1], state=row[2], closed_at=row[3]) for row in cursor.fetchall()}
    meters: dict[str, MeterFact] = {}
    # In rising version, so that the newest one that still takes usage is the one that stays.
    for meter in Meter.objects.order_by("key", "version"):
        if meter.key in meters and meter.retired_at is not None:
            continue
        meters[meter.key] = MeterFact(
            id=meter.pk,
            key=meter.key,
            unit=meter.unit,
            grain_seconds=meter.grain_seconds,
            dimensions=tuple(meter.dimensions),
            allows_negative=meter.allows_negative,
            retired_at=meter.retired_at,
        )
    return Catalogue(accounts=accounts, meters=meters)


def read_chunk(run: BatchRun, chunk: Chunk, *, now: datetime) -> ReadChunk:
    """Parse a chunk and give its lines their series; makes accounts, series and months that are missing."""
    parsed = _parse(run, chunk, now)
    if run.batch.create_accounts and (unknown := _unknown_references(parsed)):
        for reference in unknown:
            ensure_account(reference=reference, actor_name=f"source {run.definition.slug}")
        run.catalogue = _catalogue(run.batch.source.account_id)
        parsed = _parse(run, chunk, now)
    keyed = [*parsed.accepted, *(line for line, _reject in parsed.doubtful)]
    _intern(run, keyed)
    _ensure_months(run, {line.window_start for line in parsed.accepted})
    lines, over_limit = [], []
    for line in parsed.accepted:
        staged = _staged(run, line)
        if staged is None:
            over_limit.append(_over_dimension_limit(run, line, chunk))
        else:
            lines.append(staged)
    doubtful = [(staged, reject) for line, reject in parsed.doubtful if (staged := _staged(run, line)) is not None]
    return ReadChunk(chunk=chunk, parsed=parsed, lines=lines, doubtful=doubtful, over_limit=over_limit)


def _parse(run: BatchRun, chunk: Chunk, now: datetime) -> ParsedChunk:
    return parse_chunk(
        chunk,
        header=run.header,
        definition=run.definition,
        catalogue=run.catalogue,
        now=now,
        batch_revision=run.batch.revision,
    )


def _unknown_references(parsed: ParsedChunk) -> list[str]:
    unknown = {
        reject.account_reference
        for reject in parsed.rejected
        if reject.code == "unknown_account" and reject.account_reference
    }
    return sorted(unknown)


def _intern(run: BatchRun, lines: Sequence[AcceptedLine]) -> None:
    met = {(line.account_id, line.meter_id, line.dimensions) for line in lines}
    missing = [key for key in met if key not in run.series and key not in run.over_limit]
    if not missing:
        return
    found, refused = intern_series(
        source_id=run.batch.source_id, window_seconds=run.definition.window_seconds, keys=missing
    )
    run.series |= found
    run.over_limit |= refused
    run.meters |= {series_id: key[1] for key, series_id in found.items()}


def _ensure_months(run: BatchRun, windows: set[datetime]) -> None:
    for month in sorted({window.date().replace(day=1) for window in windows} - run.months):
        with connection().cursor() as cursor:
            cursor.execute("SELECT portal_ensure_month(%s)", [month])
        run.months.add(month)


def _staged(run: BatchRun, line: AcceptedLine) -> StagedLine | None:
    series_id = run.series.get((line.account_id, line.meter_id, line.dimensions))
    if series_id is None:
        return None
    return StagedLine(
        line.line_no, line.account_id, series_id, line.window_start, line.row_id, line.revision, line.quantity
    )


def _over_dimension_limit(run: BatchRun, line: AcceptedLine, chunk: Chunk) -> RejectedLine:
    name, value = line.dimensions[0]
    return RejectedLine(
        line_no=line.line_no,
        code="dimension_limit",
        field=name,
        value=value,
        message=f"a dimension may have {DIMENSION_VALUES_MAX} different values; known values still work",
        account_id=line.account_id,
        account_reference=None,
        raw=chunk.lines[line.line_no - chunk.first_line_no].encode(),
        retryable=True,
    )


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """What became of each line of a chunk, ready to be counted."""

    entry_id: int
    verdicts: dict[int, Verdict]
    rejected: list[RejectedLine]
    lines: list[StagedLine]


def store_chunk(run: BatchRun, read: ReadChunk) -> StoredChunk:
    """Write a chunk's records inside the caller's transaction; raises ConcurrentChange to be tried again."""
    entry_id = _open_entry(run.batch, read.chunk)
    ledger = Ledger(
        source_id=run.batch.source_id,
        key_kind=run.definition.key_kind,
        batch_id=run.batch.pk,
        entry_id=entry_id,
        meters=run.meters,
    )
    verdicts = store_lines(ledger, read.lines)
    known = duplicates_among(ledger, [line for line, _reject in read.doubtful])
    # An old line that is known is a duplicate for ever; only an unknown one is too old.
    verdicts |= dict.fromkeys(known, Verdict.DUPLICATE)
    rejected = read.parsed.rejected + read.over_limit
    rejected += [reject for line, reject in read.doubtful if line.line_no not in known]
    conflicts = {line_no for line_no, verdict in verdicts.items() if verdict is Verdict.ID_CONFLICT}
    rejected += [_conflict(line, read.chunk) for line in read.lines if line.line_no in conflicts]
    counted = read.lines + [line for line, _reject in read.doubtful if line.line_no in known]
    return StoredChunk(
        entry_id=entry_id,
        verdicts={line_no: verdict for line_no, verdict in verdicts.items() if line_no not in conflicts},
        rejected=sorted(rejected, key=lambda reject: reject.line_no),
        lines=[line for line in counted if line.line_no not in conflicts],
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


def _open_entry(batch: Batch, chunk: Chunk) -> int:
    kind = EntryKind.REPLAY if batch.replay_of_id else EntryKind.CHUNK
    with connection().cursor() as cursor:
        cursor.execute(
            "INSERT INTO insights_ledgerentry (kind, batch_id, first_line, last_line) VALUES (%s, %s, %s, %s) RETURNING id",
            [kind, batch.pk, chunk.first_line_no, chunk.last_line_no],
        )
        return int(cursor.fetchone()[0])


def close_chunk(run: BatchRun, read: ReadChunk, stored: StoredChunk) -> None:
    """Count the chunk, for the batch and for each account, in the transaction that wrote it."""
    counts = Counter(stored.verdicts.values())
    rejected = len(stored.rejected)
    replaced, duplicate, stale = (counts[verdict] for verdict in (Verdict.REPLACED, Verdict.DUPLICATE, Verdict.STALE))
    new = len(stored.lines) - replaced - duplicate - stale
    with connection().cursor() as cursor:
        cursor.execute(
            """
            UPDATE insights_batch SET state = 'processing', lines_done = %s, blank_lines = blank_lines + %s,
                received = received + %s, new = new + %s, replaced = replaced + %s, duplicate = duplicate + %s,
                stale = stale + %s, rejected = rejected + %s
            WHERE id = %s AND lines_done = %s
            """,
            [read.chunk.last_line_no, read.parsed.blank, len(stored.lines) + rejected, new, replaced, duplicate,
             stale, rejected, run.batch.pk, run.batch.lines_done],
        )  # fmt: skip
        if cursor.rowcount != 1:
            raise RuntimeError(f"batch {run.batch.pk} was moved on by another worker")
    count_chunk(
        batch=run.batch,
        window=timedelta(seconds=run.definition.window_seconds),
        lines=stored.lines,
        verdicts=stored.verdicts,
        rejected=stored.rejected,
    )


def close_batch(run: BatchRun) -> None:
    """Mark a batch and its parts as done, in the transaction of its last chunk."""
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_batch SET state = 'done', finished_at = clock_timestamp() WHERE id = %s", [run.batch.pk]
        )
        cursor.execute(
            "UPDATE insights_batchpart SET finished_at = clock_timestamp() WHERE batch_id = %s", [run.batch.pk]
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
