"""Which line of which earlier bill each correction between two bills is of, since one meter may have several. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from insights.billing.bill import Bill, BillLine
from insights.billing.price_words import money_words
from insights.rating.invoice import LineKind
from insights.scenarios.difference import Part
from insights.scenarios.effects import Effect


@dataclass(frozen=True, slots=True)
class PlacedCorrection:
    """A correction, the bill that it stands on, and whether that is the later one of both."""

    bill: Bill
    line: BillLine
    is_later: bool


def corrections_of(part: Part, before: Bill, after: Bill) -> tuple[PlacedCorrection, ...]:
    """The corrections that a part is made of, those of the bill before first; none for any other cause."""
    return tuple(_corrections(part, before, after)) if part.effect is Effect.CORRECTIONS else ()


def _corrections(part: Part, before: Bill, after: Bill) -> Iterator[PlacedCorrection]:
    for bill, side, is_later in ((before, part.match.before, False), (after, part.match.after, True)):
        positions = {line.position for line in side.lines if line.kind is LineKind.CORRECTION}
        for line in bill.lines:
            if line.position in positions:
                yield PlacedCorrection(bill, line, is_later)


def corrected_words(line: BillLine) -> str:
    """What a correction corrects, by line and bill: “Requests” of bill TGI-000144."""
    corrected = line.corrects
    if corrected is None:
        return "an earlier bill that had no such line"
    return f"“{corrected.line_name}” of bill {corrected.number or corrected.bill_id}"


def correction_words(one: PlacedCorrection) -> str:
    """A correction in one phrase: 1.20 USD now, for “Requests” of bill TGI-000144."""
    return f"{money_words(one.line.amount)} {'now' if one.is_later else 'before'}, for {corrected_words(one.line)}"
