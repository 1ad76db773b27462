"""Takes in the bytes of an upload and keeps them as sent; drops them, and refused lines, after their time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO

from django.conf import settings

from accounts.tenancy import connection
from insights.ingest.refusals import RequestRefused
from insights.models import BatchBytes, RejectedLine, UnattributedReject

PIECE_BYTES = 1024 * 1024


def spool(pieces: Iterable[bytes], kept: IO[bytes]) -> tuple[int, bytes]:
    """Write what comes to a file; return its bytes and their SHA-256, or refuse it at the byte that is too many."""
    digest = hashlib.sha256()
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > settings.UPLOAD_MAX_SENT_BYTES:
            raise RequestRefused(
                "body_too_large", f"an upload may have {settings.UPLOAD_MAX_SENT_BYTES} bytes as sent"
            )
        digest.update(piece)
        kept.write(piece)
    return size, digest.digest()


def keep_pieces(*, batch_id: int, kept: IO[bytes]) -> None:
    """Write an upload's bytes piece by piece, for it is never held in memory; as text they would be twice as long."""
    statement = "COPY insights_batchbytes (batch_id, piece_no, data) FROM STDIN (FORMAT binary)"
    link = connection()
    # A copy's errors come from the driver itself; a full disk is told as every other failure of the database.
    with link.wrap_database_errors, link.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int8", "int4", "bytea"])
        for number, piece in enumerate(pieces_of(kept)):
            copy.write_row((batch_id, number, piece))


def pieces_of(kept: IO[bytes]) -> Iterator[bytes]:
    """Read a file from its beginning, at most 1 MiB at a time."""
    kept.seek(0)
    while piece := kept.read(PIECE_BYTES):
        yield piece


def drop_bytes(*, finished_before: datetime) -> int:
    """Delete the bytes of batches finished before an instant; return the number of pieces."""
    deleted, _by_model = BatchBytes.objects.filter(batch__finished_at__lt=finished_before).delete()
    return deleted


def drop_rejects(*, rejected_before: datetime) -> int:
    """Delete refused lines older than an instant, of known and unknown accounts; return how many."""
    known, _by_model = RejectedLine.objects.filter(rejected_at__lt=rejected_before).delete()
    unattributed, _by_model = UnattributedReject.objects.filter(rejected_at__lt=rejected_before).delete()
    return known + unattributed
