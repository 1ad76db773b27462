"""The figure of a list of bills: one bar for each, what is not issued yet hatched. Drawn by static/js/charts.js."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from insights.billing.bill import BillHead
from insights.billing.price_words import money_number, money_words
from insights.billing.words import STATUS_WORDS
from insights.values.period import local_day
from insights.web.words import month_words


def totals_figure(heads: Sequence[BillHead]) -> dict[str, Any]:
    """Totals in the order given; amounts as texts, so that none is rounded on its way."""
    labels = _labels(heads)
    return {
        "data": [
            {
                "type": "bar",
                "name": "Total",
                "x": labels,
                "y": [money_number(head.total) for head in heads],
                "customdata": [[money_words(head.total), "", STATUS_WORDS[head.status]] for head in heads],
                "meta": {
                    "series": 1,
                    "incomplete": [number for number, head in enumerate(heads) if not head.is_issued],
                },
            }
        ],
        "layout": {
            "barmode": "group",
            "xaxis": {"type": "category"},
            "yaxis": {"type": "linear", "title": {"text": heads[0].currency if heads else ""}},
        },
    }


def _labels(heads: Sequence[BillHead]) -> list[str]:
    """The month that each period begins in; several of one month are told apart by their number."""
    labels: list[str] = []
    for head in heads:
        month = month_words(local_day(head.period.start, ZoneInfo(head.zone)))
        labels.append(
            month if month not in labels else f"{month}, {head.number or STATUS_WORDS[head.status]}"
        )
    return labels
