"""A plan written as the TOML that `plan_toml` reads back as the same prices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from insights.billing.plan_toml import INTERVALS, PlanDocument
from insights.rating.charges import (
    ChargeModel,
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PerUnit,
    Stairstep,
    Tier,
    Volume,
)
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Conversion, Discount, FeeTiming, PriceTerms
from insights.rating.terms_json import CHARGE_MODELS
from insights.values.quantity import UnknownConversion, exact_text, units_per

Lines = Iterator[str]
_MODEL_NAMES = {kind: name for name, kind in CHARGE_MODELS.items()}


def plan_to_toml(document: PlanDocument) -> str:
    """The text of the whole document; defaults are left out."""
    return "\n".join([*_plan_lines(document), *_version_lines(document), *_price_lines(document)]) + "\n"


def _plan_lines(document: PlanDocument) -> Lines:
    interval = next(name for name, months in INTERVALS.items() if months == document.interval_months)
    yield f"key = {quoted(document.key)}"
    yield f"name = {quoted(document.name)}"
    if document.description:
        yield f"description = {quoted(document.description)}"
    yield f"kind = {quoted(document.kind)}"
    yield f"currency = {quoted(document.currency)}"
    yield f"interval = {quoted(interval)}"
    if document.account_reference:
        yield f"account = {quoted(document.account_reference)}"
    if document.position:
        yield f"position = {document.position}"


def _version_lines(document: PlanDocument) -> Lines:
    yield from ("", "[version]", f"effective_from = {instant_text(document.effective_from)}")
    if document.note:
        yield f"note = {quoted(document.note)}"
    yield from _common_lines(document.discounts, document.minimum, document.maximum)
    credit = document.included_credit
    if credit:
        yield from ("", "[version.included_credit]", f"name = {quoted(credit.name)}")
        yield f"amount = {number_text(credit.amount)}"
        if credit.covers is not None:
            yield f"covers = {_list_text(credit.covers)}"


def _price_lines(document: PlanDocument) -> Lines:
    for price in document.prices:
        yield from ("", "[[prices]]", f"key = {quoted(price.key)}", f"name = {quoted(price.name)}")
        if price.meter_key:
            yield f"meter = {quoted(price.meter_key)}"
        if price.is_counted:
            yield "counted = true"
        if not price.is_taxable:
            yield "taxable = false"
        if not price.takes_credit:
            yield "takes_credit = false"
        if price.terms:
            yield from _unit_lines(price.terms)
            yield from _terms_lines(price.terms)
        else:
            yield from _matrix_lines(price)


def _matrix_lines(price: SheetPrice) -> Lines:
    matrix = price.matrix
    if matrix is None:
        return
    every = [terms for _, terms in price.every_terms()]
    is_one_unit = len({(terms.unit, terms.conversion) for terms in every}) == 1
    yield f"dimensions = {_list_text(matrix.dimensions)}"
    # A price that has a meter names its unit itself, whatever its cells say.
    yield from _unit_lines(every[0]) if is_one_unit else (f"unit = {quoted(every[0].unit)}",)
    for cell in matrix.cells:
        pairs = zip(matrix.dimensions, cell.values, strict=True)
        values = ", ".join(f"{quoted(name)} = {quoted(value)}" for name, value in pairs)
        yield from ("", "[[prices.cells]]", f"values = {{ {values} }}")
        yield from () if is_one_unit else _unit_lines(cell.terms)
        yield from _terms_lines(cell.terms)
    if matrix.catch_all:
        yield from ("", "[prices.otherwise]")
        yield from () if is_one_unit else _unit_lines(matrix.catch_all)
        yield from _terms_lines(matrix.catch_all)


def _unit_lines(terms: PriceTerms) -> Lines:
    if terms.unit:
        yield f"unit = {quoted(terms.unit)}"
    conversion = terms.conversion
    if conversion is None:
        return
    if _is_well_known(terms.unit, conversion):
        yield f"per = {quoted(conversion.unit)}"
    else:
        number = number_text(conversion.units_per)
        yield f"conversion = {{ unit = {quoted(conversion.unit)}, units_per = {number} }}"


def _is_well_known(unit: str, conversion: Conversion) -> bool:
    if conversion.unit == unit:
        return False
    try:
        return units_per(unit, conversion.unit) == conversion.units_per
    except UnknownConversion:
        return False


def _terms_lines(terms: PriceTerms) -> Lines:
    yield f"model = {quoted(_MODEL_NAMES[type(terms.charge)])}"
    yield from _charge_lines(terms.charge)
    if terms.included:
        yield f"included = {number_text(terms.included)}"
    yield from _common_lines(terms.discounts, terms.minimum, terms.maximum)
    if terms.timing is not FeeTiming.IN_ARREARS:
        yield f"timing = {quoted(terms.timing)}"
    if terms.is_prorated:
        yield "prorated = true"
    if terms.exempt_reason:
        yield f"exempt = {quoted(terms.exempt_reason)}"


def _charge_lines(charge: ChargeModel) -> Lines:
    match charge:
        case Flat():
            yield f"amount = {number_text(charge.amount)}"
        case PerUnit():
            yield f"unit_amount = {number_text(charge.unit_amount)}"
        case Package():
            yield f"amount = {number_text(charge.amount)}"
            yield f"size = {number_text(charge.size)}"
            yield f"counting = {quoted(charge.counting)}"
        case Percentage():
            yield f"percent = {number_text(charge.percent)}"
            if charge.count_meter:
                yield f"fixed_amount = {number_text(charge.fixed_amount)}"
                yield f"count_meter = {quoted(charge.count_meter)}"
        case Graduated() | Volume() | GraduatedPercentage() | Stairstep():
            yield "tiers = ["
            yield from (f"    {_tier_text(tier)}," for tier in charge.tiers)
            yield "]"
            if charge.flat_at_zero:
                yield "flat_at_zero = true"


def _tier_text(tier: Tier) -> str:
    fields = [] if tier.up_to is None else [f"up_to = {number_text(tier.up_to)}"]
    fields += [
        f"{name} = {number_text(amount)}"
        for name in ("unit_amount", "flat_amount", "percent")
        if (amount := getattr(tier, name))
    ]
    return f"{{ {', '.join(fields)} }}" if fields else "{}"


def _common_lines(discounts: tuple[Discount, ...], minimum: Bound | None, maximum: Bound | None) -> Lines:
    if discounts:
        yield f"discounts = [{', '.join(map(_discount_text, discounts))}]"
    for name, bound in (("minimum", minimum), ("maximum", maximum)):
        if bound and bound.is_prorated:
            yield f"{name} = {{ amount = {number_text(bound.amount)}, prorated = true }}"
        elif bound:
            yield f"{name} = {number_text(bound.amount)}"


def _discount_text(discount: Discount) -> str:
    if discount.percent is not None:
        return f"{{ percent = {number_text(discount.percent)} }}"
    share = ", prorated = true" if discount.is_prorated else ""
    return f"{{ amount = {number_text(discount.amount or Decimal(0))}{share} }}"


def number_text(number: Decimal) -> str:
    """The number as text in quotes, so that it stays exact."""
    return quoted(exact_text(number))


def instant_text(instant: datetime) -> str:
    """The instant in UTC as TOML has it, without quotes."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def quoted(text: str) -> str:
    """The text as a TOML string. JSON's escapes are TOML's too, apart from the bare DEL character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list_text(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"
