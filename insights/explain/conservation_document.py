"""Where the usage of a bill's period went, as plain JSON values: the API's answer. Quantities are texts. Pure."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import Any

from insights.billing.uncovered import UncoveredAmount
from insights.explain.conservation import Conservation, MeterBalance
from insights.values.exact import exact_number_text
from insights.values.quantity import exact_text


def conservation_document(found: Conservation) -> dict[str, Any]:
    """Each meter with its parts and residual, and what became of every line that was sent."""
    return {
        "is_whole": found.is_whole,
        "meters": [_meter(meter) for meter in found.meters],
        "not_additive": list(found.not_additive),
        "uncovered": [_uncovered(one) for one in found.uncovered],
        "lines": {**asdict(found.lines), "residual": found.lines.residual},
    }


def _uncovered(one: UncoveredAmount) -> dict[str, Any]:
    return {
        "meter": one.found.meter_key,
        "unit": one.unit,
        "quantity": exact_text(one.quantity),
        "records": one.found.records,
        "first_day": one.found.first_used_on.isoformat(),
        "last_day": one.found.last_used_on.isoformat(),
    }


def _meter(meter: MeterBalance) -> dict[str, Any]:
    return {
        "meter": meter.meter_key,
        "unit": meter.unit,
        "known": exact_text(meter.known),
        "records": meter.records,
        "charged": exact_number_text(meter.charged),
        "included": exact_number_text(meter.included),
        "free": exact_number_text(meter.free),
        "not_charged": exact_number_text(Fraction(meter.not_charged)),
        "elsewhere": [
            {
                "quantity": exact_number_text(Fraction(one.quantity)),
                "records": one.records,
                "subscription": one.subscription or None,
            }
            for one in meter.elsewhere
        ],
        "residual": exact_number_text(meter.residual),
        "positions": list(meter.positions),
    }
