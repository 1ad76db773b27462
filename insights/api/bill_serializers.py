"""The shapes of invoices, credits and prices; what stands here is what the schema says. Amounts are texts."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from insights.billing.bill import BillStatus, LineGroup
from insights.rating.invoice import LineKind

AMOUNT_HELP = "With the currency's decimals, as text."
EXACT_HELP = "Exact: decimal digits, or `a/b` where no decimal ends."
_BILLED = (
    "behind included usage, in the `unit` of the correction; with the correction's `quantity` it moves from one to the "
    f"other. Not what was metered. {EXACT_HELP}"
)
_BILLED_BEFORE = f"The quantity that the line was billed with, earlier corrections of it included: {_BILLED}"
_BILLED_AFTER = f"The quantity that it is billed with now, by this correction: {_BILLED}"
Json = dict[str, Any]


class InvoiceHeadSerializer(serializers.Serializer[Json]):
    """An invoice without its lines."""

    id = serializers.UUIDField()
    number = serializers.CharField(allow_null=True, help_text="null until it is issued.")
    kind = serializers.ChoiceField(
        choices=["period", "opening", "closing"],
        help_text="Of a period; of what is due when a subscription begins; of what changed after its last invoice.",
    )
    status = serializers.ChoiceField(choices=[str(status) for status in BillStatus])
    subscription = serializers.CharField()
    currency = serializers.CharField()
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField(help_text="Excluded.")
    zone = serializers.CharField(help_text="The zone whose days the period is made of.")
    total = serializers.CharField(help_text=AMOUNT_HELP)
    amount_due = serializers.CharField(help_text=f"Zero once paid or void. {AMOUNT_HELP}")
    complete_to = serializers.DateTimeField(
        allow_null=True,
        help_text="Up to when usage of all that it bills was complete: the earliest of its sources counts.",
    )
    drafted_at = serializers.DateTimeField()
    issued_at = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True)


class InvoicesSerializer(serializers.Serializer[Json]):
    """A page of invoices, newest period first."""

    invoices = InvoiceHeadSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="Give it as cursor; null at the end.")


class CorrectedLineSerializer(serializers.Serializer[Json]):
    """What a correction corrects."""

    bill = serializers.UUIDField(help_text="The id of the invoice.")
    number = serializers.CharField(allow_null=True)
    line = serializers.CharField(help_text="The name of its line.")
    line_position = serializers.IntegerField(
        allow_null=True, help_text="The place of that line on it; null where it had no such line."
    )
    quantity_before = serializers.CharField(allow_null=True, help_text=_BILLED_BEFORE)
    quantity_after = serializers.CharField(allow_null=True, help_text=_BILLED_AFTER)


class InvoiceLineSerializer(serializers.Serializer[Json]):
    """One line. The `amount_minor` of its steps add to its amount."""

    position = serializers.IntegerField()
    key = serializers.CharField()
    kind = serializers.ChoiceField(choices=[str(kind) for kind in LineKind])
    group = serializers.ChoiceField(choices=[str(group) for group in LineGroup])
    name = serializers.CharField()
    sentence = serializers.CharField(help_text="The line in words.")
    price = serializers.CharField(allow_null=True, help_text="The key of the price.")
    plan = serializers.CharField(allow_null=True)
    plan_version = serializers.IntegerField(allow_null=True)
    meter = serializers.CharField(allow_null=True)
    values = serializers.DictField(child=serializers.CharField(), help_text="Dimension values it is for.")
    service_start = serializers.DateTimeField()
    service_end = serializers.DateTimeField()
    metered_quantity = serializers.CharField(allow_null=True, help_text="In the unit of the meter.")
    quantity = serializers.CharField(allow_null=True, help_text=f"What was charged, in `unit`. {EXACT_HELP}")
    unit = serializers.CharField()
    amount = serializers.CharField(help_text=AMOUNT_HELP)
    price_words = serializers.CharField()
    terms = serializers.JSONField(allow_null=True, help_text="The price as it stood, as stored.")
    steps = serializers.ListField(
        child=serializers.DictField(), help_text="Each as stored, with `words` besides."
    )
    corrects = CorrectedLineSerializer(allow_null=True)


class PartySerializer(serializers.Serializer[Json]):
    """Who sends an invoice, or who gets it."""

    name = serializers.CharField()
    address = serializers.ListField(child=serializers.CharField())
    tax_id = serializers.CharField()
    email = serializers.CharField()
    reference = serializers.CharField()
    purchase_order = serializers.CharField()


class SubtotalSerializer(serializers.Serializer[Json]):
    """What lines that stand together come to."""

    group = serializers.ChoiceField(choices=[str(group) for group in LineGroup])
    title = serializers.CharField()
    meter = serializers.CharField(allow_null=True)
    amount = serializers.CharField(help_text=AMOUNT_HELP)


class UnpricedSerializer(serializers.Serializer[Json]):
    """Usage that no price is for."""

    meter = serializers.CharField()
    quantity = serializers.CharField()
    unit = serializers.CharField()


class LaterInvoiceSerializer(serializers.Serializer[Json]):
    """A later invoice with corrections of this one."""

    id = serializers.UUIDField()
    number = serializers.CharField(allow_null=True)


class PlanSegmentSerializer(serializers.Serializer[Json]):
    """A stretch of time on one plan version, with all its prices."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    is_add_on = serializers.BooleanField()
    policy = serializers.CharField(help_text="What a change of plan did to tiers and included usage.")
    counts = serializers.DictField(child=serializers.CharField(), help_text="Of counted fees, by price.")
    sheet = serializers.DictField(
        help_text="The plan version: its prices and what holds for a whole invoice."
    )


class InvoiceSerializer(InvoiceHeadSerializer):
    """A whole invoice."""

    why = serializers.CharField(help_text="Why there is one that is not of a period; else empty.")
    usage_as_of = serializers.IntegerField(help_text="The ledger position the usage was read at.")
    sha256 = serializers.CharField(allow_null=True, help_text="Of what was issued, in hexadecimal.")
    seller = PartySerializer()
    buyer = PartySerializer()
    tax_exempt_reason = serializers.CharField()
    void_reason = serializers.CharField()
    plans = PlanSegmentSerializer(many=True)
    subtotals = SubtotalSerializer(many=True)
    lines = InvoiceLineSerializer(many=True)
    unpriced = UnpricedSerializer(many=True)
    corrected_by = LaterInvoiceSerializer(many=True)


class BalanceSerializer(serializers.Serializer[Json]):
    """What may still lower invoices."""

    currency = serializers.CharField()
    amount = serializers.CharField(help_text=AMOUNT_HELP)


class CreditUseSerializer(serializers.Serializer[Json]):
    """What an invoice took of a credit; below zero when it gave something back."""

    invoice = serializers.UUIDField()
    number = serializers.CharField(allow_null=True)
    amount = serializers.CharField(help_text=AMOUNT_HELP)
    used_at = serializers.DateTimeField()
    is_return = serializers.BooleanField()


class CreditPayoutSerializer(serializers.Serializer[Json]):
    """What was paid out of a credit to an account that is closed."""

    amount = serializers.CharField(help_text=AMOUNT_HELP)
    paid_on = serializers.DateField()
    reference = serializers.CharField()
    recorded_at = serializers.DateTimeField()


class CreditSerializer(serializers.Serializer[Json]):
    """A credit with its uses and what was paid out of it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField()
    reason = serializers.CharField()
    currency = serializers.CharField()
    amount = serializers.CharField(help_text=AMOUNT_HELP)
    used = serializers.CharField(help_text=AMOUNT_HELP)
    usable = serializers.CharField(help_text=f"Zero once expired. {AMOUNT_HELP}")
    granted_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    covers = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Keys of prices; null for all."
    )
    priority = serializers.IntegerField(
        help_text="Lower ones are used first; of equal ones what expires first, was granted first, and by name."
    )
    is_before_tax = serializers.BooleanField(
        help_text="Whether it lowers what tax is taken of. Others pay like money, after those."
    )
    uses = CreditUseSerializer(many=True)
    payouts = CreditPayoutSerializer(many=True)


class CreditsSerializer(serializers.Serializer[Json]):
    """All credits of an account."""

    balances = BalanceSerializer(many=True)
    credits = CreditSerializer(many=True)


class PriceWordsSerializer(serializers.Serializer[Json]):
    """A price in words."""

    price = serializers.CharField()

    part = serializers.CharField(help_text="Dimension values it is for; empty for everything.")
    words = serializers.CharField()
    is_own = serializers.BooleanField(help_text="Agreed for this account.")


class PlanPricesSerializer(PlanSegmentSerializer):
    """A plan with its prices in words."""

    words = PriceWordsSerializer(many=True)


class SubscriptionPricesSerializer(serializers.Serializer[Json]):
    """What a subscription is priced at."""

    name = serializers.CharField()
    invoice = serializers.UUIDField(help_text="The newest invoice, which the prices are of.")
    plans = PlanPricesSerializer(many=True)


class PricesSerializer(serializers.Serializer[Json]):
    """The prices in force, by subscription."""

    subscriptions = SubscriptionPricesSerializer(many=True)
