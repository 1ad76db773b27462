"""An invoice's own arithmetic: exact in minor units, whatever its lines, bounds, taxes and credits."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.rating.credits import Credit
from insights.rating.figures import InvalidTerms
from insights.rating.invoice import (
    InvalidInvoice,
    InvoiceLine,
    InvoiceTerms,
    LineKind,
    RatedInvoice,
    total_invoice,
)
from insights.rating.terms import Bound, Discount
from insights.values.exact import round_half_away
from insights.values.money import Money, UnknownCurrency
from tests.rating import strategies

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TAXES = {"vat": Decimal("19"), "city": Decimal("0.75")}


def charge(key: str, minor: int, **more: Any) -> InvoiceLine:
    return InvoiceLine(key=key, kind=more.pop("kind", LineKind.CHARGE), minor=minor, **more)


def total(lines: list[InvoiceLine], *, granted: tuple[Credit, ...] = (), **more: Any) -> RatedInvoice:
    return total_invoice(lines, InvoiceTerms(**{"currency": "USD", **more}), granted=granted, at=NOW)


def made(invoice: RatedInvoice) -> dict[str, int]:
    return {line.key: line.minor for line in invoice.lines if line.kind is not LineKind.CHARGE}


def credit(key: str, remaining_minor: int, **more: Any) -> Credit:
    return Credit(
        key=key, remaining_minor=remaining_minor, granted_at=datetime(2026, 1, 1, tzinfo=UTC), **more
    )


@st.composite
def invoices(draw: st.DrawFn) -> RatedInvoice:
    """Invoices of every kind, totalled."""
    lines = [
        InvoiceLine(
            key=f"line {number:03}",
            kind=draw(st.sampled_from((LineKind.CHARGE, LineKind.CHARGE, LineKind.CORRECTION))),
            minor=draw(st.integers(-5_000, 50_000)),
            price=draw(st.sampled_from("ab")),
            taxes=draw(st.sampled_from(((), ("vat",), ("vat", "city")))),
            takes_credit=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 8)))
    ]
    least, most = sorted((draw(strategies.amounts), draw(strategies.decimals(0, 900, 2))))
    granted = [
        credit(
            str(number),
            remaining,
            covers=frozenset("a") if before and number % 2 else None,
            is_before_tax=before,
        )
        for number, (remaining, before) in enumerate(
            draw(st.lists(st.tuples(st.integers(1, 30_000), st.booleans()), max_size=4))
        )
    ]
    return total_invoice(
        lines,
        InvoiceTerms(
            currency=draw(st.sampled_from(("USD", "JPY", "KWD"))),
            discounts=tuple(each for each in draw(strategies.discounts) if not each.is_prorated),
            minimum=draw(st.none() | st.just(Bound(amount=least))),
            maximum=draw(st.none() | st.just(Bound(amount=most))),
            minimum_taxes=draw(st.sampled_from(((), ("vat",)))),
            taxes=TAXES,
        ),
        granted=granted,
        at=NOW,
    )


class TestAnyInvoice:
    @settings(deadline=None)
    @given(invoices())
    def test_lines_add_to_the_total(self, invoice: RatedInvoice) -> None:
        assert sum(line.minor for line in invoice.lines) == invoice.total.minor
        assert len({line.key for line in invoice.lines}) == len(invoice.lines)
        for line in invoice.lines:
            if line.allotted:
                assert sum(line.allotted.values()) == line.minor

    @settings(deadline=None)
    @given(invoices())
    def test_tax_is_taken_once_of_what_is_left_of_its_lines(self, invoice: RatedInvoice) -> None:
        off: dict[str, int] = {}
        for line in invoice.lines:
            for key, minor in line.allotted.items():
                off[key] = off.get(key, 0) + minor
        for tax, percent in TAXES.items():
            taxed = [line for line in invoice.lines if tax in line.taxes]
            base = sum(line.minor + off.get(line.key, 0) for line in taxed)
            lines = [line for line in invoice.lines if line.key == f"tax {tax}"]
            assert len(lines) == (1 if taxed else 0)
            assert all(
                line.minor == round_half_away(Fraction(percent) * base * Fraction("0.01")) for line in lines
            )

    @settings(deadline=None)
    @given(invoices())
    def test_credits_do_not_take_the_total_below_zero(self, invoice: RatedInvoice) -> None:
        paid = sum(line.minor for line in invoice.lines if line.kind is LineKind.CREDIT)

        assert paid == -sum(use.minor for use in invoice.credits)
        assert paid <= 0
        if any(use.minor for use in invoice.credits) and not any("tax" in line.key for line in invoice.lines):
            assert invoice.total.minor >= 0


class TestTaxes:
    def test_a_line_may_have_two(self) -> None:
        invoice = total([charge("a", 10_000, taxes=("vat", "city")), charge("b", 10_000)], taxes=TAXES)

        assert made(invoice) == {"tax vat": 1900, "tax city": 75}

    def test_a_tax_of_zero_percent_is_still_a_line(self) -> None:
        invoice = total(
            [charge("a", 10_000, taxes=("reverse charge",))], taxes={"reverse charge": Decimal(0)}
        )

        assert made(invoice) == {"tax reverse charge": 0}

    def test_a_correction_is_neither_discounted_nor_taxed_again(self) -> None:
        october = charge("october", -1190, kind=LineKind.CORRECTION)

        invoice = total(
            [charge("a", 10_000, taxes=("vat",)), october],
            taxes=TAXES,
            discounts=(Discount(percent=Decimal(10)),),
        )

        assert made(invoice) == {"october": -1190, "discount 1": -1000, "tax vat": 1710}
        assert invoice.total == Money(9520, "USD")

    def test_an_unused_fee_that_comes_back_brings_its_tax_back(self) -> None:
        invoice = total([charge("fee", -2000, taxes=("vat",))], taxes=TAXES)

        assert invoice.total == Money(-2380, "USD")


class TestBounds:
    def test_a_maximum_comes_after_the_minimum_and_the_discounts(self) -> None:
        invoice = total(
            [charge("a", 10_000)],
            discounts=(Discount(percent=Decimal(50)), Discount(amount=Decimal(10))),
            minimum=Bound(amount=Decimal(30)),
            maximum=Bound(amount=Decimal(35)),
        )

        assert made(invoice) == {"discount 1": -5000, "discount 2": -1000, "maximum": -500}

    def test_an_empty_invoice_has_its_minimum(self) -> None:
        invoice = total([], minimum=Bound(amount=Decimal(5)), minimum_taxes=("vat",), taxes=TAXES)

        assert made(invoice) == {"minimum": 500, "tax vat": 95}

    def test_a_fee_that_comes_back_lowers_what_is_discounted(self) -> None:
        invoice = total([charge("a", 3000), charge("b", -1000)], discounts=(Discount(percent=Decimal(10)),))

        discount = invoice.lines[-1]
        assert (discount.minor, dict(discount.allotted)) == (-200, {"a": -300, "b": 100})

    def test_nothing_is_taken_off_an_invoice_at_or_below_zero(self) -> None:
        for minor in (0, -500):
            assert made(total([charge("a", minor)], discounts=(Discount(amount=Decimal(5)),))) == {}


class TestCredits:
    def test_credit_is_not_for_lines_that_do_not_take_it(self) -> None:
        invoice = total(
            [charge("usage", 500, takes_credit=True), charge("fee", 2000)], granted=(credit("a", 9_999),)
        )

        assert made(invoice) == {"credit a": -500}
        assert invoice.total == Money(2000, "USD")

    def test_credit_pays_what_is_left_after_the_discount(self) -> None:
        invoice = total(
            [charge("usage", 1000, takes_credit=True)],
            discounts=(Discount(percent=Decimal(40)),),
            granted=(credit("a", 9_999),),
        )

        assert made(invoice) == {"discount 1": -400, "credit a": -600}
        assert invoice.total == Money(0, "USD")

    def test_a_balance_pays_tax_too(self) -> None:
        invoice = total(
            [charge("usage", 1000, taxes=("vat",))],
            taxes=TAXES,
            granted=(credit("balance", 9_999, is_before_tax=False),),
        )

        assert made(invoice) == {"tax vat": 190, "credit balance": -1190}


class TestRefusals:
    def test_two_lines_of_one_key(self) -> None:
        with pytest.raises(InvalidInvoice, match="two lines 'a'"):
            total([charge("a", 1), charge("a", 2)])
        with pytest.raises(InvalidInvoice, match="two lines 'tax vat'"):
            total([charge("tax vat", 1, taxes=("vat",))], taxes=TAXES)

    def test_a_tax_that_nobody_defined(self) -> None:
        with pytest.raises(InvalidInvoice, match="unknown taxes: vat"):
            total([charge("a", 1, taxes=("vat",))])

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            ({"minimum": Bound(amount=Decimal(2)), "maximum": Bound(amount=Decimal(1))}, "above the maximum"),
            ({"minimum": Bound(amount=Decimal(-2))}, "zero or more"),
            ({"maximum": Bound(amount=Decimal(1), is_prorated=True)}, "not prorated"),
            ({"taxes": {"vat": Decimal(-1)}}, "tax vat must be zero or more"),
            ({"discounts": (Discount(),)}, "discount 1 is either"),
            ({"discounts": (Discount(amount=Decimal(1), is_prorated=True),)}, "not prorated"),
        ],
    )
    def test_terms_that_do_not_hold_together(self, more: dict[str, Any], told: str) -> None:
        with pytest.raises(InvalidTerms, match=told):
            InvoiceTerms(**{"currency": "USD", **more})

    def test_a_currency_that_is_not_known(self) -> None:
        with pytest.raises(UnknownCurrency):
            InvoiceTerms(currency="XXX")
