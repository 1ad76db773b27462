"""The shape of the difference of two invoices; what stands here is what the schema says. Amounts are texts."""

from __future__ import annotations

from rest_framework import serializers

from insights.api.bill_serializers import AMOUNT_HELP, EXACT_HELP, InvoiceHeadSerializer, Json
from insights.scenarios.effects import Effect


class EffectSerializer(serializers.Serializer[Json]):
    """What one cause changed in everything."""

    effect = serializers.ChoiceField(choices=[str(effect) for effect in Effect])
    amount = serializers.CharField(help_text=AMOUNT_HELP)


class PlacedCorrectionSerializer(serializers.Serializer[Json]):
    """A correction on one of both invoices, and the line of an earlier invoice that it corrects."""

    on = serializers.ChoiceField(
        choices=["before", "after"], help_text="Which of both invoices it stands on."
    )
    position = serializers.IntegerField(help_text="Its place there.")
    amount = serializers.CharField(help_text=AMOUNT_HELP)
    bill = serializers.UUIDField(allow_null=True, help_text="The id of the invoice that it corrects.")
    number = serializers.CharField(allow_null=True)
    line = serializers.CharField(allow_null=True, help_text="The name of the line that it corrects.")
    line_position = serializers.IntegerField(
        allow_null=True, help_text="The place of that line; null where that invoice had no such line."
    )


class DifferencePartSerializer(EffectSerializer):
    """What one cause changed in one meter, dimension value or fee."""

    name = serializers.CharField()
    meter = serializers.CharField(allow_null=True)
    values = serializers.DictField(child=serializers.CharField(), help_text="Dimension values it is for.")
    exact = serializers.CharField(help_text=f"Before rounding. {EXACT_HELP}")
    words = serializers.CharField()
    lines_before = serializers.ListField(
        child=serializers.IntegerField(), help_text="Positions of its lines on the invoice before."
    )
    lines_after = serializers.ListField(child=serializers.IntegerField(), help_text="And on this one.")
    corrections = PlacedCorrectionSerializer(many=True, help_text="Of the effect `corrections`; else none.")


class DifferenceSerializer(serializers.Serializer[Json]):
    """From one invoice to another. Parts add to `change`, and those of one effect to its amount."""

    before = InvoiceHeadSerializer()
    after = InvoiceHeadSerializer()
    currency = serializers.CharField()
    change = serializers.CharField(help_text=AMOUNT_HELP)
    sentence = serializers.CharField(help_text="The answer in words.")
    effects = EffectSerializer(many=True)
    parts = DifferencePartSerializer(many=True)
