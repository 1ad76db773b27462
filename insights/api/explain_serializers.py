"""The shapes of what stands behind an invoice: its lines proved, and where all usage went. Amounts are texts."""

from __future__ import annotations

from rest_framework import serializers

from insights.api.bill_serializers import AMOUNT_HELP, EXACT_HELP, InvoiceLineSerializer, Json
from insights.explain.edges import EdgeKind, Outcome


class LineDaySerializer(serializers.Serializer[Json]):
    """A day of a line, or a piece of one where the line begins or ends inside it."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="Excluded.")
    quantity = serializers.CharField(allow_null=True, help_text="null where nothing arrived.")
    quantity_before = serializers.CharField(
        allow_null=True, help_text="Of a correction: what was known when the corrected invoice was made."
    )
    records = serializers.IntegerField(help_text="Of a correction: how many more.")
    amount = serializers.CharField(allow_null=True, help_text=f"Days add to the line. {AMOUNT_HELP}")
    running_amount = serializers.CharField(allow_null=True, help_text=AMOUNT_HELP)


class LineValueSerializer(serializers.Serializer[Json]):
    """What one value of a dimension was for."""

    value = serializers.CharField(help_text="Empty for records without the dimension.")
    quantity = serializers.CharField()
    records = serializers.IntegerField()
    amount = serializers.CharField(
        allow_null=True, help_text=f"null where values do not add up. {AMOUNT_HELP}"
    )


class LineDimensionSerializer(serializers.Serializer[Json]):
    """A line by the values of one dimension, largest first."""

    name = serializers.CharField()
    values = LineValueSerializer(many=True)


class LineRecheckSerializer(serializers.Serializer[Json]):
    """The line counted from the records and rated once more, as known at the invoice's position, and as known now."""

    verdict = serializers.ChoiceField(choices=["equal", "different"])
    quantity = serializers.CharField()
    records = serializers.IntegerField()
    amount = serializers.CharField(help_text=AMOUNT_HELP)
    steps_are_equal = serializers.BooleanField()
    quantity_now = serializers.CharField()
    records_now = serializers.IntegerField()
    amount_now = serializers.CharField(allow_null=True, help_text=AMOUNT_HELP)
    quantity_since = serializers.CharField(help_text="What came, or went, since.")


class LineProofSerializer(serializers.Serializer[Json]):
    """A line with everything behind it. Lines without usage have no days, dimensions and recheck."""

    invoice = serializers.UUIDField()
    usage_as_of = serializers.IntegerField(help_text="The ledger position the invoice's usage was read at.")
    complete_to = serializers.DateTimeField(
        allow_null=True, help_text="Up to when usage was complete at that position."
    )
    line = InvoiceLineSerializer()
    meter_unit = serializers.CharField()
    records = serializers.IntegerField()
    adds_over_time = serializers.BooleanField(help_text="Whether days add to the line.")
    is_archived = serializers.BooleanField(help_text="Whether only sums are kept of its records.")
    days = LineDaySerializer(many=True)
    dimensions = LineDimensionSerializer(many=True)
    recheck = LineRecheckSerializer(allow_null=True)


class ElsewhereSerializer(serializers.Serializer[Json]):
    """Usage in a part of the period in which the plan has no price for it."""

    quantity = serializers.CharField(help_text=EXACT_HELP)
    records = serializers.IntegerField()
    subscription = serializers.CharField(allow_null=True, help_text="Which one prices it; null for none.")


class MeterBalanceSerializer(serializers.Serializer[Json]):
    """What became of all usage of one meter. The parts and `residual` add to `known`; `residual` is zero."""

    meter = serializers.CharField()
    unit = serializers.CharField()
    known = serializers.CharField(help_text="As known at the invoice's position.")
    records = serializers.IntegerField()
    charged = serializers.CharField(help_text=EXACT_HELP)
    included = serializers.CharField(help_text=EXACT_HELP)
    free = serializers.CharField(help_text=f"By a price with a reason to be free. {EXACT_HELP}")
    not_charged = serializers.CharField(help_text=f"Of sources that are not charged. {EXACT_HELP}")
    elsewhere = ElsewhereSerializer(many=True)
    residual = serializers.CharField(help_text=EXACT_HELP)
    positions = serializers.ListField(
        child=serializers.IntegerField(), help_text="The lines that are for it."
    )


class LineVerdictsSerializer(serializers.Serializer[Json]):
    """What became of every line of the batches that hold usage of the period."""

    batches = serializers.IntegerField()
    received = serializers.IntegerField()
    new = serializers.IntegerField()
    replaced = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    stale = serializers.IntegerField()
    rejected = serializers.IntegerField()
    residual = serializers.IntegerField()


class ConservationSerializer(serializers.Serializer[Json]):
    """Where all usage of an invoice's period went."""

    is_whole = serializers.BooleanField(help_text="Whether every residual is zero.")
    meters = MeterBalanceSerializer(many=True)
    not_additive = serializers.ListField(
        child=serializers.CharField(), help_text="Meters of peaks and latest values, which do not add up."
    )
    lines = LineVerdictsSerializer()


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


class MovedRecordSerializer(serializers.Serializer[Json]):
    """A record that came or went."""

    change = serializers.ChoiceField(choices=["came", "went"])
    bill_line = serializers.IntegerField(allow_null=True, help_text="The position of the line that it is of.")
    meter = serializers.CharField()
    window_start = serializers.DateTimeField()
    window = serializers.CharField()
    dimensions = serializers.DictField(child=serializers.CharField())
    quantity = serializers.CharField(help_text=EXACT_HELP)
    unit = serializers.CharField()
    row_id = serializers.CharField(allow_null=True)
    revision = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    batch = serializers.UUIDField(allow_null=True)
    line = serializers.IntegerField(help_text="In its batch.")


class MovedRecordsSerializer(serializers.Serializer[Json]):
    """A page of the records between two positions."""

    position_then = serializers.IntegerField()
    position_now = serializers.IntegerField()
    records = MovedRecordSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class EdgeSerializer(serializers.Serializer[Json]):
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
    meter = serializers.CharField()
    dimensions = serializers.DictField(child=serializers.CharField())
    quantity = serializers.CharField(help_text=EXACT_HELP)
    unit = serializers.CharField()
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
    edges = EdgeSerializer(many=True)
    records = EdgeRecordSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)
