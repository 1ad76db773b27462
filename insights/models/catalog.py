"""What is measured. A meter's unit, grain and aggregation are part of its version and never change in place."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class Aggregation(models.TextChoices):
    """How the quantities of several windows become one."""

    SUM = "sum"
    COUNT = "count"
    MAX = "max"
    LATEST = "latest"
    UNIQUE_COUNT = "unique_count"
    TIME_WEIGHTED_SUM = "time_weighted_sum"


class Meter(models.Model):
    """One version of what is measured; it takes the windows that begin after the version before it was retired."""

    key = models.SlugField(max_length=60)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True, default="")
    unit = models.CharField(max_length=30)
    grain_seconds = models.PositiveIntegerField(default=3600)
    aggregation = models.CharField(max_length=20, choices=Aggregation.choices, default=Aggregation.SUM)
    dimensions = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    unique_dimensions = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    allows_negative = models.BooleanField(default=False)
    position = models.PositiveIntegerField(default=0, help_text="Order on pages.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position", "key", "version"]
        constraints = [
            models.UniqueConstraint(fields=["key", "version"], name="meter_key_version"),
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(retired_at__isnull=True),
                name="meter_one_open_version",
                violation_error_message="Another version of this meter is open. Retire it first.",
            ),
            models.CheckConstraint(name="meter_version_from_one", condition=Q(version__gte=1)),
            models.CheckConstraint(
                name="meter_aggregation_known", condition=Q(aggregation__in=Aggregation.values)
            ),
            # Quantities are kept per window; a day is the coarsest window and an hour divides it.
            models.CheckConstraint(
                name="meter_grain_known", condition=Q(grain_seconds__in=[300, 900, 1800, 3600, 86400])
            ),
            models.CheckConstraint(
                name="meter_unique_dimensions_declared",
                condition=Q(unique_dimensions__contained_by=F("dimensions")),
            ),
            models.CheckConstraint(
                name="meter_unique_count_has_dimensions",
                condition=~Q(aggregation="unique_count") | ~Q(unique_dimensions=[]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} (version {self.version})"
