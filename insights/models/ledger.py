"""The ledger's order: every committed write has a gap-free position, in the order of commits."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from insights.models.backfills import Backfill
from insights.models.batches import Batch


class EntryKind(models.TextChoices):
    """What wrote to the ledger."""

    CHUNK = "chunk"
    REVERT = "revert"
    BACKFILL_CLOSE = "backfill_close"
    REPLAY = "replay"


class LedgerHead(models.Model):
    """The single row that hands out positions; it is locked last, and so orders commits."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    position = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(name="ledgerhead_single", condition=Q(id=1))]


class LedgerEntry(models.Model):
    """One committed write. The position is taken by the transaction's last statement."""

    position = models.BigIntegerField(unique=True, null=True)
    kind = models.CharField(max_length=15, choices=EntryKind.choices)
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, null=True, related_name="entries")
    # Instead of a batch, since the entry is of all its batches.
    backfill = models.ForeignKey(
        Backfill, on_delete=models.PROTECT, null=True, related_name="entries", db_index=False
    )
    first_line = models.PositiveIntegerField(null=True)
    last_line = models.PositiveIntegerField(null=True)
    committed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="ledgerentry_kind_known", condition=Q(kind__in=EntryKind.values)),
            models.UniqueConstraint(
                fields=["backfill"], condition=Q(backfill__isnull=False), name="ledgerentry_backfill_once"
            ),
            models.CheckConstraint(
                name="ledgerentry_of_backfill",
                condition=Q(kind="backfill_close", backfill__isnull=False, batch__isnull=True)
                | (~Q(kind="backfill_close") & Q(backfill__isnull=True)),
            ),
        ]
        # Which position an instant means.
        indexes = [models.Index(fields=["committed_at", "position"], name="ledgerentry_committed")]
