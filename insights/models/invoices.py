"""Invoices: a draft all period long, then issued once and never changed. What becomes of one stands beside it."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Account, AccountQuerySet, User
from insights.models.prices import LegalEntity
from insights.models.subscriptions import Subscription


class InvoiceState(models.TextChoices):
    """Where an invoice is: it may still change, a person has to look, or it is final."""

    DRAFT = "draft"
    PARKED = "parked"
    ISSUED = "issued"


class InvoiceKind(models.TextChoices):
    """What an invoice is for.

    A billing period; what is due in advance when a subscription begins; or what changed of the bills of a
    subscription after its last period was issued, with that period as its own.
    """

    PERIOD = "period"
    OPENING = "opening"
    CLOSING = "closing"


class Invoice(models.Model):
    """One operation's bill. `operation` tells a second invoice of a period, made after a void, from the first,
    and one closing invoice of a subscription from the next.

    Amounts are minor units of the currency. `details` is what a line cannot say alone: plans in force with their
    prices, terms of the whole, taxes, credits as they stood, seller and buyer. The database refuses every change once
    it is issued, and lines that do not add to the total.
    """

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="invoices")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="invoices", db_constraint=False
    )
    kind = models.CharField(max_length=10, choices=InvoiceKind.choices, default=InvoiceKind.PERIOD)
    operation = models.CharField(max_length=60, blank=True, default="")
    state = models.CharField(max_length=10, choices=InvoiceState.choices, default=InvoiceState.DRAFT)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    issue_from = models.DateTimeField(help_text="The end of the period and of the grace after it.")
    currency = models.CharField(max_length=3)
    total_minor = models.DecimalField(max_digits=30, decimal_places=0, default=0)
    usage_as_of = models.BigIntegerField(default=0, help_text="The ledger position the usage was read at.")
    complete_to = models.DateTimeField(null=True)
    drafted_at = models.DateTimeField()
    details = models.JSONField(default=dict)
    # Findings of `billing.bounds`, each with its code and a sentence; released ones do not park again.
    parked_for = models.JSONField(default=list, blank=True)
    released = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, related_name="+")
    number = models.CharField(max_length=40, null=True)
    number_in_series = models.BigIntegerField(null=True)
    issued_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    sha256 = models.BinaryField(max_length=32, null=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["-period_start", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="invoice_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="invoice_public_id"),
            models.UniqueConstraint(
                fields=["account", "subscription", "kind", "period_start", "operation"],
                name="invoice_once_per_operation",
            ),
            models.CheckConstraint(name="invoice_state_known", condition=Q(state__in=InvoiceState.values)),
            models.CheckConstraint(name="invoice_kind_known", condition=Q(kind__in=InvoiceKind.values)),
            models.CheckConstraint(
                name="invoice_period_not_empty", condition=Q(period_end__gt=F("period_start"))
            ),
            models.CheckConstraint(
                name="invoice_issued_whole",
                condition=Q(
                    state="issued",
                    number__isnull=False,
                    number_in_series__isnull=False,
                    legal_entity__isnull=False,
                    issued_at__isnull=False,
                    due_at__isnull=False,
                    sha256__isnull=False,
                )
                | (~Q(state="issued") & Q(number__isnull=True, issued_at__isnull=True, sha256__isnull=True)),
            ),
            models.CheckConstraint(
                name="invoice_parked_has_reason", condition=~Q(state="parked") | ~Q(parked_for=[])
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-period_start", "-id"], name="invoice_recent"),
            models.Index(fields=["state", "issue_from"], name="invoice_to_issue"),
        ]


class InvoiceNumber(models.Model):
    """The register of a legal entity's numbers: each given to one invoice, once, without a gap."""

    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+", db_index=False)
    number_in_series = models.BigIntegerField()
    # Not a foreign key, since the register is the platform's and the invoice an account's.
    invoice_id = models.BigIntegerField(unique=True)
    given_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["legal_entity", "number_in_series"], name="invoicenumber_once"),
            models.CheckConstraint(name="invoicenumber_from_one", condition=Q(number_in_series__gte=1)),
        ]


class LineItem(models.Model):
    """One line of an invoice, with all that its amount follows from.

    Quantities are in the meter's unit (`metered_quantity`) and, as an exact number in text, in the price's
    (`billed_quantity`). `steps` add to `amount_minor`. `key` names the line on its invoice and in its corrections.
    """

    # Its invoice is of the same account, which the database checks, and the invoice's account is there.
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, related_name="lines", db_constraint=False, db_index=False
    )
    position = models.PositiveIntegerField()
    key = models.CharField(max_length=500)
    kind = models.CharField(max_length=12)
    name = models.CharField(max_length=200)
    price_key = models.CharField(max_length=60, blank=True, default="")
    plan_key = models.CharField(max_length=60, blank=True, default="")
    plan_version = models.PositiveIntegerField(null=True)
    meter_key = models.CharField(max_length=60, blank=True, default="")
    meter_version = models.PositiveIntegerField(null=True)
    values = models.JSONField(default=dict, blank=True, help_text="Dimension values the price is for.")
    service_start = models.DateTimeField()
    service_end = models.DateTimeField()
    metered_quantity = models.DecimalField(max_digits=48, decimal_places=9, null=True)
    billed_quantity = models.CharField(max_length=200, blank=True, default="")
    unit = models.CharField(max_length=30, blank=True, default="")
    terms = models.JSONField(null=True)
    segment = models.JSONField(default=dict, blank=True)
    steps = models.JSONField(default=list, blank=True)
    allotted = models.JSONField(default=dict, blank=True, help_text="What it takes off other lines, by key.")
    taxes = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    takes_credit = models.BooleanField(default=False)
    amount_minor = models.DecimalField(max_digits=30, decimal_places=0)
    # Of a correction: the issued line it corrects, None where that invoice had no such line, and its invoice.
    corrects = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="corrections", db_constraint=False,
        db_index=False,
    )  # fmt: skip
    corrects_invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, related_name="corrected_by", db_constraint=False,
        db_index=False,
    )  # fmt: skip

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="lineitem_account_id"),
            models.UniqueConstraint(fields=["account", "invoice", "position"], name="lineitem_position"),
            models.UniqueConstraint(fields=["account", "invoice", "key"], name="lineitem_key"),
        ]
        indexes = [
            models.Index(
                fields=["account", "corrects_invoice"],
                condition=Q(corrects_invoice__isnull=False),
                name="lineitem_corrections",
            ),
            # By this a line is looked for that corrects one which is to be deleted.
            models.Index(
                fields=["account", "corrects"],
                condition=Q(corrects__isnull=False),
                name="lineitem_correcting",
            ),
        ]


class SettlementState(models.TextChoices):
    """What became of an issued invoice; overdue is an open one whose due date is past."""

    OPEN = "open"
    PAID = "paid"
    VOID = "void"


class Settlement(models.Model):
    """What became of an issued invoice, beside it, since the invoice itself never changes. Acts are in the audit."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, related_name="settlements", db_constraint=False
    )
    state = models.CharField(max_length=10, choices=SettlementState.choices, default=SettlementState.OPEN)
    reason = models.CharField(max_length=300, blank=True, default="")
    changed_at = models.DateTimeField(db_default=Now())
    changed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    mailed_at = models.DateTimeField(null=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="settlement_account_id"),
            models.UniqueConstraint(fields=["account", "invoice"], name="settlement_once"),
            models.CheckConstraint(
                name="settlement_state_known", condition=Q(state__in=SettlementState.values)
            ),
            models.CheckConstraint(
                name="settlement_void_has_reason", condition=~Q(state="void") | ~Q(reason="")
            ),
        ]


class InvoiceFile(models.Model):
    """The bytes of an issued invoice as they were made at issue; never made again."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="files", db_constraint=False)
    media_type = models.CharField(max_length=60)
    content = models.BinaryField()
    sha256 = models.BinaryField(max_length=32)
    made_at = models.DateTimeField(db_default=Now())

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="invoicefile_account_id"),
            models.UniqueConstraint(fields=["account", "invoice", "media_type"], name="invoicefile_once"),
        ]


class BillingRun(models.Model):
    """One pass over all subscriptions, or over one of `parts` equal parts of the accounts: how far it got, and what it
    could not do. May be stopped and begun again. `part` counts from 0; `advanced_at` is when it last got further.
    """

    kind = models.CharField(max_length=10)
    part = models.PositiveSmallIntegerField(default=0)
    parts = models.PositiveSmallIntegerField(default=1)
    started_at = models.DateTimeField(db_default=Now())
    advanced_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    issued = models.PositiveIntegerField(default=0)
    parked = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    last_subscription_id = models.BigIntegerField(default=0)
    problem = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(name="billingrun_kind_known", condition=Q(kind__in=["draft", "issue"])),
            models.CheckConstraint(name="billingrun_part_of_parts", condition=Q(part__lt=models.F("parts"))),
        ]
