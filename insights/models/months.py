"""The ledger's months: which are archived, where, and what is still known of them in the database."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import Account, AccountQuerySet
from insights.models.usage import Series


class MonthState(models.TextChoices):
    """Where a month's records are. While it is being sealed they are still in the ledger and may change."""

    ATTACHED = "attached"
    SEALING = "sealing"
    ARCHIVED = "archived"
    RESTORED = "restored"


class UsageMonth(models.Model):
    """A month that was ever archived, or is about to be; every other month is attached. Platform table."""

    month = models.DateField(unique=True, help_text="Its first day; months of the ledger are in UTC.")
    state = models.CharField(max_length=10, choices=MonthState.choices, default=MonthState.ATTACHED)
    begun_at = models.DateTimeField(null=True, help_text="When the last archiving began.")
    archived_at = models.DateTimeField(null=True)
    archived_by = models.CharField(max_length=254, default="", blank=True)
    reason = models.CharField(max_length=200, default="", blank=True)
    # The copy holds what was committed up to this ledger position.
    position = models.BigIntegerField(null=True)
    records = models.BigIntegerField(default=0)
    plain_bytes = models.BigIntegerField(default=0)
    plain_sha256 = models.CharField(max_length=64, default="", blank=True)
    file_name = models.CharField(max_length=200, default="", blank=True)
    file_bytes = models.BigIntegerField(default=0)
    file_sha256 = models.CharField(max_length=64, default="", blank=True)
    accounts = models.IntegerField(default=0)
    rollups = models.BigIntegerField(default=0)
    seal_sha256 = models.CharField(max_length=64, default="", blank=True)
    dropped_at = models.DateTimeField(null=True, help_text="When the detached table was dropped.")
    restored_at = models.DateTimeField(null=True)
    restored_by = models.CharField(max_length=254, default="", blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="usagemonth_state_known", condition=Q(state__in=MonthState.values)),
            models.CheckConstraint(name="usagemonth_first_day", condition=Q(month__day=1)),
            models.CheckConstraint(
                name="usagemonth_archived_with_file",
                condition=~Q(state="archived")
                | (Q(archived_at__isnull=False) & ~Q(reason="") & ~Q(file_name="") & ~Q(file_sha256="")),
            ),
        ]


class RollupSeal(models.Model):
    """The hash of one account's rollups on the days that an archived month touches, table by table."""

    pk = models.CompositePrimaryKey("account_id", "month", "rollup")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    month = models.DateField()
    rollup = models.CharField(max_length=60, help_text="The table.")
    rows = models.IntegerField()
    sha256 = models.CharField(max_length=64)

    objects = AccountQuerySet.as_manager()


class ArchivedSeries(models.Model):
    """Eight bytes for each archived record of a series: enough to tell that a line that comes again is known."""

    pk = models.CompositePrimaryKey("account_id", "series_id", "month")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    series = models.ForeignKey(
        Series, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    month = models.DateField()
    digests = ArrayField(models.BigIntegerField())

    objects = AccountQuerySet.as_manager()
