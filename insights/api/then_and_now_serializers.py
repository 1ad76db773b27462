"""A bill then and now, and the edges of its period, as they are in the API's answers."""

from __future__ import annotations

from rest_framework import serializers

from insights.api.bill_serializers import AMOUNT_HELP, EXACT_HELP, Json
from insights.api.serializers import RecordSerializer
from insights.explain.edges import EdgeKind, Outcome


class MomentSerializer(serializers.Serializer[Json]):
    """A ledger position, and the instant it stands for."""

    position = serializers.IntegerField()
    at = serializers.DateTimeField(allow_null=True)


class LineThenAndNowSerializer(serializers.Serializer[Json]):
    """One line on both sides. `change` is the amount now less the amount then."""

    position = serializers.IntegerField(allow_null=True, help_text="On the invoice; null if it is not on it.")
    kind = serializers.CharField()
    name = serializers.CharField()
    meter = serializers.CharField(allow_null=True)
    values = serializers.DictField(child=serializers.CharField())
    unit = serializers.CharField(allow_null=True, help_text="Of the quantities.")
    quantity_then = serializers.CharField(allow_null=True)
    quantity_now = serializers.CharField(allow_null=True)
    amount_then = serializers.CharField(help_text=AMOUNT_HELP)
    amount_now = serializers.CharField(help_text=AMOUNT_HELP)
    change = serializers.CharField(help_text=AMOUNT_HELP)
    records_came = serializers.IntegerField()
    records_went = serializers.IntegerField()
    residual = serializers.CharField(
        allow_null=True,
        help_text="What of the quantities' difference no record accounts for: zero; null where records do not add up.",
    )


class ThenAndNowSerializer(serializers.Serializer[Json]):
    """An invoice as known at a moment against the invoice as it would be now."""

    then = MomentSerializer()
    now = MomentSerializer()
    currency = serializers.CharField()
    is_rated = serializers.BooleanField(
        help_text="False where a price cannot be applied to the usage of a side; then there are no lines."
    )
    is_accounted_for = serializers.BooleanField(
        help_text="Whether every residual is zero, and the invoice comes out as it stands at its own moment."
    )
    total_then = serializers.CharField(allow_null=True, help_text=AMOUNT_HELP)
    total_now = serializers.CharField(allow_null=True, help_text=AMOUNT_HELP)
    change = serializers.CharField(allow_null=True, help_text=AMOUNT_HELP)
    residual = serializers.CharField(help_text=AMOUNT_HELP)
    total_of_invoice = serializers.CharField(help_text=f"As it stands. {AMOUNT_HELP}")
    records_came = serializers.IntegerField()
    records_went = serializers.IntegerField()
    records_without_price = serializers.IntegerField(help_text="Of both, those that no line is for.")
    lines = LineThenAndNowSerializer(many=True)


class MovedRecordSerializer(RecordSerializer):
    """A record that came or went."""

    change = serializers.ChoiceField(choices=["came", "went"])
    meter_name = serializers.CharField()
    bill_line = serializers.IntegerField(allow_null=True, help_text="The position of the line that it is of.")


class MovedRecordsSerializer(serializers.Serializer[Json]):
    """A page of the records between two positions."""

    position_then = serializers.IntegerField()
    position_now = serializers.IntegerField()
    records = MovedRecordSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class PeriodEdgeSerializer(serializers.Serializer[Json]):
    """An instant from which on something may be charged differently."""

    kind = serializers.ChoiceField(choices=[str(kind) for kind in EdgeKind])
    at = serializers.DateTimeField()
    at_local = serializers.CharField(help_text="On the clock of the invoice's zone, with its offset.")
    plan = serializers.CharField(allow_null=True, help_text="The plan that begins there.")
    records_before = serializers.IntegerField()
    records_after = serializers.IntegerField()


class InvoiceRefSerializer(serializers.Serializer[Json]):
    """An invoice by id and number, which is null for a draft."""

    id = serializers.UUIDField()
    number = serializers.CharField(allow_null=True)


class EdgeRecordSerializer(serializers.Serializer[Json]):
    """A record beside an edge, and the invoice it went to."""

    edge = serializers.IntegerField(help_text="The place of its edge in `edges`, from 0.")
    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField()
    window_start_local = serializers.CharField()
    window_end_local = serializers.CharField()
    meter = serializers.CharField(help_text="Its key.")
    meter_name = serializers.CharField()
    dimensions = serializers.DictField(child=serializers.CharField())
    quantity = serializers.CharField(help_text=f"As it was sent, in the meter's `unit`. {EXACT_HELP}")
    unit = serializers.CharField()
    price_quantity = serializers.CharField(
        help_text=f"The same in `price_unit`, in which the price names it: GB for bytes. {EXACT_HELP}"
    )
    price_unit = serializers.CharField()
    row_id = serializers.CharField(allow_null=True)
    revision = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    batch = serializers.UUIDField(allow_null=True)
    line = serializers.IntegerField(help_text="In its batch.")
    outcome = serializers.ChoiceField(choices=[str(outcome) for outcome in Outcome])
    invoice = InvoiceRefSerializer(allow_null=True)
    invoice_line = serializers.IntegerField(allow_null=True)
    corrected_on = InvoiceRefSerializer(allow_null=True)


class EdgesSerializer(serializers.Serializer[Json]):
    """The edges of an invoice's period, and a page of the records beside them."""

    zone = serializers.CharField()
    within_minutes = serializers.IntegerField()
    edges = PeriodEdgeSerializer(many=True)
    records = EdgeRecordSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)
