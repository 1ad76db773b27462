"""What the schema says about estimates: the shape of the question, that of the answer, and the refusals."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from insights.api.bill_serializers import AMOUNT_HELP, InvoiceLineSerializer, UnpricedSerializer
from insights.api.schema_parts import problems
from insights.billing.estimate_question import NOW, PERIODS_MAX, QUANTITIES_MAX, THEN

Json = dict[str, Any]


class QuantitySerializer(serializers.Serializer[Json]):
    """So much of a meter."""

    meter = serializers.CharField(help_text="The key of a meter that the plan has a price for, or counts.")
    quantity = serializers.CharField(
        help_text='An exact decimal as text, in the unit of the meter: "1234.5".'
    )
    values = serializers.DictField(
        child=serializers.CharField(allow_blank=True),
        required=False,
        help_text="Dimension values, where the price goes by them; none for everything else.",
    )


class QuestionSerializer(serializers.Serializer[Json]):
    """Either `periods` or `quantities`, and a plan."""

    plan = serializers.CharField(help_text="The key of a plan that the account may have.")
    periods = serializers.IntegerField(
        required=False, min_value=1, max_value=PERIODS_MAX, help_text="How many of the last closed periods."
    )
    prices = serializers.ChoiceField(
        choices=[THEN, NOW],
        required=False,
        help_text="Those in force when each period began, which is the default, or those in force now.",
    )
    subscription = serializers.UUIDField(
        required=False, help_text="Whose periods; if absent, those of the newest invoice."
    )
    currency = serializers.CharField(
        required=False, help_text="What the answer must be in; refused if the plan is in another."
    )
    quantities = QuantitySerializer(many=True, required=False, help_text=f"At most {QUANTITIES_MAX}.")
    counts = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="How many of each counted fee, by price; if absent as the period had, or one.",
    )


class EstimatedPeriodSerializer(serializers.Serializer[Json]):
    """One period on both plans. What concerns the invoice is null where quantities were given."""

    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField(help_text="Excluded.")
    plan_version = serializers.IntegerField()
    invoice = serializers.UUIDField(allow_null=True)
    number = serializers.CharField(allow_null=True)
    invoice_total = serializers.CharField(
        allow_null=True, help_text=f"With credits and corrections. {AMOUNT_HELP}"
    )
    billed = serializers.CharField(allow_null=True, help_text=f"Without what is left out. {AMOUNT_HELP}")
    estimated = serializers.CharField(help_text=AMOUNT_HELP)
    difference = serializers.CharField(
        allow_null=True, help_text=f"How much more it is on the plan. {AMOUNT_HELP}"
    )
    counts = serializers.DictField(child=serializers.CharField(), help_text="Of counted fees, by price.")
    notes = serializers.ListField(child=serializers.CharField())
    billed_lines = InvoiceLineSerializer(many=True)
    lines = InvoiceLineSerializer(many=True)
    unpriced = UnpricedSerializer(many=True)


class EstimateSerializer(serializers.Serializer[Json]):
    """An estimate, with the steps of every line."""

    plan = serializers.CharField()
    plan_name = serializers.CharField()
    currency = serializers.CharField()
    zone = serializers.CharField(help_text="The zone whose days the periods are made of.")
    sentence = serializers.CharField(help_text="Which is cheaper, and by how much.")
    left_out = serializers.ListField(child=serializers.CharField())
    billed = serializers.CharField(allow_null=True, help_text=AMOUNT_HELP)
    estimated = serializers.CharField(help_text=AMOUNT_HELP)
    difference = serializers.CharField(allow_null=True, help_text=AMOUNT_HELP)
    periods = EstimatedPeriodSerializer(many=True, help_text="The newest first.")


MAKE_ESTIMATE: dict[str, Any] = {
    "operation_id": "make_estimate",
    "description": (
        "Rate the last closed periods, or quantities of the request, on a plan that the account may have, by the "
        "engine that makes invoices. Nothing is stored. For keys with `bills:read`."
    ),
    "tags": ["Bills"],
    "request": QuestionSerializer,
    "responses": {200: EstimateSerializer, **problems(408, 413, 415)},
}
MAKE_ESTIMATE_CSV: dict[str, Any] = {
    "operation_id": "download_estimate",
    "description": (
        "The same question, answered as CSV: every line of both sides, the sums of each period and those of all. "
        "Nothing is stored. For keys with `bills:read`."
    ),
    "tags": ["Bills"],
    "request": QuestionSerializer,
    "responses": {
        (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="One line for each line and sum."),
        **problems(408, 413, 415),
    },
}
