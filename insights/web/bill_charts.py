"""The figures of bills: a bar for each of a list, the waterfall from one to another. Drawn by static/js/charts.js."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from insights.billing.bill import BillHead
from insights.billing.difference_words import EFFECT_TITLES
from insights.billing.price_words import money_number, money_words
from insights.billing.words import STATUS_WORDS
from insights.scenarios.difference import BillDifference
from insights.values.money import Money
from insights.values.period import local_day
from insights.values.quantity import MINUS
from insights.web.words import month_short


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
                "customdata": [[money_words(head.total), "", _state_words(head)] for head in heads],
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


def _state_words(head: BillHead) -> str:
    return ", ".join(filter(None, (head.number, STATUS_WORDS[head.status])))


def _labels(heads: Sequence[BillHead]) -> list[str]:
    """The month that each period begins in, in short, since a narrow chart turns labels and cuts long ones off.

    Several of one month are counted: bars of one label would be drawn over each other.
    """
    labels: list[str] = []
    seen: Counter[str] = Counter()
    for head in heads:
        month = month_short(local_day(head.period.start, ZoneInfo(head.zone)))
        seen[month] += 1
        labels.append(month if seen[month] == 1 else f"{month} ({seen[month]})")
    return labels


def waterfall_figure(difference: BillDifference, *, before: str, after: str) -> dict[str, Any]:
    """The first bill, a bar for every cause from where the last one ended, and the second bill; each bar is a link."""
    bars = [bar for bar in difference.bars if bar.amount.minor]
    moneys = [difference.before, *(bar.amount for bar in bars), difference.after]
    changes = [signed_number(bar.amount, is_change=True) for bar in bars]
    ends = [signed_number(money, is_change=False) for money in (difference.before, difference.after)]
    return {
        "data": [
            {
                "type": "waterfall",
                "orientation": "h",
                "y": [before, *(EFFECT_TITLES[bar.effect] for bar in bars), after],
                "x": [money_number(money) for money in moneys],
                "measure": ["absolute", *["relative"] * len(bars), "total"],
                "text": [ends[0], *changes, ends[1]],
                "customdata": [[money_words(money), "", ""] for money in moneys],
                "meta": {"links": ["#before", *(f"#cause-{bar.effect}" for bar in bars), "#after"]},
            }
        ],
        "layout": {
            "xaxis": {"type": "linear"},
            "yaxis": {"type": "category", "title": {"text": difference.change.currency}},
        },
    }


def signed_number(money: Money, *, is_change: bool) -> str:
    """The amount without its currency; a change says with its sign which way it goes."""
    number = f"{abs(money.amount):,f}"
    if money.minor < 0:
        return f"{MINUS}{number}"
    return f"+{number}" if is_change and money.minor else number
