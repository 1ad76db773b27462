"""A forecast as rows of a CSV: the bill day by day, then each meter and the amount at the end of the period. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from insights.billing.forecast import BillForecast
from insights.billing.price_words import money_number
from insights.exports.formatting import safe_text
from insights.values.quantity import exact_text

FORECAST_COLUMNS = ("row", "day", "meter", "so_far", "low", "expected", "high", "unit")
_ONE_DAY = timedelta(days=1)


def forecast_rows(forecast: BillForecast | None) -> Iterator[list[str]]:
    """Under a heading; days are the last ones that the figures hold for. Without history only what it came to."""
    yield list(FORECAST_COLUMNS)
    if forecast is None:
        return
    currency = forecast.so_far.currency
    for point in forecast.running:
        yield ["day", point.day.isoformat(), "", money_number(point.amount), "", "", "", currency]
    last = (forecast.end - _ONE_DAY).isoformat()
    for meter in forecast.meters:
        outlook = meter.outlook
        quantities = (meter.used, outlook.low, outlook.expected, outlook.high)
        yield ["meter", last, meter.key, *map(exact_text, quantities), safe_text(meter.unit)]
    band = [money_number(money) for money in (forecast.low, forecast.expected, forecast.high)]
    yield [
        "amount",
        last,
        "",
        money_number(forecast.so_far),
        *(band if forecast.is_known else ["", "", ""]),
        currency,
    ]
