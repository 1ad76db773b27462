"""Rows of the catalogue come back as the sheets they were written from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts.tenancy import as_worker
from insights.billing.catalogue_queries import (
    UnknownPlan,
    get_plan,
    list_plans,
    sheet_in_force,
    sheets_of,
)
from insights.billing.sheet_mapping import price_rows, version_terms
from insights.models import Plan, PlanVersion, Price
from insights.rating.charges import Flat, PerUnit
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import IncludedCredit, PriceSheet, SheetPrice
from insights.rating.terms import Bound, Conversion, Discount, PriceTerms

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

JANUARY, MARCH, JUNE = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 6))


def sheet(number: int, effective_from: datetime, unit_amount: str) -> PriceSheet:
    """A sheet with a fee, a matrix, and everything that holds for the invoice as a whole."""
    gigabytes = PriceTerms(
        currency="USD",
        charge=PerUnit(unit_amount=Decimal(unit_amount)),
        unit="byte",
        conversion=Conversion(unit="GB", units_per=Decimal(10**9)),
        included=Decimal(5),
    )
    return PriceSheet(
        plan_key="pro",
        plan_name="Pro",
        version=number,
        effective_from=effective_from,
        currency="USD",
        prices=(
            SheetPrice(
                key="out",
                name="Data out",
                meter_key="bytes_out",
                matrix=Matrix(
                    dimensions=("region",),
                    cells=(Cell(values=("eu",), terms=gigabytes),),
                    catch_all=gigabytes,
                ),
            ),
            SheetPrice(
                key="base",
                name="Base fee",
                terms=PriceTerms(currency="USD", charge=Flat(amount=Decimal(20))),
                is_taxable=False,
            ),
        ),
        discounts=(Discount(percent=Decimal(10)),),
        minimum=Bound(amount=Decimal(5)),
        included_credit=IncludedCredit(name="Starter", amount=Decimal(1), covers=("out",)),
    )


def store(plan: Plan, wanted: PriceSheet, *, published_at: datetime | None = JANUARY) -> None:
    """Write the sheet as a version; it is published after its prices, as the database demands."""
    version = PlanVersion.objects.create(
        plan=plan,
        number=wanted.version,
        effective_from=wanted.effective_from,
        terms=version_terms(wanted),
    )
    Price.objects.bulk_create(price_rows(wanted, version))
    PlanVersion.objects.filter(pk=version.pk).update(published_at=published_at)


def test_published_versions_come_back_in_order_as_they_were_written() -> None:
    old, new, draft = sheet(2, JANUARY, "0.1"), sheet(1, MARCH, "0.09"), sheet(3, JUNE, "0.08")
    with as_worker():
        plan = Plan.objects.create(key="pro", name="Pro", currency="USD")
        empty = Plan.objects.create(key="empty", name="Empty", currency="USD")
        store(plan, new)
        store(plan, old)
        store(plan, draft, published_at=None)

        found = sheets_of([plan.pk, empty.pk])

        assert found == {plan.pk: (old, new), empty.pk: ()}
        assert sheet_in_force(found[plan.pk], MARCH) == new
        assert sheet_in_force(found[plan.pk], datetime(2026, 2, 28, 23, tzinfo=UTC)) == old
        assert sheet_in_force(found[plan.pk], datetime(2025, 12, 31, tzinfo=UTC)) is None


def test_a_plan_is_read_with_its_draft_and_the_version_in_force() -> None:
    with as_worker():
        plan = Plan.objects.create(key="pro", name="Pro", currency="USD")
        store(plan, sheet(1, JANUARY, "0.1"))
        store(plan, sheet(2, JUNE, "0.08"), published_at=None)

        facts = get_plan("pro")

        in_force = facts.in_force(JUNE)
        assert in_force
        assert in_force.number == 1
        assert facts.draft
        assert facts.draft.number == 2
        assert list_plans() == (facts,)


def test_an_absent_plan_is_unknown() -> None:
    with as_worker(), pytest.raises(UnknownPlan):
        get_plan("absent")
