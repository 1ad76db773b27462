"""A plan version as rating sees it: every price with its terms, and what holds for the invoice as a whole.

The form in which a bill stores the prices it was made at. Refuses two prices for one meter, and prices that are for
other currencies than the plan's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from insights.rating.figures import InvalidTerms, check_above_zero
from insights.rating.matrix import CATCH_ALL, Cell, Matrix
from insights.rating.terms import Bound, Discount, PriceTerms
from insights.rating.terms_json import parse_discounts_and_bounds, parse_terms, terms_document, whole_document
from insights.values.quantity import exact_text


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetPrice:
    """One price: `terms` alone, or a matrix by dimension values. A fee has no meter. `units` are those of all terms."""

    key: str
    name: str
    meter_key: str = ""
    terms: PriceTerms | None = None
    matrix: Matrix | None = None
    is_counted: bool = False
    is_taxable: bool = True
    takes_credit: bool = True
    units: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.terms is None) == (self.matrix is None):
            raise InvalidTerms(f"price {self.key} has either terms or a matrix")
        if self.matrix is not None and not self.meter_key:
            raise InvalidTerms(f"price {self.key} is a fee, which has no dimensions")
        if self.is_counted and self.meter_key:
            raise InvalidTerms(f"price {self.key} counts what a meter measures already")
        object.__setattr__(self, "units", frozenset(terms.unit for _, terms in self.every_terms()))

    def every_terms(self) -> tuple[tuple[tuple[str, ...], PriceTerms], ...]:
        """Each cell's values and terms; the catch-all, or the only terms, last and without values."""
        if self.matrix is None:
            return ((CATCH_ALL, self.terms),) if self.terms else ()
        cells = tuple((cell.values, cell.terms) for cell in self.matrix.cells)
        return (*cells, (CATCH_ALL, self.matrix.catch_all)) if self.matrix.catch_all else cells


@dataclass(frozen=True, slots=True, kw_only=True)
class IncludedCredit:
    """Money that comes with the plan each period and is gone with it; major units. `covers`: price keys, None all."""

    name: str
    amount: Decimal
    covers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSheet:
    """All prices of one version of one plan; `by_meter` and `fees` are the same prices, the first by meter key."""

    plan_key: str
    plan_name: str
    version: int
    effective_from: datetime
    currency: str
    prices: tuple[SheetPrice, ...]
    discounts: tuple[Discount, ...] = ()
    minimum: Bound | None = None
    maximum: Bound | None = None
    included_credit: IncludedCredit | None = None
    by_meter: Mapping[str, SheetPrice] = field(init=False, repr=False, compare=False)
    fees: tuple[SheetPrice, ...] = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_sheet(self)
        # What follows from a sheet is kept for many bills and looked up by it.
        object.__setattr__(self, "_hash", hash((self.plan_key, self.version, self.prices, self.discounts)))
        metered = {price.meter_key: price for price in self.prices if price.meter_key}
        object.__setattr__(self, "by_meter", metered)
        object.__setattr__(self, "fees", tuple(price for price in self.prices if not price.meter_key))

    def __hash__(self) -> int:
        return self._hash

    def price(self, key: str) -> SheetPrice | None:
        """The price of this key, if the sheet has one."""
        return next((price for price in self.prices if price.key == key), None)


def check_sheet(sheet: PriceSheet) -> None:
    """Raise InvalidTerms unless the prices of the sheet go together."""
    _refuse_twice("price", [price.key for price in sheet.prices])
    _refuse_twice("price for meter", [price.meter_key for price in sheet.prices if price.meter_key])
    for price in sheet.prices:
        for _, terms in price.every_terms():
            if terms.currency != sheet.currency:
                raise InvalidTerms(f"price {price.key} is in {terms.currency}, the plan in {sheet.currency}")
    if sheet.minimum and sheet.maximum and sheet.minimum.amount > sheet.maximum.amount:
        raise InvalidTerms("the minimum is above the maximum")
    credit = sheet.included_credit
    if credit is not None:
        check_above_zero("included_credit.amount", credit.amount)
        for key in credit.covers or ():
            if sheet.price(key) is None:
                raise InvalidTerms(f"included_credit covers {key}, which is not a price of the plan")


def _refuse_twice(what: str, keys: Sequence[str]) -> None:
    for key in keys:
        if keys.count(key) > 1:
            raise InvalidTerms(f"there are two entries of {what} {key}")


def sheet_document(sheet: PriceSheet) -> dict[str, Any]:
    """The sheet as plain JSON values: decimals as text, instants in UTC, every field written."""
    credit = sheet.included_credit
    return {
        "plan_key": sheet.plan_key,
        "plan_name": sheet.plan_name,
        "version": sheet.version,
        "effective_from": sheet.effective_from.isoformat(),
        "currency": sheet.currency,
        "prices": [price_document(price) for price in sheet.prices],
        **whole_document(sheet.discounts, sheet.minimum, sheet.maximum),
        "included_credit": credit
        and {
            "name": credit.name,
            "amount": exact_text(credit.amount),
            "covers": None if credit.covers is None else list(credit.covers),
        },
    }


def price_document(price: SheetPrice) -> dict[str, Any]:
    """One price as plain JSON values: an entry of a sheet, and the fields of a row of the catalogue."""
    matrix = price.matrix
    catch_all = price.terms if matrix is None else matrix.catch_all
    return {
        "key": price.key,
        "name": price.name,
        "meter_key": price.meter_key,
        "terms": catch_all and terms_document(catch_all),
        "dimensions": [] if matrix is None else list(matrix.dimensions),
        "cells": []
        if matrix is None
        else [{"values": list(cell.values), "terms": terms_document(cell.terms)} for cell in matrix.cells],
        "is_counted": price.is_counted,
        "is_taxable": price.is_taxable,
        "takes_credit": price.takes_credit,
    }


def parse_sheet(document: Mapping[str, Any]) -> PriceSheet:
    """The sheet stored as this document, or InvalidTerms."""
    discounts, minimum, maximum = parse_discounts_and_bounds(document)
    return PriceSheet(
        plan_key=document["plan_key"],
        plan_name=document["plan_name"],
        version=document["version"],
        effective_from=datetime.fromisoformat(document["effective_from"]),
        currency=document["currency"],
        prices=tuple(parse_price(price) for price in document["prices"]),
        discounts=discounts,
        minimum=minimum,
        maximum=maximum,
        included_credit=parse_included_credit(document["included_credit"]),
    )


def parse_included_credit(document: Mapping[str, Any] | None) -> IncludedCredit | None:
    """The credit that comes with a plan, stored as this document."""
    if document is None:
        return None
    covers = document["covers"]
    return IncludedCredit(
        name=document["name"],
        amount=Decimal(document["amount"]),
        covers=None if covers is None else tuple(covers),
    )


def parse_price(document: Mapping[str, Any]) -> SheetPrice:
    """The price stored as this document: that of a sheet, or the fields of a row of the catalogue."""
    terms = None if document["terms"] is None else parse_terms(document["terms"])
    matrix = None
    if document["dimensions"]:
        cells = tuple(
            Cell(values=tuple(cell["values"]), terms=parse_terms(cell["terms"])) for cell in document["cells"]
        )
        matrix = Matrix(dimensions=tuple(document["dimensions"]), cells=cells, catch_all=terms)
    return SheetPrice(
        key=document["key"],
        name=document["name"],
        meter_key=document["meter_key"],
        terms=None if matrix else terms,
        matrix=matrix,
        is_counted=document["is_counted"],
        is_taxable=document["is_taxable"],
        takes_credit=document["takes_credit"],
    )
