"""Who sends usage: a named feed, how its files are to be read, and the keys that may write to it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Account, User


class KeyKind(models.TextChoices):
    """What makes two lines the same fact: their window, or the sender's row id."""

    WINDOW = "window"
    ROW_ID = "row_id"


class SourceWindow(models.TextChoices):
    """How long the sender's intervals are; a day is a local day in the source's clock zone."""

    FIVE_MINUTES = "5min"
    QUARTER_HOUR = "15min"
    HALF_HOUR = "30min"
    HOUR = "hour"
    DAY = "day"


class Source(models.Model):
    """One feed. Its definition is data, so that a new feed needs no code."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    billable = models.BooleanField(default=True)
    enabled = models.BooleanField(default=True)
    format = models.CharField(max_length=10, default="any")
    key_kind = models.CharField(max_length=10, choices=KeyKind.choices, default=KeyKind.WINDOW)
    window = models.CharField(max_length=10, choices=SourceWindow.choices, default=SourceWindow.HOUR)
    clock_zone = models.CharField(max_length=64, blank=True, default="")
    columns = models.JSONField(default=dict, blank=True)
    ignored = models.JSONField(default=list, blank=True)
    constants = models.JSONField(default=dict, blank=True)
    conversions = models.JSONField(default=dict, blank=True)
    default_revision = models.PositiveIntegerField(default=1)
    max_age_days = models.PositiveIntegerField(null=True, blank=True, default=35)
    max_ahead_seconds = models.PositiveIntegerField(default=300)
    lateness_seconds = models.PositiveIntegerField(default=0)
    cadence_seconds = models.PositiveIntegerField(default=3600)
    # Of what comes after this instant nothing is expected, and so nothing is missed.
    ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(name="source_key_kind_known", condition=Q(key_kind__in=KeyKind.values)),
            models.CheckConstraint(name="source_window_known", condition=Q(window__in=SourceWindow.values)),
            models.CheckConstraint(
                name="source_format_known", condition=Q(format__in=["any", "csv", "ndjson", "json"])
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class SourceKey(models.Model):
    """A key that may write to one source and nothing else. Only its hash is kept."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    secret_sha256 = models.BinaryField(max_length=32)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["prefix"], name="sourcekey_prefix")]
