"""What an account buys: its billing profile, subscriptions with their plans in turn, add-ons and prices of its own."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Account, AccountQuerySet, User
from insights.models.prices import LegalEntity, Plan


class BillingProfile(models.Model):
    """Whom an invoice is made out to, what tax it bears, and how much time there is to pay."""

    account = models.OneToOneField(Account, on_delete=models.PROTECT, related_name="billing_profile")
    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    company_name = models.CharField(max_length=200, blank=True, default="")
    address = models.TextField(max_length=1000, blank=True, default="")
    tax_id = models.CharField(max_length=60, blank=True, default="")
    purchase_order = models.CharField(max_length=60, blank=True, default="")
    recipients = ArrayField(models.EmailField(), default=list, blank=True)
    tax_name = models.CharField(max_length=60, blank=True, default="")
    tax_percent = models.DecimalField(max_digits=7, decimal_places=4, default=0)
    tax_exempt_reason = models.CharField(max_length=200, blank=True, default="")
    due_days = models.PositiveSmallIntegerField(default=14)
    grace_days = models.PositiveSmallIntegerField(default=3)
    updated_at = models.DateTimeField(db_default=Now())

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="billingprofile_account_id"),
            models.CheckConstraint(
                name="billingprofile_tax_percent", condition=Q(tax_percent__gte=0, tax_percent__lte=100)
            ),
            models.CheckConstraint(
                name="billingprofile_tax_or_exempt",
                condition=Q(tax_percent=0) | (~Q(tax_name="") & Q(tax_exempt_reason="")),
            ),
        ]


class Subscription(models.Model):
    """An account's standing order: periods counted from an anchor day, and plans that follow each other.

    Zone, interval and currency are copied when it begins, so that periods never move afterwards.
    """

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="subscriptions")
    name = models.CharField(max_length=100)
    currency = models.CharField(max_length=3)
    billing_zone = models.CharField(max_length=64)
    anchor_day = models.DateField(help_text="A local day on which a period begins.")
    interval_months = models.PositiveSmallIntegerField(default=1)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When its end was last set."
    )
    settled_as_of = models.BigIntegerField(
        null=True,
        editable=False,
        help_text="After its end: the ledger position up to which nothing is left to bill.",
    )
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="subscription_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="subscription_public_id"),
            models.CheckConstraint(
                name="subscription_interval_known", condition=Q(interval_months__in=[1, 3, 12])
            ),
            models.CheckConstraint(
                name="subscription_ends_later",
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ChangePolicyChoice(models.TextChoices):
    """What a change of plan does to tiers and included usage; the values of `rating.plan_change.ChangePolicy`."""

    RESTART = "restart", "begin anew"
    CONTINUE = "continue", "go on where they stand"
    SHARED_BY_TIME = "shared_by_time", "are shared by time"


class SubscriptionPhase(models.Model):
    """From this instant the subscription is on this plan. Never changed; one that has not begun may be cancelled."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="phases", db_constraint=False
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    policy = models.CharField(
        max_length=15, choices=ChangePolicyChoice.choices, default=ChangePolicyChoice.RESTART
    )
    counts = models.JSONField(
        default=dict, blank=True, help_text="How many of each counted fee, by price key."
    )
    reason = models.CharField(max_length=200, blank=True, default="")
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    cancelled_at = models.DateTimeField(null=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["subscription", "starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="subscriptionphase_account_id"),
            models.UniqueConstraint(
                fields=["account", "subscription", "starts_at"],
                condition=Q(cancelled_at__isnull=True),
                name="subscriptionphase_once",
            ),
            models.CheckConstraint(
                name="subscriptionphase_policy_known", condition=Q(policy__in=ChangePolicyChoice.values)
            ),
        ]


class AddOn(models.Model):
    """A plan of the kind add-on that a subscription has besides, for a time; its fees follow the same periods."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="add_ons", db_constraint=False
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When its end was last set."
    )
    counts = models.JSONField(
        default=dict, blank=True, help_text="How many of each counted fee, by price key."
    )
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["subscription", "starts_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="addon_account_id"),
            models.CheckConstraint(
                name="addon_ends_later", condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at"))
            ),
        ]


class PriceOverride(models.Model):
    """An account's own terms for one price of a plan, in periods that begin from `starts_at` and before `ends_at`."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    price_key = models.SlugField(max_length=60)
    terms = models.JSONField(null=True)
    cells = models.JSONField(default=list, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When its end was last set."
    )
    reason = models.CharField(max_length=200)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["plan", "price_key", "starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="priceoverride_account_id"),
            models.UniqueConstraint(
                fields=["account", "plan", "price_key", "starts_at"], name="priceoverride_once"
            ),
            models.CheckConstraint(
                name="priceoverride_ends_later",
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
            ),
            models.CheckConstraint(name="priceoverride_has_reason", condition=~Q(reason="")),
        ]
