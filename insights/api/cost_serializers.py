"""The shapes of cost. Amounts are texts with the currency's decimals."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

Json = dict[str, Any]


class CostPointSerializer(serializers.Serializer[Json]):
    """One day or month in money."""

    window_start = serializers.CharField()
    window_end = serializers.CharField()
    state = serializers.ChoiceField(
        choices=["billed", "so_far", "no_price"],
        help_text="so_far: on an invoice that is not issued; no_price: no invoice has a price for it.",
    )
    amount = serializers.CharField(allow_null=True)
    quantity = serializers.CharField(allow_null=True, help_text="As billed, in the meter's unit.")
    parts = serializers.ListField(
        child=serializers.CharField(),
        help_text="By group, in their order; empty where a line is in several points and of several values.",
    )


class CostGroupSerializer(serializers.Serializer[Json]):
    """One dimension value, or the rest, in money."""

    part = serializers.ChoiceField(choices=["value", "none", "other"])
    value = serializers.CharField(allow_null=True)
    values_count = serializers.IntegerField()
    amount = serializers.CharField()
    quantity = serializers.CharField(help_text="As billed, in the meter's unit.")


class CostBesidesSerializer(serializers.Serializer[Json]):
    """What else an invoice comes to."""

    what = serializers.CharField(
        help_text="elsewhere: the same meter, other days or values; usage: other meters; else not from usage."
    )
    meter = serializers.CharField(allow_null=True)
    amount = serializers.CharField()


class CostInvoiceSerializer(serializers.Serializer[Json]):
    """An invoice beside the answer: shown and besides add to its total."""

    invoice = serializers.UUIDField()
    number = serializers.CharField(allow_null=True)
    status = serializers.CharField()
    shown = serializers.CharField()
    besides = CostBesidesSerializer(many=True)
    total = serializers.CharField()


class CostNotPartedSerializer(serializers.Serializer[Json]):
    """A line of which only a part was asked for, which cannot be told; nothing of it is counted."""

    invoice = serializers.UUIDField()
    line = serializers.IntegerField()
    name = serializers.CharField()
    amount = serializers.CharField()
    reason = serializers.ChoiceField(choices=["held", "values", "correction", "unrated"])


class CostSerializer(serializers.Serializer[Json]):
    """Cost in one currency. Points and no_single_point add to the amount; groups and no_single_group too."""

    currency = serializers.CharField()
    amount = serializers.CharField()
    points = CostPointSerializer(many=True)
    no_single_point = serializers.CharField(help_text="What is of no single day or month.")
    groups = CostGroupSerializer(many=True)
    no_single_group = serializers.CharField(
        help_text="What is of no single value: corrections, and what is due without usage."
    )
    invoices = CostInvoiceSerializer(many=True)
    not_parted = CostNotPartedSerializer(many=True)
