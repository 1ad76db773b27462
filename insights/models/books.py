"""What the daily check of the books found."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class BookCheck(models.Model):
    """One check of all stored data against itself; `named` holds the first differences, by kind and id only."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(db_default=Now(), editable=False)
    rows = models.BigIntegerField()
    differences = models.BigIntegerField()
    named = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.CheckConstraint(name="bookcheck_counts", condition=Q(rows__gte=0, differences__gte=0))
        ]
