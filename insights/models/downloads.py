"""Downloads: what was asked for, and proof of what was sent."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Account, AccountQuerySet


class DownloadState(models.TextChoices):
    """A download is whole (done) or visibly not (cut)."""

    RUNNING = "running"
    DONE = "done"
    CUT = "cut"


class Download(models.Model):
    """One streamed CSV with its row count and hash, by which a client checks that nothing is missing."""

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10)
    query = models.JSONField(default=dict)
    asked_by = models.CharField(max_length=254)
    state = models.CharField(max_length=10, choices=DownloadState.choices, default=DownloadState.RUNNING)
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)
    rows = models.BigIntegerField(null=True)
    size_bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True, default="")

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="download_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="download_public_id"),
            models.CheckConstraint(name="download_state_known", condition=Q(state__in=DownloadState.values)),
            models.CheckConstraint(
                name="download_done_is_proved",
                condition=~Q(state="done")
                | Q(rows__isnull=False, size_bytes__isnull=False, finished_at__isnull=False),
            ),
        ]
