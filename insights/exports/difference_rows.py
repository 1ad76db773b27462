"""The difference of two bills as rows of a CSV: every part with its cause, exact and rounded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from insights.billing.bill import Bill
from insights.billing.bill_facts import plan_names
from insights.billing.correction_words import correction_words, corrections_of
from insights.billing.difference_document import exact_amount
from insights.billing.difference_words import EFFECT_TITLES, part_words
from insights.billing.price_words import cell_words, money_number
from insights.exports.formatting import safe_text
from insights.scenarios.by_value import ValueChange
from insights.scenarios.difference import BillDifference, Part
from insights.values.quantity import exact_text

DIFFERENCE_COLUMNS = (
    "before", "after", "effect", "title", "name", "meter", "values", "amount", "exact", "currency", "in_words",
)  # fmt: skip
VALUE_COLUMNS = ("meter", "values", "dimension", "value", "before", "after", "change", "amount", "currency")


def difference_rows(difference: BillDifference | None, before: Bill, after: Bill) -> Iterator[list[str]]:
    """Every part under a heading; the amounts add to what the second bill comes to more than the first."""
    yield list(DIFFERENCE_COLUMNS)
    names = plan_names(before, after)
    bills = [safe_text(bill.head.number or str(bill.head.public_id)) for bill in (before, after)]
    for part in difference.parts if difference else ():
        yield [
            *bills,
            str(part.effect),
            EFFECT_TITLES[part.effect],
            safe_text(part.match.name),
            part.match.meter_key,
            safe_text(cell_words(dict(part.match.values))),
            money_number(part.amount),
            exact_amount(part.exact, part.amount.currency),
            part.amount.currency,
            safe_text(" ".join(filter(None, (part_words(part, names), _corrected(part, before, after))))),
        ]


def _corrected(part: Part, before: Bill, after: Bill) -> str:
    found = "; ".join(correction_words(one) for one in corrections_of(part, before, after))
    return f"{found}." if found else ""


def value_rows(
    part: Part | None, dimensions: Iterable[tuple[str, tuple[ValueChange, ...] | None]]
) -> Iterator[list[str]]:
    """Every value of every dimension of a change of usage; those of one dimension add to it. Quantities as metered."""
    yield list(VALUE_COLUMNS)
    if part is None:
        return
    for name, values in dimensions:
        for one in values or ():
            yield [
                part.match.meter_key,
                safe_text(cell_words(dict(part.match.values))),
                name,
                safe_text(one.value),
                exact_text(one.before),
                exact_text(one.after),
                exact_text(one.change),
                money_number(one.amount),
                one.amount.currency,
            ]
