"""An estimate as rows of a CSV: every line of both sides, then the sums. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from insights.billing.bill_document import instant_text
from insights.billing.estimate import Estimate, EstimatedPeriod, RatedSide
from insights.billing.price_words import money_number, price_words
from insights.billing.words import line_sentence, values_words
from insights.exports.formatting import safe_text
from insights.values.exact import exact_number_text
from insights.values.money import Money
from insights.values.quantity import exact_text

ESTIMATE_COLUMNS = (
    "row", "side", "period_start", "period_end", "bill", "plan", "plan_version", "group", "name", "meter", "values",
    "metered_quantity", "quantity", "unit", "price", "amount", "currency", "in_words",
)  # fmt: skip


def estimate_rows(estimate: Estimate) -> Iterator[list[str]]:
    """Lines, the sums of each period and those of all, under a heading; `side` is billed, estimate or difference."""
    yield list(ESTIMATE_COLUMNS)
    for period in estimate.periods:
        if period.billed is not None:
            yield from _line_rows(period, "billed", period.billed)
        yield from _line_rows(period, "estimate", period.estimate)
        yield from _sums(
            estimate,
            "period",
            period,
            None if period.billed is None else period.billed.total,
            period.estimate.total,
            period.difference,
        )
    yield from _sums(estimate, "total", None, estimate.billed, estimate.estimated, estimate.difference)


def _line_rows(period: EstimatedPeriod, side: str, rated: RatedSide) -> Iterator[list[str]]:
    for section in rated.sections:
        for line in section.lines:
            yield [
                "line",
                side,
                *_place(period),
                line.plan_key,
                "" if line.plan_version is None else str(line.plan_version),
                str(line.group),
                safe_text(line.name),
                line.meter_key,
                safe_text(values_words(line)),
                "" if line.metered_quantity is None else exact_text(line.metered_quantity),
                "" if line.billed_quantity is None else exact_number_text(line.billed_quantity),
                safe_text(line.unit),
                safe_text(price_words(line.terms)) if line.terms else "",
                money_number(line.amount),
                line.amount.currency,
                safe_text(line_sentence(line)),
            ]


def _place(period: EstimatedPeriod | None) -> list[str]:
    if period is None:
        return ["", "", ""]
    return [
        instant_text(period.period.start) or "",
        instant_text(period.period.end) or "",
        safe_text(period.head.number) if period.head else "",
    ]


def _sums(
    estimate: Estimate,
    row: str,
    period: EstimatedPeriod | None,
    billed: Money | None,
    estimated: Money,
    difference: Money | None,
) -> Iterator[list[str]]:
    version = "" if period is None else str(period.sheet.version)
    for side, money in (("billed", billed), ("estimate", estimated), ("difference", difference)):
        if money is not None:
            plan = ["", ""] if side == "billed" else [estimate.plan_key, version]
            empty = [""] * 8
            amount = [money_number(money), money.currency, ""]
            yield [row, side, *_place(period), *plan, *empty, *amount]
