"""Usage that is on no invoice, because no subscription of its account is there at its time."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from accounts.models import Account, AccountQuerySet
from insights.models.catalog import Meter


class UncoveredUsage(models.Model):
    """Usage of a meter that the account's plans price, in time that no subscription covers: it is on no bill.

    One row for each meter and stretch of time, as it was when it was last looked at. The stretch has no beginning
    before the first subscription and no end after the last one. It waits for a person until it is let pass, and again
    when there is more of it.
    """

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    begins_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    first_used_on = models.DateField(help_text="On the account's billing clock.")
    last_used_on = models.DateField()
    quantity = models.DecimalField(max_digits=48, decimal_places=9)
    records = models.BigIntegerField()
    digest = models.CharField(
        max_length=32, help_text="Of where and how much it is: another amount has another."
    )
    found_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)
    released_by_name = models.CharField(max_length=254, blank=True, default="")
    reason = models.CharField(max_length=300, blank=True, default="")

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="uncoveredusage_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="uncoveredusage_public_id"),
            models.UniqueConstraint(
                fields=["account", "meter", "begins_at"], name="uncoveredusage_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                name="uncoveredusage_released_has_reason",
                condition=Q(released_at__isnull=True, reason="")
                | (Q(released_at__isnull=False) & ~Q(reason="")),
            ),
        ]
