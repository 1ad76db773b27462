"""Takes uploads in: looks at all of the bytes, keeps them, and puts them on the work list, in one transaction.

A 2xx answer is given only after that commit. Nothing is ingested here; whatever the sender's way in was, the worker
reads the same kept bytes.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.tenancy import as_intake, connection, current_alias
from insights.ingest.catalogue import dimension_keys_of
from insights.ingest.grammar import REVISION_END, refuse_control_characters
from insights.ingest.held_operations import admit_held, find_backfill, refuse_unless_open
from insights.ingest.keeping_operations import PIECE_BYTES, keep_pieces, pieces_of, spool
from insights.ingest.limits import Limits
from insights.ingest.lines import Delivery, open_delivery
from insights.ingest.mapping import definition_of, list_meter_facts
from insights.ingest.refusals import Refusal, RequestRefused
from insights.models import Batch, BatchState, Source, WorkItem, WorkState

SPOOL_BYTES = 8 * PIECE_BYTES
CHUNK_LINES = 50_000
IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
MEDIA_TYPES = frozenset({"csv", "ndjson", "json", "any"})
# Who polls with the key of another batch has sent nothing new, so there is nothing to keep.
UNKEPT_REFUSALS = frozenset({"in_progress", "idempotency_mismatch"})
# The command line is in the hands of whoever runs the portal, and sends a backlog on purpose.
UNLIMITED_WAYS = frozenset({"command"})
FINISHED_STATES = frozenset(
    {
        BatchState.DONE,
        BatchState.REFUSED,
        BatchState.QUARANTINED,
        BatchState.REVERTED,
        BatchState.DISCARDED,
    }
)
# Nothing more happens to these by themselves: a held batch waits for people.
SETTLED_STATES = FINISHED_STATES | {BatchState.HELD}


@dataclass(frozen=True, slots=True)
class Received:
    """A batch that is safely kept; is_repeat when the idempotency key had brought it before."""

    batch_id: int
    public_id: uuid.UUID
    is_repeat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What a sender says about an upload, apart from its bytes."""

    source_id: int
    via: str
    media_type: str = "any"
    gzip_declared: bool = False
    name: str = ""
    submitted_by_id: int | None = None
    revision: int | None = None
    complete_to: datetime | None = None
    idempotency_key: str | None = None
    declared_sha256: str | None = None
    declared_rows: int | None = None
    create_accounts: bool = False
    upload_id: uuid.UUID | None = None
    upload_part: int = 1
    is_last_part: bool = True
    replay_of_id: int | None = None
    # The open backfill that holds the batch; the id is looked up here and is not for callers to give.
    backfill: uuid.UUID | None = None
    backfill_id: int | None = None


@dataclass(frozen=True, slots=True)
class _Looked:
    """What one look at all of the bytes found."""

    form: str
    names: tuple[str, ...]
    lines_total: int


def receive_batch(*, pieces: Iterable[bytes], **said: object) -> Received:
    """Keep an upload for the worker; the keywords are those of Upload.

    Raises RequestRefused when the request as a whole cannot be taken; then nothing is kept but the refusal, and not
    even that when it is what was said about the upload that cannot be stored.
    """
    return receive_upload(Upload(**said), pieces)  # type: ignore[arg-type]


def receive_upload(upload: Upload, pieces: Iterable[bytes]) -> Received:
    """Keep an upload for the worker, or raise RequestRefused."""
    _refuse_unfit(upload)
    with as_intake(), tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as kept:
        source = Source.objects.get(pk=upload.source_id)
        if not source.enabled:
            raise RequestRefused(
                "source_disabled", f"the source {source.slug} does not take usage at present"
            )
        _refuse_flood(upload)
        try:
            if upload.backfill is not None:
                found, state = find_backfill(public_id=upload.backfill, source_id=source.pk)
                upload = replace(upload, backfill_id=found)
                # What was held before is answered as it was, whatever became of its backfill.
                if not _is_known_key(upload):
                    refuse_unless_open(state)
            size, digest = spool(pieces, kept)
            repeat = _find_repeat(upload, digest)
            if repeat is not None:
                return repeat
            looked = _look(source, upload, kept, digest)
            return _keep_once(upload, kept, size=size, digest=digest, looked=looked)
        except RequestRefused as refusal:
            if refusal.code not in UNKEPT_REFUSALS:
                _keep_refusal(upload, refusal)
            raise


def _keep_once(upload: Upload, kept: IO[bytes], *, size: int, digest: bytes, looked: _Looked) -> Received:
    try:
        return _keep(upload, kept, size=size, digest=digest, looked=looked)
    except IntegrityError:
        # The same idempotency key won the race in another request; its batch is the answer.
        repeat = _find_repeat(upload, digest)
        if repeat is None:
            raise
        return repeat


def _refuse_unfit(upload: Upload) -> None:
    """Refuse what could not be stored as it was said; the edges check the same in their own words."""
    try:
        refuse_control_characters(upload.name, "name")
    except Refusal as refusal:
        raise RequestRefused("field_format", refusal.message, field="name") from None
    if upload.media_type not in MEDIA_TYPES:
        raise RequestRefused("unsupported_media_type", "an upload is csv, ndjson or json")
    key = upload.idempotency_key
    if key is not None and not (0 < len(key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX and key.isprintable()):
        detail = f"an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible characters"
        raise RequestRefused("idempotency_key", detail, field="idempotency_key")
    for name, number, least in (
        ("revision", upload.revision, 1),
        ("declared_rows", upload.declared_rows, 0),
        ("upload_part", upload.upload_part, 1),
    ):
        if number is not None and not least <= number < REVISION_END:
            detail = f"{name} must be a whole number from {least} to {REVISION_END - 1}"
            raise RequestRefused("number_format", detail, field=name)


def _refuse_flood(upload: Upload) -> None:
    """Refuse one more batch of a sender whose batches wait already, before its body is read; a repeat is no more."""
    if upload.via in UNLIMITED_WAYS or _is_known_key(upload):
        return
    most = settings.UPLOAD_OPEN_BATCHES_MAX
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM insights_workitem w JOIN insights_batch b ON b.id = w.batch_id "
            "WHERE w.state IN ('waiting', 'leased') AND b.source_id = %s LIMIT %s) AS open",
            [upload.source_id, most],
        )
        if cursor.fetchone()[0] >= most:
            detail = f"{most} batches of this source wait to be worked on; send on when some are done"
            raise RequestRefused("too_many_batches", detail)


def _is_known_key(upload: Upload) -> bool:
    key = upload.idempotency_key
    return key is not None and Batch.objects.filter(source_id=upload.source_id, idempotency_key=key).exists()


def _find_repeat(upload: Upload, digest: bytes) -> Received | None:
    if upload.idempotency_key is None:
        return None
    first = Batch.objects.filter(source_id=upload.source_id, idempotency_key=upload.idempotency_key).first()
    if first is None:
        return None
    if (
        bytes(first.sha256) != digest
        or upload.media_type not in ("any", first.media_type)
        or first.revision != upload.revision
        or first.complete_to != upload.complete_to
        or first.backfill_id != upload.backfill_id
    ):
        raise RequestRefused("idempotency_mismatch", "this Idempotency-Key came before with another body")
    if first.state not in SETTLED_STATES:
        raise RequestRefused(
            "in_progress",
            f"the first request with this Idempotency-Key is being worked on: {first.public_id}",
        )
    return Received(batch_id=first.pk, public_id=first.public_id, is_repeat=True)


def _look(source: Source, upload: Upload, kept: IO[bytes], digest: bytes) -> _Looked:
    if upload.declared_sha256 is not None and upload.declared_sha256.lower() != digest.hex():
        raise RequestRefused("checksum", "the SHA-256 of what arrived is not the one declared")
    delivery = open_kept_delivery(
        source, pieces_of(kept), form=_form(upload.media_type), gzip_declared=upload.gzip_declared
    )
    last, rows = delivery.count()
    if upload.declared_rows is not None and upload.declared_rows != rows:
        raise RequestRefused("checksum", f"{upload.declared_rows} rows were declared and {rows} arrived")
    return _Looked(form=delivery.header.form, names=delivery.header.names, lines_total=last)


def _form(media_type: str) -> str | None:
    return None if media_type == "any" else media_type


def open_kept_delivery(
    source: Source, pieces: Iterable[bytes], *, form: str | None, gzip_declared: bool = False
) -> Delivery:
    """Open a batch's bytes as its source writes them; raises RequestRefused."""
    return open_delivery(
        pieces,
        definition=definition_of(source),
        dimension_keys=dimension_keys_of(list_meter_facts().values()),
        form=form,
        gzip_declared=gzip_declared,
        limits=Limits(
            lines=settings.UPLOAD_MAX_LINES,
            chunk_lines=CHUNK_LINES,
            unpacked_bytes=settings.UPLOAD_MAX_UNPACKED_BYTES,
        ),
    )


def _batch(upload: Upload) -> Batch:
    return Batch(
        source_id=upload.source_id,
        upload_id=upload.upload_id or uuid.uuid4(),
        upload_part=upload.upload_part,
        is_last_part=upload.is_last_part,
        name=upload.name[:200],
        via=upload.via,
        submitted_by_id=upload.submitted_by_id,
        revision=upload.revision,
        complete_to=upload.complete_to,
        create_accounts=upload.create_accounts,
        replay_of_id=upload.replay_of_id,
        backfill_id=upload.backfill_id,
    )


def _keep(upload: Upload, kept: IO[bytes], *, size: int, digest: bytes, looked: _Looked) -> Received:
    batch = _batch(upload)
    batch.media_type, batch.lines_total = looked.form, looked.lines_total
    batch.header, batch.sha256, batch.size_bytes = list(looked.names), digest, size
    batch.idempotency_key = upload.idempotency_key
    batch.duplicate_of = (
        Batch.objects.filter(source_id=upload.source_id, sha256=digest, replay_of=None)
        .filter(Q(state=BatchState.DONE) | Q(state=BatchState.HELD, backfill_id=upload.backfill_id))
        .order_by("id")
        .first()
    )
    is_held = upload.backfill_id is not None
    if is_held:
        batch.state = BatchState.HELD
    with transaction.atomic(using=current_alias()):
        batch.save()
        keep_pieces(batch_id=batch.pk, kept=kept)
        # A held batch has nothing done to it until staff ask for its backfill.
        WorkItem.objects.create(batch=batch, state=WorkState.DONE if is_held else WorkState.WAITING)
        if upload.backfill_id is not None:
            admit_held(backfill_id=upload.backfill_id)
    return Received(batch_id=batch.pk, public_id=batch.public_id, is_repeat=False)


def _keep_refusal(upload: Upload, refusal: RequestRefused) -> None:
    batch = _batch(upload)
    batch.media_type, batch.size_bytes, batch.sha256 = upload.media_type, 0, b""
    batch.state = BatchState.REFUSED
    batch.error_code, batch.error_detail = refusal.code, refusal.detail[:500]
    batch.error_line, batch.error_field = refusal.line, (refusal.field or "")[:100]
    batch.save()
