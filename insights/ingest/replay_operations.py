"""Refused lines tried again after their cause was mended: as a batch of their own, through the usual way in.

The request only names the batch; the worker fetches the lines, since nobody else may read what customers sent. A line
is taken by one replay: who takes lines or gives them back holds the row of the batch that they first came in.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence

from django.db import transaction

from accounts.tenancy import as_intake, connection, current_alias
from insights.ingest.operations import FINISHED_STATES, PIECE_BYTES, Received
from insights.models import Batch, BatchBytes, WorkItem

_TABLES = ("insights_rejectedline", "insights_unattributedreject")
_IS_WAITING = "replayed_at IS NULL AND raw IS NOT NULL"
# Each may have 64 KiB.
LINES_AT_ONCE = 100


class NothingToReplay(Exception):
    """Every refused line of the batch was replayed before, is being replayed now, or none was kept."""


def replay_rejects(*, batch_public_id: uuid.UUID, submitted_by_id: int | None) -> Received:
    """Put a batch's refused lines on the work list again; raises NothingToReplay, Batch.DoesNotExist."""
    with as_intake(), transaction.atomic(using=current_alias()):
        first = Batch.objects.get(public_id=batch_public_id)
        _ask_alone(first)
        if Batch.objects.filter(replay_of=first).exclude(state__in=FINISHED_STATES).exists():
            raise NothingToReplay(f"the refused lines of {batch_public_id} are being tried again")
        waiting = _count_waiting(first.pk)
        if not waiting:
            raise NothingToReplay(f"no refused line of {batch_public_id} waits to be tried again")
        batch = Batch.objects.create(
            source_id=first.source_id,
            name=f"Replay of {first.name or first.public_id}"[:200],
            via="replay",
            submitted_by_id=submitted_by_id,
            media_type=first.media_type,
            header=first.header,
            sha256=b"",
            size_bytes=0,
            revision=first.revision,
            create_accounts=first.create_accounts,
            replay_of=first,
            lines_total=waiting + bool(first.header),
        )
        WorkItem.objects.create(batch=batch)
        return Received(batch_id=batch.pk, public_id=batch.public_id, is_repeat=False)


def _ask_alone(first: Batch) -> None:
    # Who takes uploads in may lock no row of a batch; two requests at once still make one replay.
    with connection().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('replay'), %s)", [first.pk % 2_147_483_647])


def _count_waiting(batch_id: int) -> int:
    with connection().cursor() as cursor:
        counts = " + ".join(
            f"(SELECT count(*) FROM {table} WHERE batch_id = %(b)s AND {_IS_WAITING})" for table in _TABLES
        )
        cursor.execute(f"SELECT {counts}", {"b": batch_id})
        return int(cursor.fetchone()[0])


def fetch_replayed_lines(batch: Batch) -> None:
    """Give a replay its bytes, once: the refused lines that wait, in their old order under the old header.

    May run inside the caller's transaction. The lines carry the instant at which the replay was asked for.
    """
    if batch.replay_of_id is None:
        return
    with transaction.atomic(using=current_alias()):
        _hold_first_batch(batch)
        if bytes(Batch.objects.values_list("sha256", flat=True).get(pk=batch.pk)):
            return
        lines_total = _keep_body(batch)
        with connection().cursor() as cursor:
            for table in _TABLES:
                cursor.execute(
                    f"UPDATE {table} SET replayed_at = replay.received_at FROM insights_batch replay "
                    f"WHERE replay.id = %s AND {table}.batch_id = replay.replay_of_id AND {_IS_WAITING}",
                    [batch.pk],
                )
        Batch.objects.filter(pk=batch.pk).update(lines_total=lines_total + bool(batch.header))


def release_replayed_lines(batch: Batch) -> None:
    """Let the lines of a replay wait again if it ended before any of them was done; else do nothing.

    The replay loses its bytes with them, so that it takes what waits then if it is itself tried again.
    """
    if batch.replay_of_id is None:
        return
    with transaction.atomic(using=current_alias()):
        _hold_first_batch(batch)
        if not Batch.objects.filter(pk=batch.pk, lines_done=0).exists():
            return
        with connection().cursor() as cursor:
            for table in _TABLES:
                cursor.execute(
                    f"UPDATE {table} SET replayed_at = NULL FROM insights_batch replay WHERE replay.id = %s "
                    f"AND {table}.batch_id = replay.replay_of_id AND replayed_at = replay.received_at",
                    [batch.pk],
                )
        BatchBytes.objects.filter(batch=batch).delete()
        Batch.objects.filter(pk=batch.pk).update(sha256=b"", size_bytes=0)


def _hold_first_batch(batch: Batch) -> None:
    # A chunk that refuses further lines of that batch updates its row first, and so waits here as well.
    with connection().cursor() as cursor:
        cursor.execute("SELECT 1 FROM insights_batch WHERE id = %s FOR UPDATE", [batch.replay_of_id])


def _keep_body(batch: Batch) -> int:
    """Write the replay's bytes piece by piece and return how many lines they hold."""
    digest = hashlib.sha256()
    counted = _Counted(_waiting_lines(batch))
    size = 0
    for number, piece in enumerate(_pieces_of(_body(batch, counted))):
        digest.update(piece)
        size += len(piece)
        BatchBytes.objects.bulk_create([BatchBytes(batch=batch, piece_no=number, data=piece)])
    Batch.objects.filter(pk=batch.pk).update(sha256=digest.digest(), size_bytes=size)
    return counted.count


class _Counted:
    """Lines that are counted while they go by."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.lines = lines
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self.lines:
            self.count += 1
            yield line


def _waiting_lines(batch: Batch) -> Iterator[bytes]:
    tables = " UNION ALL ".join(
        f"SELECT line_no, raw FROM {table} WHERE batch_id = %(first)s AND {_IS_WAITING}" for table in _TABLES
    )
    # The rows stay on the server's side, since all of them may be far more than fits into memory here.
    with connection().chunked_cursor() as cursor:
        cursor.execute(f"SELECT raw FROM ({tables}) waiting ORDER BY line_no", {"first": batch.replay_of_id})
        while rows := cursor.fetchmany(LINES_AT_ONCE):
            for (raw,) in rows:
                yield bytes(raw)


def _body(batch: Batch, lines: Iterable[bytes]) -> Iterator[bytes]:
    if batch.media_type == "json":
        opening = b'{"rows":['
        for line in lines:
            yield opening + line
            opening = b","
        yield b"]}" if opening == b"," else opening + b"]}"
        return
    if batch.header:
        yield _csv_line(batch.header) + b"\n"
    for line in lines:
        yield line + b"\n"


def _pieces_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for part in parts:
        waiting += part
        while len(waiting) >= PIECE_BYTES:
            yield bytes(waiting[:PIECE_BYTES])
            del waiting[:PIECE_BYTES]
    if waiting:
        yield bytes(waiting)


def _csv_line(names: Sequence[str]) -> bytes:
    return ",".join('"' + name.replace('"', '""') + '"' for name in names).encode()
