"""Rows of the catalogue as the sheet that rating sees, and the way back; refuses rows that are no sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from insights.billing.plan_toml import PlanDocument
from insights.models.prices import Plan, PlanVersion, Price
from insights.models.subscriptions import PriceOverride
from insights.rating.sheet import PriceSheet, SheetPrice, parse_included_credit, parse_price, sheet_document
from insights.rating.terms_json import parse_discounts_and_bounds

_PRICE_FIELDS = (
    "key", "name", "meter_key", "terms", "dimensions", "cells", "is_counted", "is_taxable", "takes_credit",
)  # fmt: skip
_VERSION_TERMS = ("discounts", "minimum", "maximum", "included_credit")


def sheet_of(version: PlanVersion, prices: Iterable[Price]) -> PriceSheet:
    """The sheet of a version with its plan at hand and its prices in order, or InvalidTerms."""
    discounts, minimum, maximum = parse_discounts_and_bounds(version.terms)
    return PriceSheet(
        plan_key=version.plan.key,
        plan_name=version.plan.name,
        version=version.number,
        effective_from=version.effective_from,
        currency=version.plan.currency,
        prices=tuple(price_of(price) for price in prices),
        discounts=discounts,
        minimum=minimum,
        maximum=maximum,
        included_credit=parse_included_credit(version.terms.get("included_credit")),
    )


def price_of(price: Price) -> SheetPrice:
    """One row as the price of a sheet, or InvalidTerms."""
    return parse_price({name: getattr(price, name) for name in _PRICE_FIELDS})


def version_terms(sheet: PriceSheet) -> dict[str, Any]:
    """What a version stores of its sheet beside the prices: the value of `PlanVersion.terms`."""
    document = sheet_document(sheet)
    return {name: document[name] for name in _VERSION_TERMS}


def price_rows(sheet: PriceSheet, version: PlanVersion) -> list[Price]:
    """The sheet's prices as rows of the version, in the order of the sheet."""
    documents: list[Mapping[str, Any]] = sheet_document(sheet)["prices"]
    return [
        Price(plan_version=version, position=position, **document)
        for position, document in enumerate(documents)
    ]


def document_of(version: PlanVersion, prices: Iterable[Price]) -> PlanDocument:
    """The version and its plan as a plan file says them, or InvalidTerms."""
    plan, sheet = version.plan, sheet_of(version, prices)
    return PlanDocument(
        key=plan.key,
        name=plan.name,
        description=plan.description,
        kind=plan.kind,
        currency=plan.currency,
        interval_months=plan.interval_months,
        account_reference=plan.account.reference if plan.account else "",
        position=plan.position,
        effective_from=version.effective_from,
        note=version.note,
        prices=sheet.prices,
        discounts=sheet.discounts,
        minimum=sheet.minimum,
        maximum=sheet.maximum,
        included_credit=sheet.included_credit,
    )


def offered_to(plan: Plan, account_id: int) -> bool:
    """Whether the plan is sold to this account: to all, or to it alone."""
    return plan.account_id is None or plan.account_id == account_id


def own_prices_at(overrides: Iterable[PriceOverride], at: datetime) -> dict[str, PriceOverride]:
    """Those of an account's own prices for one plan that hold at the instant, by the price's key."""
    return {
        override.price_key: override
        for override in overrides
        if override.starts_at <= at and (override.ends_at is None or at < override.ends_at)
    }


def sheet_with_own(sheet: PriceSheet, own: Mapping[str, PriceOverride]) -> PriceSheet:
    """The sheet with an account's own prices in place of the plan's; the very sheet if there are none."""
    if not own:
        return sheet
    prices = tuple(
        price_with_override(price, own[price.key]) if price.key in own else price for price in sheet.prices
    )
    return replace(sheet, prices=prices)


def price_with_override(price: SheetPrice, override: PriceOverride) -> SheetPrice:
    """The price with an account's own terms in place of the plan's, or InvalidTerms."""
    return parse_price(
        {
            "key": price.key,
            "name": price.name,
            "meter_key": price.meter_key,
            "terms": override.terms,
            "dimensions": [] if price.matrix is None or not override.cells else list(price.matrix.dimensions),
            "cells": override.cells,
            "is_counted": price.is_counted,
            "is_taxable": price.is_taxable,
            "takes_credit": price.takes_credit,
        }
    )
