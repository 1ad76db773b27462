"""Terms in storage: one text for equal terms, read back as they were, and refused when damaged."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from insights.rating.charges import Graduated, PerUnit, Tier
from insights.rating.figures import InvalidTerms
from insights.rating.rate import Usage, rate_line
from insights.rating.terms import Conversion, Discount, PriceTerms
from insights.rating.terms_json import canonical_terms, parse_terms, terms_document
from tests.rating import strategies

GRADUATED = PriceTerms(
    currency="USD",
    unit="B",
    conversion=Conversion(unit="GB", units_per=Decimal("1E+9")),
    included=Decimal("5.0"),
    discounts=(Discount(percent=Decimal(10)),),
    charge=Graduated(
        tiers=(
            Tier(above=Decimal(0), up_to=Decimal("10.00"), unit_amount=Decimal("0.10")),
            Tier(above=Decimal(10), up_to=None, unit_amount=Decimal("0.05")),
        )
    ),
)


@settings(deadline=None)
@given(strategies.prices(), strategies.usages)
def test_terms_are_read_back_as_they_were_and_rate_the_same(terms: PriceTerms, used: Usage) -> None:
    read = parse_terms(json.loads(canonical_terms(terms)))

    assert read == terms
    assert canonical_terms(read) == canonical_terms(terms)
    assert rate_line(read, used) == rate_line(terms, used)


def test_every_field_is_written_and_every_decimal_is_text() -> None:
    assert terms_document(GRADUATED) == {
        "version": 1,
        "currency": "USD",
        "unit": "B",
        "conversion": {"unit": "GB", "units_per": "1000000000"},
        "included": "5",
        "discounts": [{"percent": "10", "amount": None, "is_prorated": False}],
        "minimum": None,
        "maximum": None,
        "timing": "in_arrears",
        "is_prorated": False,
        "exempt_reason": "",
        "charge": {
            "model": "graduated",
            "flat_at_zero": False,
            "tiers": [
                {"above": "0", "up_to": "10", "unit_amount": "0.1", "flat_amount": "0", "percent": "0"},
                {"above": "10", "up_to": None, "unit_amount": "0.05", "flat_amount": "0", "percent": "0"},
            ],
        },
    }


def test_equal_terms_have_one_text_however_they_were_written() -> None:
    one = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal("0.10")), included=Decimal("1E+3"))
    other = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal("0.1000")), included=Decimal(1000))

    assert canonical_terms(one) == canonical_terms(other)
    assert canonical_terms(one).startswith(
        '{"charge":{"model":"per_unit","unit_amount":"0.1"},"conversion":null'
    )


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(terms_document(GRADUATED))
    place: Any = document
    for name in path[:-1]:
        place = place[name]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("version",), 2, "version must be 1"),
        (("version",), KeyError, "version must be 1"),
        (("currency",), KeyError, "terms: currency is missing"),
        (("currency",), "XXX", "not a currency"),
        (("currency",), 5, "terms.currency must be text"),
        (("extra",), 1, "terms: extra is not a field"),
        (("included",), 5, "terms.included must be text"),
        (("included",), "5.0", "terms.included must be a decimal number as text"),
        (("included",), "1/3", "terms.included must be a decimal number as text"),
        (("included",), "1e3", "terms.included must be a decimal"),
        (("included",), None, "terms.included must be text"),
        (("included",), "-5", "included must be zero or more"),
        (("is_prorated",), "no", "terms.is_prorated must be true or false"),
        (("is_prorated",), 0, "terms.is_prorated must be true or false"),
        (("timing",), "soon", "terms.timing must be one of in_advance, in_arrears, once"),
        (("timing",), ["once"], "terms.timing must be text|one of"),
        (("conversion", "units_per"), KeyError, "terms.conversion: units_per is missing"),
        (("conversion",), [], "terms.conversion must be a table"),
        (("minimum",), {"amount": "1"}, "terms.minimum: is_prorated is missing"),
        (("minimum",), {"amount": None, "is_prorated": False}, "minimum must be a decimal number"),
        (("discounts",), {}, "terms.discounts must be a list"),
        (("discounts", 0, "percent"), "101", "discount 1 percent must be 100 or less"),
        (("charge", "model"), "tiered", "terms.charge.model must be one of flat, per_unit"),
        (("charge", "model"), None, "terms.charge.model must be one of"),
        (("charge", "model"), "volume", None),
        (("charge", "model"), "flat", "terms.charge: (tiers|flat_at_zero) is not a field"),
        (("charge", "tiers", 0, "up_to"), "9", "gap: quantities above 9 up to 10 fall in no tier"),
        (("charge", "tiers", 1, "above"), KeyError, "terms.charge.tiers 2: above is missing"),
        (("charge", "tiers", 1, "rate"), "1", "terms.charge.tiers 2: rate is not a field"),
        (("charge", "tiers", 1, "percent"), None, "tier 2 percent must be a decimal number"),
    ],
)
def test_damaged_terms_are_refused_where_they_are_wrong(
    path: tuple[Any, ...], value: Any, told: str | None
) -> None:
    document = changed(path, value)

    if told is None:
        assert parse_terms(document).charge != GRADUATED.charge
    else:
        with pytest.raises(InvalidTerms, match=told):
            parse_terms(document)


@pytest.mark.parametrize("document", [None, [], "terms", 1, {}])
def test_what_is_no_table_is_refused(document: object) -> None:
    with pytest.raises(InvalidTerms):
        parse_terms(document)
