"""Refused lines tried again after their cause was mended: as a batch of their own, through the usual way in.

The request only names the batch; the worker fetches the lines, since nobody else may read what customers sent.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts.tenancy import as_intake, connection, current_alias
from insights.ingest.operations import PIECE_BYTES, Received
from insights.models import Batch, BatchBytes, RejectedLine, UnattributedReject, WorkItem


class NothingToReplay(Exception):
    """Every refused line of the batch was replayed before, or none was kept."""


def replay_rejects(*, batch_public_id: uuid.UUID, submitted_by_id: int | None) -> Received:
    """Put a batch's refused lines on the work list again; raises NothingToReplay, Batch.DoesNotExist."""
    with as_intake():
        first = Batch.objects.get(public_id=batch_public_id)
        waiting = _count_waiting(first.pk)
        if not waiting:
            raise NothingToReplay(f"no refused line of {batch_public_id} waits to be tried again")
        with transaction.atomic(using=current_alias()):
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


def _count_waiting(batch_id: int) -> int:
    with connection().cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT count(*) FROM insights_rejectedline
                    WHERE batch_id = %(b)s AND replayed_at IS NULL AND raw IS NOT NULL)
                 + (SELECT count(*) FROM insights_unattributedreject
                    WHERE batch_id = %(b)s AND replayed_at IS NULL AND raw IS NOT NULL)
            """,
            {"b": batch_id},
        )
        return int(cursor.fetchone()[0])


def fetch_replayed_lines(batch: Batch, *, now: datetime) -> None:
    """Give a replay its bytes, once: the refused lines in their old order under the old header."""
    if batch.replay_of_id is None or BatchBytes.objects.filter(batch=batch).exists():
        return
    with transaction.atomic(using=current_alias()):
        lines: dict[int, bytes] = {}
        for rows in (RejectedLine.objects, UnattributedReject.objects):
            waiting = rows.filter(
                batch_id=batch.replay_of_id, replayed_at=None, raw__isnull=False
            ).select_for_update()
            lines |= {row.line_no: bytes(row.raw or b"") for row in waiting}
            rows.filter(batch_id=batch.replay_of_id, line_no__in=lines, replayed_at=None).update(
                replayed_at=now
            )
        body = _body(batch, [lines[line_no] for line_no in sorted(lines)])
        BatchBytes.objects.bulk_create(
            BatchBytes(batch=batch, piece_no=number, data=body[start : start + PIECE_BYTES])
            for number, start in enumerate(range(0, len(body), PIECE_BYTES))
        )
        Batch.objects.filter(pk=batch.pk).update(
            sha256=hashlib.sha256(body).digest(),
            size_bytes=len(body),
            lines_total=len(lines) + bool(batch.header),
        )


def _body(batch: Batch, lines: Sequence[bytes]) -> bytes:
    if batch.media_type == "json":
        return b'{"rows":[' + b",".join(lines) + b"]}"
    header = [_csv_line(batch.header)] if batch.header else []
    return b"".join(line + b"\n" for line in [*header, *lines])


def _csv_line(names: Sequence[str]) -> bytes:
    return ",".join('"' + name.replace('"', '""') + '"' for name in names).encode()
