"""Uploads that are gathered first and go into the books together, at one position. A platform table."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from insights.models.sources import Source


class BackfillState(models.TextChoices):
    """Where a backfill is on its way; the first five are open, and a source has at most one of those."""

    OPEN = "open"
    PREVIEWING = "previewing"
    READY = "ready"
    FAILED = "failed"
    CLOSING = "closing"
    CLOSED = "closed"
    DISCARDED = "discarded"


class Backfill(models.Model):
    """Batches of one source that are held until staff have seen in numbers what they will do.

    `preview` counts lines and records and never holds a quantity: staff have no right to those.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="backfills")
    state = models.CharField(max_length=10, choices=BackfillState.choices, default=BackfillState.OPEN)
    reason = models.CharField(max_length=200)
    takes_any_age = models.BooleanField(
        default=True, help_text="Windows of any age are taken, whatever the source's age limit says."
    )
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    opened_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    preview = models.JSONField(default=dict)
    previewed_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True, default="", help_text="Why the last try failed.")
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    end_reason = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source"],
                condition=~Q(state__in=["closed", "discarded"]),
                name="backfill_one_open",
            ),
            models.CheckConstraint(name="backfill_state_known", condition=Q(state__in=BackfillState.values)),
            models.CheckConstraint(name="backfill_opened_with_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="backfill_ended_with_reason",
                condition=~Q(state__in=["closing", "closed", "discarded"]) | ~Q(end_reason=""),
            ),
            models.CheckConstraint(
                name="backfill_ended_when",
                condition=Q(state__in=["closed", "discarded"], ended_at__isnull=False)
                | (~Q(state__in=["closed", "discarded"]) & Q(ended_at__isnull=True)),
            ),
        ]
