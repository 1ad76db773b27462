"""Uploads as they arrived, and the list of work to be done on them. Platform tables: customers see batch parts."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from insights.models.sources import Source


class BatchState(models.TextChoices):
    """Where a batch is on its way."""

    RECEIVED = "received"
    PROCESSING = "processing"
    DONE = "done"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    REVERTED = "reverted"
    HELD = "held"
    DISCARDED = "discarded"


class Batch(models.Model):
    """One upload by one source: received once, kept as sent, counted line by line."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    upload_id = models.UUIDField(default=uuid.uuid4, editable=False)
    upload_part = models.PositiveIntegerField(default=1)
    is_last_part = models.BooleanField(default=True, help_text="No part of the same upload follows.")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="batches")
    name = models.CharField(max_length=200, blank=True, default="")
    via = models.CharField(max_length=10)
    received_at = models.DateTimeField(db_default=Now(), editable=False)
    submitted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    media_type = models.CharField(max_length=20)
    header = models.JSONField(default=list, help_text="Column names of a CSV file, in its order.")
    sha256 = models.BinaryField(max_length=32)
    size_bytes = models.BigIntegerField()
    revision = models.PositiveIntegerField(null=True)
    complete_to = models.DateTimeField(null=True)
    create_accounts = models.BooleanField(default=False)
    idempotency_key = models.CharField(max_length=255, null=True)
    replay_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="replays")
    backfill = models.ForeignKey(
        "insights.Backfill", on_delete=models.PROTECT, null=True, related_name="batches"
    )
    duplicate_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=12, choices=BatchState.choices, default=BatchState.RECEIVED)
    lines_done = models.PositiveIntegerField(
        default=0, help_text="Physical lines behind the last committed chunk."
    )
    lines_total = models.PositiveIntegerField(null=True)
    blank_lines = models.PositiveIntegerField(default=0)
    received = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    replaced = models.PositiveIntegerField(default=0)
    duplicate = models.PositiveIntegerField(default=0)
    stale = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=40, blank=True, default="")
    error_detail = models.CharField(max_length=500, blank=True, default="")
    error_line = models.PositiveIntegerField(null=True)
    error_field = models.CharField(max_length=100, blank=True, default="")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="batch_idempotency_key",
            ),
            models.CheckConstraint(name="batch_state_known", condition=Q(state__in=BatchState.values)),
            models.CheckConstraint(
                name="batch_lines_add_up",
                condition=Q(received=F("new") + F("replaced") + F("duplicate") + F("stale") + F("rejected")),
            ),
            models.CheckConstraint(
                name="batch_via_known", condition=Q(via__in=["api", "command", "browser", "replay"])
            ),
        ]
        indexes = [
            models.Index(fields=["source", "-id"], name="batch_by_source"),
            models.Index(fields=["upload_id"], name="batch_by_upload"),
        ]


class BatchBytes(models.Model):
    """One piece, at most 1 MiB, of what was sent; kept until 30 days after the batch is done."""

    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="pieces")
    piece_no = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["batch", "piece_no"], name="batchbytes_piece")]


class BatchRevert(models.Model):
    """A batch to be taken out of the books: prepared first, so that staff see in numbers what it will do.

    `preview` counts records by meter and day and never holds a quantity: staff have no right to those.
    """

    batch = models.OneToOneField(Batch, on_delete=models.PROTECT, related_name="revert")
    asked_at = models.DateTimeField(db_default=Now(), editable=False)
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    prepared_at = models.DateTimeField(null=True)
    preview = models.JSONField(default=dict)
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=200, blank=True, default="")
    records_out = models.PositiveIntegerField(default=0, help_text="Current records taken out.")
    records_back = models.PositiveIntegerField(default=0, help_text="Past revisions that are current again.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="batchrevert_prepared_first",
                condition=Q(confirmed_at__isnull=True) | Q(prepared_at__isnull=False),
            ),
            models.CheckConstraint(
                name="batchrevert_confirmed_with_reason",
                condition=Q(confirmed_at__isnull=True) | ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="batchrevert_finished_last",
                condition=Q(finished_at__isnull=True) | Q(confirmed_at__isnull=False),
            ),
        ]


class WorkState(models.TextChoices):
    """Whether somebody has to do it, does it, or has done it."""

    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"
    QUARANTINED = "quarantined"


class WorkItem(models.Model):
    """A batch to be ingested. The lease number fences off a worker that lost its lease."""

    batch = models.OneToOneField(Batch, on_delete=models.PROTECT, related_name="work")
    state = models.CharField(max_length=12, choices=WorkState.choices, default=WorkState.WAITING)
    lease_owner = models.CharField(max_length=100, blank=True, default="")
    lease_number = models.PositiveIntegerField(default=0)
    leased_until = models.DateTimeField(null=True)
    deliveries = models.PositiveIntegerField(default=0, help_text="Since the last committed chunk.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["waiting", "leased"]), name="workitem_open")
        ]


class UnattributedReject(models.Model):
    """A refused line that names no account we know; kept for 90 days and can be replayed."""

    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+")
    line_no = models.PositiveIntegerField()
    code = models.CharField(max_length=40)
    field = models.CharField(max_length=100)
    message = models.CharField(max_length=300)
    value = models.CharField(max_length=200)
    account_reference = models.CharField(max_length=200, blank=True, default="")
    raw = models.BinaryField(null=True)
    rejected_at = models.DateTimeField(db_default=Now(), editable=False)
    replayed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["batch", "line_no"], name="unattributedreject_line")]
