"""Reads one chunk of a batch by its source's definition, up to the ids that its records will carry.

Makes the accounts, series and months that are missing, each in a short transaction of its own; writes no usage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from psycopg import Cursor

from accounts.operations import ensure_account
from accounts.tenancy import connection
from insights.ingest.catalogue import AccountFact, Catalogue
from insights.ingest.layout import Header
from insights.ingest.line_reader import LineReader
from insights.ingest.lines import Chunk
from insights.ingest.mapping import definition_of, list_meter_facts
from insights.ingest.operations import open_kept_delivery
from insights.ingest.outcomes import AcceptedLine, ParsedChunk, RejectedLine
from insights.ingest.parse import parse_chunk
from insights.ingest.remembered import Memories, memories_of
from insights.ingest.series_operations import (
    DIMENSION_VALUES_MAX,
    SeriesKey,
    find_series,
    intern_series,
)
from insights.ingest.source_definition import SourceDefinition
from insights.ingest.verdicts import StagedLine
from insights.models import Batch

if TYPE_CHECKING:
    from insights.ingest.staged_columns import StagedColumns

# (account id, meter id, identity of the dimensions object) to the series key
Named = dict[tuple[int, int, int], SeriesKey]
_WINDOW_START = itemgetter(AcceptedLine._fields.index("window_start"))


@dataclass(slots=True)
class BatchRun:
    """What a worker knows while it goes through one batch: facts read once, ids met so far.

    `is_backfill` says that it is read inside the one transaction of a backfill.
    """

    batch: Batch
    definition: SourceDefinition
    header: Header
    catalogue: Catalogue
    first_received_at: datetime
    series: dict[SeriesKey, int] = field(default_factory=dict)
    over_limit: dict[SeriesKey, str] = field(default_factory=dict)
    meters: dict[int, int] = field(default_factory=dict)
    months: set[tuple[int, int]] = field(default_factory=set)
    memories: tuple[LineReader, Memories] | None = None
    is_backfill: bool = False


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """A chunk's lines by outcome, with series ids; nothing is written yet.

    `refused` are lines that parsed well and still cannot be taken: over the dimension limit, or too old and of a
    series that nobody knows. A chunk that is plain throughout has `columns` and no lines.
    """

    chunk: Chunk
    parsed: ParsedChunk
    lines: list[StagedLine] = field(default_factory=list)
    doubtful: list[tuple[StagedLine, RejectedLine]] = field(default_factory=list)
    refused: list[RejectedLine] = field(default_factory=list)
    columns: StagedColumns | None = None


def open_batch(batch: Batch) -> tuple[BatchRun, Iterator[Chunk]]:
    """Open a kept batch behind its last committed line."""
    delivery = open_kept_delivery(batch.source, _kept_pieces(batch.pk), form=batch.media_type)
    run = BatchRun(
        batch=batch,
        definition=definition_of(batch.source),
        header=delivery.header,
        catalogue=_catalogue(batch.source.account_id),
        first_received_at=_first_received_at(batch),
    )
    return run, delivery.chunks(from_line=batch.lines_done + 1)


def _first_received_at(batch: Batch) -> datetime:
    """When the lines first came; a replay, and a replay of a replay, has them from an earlier batch."""
    while batch.replay_of is not None:
        batch = batch.replay_of
    return batch.received_at


def _kept_pieces(batch_id: int) -> Iterator[bytes]:
    number = 0
    while True:
        held = connection()
        held.ensure_connection()
        # As text, which is all that Django's cursor reads, the bytes would be twice as long.
        with held.wrap_database_errors, Cursor(held.connection) as cursor:
            cursor.execute(
                "SELECT data FROM insights_batchbytes WHERE batch_id = %s AND piece_no = %s",
                [batch_id, number],
                binary=True,
            )
            row = cursor.fetchone()
        if row is None:
            return
        yield bytes(row[0])
        number += 1


def _catalogue(only_account_id: int | None) -> Catalogue:
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT reference, id, state, closed_at FROM accounts_account "
            "WHERE %(only)s::bigint IS NULL OR id = %(only)s",
            {"only": only_account_id},
        )
        accounts = {
            row[0]: AccountFact(id=row[1], state=row[2], closed_at=row[3]) for row in cursor.fetchall()
        }
    return Catalogue(accounts=accounts, meters=list_meter_facts())


def read_chunk(run: BatchRun, chunk: Chunk) -> ReadChunk:
    """Parse a chunk and give its lines their series; makes accounts, series and months that are missing.

    Limits go by when the batch came and not by when a worker has time for it, so that a backlog changes nothing.
    """
    columns = _read_columns(run, chunk)
    if columns is not None:
        return ReadChunk(chunk=chunk, parsed=ParsedChunk(), columns=columns)
    return _read_lines(run, chunk)


def _read_columns(run: BatchRun, chunk: Chunk) -> StagedColumns | None:
    """Read a chunk by columns, or return None where its lines have to be read one by one."""
    # Only a worker needs the library of columns, and each loads it for itself: its threads would not survive a fork.
    from insights.ingest.columns import read_columns
    from insights.ingest.staged_columns import SeriesFact, stage_columns

    reader, memories = _memories(run)
    plain = read_columns(chunk, reader, memories)
    if plain is None:
        return None
    keys = [(subject.account_id, subject.meter.id, subject.dimensions) for subject in plain.subjects]
    _intern(run, keys)
    if any(key in run.over_limit for key in keys):
        return None
    _ensure_months(run, plain.starts)
    return stage_columns(plain, [SeriesFact(key[0], run.series[key], key[1]) for key in keys])


def _memories(run: BatchRun) -> tuple[LineReader, Memories]:
    """What chunks of the batch have in common, as long as no account was made."""
    if run.memories is None or run.memories[0].catalogue is not run.catalogue:
        reader = LineReader(**_reading(run))
        run.memories = reader, memories_of(reader)
    return run.memories


def _read_lines(run: BatchRun, chunk: Chunk) -> ReadChunk:
    parsed = _parse(run, chunk)
    if run.batch.create_accounts and (unknown := _unknown_references(parsed)):
        for reference in unknown:
            ensure_account(reference=reference, actor_name=f"source {run.definition.slug}")
        run.catalogue = _catalogue(run.batch.source.account_id)
        parsed = _parse(run, chunk)
    named = _series_named(parsed.accepted)
    doubted = [line for line, _reject in parsed.doubtful]
    doubted_named = _series_named(doubted)
    _intern(run, named.values())
    _look_up(run, doubted_named)
    _ensure_months(run, set(map(_WINDOW_START, parsed.accepted)))
    lines, refused = [], []
    for line, staged in zip(parsed.accepted, _staged(run, parsed.accepted, named), strict=True):
        if staged is None:
            refused.append(_over_dimension_limit(run, line, chunk))
        else:
            lines.append(staged)
    doubtful = []
    for (_line, reject), staged in zip(parsed.doubtful, _staged(run, doubted, doubted_named), strict=True):
        if staged is None:
            refused.append(reject)
        else:
            doubtful.append((staged, reject))
    return ReadChunk(chunk=chunk, parsed=parsed, lines=lines, doubtful=doubtful, refused=refused)


def _parse(run: BatchRun, chunk: Chunk) -> ParsedChunk:
    return parse_chunk(chunk, **_reading(run))


def _reading(run: BatchRun) -> dict[str, Any]:
    return {
        "header": run.header,
        "definition": run.definition,
        "catalogue": run.catalogue,
        "now": run.batch.received_at,
        "aged_at": run.first_received_at,
        "batch_revision": run.batch.revision,
    }


def _unknown_references(parsed: ParsedChunk) -> list[str]:
    unknown = {
        reject.account_reference
        for reject in parsed.rejected
        if reject.code == "unknown_account" and reject.account_reference
    }
    return sorted(unknown)


def _series_named(lines: Sequence[AcceptedLine]) -> Named:
    """Return the series that lines name, by a key that is quicker to make than theirs.

    Parsing gives lines of one series the same dimensions object, whose identity is a number, while hashing its texts
    would cost more than anything else done here. The lines keep the objects alive.
    """
    return {
        (account_id, meter_id, id(dimensions)): (account_id, meter_id, dimensions)
        for _no, account_id, meter_id, dimensions, _start, _row_id, _revision, _quantity in lines
    }


def _unmet(run: BatchRun, keys: Iterable[SeriesKey]) -> list[SeriesKey]:
    return [key for key in set(keys) if key not in run.series and key not in run.over_limit]


def _look_up(run: BatchRun, named: Named) -> None:
    """Find the series of lines that may be too old to be taken; such lines must not make any."""
    missing = _unmet(run, named.values())
    if missing:
        _remember(run, find_series(source_id=run.batch.source_id, keys=missing))


def _remember(run: BatchRun, found: dict[SeriesKey, int]) -> None:
    run.series |= found
    run.meters |= {series_id: key[1] for key, series_id in found.items()}


def _intern(run: BatchRun, keys: Iterable[SeriesKey]) -> None:
    missing = _unmet(run, keys)
    if not missing:
        return
    found, refused = intern_series(
        source_id=run.batch.source_id,
        window_seconds=run.definition.window_seconds,
        keys=missing,
        is_backfill=run.is_backfill,
    )
    _remember(run, found)
    run.over_limit |= refused


def _ensure_months(run: BatchRun, windows: Iterable[datetime]) -> None:
    for year, month in sorted({(window.year, window.month) for window in windows} - run.months):
        with connection().cursor() as cursor:
            cursor.execute("SELECT portal_ensure_month(%s)", [date(year, month, 1)])
        run.months.add((year, month))


def _staged(run: BatchRun, lines: Sequence[AcceptedLine], named: Named) -> Iterator[StagedLine | None]:
    """Yield each line with its series, or None where it has none."""
    ids = {quick: run.series.get(key) for quick, key in named.items()}
    # A NamedTuple's own constructor takes twice the time, on every line.
    make = tuple.__new__
    for line_no, account_id, meter_id, dimensions, start, row_id, revision, quantity in lines:
        series_id = ids[account_id, meter_id, id(dimensions)]
        if series_id is None:
            yield None
        else:
            yield make(StagedLine, (line_no, account_id, series_id, start, row_id, revision, quantity))


def _over_dimension_limit(run: BatchRun, line: AcceptedLine, chunk: Chunk) -> RejectedLine:
    name = run.over_limit[(line.account_id, line.meter_id, line.dimensions)]
    return RejectedLine(
        line_no=line.line_no,
        code="dimension_limit",
        field=name,
        value=dict(line.dimensions)[name],
        message=f"a dimension may have {DIMENSION_VALUES_MAX} different values; known values still work",
        account_id=line.account_id,
        account_reference=None,
        raw=chunk.lines[line.line_no - chunk.first_line_no].encode(),
        retryable=True,
    )
