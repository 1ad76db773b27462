"""Where the usage of a bill's period went, as rows of a CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from insights.explain.conservation import Conservation
from insights.exports.formatting import safe_text
from insights.values.exact import exact_number_text
from insights.values.quantity import exact_text

COLUMNS = ("meter", "unit", "what", "quantity", "reason")


def conservation_rows(found: Conservation) -> Iterator[list[str]]:
    """For each meter what is known, and every part of it; under a heading. Parts and residual add to what is known.

    What no subscription covers is outside of the period, and stands behind it.
    """
    yield list(COLUMNS)
    for meter in found.meters:
        head = [meter.meter_key, safe_text(meter.unit)]
        yield [*head, "known", exact_number_text(Fraction(meter.known)), ""]
        yield [*head, "charged", exact_number_text(meter.charged), ""]
        yield [*head, "included", exact_number_text(meter.included), ""]
        yield [*head, "free", exact_number_text(meter.free), "by the price's own reason"]
        yield [
            *head,
            "not charged",
            exact_number_text(Fraction(meter.not_charged)),
            "the source is not charged",
        ]
        for part in meter.elsewhere:
            reason = f"priced by {part.subscription}" if part.subscription else "no price then"
            yield [*head, "not on this bill", exact_number_text(Fraction(part.quantity)), safe_text(reason)]
        yield [*head, "residual", exact_number_text(meter.residual), ""]
    for one in found.uncovered:
        reason = f"no subscription covers {one.found.first_used_on} to {one.found.last_used_on}"
        yield [one.found.meter_key, safe_text(one.unit), "on no bill", exact_text(one.quantity), reason]
