"""What the schema says about forecasts."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from insights.api.bill_serializers import AMOUNT_HELP
from insights.api.schema_parts import path_id, problems

Json = dict[str, Any]
_IF_KNOWN = f"null where there is too little history. {AMOUNT_HELP}"
_QUANTITY = "In the unit of the meter, exact."


class MeterForecastSerializer(serializers.Serializer[Json]):
    """A meter's quantity in the whole period, so far and at its end."""

    meter = serializers.CharField()
    unit = serializers.CharField()
    used = serializers.CharField(help_text=_QUANTITY)
    low = serializers.CharField(help_text=_QUANTITY)
    expected = serializers.CharField(help_text=_QUANTITY)
    high = serializers.CharField(help_text=_QUANTITY)


class RunningAmountSerializer(serializers.Serializer[Json]):
    """What the invoice had come to by the end of a day."""

    day = serializers.DateField()
    amount = serializers.CharField(help_text=AMOUNT_HELP)


class ForecastSerializer(serializers.Serializer[Json]):
    """A forecast with its band."""

    is_known = serializers.BooleanField(help_text="Whether there is enough history.")
    sentence = serializers.CharField()
    currency = serializers.CharField()
    first_open_day = serializers.DateField(help_text="The first day that is not complete.")
    period_end_day = serializers.DateField(help_text="The day after the last of the period.")
    so_far = serializers.CharField(help_text=AMOUNT_HELP)
    low = serializers.CharField(allow_null=True, help_text=_IF_KNOWN)
    expected = serializers.CharField(allow_null=True, help_text=_IF_KNOWN)
    high = serializers.CharField(allow_null=True, help_text=_IF_KNOWN)
    too_new = serializers.ListField(
        child=serializers.CharField(), help_text="Names of meters that began too recently."
    )
    tested_periods = serializers.IntegerField(help_text="Closed periods that the method was tried on.")
    periods_inside_band = serializers.IntegerField(help_text="Those that ended inside their band.")
    band_words = serializers.CharField()
    meters = MeterForecastSerializer(many=True)
    running = RunningAmountSerializer(many=True)


READ_FORECAST: dict[str, Any] = {
    "operation_id": "read_invoice_forecast",
    "description": (
        "What a draft comes to at the end of its period, as expected and in a band, by the weekdays of the last "
        "complete weeks. Of an invoice whose period does not run, 404 with the code `not_running`. For keys with "
        "`bills:read`."
    ),
    "tags": ["Bills"],
    "parameters": [path_id("invoice_id")],
    "responses": {200: ForecastSerializer, **problems(404)},
}
