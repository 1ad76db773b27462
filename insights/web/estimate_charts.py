"""The figure of an estimate: what each period was billed, and what it comes to on the plan. Drawn by charts.js."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from insights.billing.estimate import Estimate
from insights.billing.price_words import money_number, money_words
from insights.values.money import Money
from insights.values.period import local_day
from insights.web.words import month_words


def sides_figure(estimate: Estimate, zone: ZoneInfo) -> dict[str, Any]:
    """Two bars for each period, the oldest first; amounts as texts, so that none is rounded on its way."""
    periods = estimate.periods[::-1]
    labels = [month_words(local_day(period.period.start, zone)) for period in periods]
    billed = [period.billed.total for period in periods if period.billed is not None]
    return {
        "data": [
            _bars("Billed then", labels, billed, series="other"),
            _bars(f"On {estimate.plan_name}", labels, [one.estimate.total for one in periods], series=1),
        ],
        "layout": {
            "barmode": "group",
            "showlegend": False,
            "xaxis": {"type": "category"},
            "yaxis": {"type": "linear", "title": {"text": estimate.currency}},
        },
    }


def _bars(name: str, labels: list[str], amounts: list[Money], *, series: int | str) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": labels,
        "y": [money_number(amount) for amount in amounts],
        "customdata": [[money_words(amount), "", ""] for amount in amounts],
        "meta": {"series": series},
    }
