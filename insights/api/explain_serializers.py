"""The shapes of what stands behind an invoice: its lines proved, and where all usage went. Amounts are texts."""

from __future__ import annotations

from rest_framework import serializers

from insights.api.bill_serializers import AMOUNT_HELP, EXACT_HELP, InvoiceLineSerializer, Json


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


class UncoveredSerializer(serializers.Serializer[Json]):
    """Usage of a meter before or after the invoice's period, in time that no subscription covers."""

    meter = serializers.CharField()
    unit = serializers.CharField()
    quantity = serializers.CharField()
    records = serializers.IntegerField()
    first_day = serializers.DateField(help_text="On the account's billing clock.")
    last_day = serializers.DateField()


class ConservationSerializer(serializers.Serializer[Json]):
    """Where all usage of an invoice's period went."""

    is_whole = serializers.BooleanField(help_text="Whether every residual is zero.")
    meters = MeterBalanceSerializer(many=True)
    not_additive = serializers.ListField(
        child=serializers.CharField(), help_text="Meters of peaks and latest values, which do not add up."
    )
    uncovered = UncoveredSerializer(
        many=True,
        help_text="On no invoice: right before or behind the period no subscription covers the time.",
    )
    lines = LineVerdictsSerializer()


class EdgeSerializer(serializers.Serializer[Json]):
    """Where the price of the next unit changes."""

    kind = serializers.ChoiceField(choices=["included", "tier", "package"], help_text="What ends there.")
    left = serializers.CharField(
        help_text=f"How many more units until the next one is behind it. {EXACT_HELP}"
    )
    left_metered = serializers.CharField(help_text="The same in the meter's unit, cut to nine decimals.")
    amount = serializers.CharField(help_text=f"The price of the first unit behind it. {EXACT_HELP}")
    tier = serializers.IntegerField(allow_null=True, help_text="The tier that begins there.")
    reprices = serializers.CharField(
        allow_null=True,
        help_text="By volume: the units whose price changes with it, which `amount` includes.",
    )


class NextUnitPriceSerializer(serializers.Serializer[Json]):
    """What one more unit costs: the line with it less the line without it, exact and unrounded."""

    invoice = serializers.UUIDField(help_text="The running invoice.")
    line = serializers.IntegerField()
    name = serializers.CharField()
    meter = serializers.CharField()
    values = serializers.DictField(
        child=serializers.CharField(), help_text="Dimension values the price is for."
    )
    used = serializers.CharField(help_text="So far, in `used_unit`.")
    used_unit = serializers.CharField()
    complete_to = serializers.DateTimeField(allow_null=True)
    unit = serializers.CharField(help_text="What one unit is.")
    currency = serializers.CharField()
    amount = serializers.CharField(help_text=EXACT_HELP)
    place = serializers.IntegerField(
        allow_null=True, help_text="The tier or package that the next unit falls in, from 1."
    )
    included_left = serializers.CharField(help_text=f"In `unit`. {EXACT_HELP}")
    held_by = serializers.ChoiceField(
        choices=["minimum", "maximum"], allow_null=True, help_text="The bound that the line is at."
    )
    edge = EdgeSerializer(allow_null=True, help_text="The first one; null where the price stays.")
    words = serializers.ListField(child=serializers.CharField())


class NextUnitPricesSerializer(serializers.Serializer[Json]):
    """The prices of the next units, in the order of the running invoices."""

    prices = NextUnitPriceSerializer(many=True)
