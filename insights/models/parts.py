"""What one batch did for one account: the counts, the lines that were not new, and the lines refused."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now

from accounts.models import Account, AccountQuerySet
from insights.models.batches import Batch


class Verdict(models.TextChoices):
    """What became of a line that was not new."""

    REPLACED = "replaced"
    DUPLICATE = "duplicate"
    STALE = "stale"


class BatchPart(models.Model):
    """The part of a batch that concerns one account: what a customer sees of an upload."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="parts")
    # Copied, because customers' pages have no right to read the platform's tables.
    batch_public_id = models.UUIDField()
    source_slug = models.CharField(max_length=60)
    source_name = models.CharField(max_length=100)
    batch_name = models.CharField(max_length=200, blank=True, default="")
    via = models.CharField(max_length=10)
    received_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    reverted_at = models.DateTimeField(null=True)
    received = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    replaced = models.PositiveIntegerField(default=0)
    duplicate = models.PositiveIntegerField(default=0)
    stale = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    first_window = models.DateTimeField(null=True)
    last_window_end = models.DateTimeField(null=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="batchpart_account_id"),
            models.UniqueConstraint(fields=["account", "batch"], name="batchpart_once"),
            models.UniqueConstraint(fields=["account", "batch_public_id"], name="batchpart_public_id"),
            models.CheckConstraint(
                name="batchpart_lines_add_up",
                condition=Q(received=F("new") + F("replaced") + F("duplicate") + F("stale") + F("rejected")),
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-received_at", "-id"], name="batchpart_recent"),
            models.Index(fields=["account"], condition=Q(finished_at__isnull=True), name="batchpart_open"),
            # What came, was finished or was taken back since an instant: what billing looks for.
            models.Index(
                "account", Greatest("finished_at", "reverted_at", "received_at"), name="batchpart_touched"
            ),
        ]


class LineVerdict(models.Model):
    """A run of neighbouring lines of one account with the same verdict."""

    # Corrections spread over a file make as many runs as lines; each is found by account and batch.
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+", db_index=False)
    first_line = models.PositiveIntegerField()
    last_line = models.PositiveIntegerField()
    lines = models.PositiveIntegerField()
    verdict = models.CharField(max_length=10, choices=Verdict.choices)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="lineverdict_account_id"),
            models.UniqueConstraint(fields=["account", "batch", "first_line"], name="lineverdict_once"),
            models.CheckConstraint(name="lineverdict_known", condition=Q(verdict__in=Verdict.values)),
        ]


class RejectedLine(models.Model):
    """A refused line of a known account; kept for 90 days and can be replayed after its cause is mended."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+")
    line_no = models.PositiveIntegerField()
    code = models.CharField(max_length=40)
    field = models.CharField(max_length=100)
    message = models.CharField(max_length=300)
    value = models.CharField(max_length=200)
    raw = models.BinaryField(null=True)
    rejected_at = models.DateTimeField(db_default=Now(), editable=False)
    replayed_at = models.DateTimeField(null=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="rejectedline_account_id"),
            models.UniqueConstraint(fields=["account", "batch", "line_no"], name="rejectedline_once"),
        ]
