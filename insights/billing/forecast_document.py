"""A forecast as plain JSON values: amounts and quantities as texts. Pure."""

from __future__ import annotations

from typing import Any

from insights.billing.forecast import BillForecast
from insights.billing.forecast_quantities import MeterForecast
from insights.billing.forecast_words import band_sentence, forecast_sentence
from insights.billing.price_words import money_number
from insights.values.quantity import exact_text


def forecast_document(forecast: BillForecast) -> dict[str, Any]:
    """The forecast; without history the amounts are null and the meters that are too new are named."""
    is_known = forecast.is_known
    return {
        "is_known": is_known,
        "sentence": forecast_sentence(forecast),
        "currency": forecast.so_far.currency,
        "first_open_day": forecast.until.isoformat(),
        "period_end_day": forecast.end.isoformat(),
        "so_far": money_number(forecast.so_far),
        "low": money_number(forecast.low) if is_known else None,
        "expected": money_number(forecast.expected) if is_known else None,
        "high": money_number(forecast.high) if is_known else None,
        "too_new": list(forecast.too_new),
        "tested_periods": forecast.tested,
        "periods_inside_band": forecast.inside,
        "band_words": band_sentence(forecast),
        "meters": [_meter(meter) for meter in forecast.meters],
        "running": [
            {"day": point.day.isoformat(), "amount": money_number(point.amount)} for point in forecast.running
        ],
    }


def _meter(meter: MeterForecast) -> dict[str, Any]:
    return {
        "meter": meter.key,
        "unit": meter.unit,
        "used": exact_text(meter.used),
        "low": exact_text(meter.outlook.low),
        "expected": exact_text(meter.outlook.expected),
        "high": exact_text(meter.outlook.high),
    }
