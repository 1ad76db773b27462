"""The usage ledger: series, current records, their past revisions, rollups and watermarks.

Records are partitioned by month and written by COPY; Django reads them and never creates their tables.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import Account, AccountQuerySet
from insights.models.catalog import Meter
from insights.models.sources import Source


class Series(models.Model):
    """Account, source, meter and dimension values, named once; records carry its id."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    dimensions_sha256 = models.BinaryField(max_length=32)
    dimensions = models.JSONField(default=dict)
    # Copied from the source, whose table customers' pages have no right to read. A day counts as 86,400.
    window_seconds = models.PositiveIntegerField()

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="series_account_id"),
            models.UniqueConstraint(
                fields=["account", "meter", "source", "dimensions_sha256"], name="series_once"
            ),
            models.CheckConstraint(
                name="series_window_known", condition=Q(window_seconds__in=[300, 900, 1800, 3600, 86400])
            ),
        ]


class SeriesDimension(models.Model):
    """One dimension value of one series. Rows with plain equality, which stays indexable under row-level security."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=60)
    value = models.CharField(max_length=200)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="seriesdimension_account_id"),
            models.UniqueConstraint(fields=["account", "series", "key"], name="seriesdimension_once"),
        ]
        indexes = [
            models.Index(fields=["account", "meter", "key", "value", "series"], name="seriesdimension_value")
        ]


class UsageRecord(models.Model):
    """The current revision of one aggregated quantity. Written and moved to history, never updated."""

    pk = models.CompositePrimaryKey("account_id", "series_id", "window_start", "row_id")
    account = models.ForeignKey(Account, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    series = models.ForeignKey(Series, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    window_start = models.DateTimeField()
    row_id = models.TextField(default="")
    revision = models.IntegerField()
    quantity = models.DecimalField(max_digits=28, decimal_places=9)
    entry_id = models.BigIntegerField()
    batch_id = models.BigIntegerField()
    line_no = models.IntegerField()

    objects = AccountQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "insights_usagerecord"


class RevisionKind(models.TextChoices):
    """Why a revision is not the current one."""

    SUPERSEDED = "superseded"
    STALE = "stale"
    RETRACTED = "retracted"


class UsageRevision(models.Model):
    """A stretch of ledger positions in which a revision was current; empty for one that never was.

    Superseded by a higher one, stale on arrival, or retracted by a revert. Rows are only added: a revision that was
    current again, or was retracted when it was past already, has a further row.
    """

    # Read by keys that begin with the account: further indexes would be written with every correction.
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+", db_index=False)
    series = models.ForeignKey(
        Series, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    window_start = models.DateTimeField()
    row_id = models.TextField(default="")
    revision = models.IntegerField()
    quantity = models.DecimalField(max_digits=28, decimal_places=9)
    entry_id = models.BigIntegerField()
    batch_id = models.BigIntegerField()
    line_no = models.IntegerField()
    kind = models.CharField(max_length=10, choices=RevisionKind.choices)
    ended_by_entry_id = models.BigIntegerField()
    is_further = models.BooleanField(default=False, help_text="History held the revision before this row.")

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="usagerevision_account_id"),
            models.UniqueConstraint(
                fields=["account", "series", "window_start", "revision"],
                condition=Q(row_id="", is_further=False),
                name="usagerevision_window",
            ),
            models.UniqueConstraint(
                fields=["account", "source", "row_id", "revision"],
                condition=~Q(row_id="") & Q(is_further=False),
                name="usagerevision_row_id",
            ),
            models.CheckConstraint(
                name="usagerevision_kind_known", condition=Q(kind__in=RevisionKind.values)
            ),
        ]


class UsageIdentity(models.Model):
    """Where the fact with a sender's row id is kept now. Never expires."""

    pk = models.CompositePrimaryKey("account_id", "source_id", "row_id")
    account = models.ForeignKey(Account, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    source = models.ForeignKey(Source, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    row_id = models.TextField()
    series = models.ForeignKey(Series, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    window_start = models.DateTimeField()

    objects = AccountQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "insights_usageidentity"


class UsageRollup(models.Model):
    """One series on one day of the account's billing zone: what pages read instead of records."""

    pk = models.CompositePrimaryKey("account_id", "meter_id", "day", "series_id")
    # Read by the primary key alone: further indexes would be written for every day of every series.
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    series = models.ForeignKey(
        Series, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    quantity = models.DecimalField(max_digits=48, decimal_places=9)
    records = models.IntegerField()
    windows_used = models.IntegerField(help_text="Windows with a quantity above zero.")
    maximum = models.DecimalField(max_digits=28, decimal_places=9, null=True)
    latest_window = models.DateTimeField(null=True)
    latest_quantity = models.DecimalField(max_digits=28, decimal_places=9, null=True)

    objects = AccountQuerySet.as_manager()


class UsageSum(models.Model):
    """All series of a meter on one day, or those with one value of a dimension: what pages of many series read.

    Made of records some time after they came, and valid only for a day that is not an unsummed one. The quantity is
    as the aggregation adds it, so that one held for a time is multiplied by seconds. An hour is counted from the
    day's first instant, and is named only where it has records.
    """

    pk = models.CompositePrimaryKey("account_id", "meter_id", "key", "day", "value")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_index=False)
    key = models.CharField(max_length=60, blank=True, help_text="Empty for all series together.")
    day = models.DateField()
    value = models.CharField(max_length=200, blank=True, help_text="Empty for series without the dimension.")
    quantity = models.DecimalField(max_digits=48, decimal_places=9)
    records = models.IntegerField()
    hours = ArrayField(models.SmallIntegerField())
    hour_quantities = ArrayField(models.DecimalField(max_digits=48, decimal_places=9))
    hour_records = ArrayField(models.IntegerField())

    objects = AccountQuerySet.as_manager()


class UnsummedDay(models.Model):
    """A day of a meter whose usage sums are missing or no longer right; rollups and records answer for it.

    Writers who began together may each have named the day.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "id"], name="unsummedday_account_id")]
        indexes = [models.Index(fields=["account", "meter", "day"], name="unsummedday_day")]


class Watermark(models.Model):
    """Up to when one source's usage for one account is believed complete.

    It counts from its first window, or from when it was first expected, until it ended. A source that is bound to
    the account has its row from the beginning, with nothing complete.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    source_slug = models.CharField(max_length=60)
    source_name = models.CharField(max_length=100)
    cadence_seconds = models.PositiveIntegerField()
    counts_from = models.DateTimeField()
    complete_to = models.DateTimeField(null=True)
    last_window_end = models.DateTimeField(null=True)
    last_received_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="watermark_account_id"),
            models.UniqueConstraint(fields=["account", "source"], name="watermark_once"),
            models.CheckConstraint(name="watermark_cadence_positive", condition=Q(cadence_seconds__gt=0)),
        ]
