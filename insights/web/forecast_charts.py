"""The figure of a forecast: what the bill had come to, and from there to its end as expected and inside the band."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from insights.billing.forecast import BillForecast
from insights.billing.price_words import money_number, money_words
from insights.values.money import Money

_ONE_DAY = timedelta(days=1)


def forecast_figure(forecast: BillForecast) -> dict[str, Any]:
    """Lines over days; amounts as texts, so that none is rounded on its way."""
    known = [(point.day, point.amount) for point in forecast.running]
    begin = known[-1] if known else (forecast.until - _ONE_DAY, forecast.so_far)
    ends = ((forecast.low, "At least"), (forecast.high, "At most"))
    band = [
        _line(name, [begin, (forecast.last_day, amount)], series="band") | {"fill": fill}
        for (amount, name), fill in zip(ends, ("none", "tonexty"), strict=True)
    ]
    return {
        "data": [
            *band,
            _line("Expected", [begin, (forecast.last_day, forecast.expected)], series=2, dash="dash"),
            _line("So far", known or [begin], series=1),
        ],
        "layout": {
            "xaxis": {"type": "date"},
            "yaxis": {"type": "linear", "title": {"text": forecast.so_far.currency}},
        },
    }


def _line(
    name: str, points: list[tuple[date, Money]], *, series: int | str, dash: str = "solid"
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) == 1 else "lines",
        "name": name,
        "x": [day.isoformat() for day, _ in points],
        "y": [money_number(amount) for _, amount in points],
        "customdata": [[money_words(amount), "", ""] for _, amount in points],
        "meta": {"series": series, "dash": dash},
    }
