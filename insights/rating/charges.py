"""The charge models: how a quantity becomes money, and the tiers some of them have. Data only, checked when made.

Refuses tiers with a gap or an overlap, and prices that a charge model would not use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from insights.rating.figures import InvalidTerms, check_above_zero, check_amount
from insights.values.quantity import exact_text


class Packages(StrEnum):
    """What a package that was only begun costs: all of it, or its part."""

    WHOLE = "whole"
    PRO_RATA = "pro_rata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Billed units above `above` up to and with `up_to`; None is open. Any fraction falls in exactly one tier.

    `unit_amount` is money for each unit, `percent` a part of the quantity where that is money, `flat_amount` is due
    once when a unit falls in the tier.
    """

    above: Decimal
    up_to: Decimal | None
    unit_amount: Decimal = Decimal(0)
    flat_amount: Decimal = Decimal(0)
    percent: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """The same amount whatever the quantity."""

    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PerUnit:
    """An amount for each unit and each part of a unit."""

    unit_amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Graduated:
    """Each tier's units at that tier's price. `flat_at_zero`: the first tier's flat amount is due without units too."""

    tiers: tuple[Tier, ...]
    flat_at_zero: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """All units at the price of the tier that the whole quantity falls in."""

    tiers: tuple[Tier, ...]
    flat_at_zero: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An amount for each package of `size` units."""

    amount: Decimal
    size: Decimal
    counting: Packages


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentage:
    """A part of the quantity, which is money in the line's currency, and an amount for each count of another meter."""

    percent: Decimal
    fixed_amount: Decimal = Decimal(0)
    count_meter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraduatedPercentage:
    """Each tier's part of the quantity, which is money in the line's currency, at that tier's percent."""

    tiers: tuple[Tier, ...]
    flat_at_zero: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stairstep:
    """Only the flat amount of the tier that the whole quantity falls in."""

    tiers: tuple[Tier, ...]
    flat_at_zero: bool = False


ChargeModel = Flat | PerUnit | Graduated | Volume | Package | Percentage | GraduatedPercentage | Stairstep
Tiered = Graduated | Volume | GraduatedPercentage | Stairstep
# Which fields of a tier a charge model uses; any other must be left at zero, or it would be promised and not charged.
_TIER_FIELDS: dict[type, frozenset[str]] = {
    Graduated: frozenset({"unit_amount", "flat_amount"}),
    Volume: frozenset({"unit_amount", "flat_amount"}),
    GraduatedPercentage: frozenset({"percent", "flat_amount"}),
    Stairstep: frozenset({"flat_amount"}),
}


def check_charge(charge: ChargeModel) -> None:
    """Raise InvalidTerms unless the figures of the charge model hold together."""
    if isinstance(charge, Tiered):
        _check_tiers(charge)
    elif isinstance(charge, Package):
        check_amount("amount", charge.amount)
        check_above_zero("size", charge.size)
    elif isinstance(charge, Percentage):
        check_amount("percent", charge.percent)
        check_amount("fixed_amount", charge.fixed_amount)
        if bool(charge.fixed_amount) != bool(charge.count_meter):
            raise InvalidTerms("fixed_amount and count_meter go together: name the meter that counts")
    elif isinstance(charge, Flat):
        check_amount("amount", charge.amount)
    else:
        check_amount("unit_amount", charge.unit_amount)


def _check_tiers(charge: Tiered) -> None:
    if fault := next(tier_faults(charge.tiers), None):
        raise InvalidTerms(fault)
    used = _TIER_FIELDS[type(charge)]
    for number, tier in enumerate(charge.tiers, 1):
        for name in ("unit_amount", "flat_amount", "percent"):
            check_amount(f"tier {number} {name}", getattr(tier, name))
            if name not in used and getattr(tier, name):
                raise InvalidTerms(f"tier {number} {name} is not used by this charge model")


def tier_faults(tiers: tuple[Tier, ...]) -> Iterator[str]:
    """Every gap, overlap and empty tier, in words; nothing when the tiers hold each quantity once."""
    if not tiers:
        yield "there must be at least one tier"
        return
    for number, tier in enumerate(tiers, 1):
        for name in ("above", "up_to"):
            bound = getattr(tier, name)
            if bound is not None:
                check_amount(f"tier {number} {name}", bound)
        if tier.up_to is not None and tier.up_to <= tier.above:
            yield f"tier {number} ends at {exact_text(tier.up_to)} and holds nothing"
        if tier.up_to is None and number < len(tiers):
            yield f"tier {number} is open, so tier {number + 1} overlaps it"
    if tiers[0].above:
        yield f"gap: quantities up to {exact_text(tiers[0].above)} fall in no tier"
    for number, (tier, following) in enumerate(pairwise(tiers), 1):
        end, start = tier.up_to or Decimal(0), following.above
        between = f"above {exact_text(min(end, start))} up to {exact_text(max(end, start))}"
        if start > end:
            yield f"gap: quantities {between} fall in no tier"
        if start < end:
            yield f"overlap: quantities {between} fall in tiers {number} and {number + 1}"
    if tiers[-1].up_to is not None:
        yield f"gap: quantities above {exact_text(tiers[-1].up_to)} fall in no tier"
