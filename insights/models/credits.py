"""Credits: money an account may use instead of paying, each use of it, and what of it was paid out.

A balance is a sum, kept nowhere.
"""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Account, AccountQuerySet, User
from insights.models.invoices import Invoice


class CreditKind(models.TextChoices):
    """Why an account has a credit."""

    PROMOTION = "promotion"
    GOODWILL = "goodwill"
    COMMITMENT = "commitment", "commitment paid in advance"
    CARRIED = "carried", "carried from an invoice below zero"


class CreditGrant(models.Model):
    """Minor units of the currency granted once; fields as in `rating.credits.Credit`. Rows are only added."""

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=12, choices=CreditKind.choices)
    name = models.CharField(max_length=100)
    amount_minor = models.DecimalField(max_digits=30, decimal_places=0)
    currency = models.CharField(max_length=3)
    granted_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    priority = models.PositiveSmallIntegerField(default=100)
    covers = ArrayField(models.CharField(max_length=60), null=True, blank=True)
    is_before_tax = models.BooleanField(default=True)
    reason = models.CharField(max_length=200)
    from_invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False
    )
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["granted_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="creditgrant_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="creditgrant_public_id"),
            models.UniqueConstraint(
                fields=["account", "from_invoice"],
                condition=Q(from_invoice__isnull=False),
                name="creditgrant_carried_once",
            ),
            models.CheckConstraint(name="creditgrant_kind_known", condition=Q(kind__in=CreditKind.values)),
            models.CheckConstraint(name="creditgrant_above_zero", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="creditgrant_expires_later",
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("granted_at")),
            ),
            models.CheckConstraint(name="creditgrant_has_reason", condition=~Q(reason="")),
        ]


class Payout(models.Model):
    """Money sent to a closed account for what bills below zero left of it; of which credits, its uses say.

    Rows are only added. `public_id` is given by whoever records it, so that a repeat is known.
    """

    public_id = models.UUIDField(editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    amount_minor = models.DecimalField(max_digits=30, decimal_places=0)
    currency = models.CharField(max_length=3)
    paid_on = models.DateField(help_text="On the account's billing clock.")
    reference = models.CharField(max_length=300, help_text="Of the payment; the customer reads it.")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="payout_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="payout_public_id"),
            models.CheckConstraint(name="payout_above_zero", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(name="payout_has_reference", condition=~Q(reference="")),
        ]


class CreditUse(models.Model):
    """What an issued invoice took of a credit, or gave back when it was voided or corrected (below zero).

    Or what a payout took of it: that is gone too, and no invoice takes it any more.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="uses", db_constraint=False)
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, related_name="credit_uses", db_constraint=False
    )
    payout = models.ForeignKey(
        Payout, on_delete=models.PROTECT, null=True, related_name="uses", db_constraint=False
    )
    is_return = models.BooleanField(default=False, help_text="Given back because the invoice was voided.")
    amount_minor = models.DecimalField(max_digits=30, decimal_places=0)
    used_at = models.DateTimeField(db_default=Now())

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="credituse_account_id"),
            models.UniqueConstraint(
                fields=["account", "grant", "invoice", "is_return"], name="credituse_once"
            ),
            models.UniqueConstraint(
                fields=["account", "payout", "grant"],
                condition=Q(payout__isnull=False),
                name="credituse_paid_out_once",
            ),
            models.CheckConstraint(name="credituse_not_zero", condition=~Q(amount_minor=0)),
            models.CheckConstraint(
                name="credituse_by_invoice_or_payout",
                condition=Q(invoice__isnull=False, payout__isnull=True)
                | Q(invoice__isnull=True, payout__isnull=False, is_return=False, amount_minor__gt=0),
            ),
        ]
