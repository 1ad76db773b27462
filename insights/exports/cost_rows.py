"""Writes an answer about cost as CSV: its stretches of time, its values, and what else is on the bills. Pure.

One column says what a row is, and the amounts of `time` add to `total`, those of `value` too, and of each bill those of
`shown` and `besides` to the bill. A text that a spreadsheet would run is made safe unless it is to stay raw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import tzinfo

from insights.billing.bill import LineGroup
from insights.billing.price_words import money_number
from insights.explain.cost_answer import BillCost, CostAnswer, CostGroup, CurrencyCost
from insights.exports.aggregates import instant_text, quantity_text
from insights.exports.formatting import csv_lines, safe_text
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.usage_filter import COST, UsageFilter
from insights.values.money import Money
from insights.values.quantity import exact_text

COLUMNS = (
    "row", "window_start", "window_end", "part", "value", "state", "amount", "currency", "quantity", "unit", "invoice",
    "number",
)  # fmt: skip
Text = Callable[[str], str]


def cost_lines(answer: CostAnswer, *, zone: tzinfo, raw: bool) -> Iterator[bytes]:
    """Yield the lines, header first; of an answer in several currencies those of one after another."""
    text: Text = str if raw else safe_text
    return csv_lines(_rows(answer, zone, text))


def _rows(answer: CostAnswer, zone: tzinfo, text: Text) -> Iterator[list[str]]:
    yield list(COLUMNS)
    for one in answer.currencies:
        yield from _times(answer, one, zone, text)
        if answer.filter.group_by:
            yield from _values(answer, one, text)
        yield _row("total", one.total)
        for bill in one.bills:
            yield from _bill(bill, text)


def _times(answer: CostAnswer, one: CurrencyCost, zone: tzinfo, text: Text) -> Iterator[list[str]]:
    """A row for each stretch of time, or for each value in it where values have parts there."""
    for bucket in one.buckets:
        window = {
            "window_start": instant_text(bucket.slot.start, zone),
            "window_end": instant_text(bucket.slot.end, zone),
            "state": bucket.state,
        }
        quantity = {"quantity": quantity_text(bucket.quantity), "unit": text(answer.unit)}
        yield _row("time", bucket.amount, **window, **quantity)
        for group, part in zip(one.groups, bucket.parts, strict=bool(bucket.parts)):
            yield _row("time_and_value", part, **window, **_group(group, text))
    if one.undated.minor:
        yield _row("time", one.undated, part="no_single")


def _values(answer: CostAnswer, one: CurrencyCost, text: Text) -> Iterator[list[str]]:
    for group in one.groups:
        cells = {"quantity": exact_text(group.quantity), "unit": text(answer.unit)}
        yield _row("value", group.amount, **_group(group, text), **cells)
    if one.unvalued.minor:
        yield _row("value", one.unvalued, part="no_single")


def _group(group: CostGroup, text: Text) -> dict[str, str]:
    return {"part": group_part(group), "value": text(group.value or "")}


def group_part(group: CostGroup) -> str:
    """Whether a group is one value, the usage without one, or the rest."""
    if group.is_rest:
        return "other"
    return "none" if group.value is None else "value"


def _bill(bill: BillCost, text: Text) -> Iterator[list[str]]:
    named = {"invoice": str(bill.head.public_id), "number": text(bill.head.number), "state": bill.head.status}
    yield _row("shown", bill.shown, **named)
    for part in bill.rest:
        yield _row("besides", part.amount, part=rest_part(part.group), value=text(part.meter_key), **named)


def rest_part(group: LineGroup | None) -> str:
    """What else on a bill is: the same meter's usage of other days or values, or a group of the bill."""
    return "elsewhere" if group is None else str(group)


def _row(kind: str, amount: Money | None, **cells: str) -> list[str]:
    money = {} if amount is None else {"amount": money_number(amount), "currency": amount.currency}
    return [kind, *(str({**cells, **money}.get(column, "")) for column in COLUMNS[1:])]


def name_of(question: UsageFilter, kind: str) -> str:
    """What the file of an answer is called by."""
    return COST if question.measure == COST else kind


def refuse_cost_of_records(question: UsageFilter) -> None:
    """Raise UsageFilterRefused where a question about cost asks for records, which have none of their own."""
    if question.measure == COST:
        raise UsageFilterRefused([Fault("measure", "measure", "Records have no cost; ask for aggregates.")])
