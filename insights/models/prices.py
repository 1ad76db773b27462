"""The catalogue of prices: who bills, plans, their versions, and a price for each meter or fee.

Platform tables. The web role reads the plans that are offered to its account, and no version before it is published;
what an account pays is stored on its own bills.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Account


class LegalEntity(models.Model):
    """Who sends invoices: the name on them and the series of their numbers."""

    key = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    address = models.TextField(max_length=1000)
    tax_id = models.CharField(max_length=60, blank=True, default="")
    email = models.EmailField(blank=True, default="")
    number_prefix = models.CharField(max_length=20, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "legal entities"

    def __str__(self) -> str:
        return self.name


class InvoiceCounter(models.Model):
    """The last number a legal entity gave to an invoice: one locked row, so that numbers have no gap."""

    legal_entity = models.OneToOneField(
        LegalEntity, on_delete=models.PROTECT, primary_key=True, related_name="counter"
    )
    last_number = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(name="invoicecounter_from_zero", condition=Q(last_number__gte=0))
        ]


class PlanKind(models.TextChoices):
    """Whether a plan is what a subscription is on, or comes on top of one."""

    BASE = "base"
    ADD_ON = "add_on"


class Plan(models.Model):
    """What is sold, by name. Its prices are in its versions; one with an account is offered to that account alone."""

    key = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True, default="")
    kind = models.CharField(max_length=10, choices=PlanKind.choices, default=PlanKind.BASE)
    currency = models.CharField(max_length=3)
    interval_months = models.PositiveSmallIntegerField(default=1)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    position = models.PositiveIntegerField(default=0, help_text="Order on pages.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    retired_at = models.DateTimeField(null=True, blank=True, help_text="Not offered any more from then on.")

    class Meta:
        ordering = ["position", "key"]
        constraints = [
            models.CheckConstraint(name="plan_kind_known", condition=Q(kind__in=PlanKind.values)),
            models.CheckConstraint(name="plan_interval_known", condition=Q(interval_months__in=[1, 3, 12])),
            models.CheckConstraint(name="plan_currency_form", condition=Q(currency__regex=r"^[A-Z]{3}$")),
        ]

    def __str__(self) -> str:
        return self.name


class PlanVersion(models.Model):
    """A plan's prices from an instant on. Once published nothing of it changes.

    A period is billed by the newest version published whose `effective_from` is not after the period's start, or not
    after the instant at which the subscription came to the plan. `terms` is what holds for the invoice as a whole.
    """

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    effective_from = models.DateTimeField()
    terms = models.JSONField(default=dict, blank=True)
    note = models.CharField(
        max_length=500, blank=True, default="", help_text="What changed, in customers' words."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["plan", "number"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="planversion_number"),
            models.UniqueConstraint(fields=["plan", "effective_from"], name="planversion_effective"),
            models.CheckConstraint(name="planversion_from_one", condition=Q(number__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.plan.name}, version {self.number}"


class Price(models.Model):
    """One price of a version: for a meter's usage, or a fee without a meter.

    `terms` is a document of `rating.terms_json`: the only terms, or with `dimensions` those of every combination of
    values that has no cell. `cells` lists `{"values": [...], "terms": {...}}`. A counted fee is charged as often as
    the subscription says (seats).
    """

    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="prices")
    key = models.SlugField(max_length=60)
    name = models.CharField(max_length=100)
    meter_key = models.SlugField(max_length=60, blank=True, default="")
    dimensions = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    terms = models.JSONField(null=True, blank=True)
    cells = models.JSONField(default=list, blank=True)
    is_counted = models.BooleanField(default=False)
    is_taxable = models.BooleanField(default=True)
    takes_credit = models.BooleanField(default=True)
    position = models.PositiveIntegerField(default=0, help_text="Order on bills.")

    class Meta:
        ordering = ["plan_version", "position", "key"]
        constraints = [
            models.UniqueConstraint(fields=["plan_version", "key"], name="price_key_once"),
            # Two prices for one meter would count its usage twice.
            models.UniqueConstraint(
                fields=["plan_version", "meter_key"], condition=~Q(meter_key=""), name="price_meter_once"
            ),
            models.CheckConstraint(name="price_has_terms", condition=Q(terms__isnull=False) | ~Q(cells=[])),
            models.CheckConstraint(
                name="price_cells_have_dimensions", condition=Q(cells=[]) | ~Q(dimensions=[])
            ),
            models.CheckConstraint(
                name="price_fee_is_plain",
                condition=~Q(meter_key="") | Q(dimensions=[], cells=[], terms__isnull=False),
            ),
            models.CheckConstraint(name="price_counts_fees", condition=Q(is_counted=False) | Q(meter_key="")),
        ]

    def __str__(self) -> str:
        return self.name
