"""The check of the books names every kind of damage to invoices, and none where billing did its work."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db.models import F

from accounts.tenancy import as_worker
from insights.books.bill_checks import BILL_CHECKS
from insights.books.bill_queries import BILL_CHECKS_READ
from insights.models import CreditGrant, CreditUse, Invoice, Settlement, Source, Watermark
from insights.rating.charges import PerUnit, Stairstep, Tier
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import FeeTiming, PriceTerms
from tests.billing.scene import (
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    findings_of,
    instant,
    lines_of,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.books.test_verify_books import damage, verify
from tests.factories import ingest_now, make_account, make_source

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

TEN_CENTS = PerUnit(unit_amount=Decimal("0.10"))
LOOSE = ("ALTER TABLE insights_invoice DISABLE TRIGGER invoice_lines_add_up",)
FIXED = ("ALTER TABLE insights_invoice ENABLE TRIGGER invoice_lines_add_up",)
MARCH = "(SELECT id FROM insights_invoice WHERE kind = 'period' AND period_start = '2026-03-01Z' AND state = 'issued')"
APRIL = MARCH.replace("2026-03", "2026-04")
USED = f"(SELECT id FROM insights_lineitem WHERE invoice_id = {MARCH} AND meter_key = 'requests' LIMIT 1)"
OF_USAGE = "kind = 'correction' AND meter_key <> ''"
CORRECTION = f"(SELECT id FROM insights_lineitem WHERE invoice_id = {APRIL} AND {OF_USAGE})"
REGION = '{"region": "us"}'
# The statement, what the line begins with, and what it says.
DAMAGE = {
    "total": (
        f"UPDATE insights_invoice SET total_minor = total_minor + 1 WHERE id = {MARCH}",
        "invoice ",
        "add to its total",
    ),
    "line lost": (
        f"DELETE FROM insights_lineitem WHERE invoice_id = {MARCH} AND kind = 'credit'",
        "invoice ",
        "add to its total",
    ),
    "below zero": (
        f"UPDATE insights_invoice SET total_minor = -5 WHERE id = {MARCH}",
        "invoice ",
        "issued below zero",
    ),
    "step": (
        f"UPDATE insights_lineitem SET steps = jsonb_set(steps, '{{0,amount_minor}}', '1') WHERE id = {USED}",
        "line ",
        "steps do not add",
    ),
    "steps lost": (
        f"UPDATE insights_lineitem SET steps = '[]' WHERE id = {USED}",
        "line ",
        "steps do not add",
    ),
    "number": (
        "UPDATE insights_invoicenumber SET number_in_series = 99 WHERE number_in_series = 2",
        "legal entity ",
        "number 3 follows 1",
    ),
    "register": (
        f"UPDATE insights_invoicenumber SET invoice_id = 0 WHERE invoice_id = {MARCH}",
        "legal entity ",
        "in the register, and of",
    ),
    "called otherwise": (
        f"UPDATE insights_invoice SET number = 'TG-7' WHERE id = {MARCH}",
        "invoice ",
        "is called otherwise",
    ),
    "counter": (
        "UPDATE insights_invoicecounter SET last_number = last_number + 1",
        "legal entity ",
        "its counter",
    ),
    "settlement": (
        f"DELETE FROM insights_settlement WHERE invoice_id = {MARCH}",
        "invoice ",
        "issued, with 0 settlements",
    ),
    "credit overused": (
        "UPDATE insights_credituse SET amount_minor = 100000",
        "credit ",
        "between nothing and its amount",
    ),
    "credit below nothing": (
        "UPDATE insights_credituse SET amount_minor = -1",
        "credit ",
        "between nothing and its amount",
    ),
    "currency of a credit": (
        "UPDATE insights_creditgrant SET currency = 'EUR'",
        "credit use ",
        "another currency",
    ),
    "use of a credit": (
        f"UPDATE insights_credituse SET amount_minor = amount_minor - 1 WHERE invoice_id = {MARCH}",
        "invoice ",
        "take otherwise from credit",
    ),
    "void and kept": (
        f"UPDATE insights_settlement SET state = 'void', reason = 'wrong' WHERE invoice_id = {MARCH}",
        "invoice ",
        "void, and keeps",
    ),
    "returned and not void": (
        f"UPDATE insights_credituse SET is_return = true WHERE invoice_id = {MARCH}",
        "invoice ",
        "is not void",
    ),
    "carried": (
        "UPDATE insights_creditgrant SET amount_minor = amount_minor + 1 WHERE kind = 'carried'",
        "invoice ",
        "carries otherwise than is granted",
    ),
    "carried from nothing": (
        "UPDATE insights_creditgrant SET from_invoice_id = NULL WHERE kind = 'carried'",
        "credit ",
        "carried from",
    ),
    "overlap": (
        f"UPDATE insights_invoice SET period_end = period_end + interval '1 hour' WHERE id = {MARCH}",
        "invoice ",
        "overlaps",
    ),
    "hole": (
        f"UPDATE insights_invoice SET period_end = period_end - interval '1 hour' WHERE id = {MARCH}",
        "invoice ",
        "there is a hole",
    ),
    "before the subscription": (
        "UPDATE insights_subscription SET starts_at = starts_at + interval '1 hour'",
        "invoice ",
        "not in its subscription",
    ),
    "corrects nothing": (
        f"UPDATE insights_lineitem SET corrects_invoice_id = NULL WHERE id = {CORRECTION}",
        "line ",
        "corrects no line",
    ),
    "corrects another": (
        f"UPDATE insights_lineitem SET corrects_id = {CORRECTION} WHERE id = {CORRECTION}",
        "line ",
        "corrects no line",
    ),
    "corrected too far": (
        f"UPDATE insights_lineitem SET amount_minor = -100000 WHERE id = {CORRECTION}",
        "line ",
        "other side of zero",
    ),
    "word": (
        f"UPDATE insights_lineitem SET name = 'Requests' WHERE id = {USED}",
        "invoice ",
        "not what its hash",
    ),
    "details": (
        f'UPDATE insights_invoice SET details = details || \'{{"zone": "UTC+1"}}\' WHERE id = {MARCH}',
        "invoice ",
        "not what its hash",
    ),
    "quantity": (
        f"UPDATE insights_lineitem SET metered_quantity = metered_quantity + 0.000000001 WHERE id = {USED}",
        "invoice ",
        "are not the usage of segment 1",
    ),
    "quantity of values": (
        f"UPDATE insights_lineitem SET values = '{REGION}' WHERE invoice_id = {MARCH} AND values <> '{{}}'",
        "line ",
        "is not the usage of its values",
    ),
    "line of no usage": (
        f"UPDATE insights_lineitem SET meter_version = 9 WHERE id = {USED}",
        "line ",
        "of usage that is not known",
    ),
    "unpriced": (
        f"UPDATE insights_invoice SET details = jsonb_set(details, '{{unpriced}}', '[]') WHERE id = {MARCH}",
        "invoice ",
        "not what it names as unpriced",
    ),
    "position": (
        f"UPDATE insights_invoice SET usage_as_of = 0 WHERE id = {APRIL}",
        "line ",
        "of usage that is not known",
    ),
}


@pytest.fixture
def bills() -> list[Invoice]:
    """Bills in which every check has something to compare: changed plans, values, credits, corrections, a carry."""
    meters("requests", "odd", dimensions=["region"])
    account = make_account("halyard", currency="USD")
    make_profile(account, tax_name="VAT", tax_percent=Decimal(10))
    cells = Matrix(
        dimensions=("region",),
        cells=(Cell(values=("eu",), terms=_terms("0.20")),),
        catch_all=_terms("0.10"),
    )
    by_region = SheetPrice(key="requests", name="By region", meter_key="requests", matrix=cells)
    small = make_plan("small", [by_region, fee("base", "30", timing=FeeTiming.IN_ADVANCE)])
    large = make_plan(
        "large", [usage_price("requests", TEN_CENTS), fee("base", "62", timing=FeeTiming.IN_ADVANCE)]
    )
    subscription = subscribe(account, small, "2026-03-01")
    edge = make_source()
    with as_worker():
        CreditGrant.objects.create(
            account=account, kind="promotion", name="Welcome", amount_minor=4000, currency="USD",
            granted_at=instant("2026-02-01"), reason="welcome",
        )  # fmt: skip
    deliver(edge, account, [("requests", "2026-03-05", "600")], region="eu")
    deliver(edge, account, [("requests", "2026-03-05", "60"), ("odd", "2026-03-05", "4")], region="us")
    change_plan(subscription, large, "2026-03-21")
    deliver(edge, account, [("requests", "2026-03-25", "70")], region="us")
    complete(account, "2026-04-01")
    march = bill(subscription, "2026-04-01T01")[1]
    with as_worker():
        Invoice.objects.filter(pk=march.pk).update(released=findings_of(march))
    bill(subscription, "2026-04-02")
    deliver(edge, account, [("requests", "2026-04-05", "5")], region="eu")
    ingest_now(
        edge,
        "account,meter,window_start,quantity,region,revision\nhalyard,requests,2026-03-05T00:00:00Z,10,eu,2\n",
    )
    complete(account, "2026-05-01")
    bill(subscription, "2026-05-01T01")
    deliver(edge, account, [("requests", "2026-05-05", "7"), ("requests", "2026-03-06", "1")], region="us")
    complete(account, "2026-06-01")
    found = bill(subscription, "2026-06-01T01")
    with as_worker():
        # The scene said that all was complete; the books are to say what the batches do.
        Watermark.objects.update(complete_to=F("last_window_end"))
    return found


def _terms(unit_amount: str) -> PriceTerms:
    return PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(unit_amount)), unit="unit")


def test_bills_in_order_agree(bills: list[Invoice]) -> None:
    assert [invoice.state for invoice in bills] == ["issued"] * 4 + ["draft"]
    kinds = {line.kind for invoice in bills for line in lines_of(invoice)}
    assert {"charge", "correction", "credit", "tax", "carried"} <= kinds

    for options in ((), ("--all",), ("--account", "halyard")):
        out, agrees = verify(*options)
        assert agrees, out
        for check in (*BILL_CHECKS, *BILL_CHECKS_READ):
            said = [line for line in out.splitlines() if line.startswith(f"{check.name}: ")]
            assert "--account" in options or not said[0].startswith(f"{check.name}: 0 rows"), out


# Damages that hide none of each other are done at once, since making the bills takes longest.
TOGETHER = (
    ("total", "step", "number", "settlement", "credit overused", "carried", "hole", "corrects nothing"),
    (
        "line lost",
        "steps lost",
        "register",
        "credit below nothing",
        "overlap",
        "corrects another",
        "unpriced",
    ),
    ("below zero", "called otherwise", "counter", "use of a credit", "corrected too far", "quantity"),
    ("void and kept", "word", "quantity of values", "carried from nothing", "before the subscription"),
    ("returned and not void", "line of no usage", "position", "details", "currency of a credit"),
)


def test_every_damage_is_tried() -> None:
    assert sorted(kind for kinds in TOGETHER for kind in kinds) == sorted(DAMAGE)


@pytest.mark.parametrize("kinds", TOGETHER, ids=lambda kinds: kinds[0])
def test_damage_is_named(bills: list[Invoice], kinds: tuple[str, ...]) -> None:
    statements = [DAMAGE[kind][0] for kind in kinds]
    damage(*LOOSE, "SET CONSTRAINTS ALL IMMEDIATE", *statements, *FIXED)

    out, agrees = verify("--all")

    assert not agrees
    for kind in kinds:
        _, beginning, reason = DAMAGE[kind]
        found = [line for line in out.splitlines() if line.startswith(beginning) and reason in line]
        assert found, f"{kind}: {out}"


def test_a_void_invoice_may_leave_a_hole_and_gives_back(bills: list[Invoice]) -> None:
    march = bills[1]
    damage(
        f"UPDATE insights_settlement SET state = 'void', reason = 'wrong' WHERE invoice_id = {march.pk}",
    )
    with as_worker():
        use = CreditUse.objects.get(invoice=march)
        CreditUse.objects.create(
            account_id=use.account_id, grant_id=use.grant_id, invoice_id=march.pk, is_return=True,
            amount_minor=-use.amount_minor,
        )  # fmt: skip
        assert Settlement.objects.get(invoice=march).state == "void"

    out, _ = verify("--all")

    assert f"invoice {march.pk}: void, and keeps" not in out
    assert "there is a hole" not in out


def test_usage_that_came_or_went_since_is_no_difference(bills: list[Invoice]) -> None:
    with as_worker():
        edge = Source.objects.get(slug="edge")
    ingest_now(
        edge,
        "account,meter,window_start,quantity,region,revision\n"
        "halyard,requests,2026-03-05T00:00:00Z,11,eu,3\nhalyard,requests,2026-04-06T00:00:00Z,11,eu,1\n",
    )
    out, agrees = verify("--all")

    assert agrees, out


def test_a_line_below_zero_that_stays_there_is_no_damage() -> None:
    """A step that falls behind a change of plan gives back what the higher one cost, with its corrections too."""
    meters("requests")
    account = make_account("halyard", currency="USD")
    make_profile(account)
    falling = Stairstep(
        tiers=(
            Tier(above=Decimal(0), up_to=Decimal(10), flat_amount=Decimal(9)),
            Tier(above=Decimal(10), up_to=None, flat_amount=Decimal(4)),
        )
    )
    subscription = subscribe(account, make_plan("small", [usage_price("requests", falling)]), "2026-03-01")
    large = make_plan("large", [usage_price("requests", falling)])
    change_plan(subscription, large, "2026-03-11", policy="continue")
    source = make_source()
    deliver(source, account, [("requests", "2026-03-05", "8"), ("requests", "2026-03-12", "7")])
    complete(account, "2026-04-01")
    march, *_ = bill(subscription, "2026-04-01T01")
    deliver(source, account, [("requests", "2026-03-13", "1")])
    complete(account, "2026-05-01")

    _, april, *_ = bill(subscription, "2026-05-01T01")

    assert [line.amount_minor for line in lines_of(march) if line.meter_key] == [900, -500]
    assert [line.metered_quantity for line in lines_of(april) if line.corrects_id] == [1]
    assert "corrections are of issued lines and within them: 1 rows compared, 0 differences" in verify()[0]
