"""What is left of a closed account is paid out once, never more than it is, and no bill takes it afterwards."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction

from accounts.models import Account, AuditEntry, User
from accounts.operations import UnableToChange, close_account
from accounts.tenancy import as_staff, as_worker
from insights.billing.credit_queries import get_credit_balance
from insights.billing.payout_operations import record_payout
from insights.billing.payout_queries import LeftOver, list_left_over, list_payouts
from insights.billing.settlement_operations import preview_void, void_invoice
from insights.books.payout_checks import PAYOUTS
from insights.models import CreditGrant, CreditUse, Invoice, Payout, Source
from insights.rating.charges import PerUnit
from insights.rating.terms import FeeTiming
from insights.values.money import Money
from tests.billing.scene import (
    complete,
    deliver,
    fee,
    instant,
    make_plan,
    make_profile,
    run_billing,
    subscribe,
    usage_price,
)
from tests.billing.test_closed_accounts import close, give
from tests.books.test_verify_books import damage, verify
from tests.factories import ingest_now, make_account, make_user

pytestmark = pytest.mark.database
NOW = instant("2026-04-20T12")
PAID_ON = date(2026, 4, 18)


@pytest.fixture
def closed(portal_db: None) -> Account:
    """An account of which 40.00 and 2.00 are left, and 9.00 of a promotion that is no money."""
    account = make_account("halyard", currency="USD")
    give(account, 4_000)
    give(account, 200)
    give(account, 900, kind="promotion")
    close(account, "2026-04-16")
    return account


def pay(account: Account, amount: str, **said: Any) -> None:
    values = {
        "public_id": uuid.uuid4(), "currency": "USD", "paid_on": PAID_ON, "reference": "wire 12", "now": NOW,
        "by": finance(), **said,
    }  # fmt: skip
    with as_staff():
        record_payout(account, amount=amount, **values)


def finance() -> User:
    return make_user(f"{uuid.uuid4().hex}@example.com", is_staff=True)


def left(account: Account) -> list[Money]:
    with as_staff():
        return [one.amount for one in list_left_over(account)]


def paid(account: Account) -> list[int]:
    with as_staff():
        return [one.amount.minor for one in list_payouts(account)]


class TestRecording:
    def test_all_of_it_is_gone_from_what_is_open(self, closed: Account) -> None:
        pay(closed, "42.00")

        assert (left(closed), paid(closed)) == ([], [4_200])
        with as_worker():
            [act] = AuditEntry.objects.filter(act="credit.pay_out")
            grants = get_credit_balance(closed).grants
        assert (act.account_id, act.subject, act.details["reason"]) == (closed.pk, "42.00 USD", "wire 12")
        assert {grant.kind: (grant.remaining.minor, len(grant.payouts)) for grant in grants} == {
            "carried": (0, 1),
            "promotion": (900, 0),
        }

    def test_a_part_leaves_the_rest(self, closed: Account) -> None:
        pay(closed, "40.50")

        assert left(closed) == [Money(150, "USD")]
        pay(closed, "1.50")
        assert (left(closed), paid(closed)) == ([], [150, 4_050])

    def test_a_form_that_is_sent_twice_pays_once(self, closed: Account) -> None:
        same = uuid.uuid4()
        pay(closed, "10", public_id=same)
        pay(closed, "10.00", public_id=same)

        assert (left(closed), paid(closed)) == ([Money(3_200, "USD")], [1_000])
        with pytest.raises(UnableToChange, match="another payout already"):
            pay(closed, "11", public_id=same)

    def test_two_at_once_pay_no_more_than_there_is(self, closed: Account) -> None:
        def try_to_pay(_number: int) -> bool:
            try:
                pay(closed, "30")
            except UnableToChange:
                return False
            finally:
                connections.close_all()
            return True

        with ThreadPoolExecutor(2) as both:
            assert sorted(both.map(try_to_pay, range(2))) == [False, True]
        assert (left(closed), paid(closed)) == ([Money(1_200, "USD")], [3_000])

    @pytest.mark.parametrize(
        ("amount", "said", "message"),
        [
            ("42.01", {}, "42.00 USD are left"),
            ("0", {}, "above zero"),
            ("1e3", {}, "in digits"),
            ("1", {"currency": "EUR"}, "Nothing is left"),
            ("1", {"currency": "???"}, "no such currency"),
            ("1", {"reference": "  "}, "Enter a reference"),
            ("1", {"paid_on": date(2026, 4, 21)}, "not after today"),
            ("1", {"paid_on": date(2026, 4, 14)}, "not before the account was closed"),
        ],
    )
    def test_anything_else_is_refused(self, closed: Account, amount: str, said: Any, message: str) -> None:
        with pytest.raises(UnableToChange, match=message):
            pay(closed, amount, **said)

        assert (left(closed), paid(closed)) == ([Money(4_200, "USD")], [])

    def test_an_account_that_goes_on_is_paid_nothing(self, portal_db: None) -> None:
        account = make_account("tally", currency="USD")
        give(account, 700)

        with pytest.raises(UnableToChange, match="is not closed"):
            pay(account, "7")

    def test_nothing_is_paid_while_a_bill_is_to_come(self, edge: Source, account: Account) -> None:
        give(account, 1_500)
        plan = make_plan("metered", [usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))])
        subscribe(account, plan, "2026-04-01")
        deliver(edge, account, [("requests", "2026-04-05", "100")])
        run_billing("2026-04-06")
        close(account, "2026-04-16")
        run_billing("2026-04-16T01")

        with pytest.raises(UnableToChange, match="still to be issued"):
            pay(account, "1")
        complete(account, "2026-04-16")
        run_billing("2026-04-16T04")
        pay(account, "5")
        # What comes late is charged in full: what was carried is at the bank.
        deliver(edge, account, [("requests", "2026-04-06", "30")])
        run_billing("2026-04-25")
        with as_worker():
            closing = Invoice.objects.get(kind="closing", state="issued")
        assert closing.total_minor == 300

    def test_nothing_is_paid_before_a_bill_is_drafted_or_made_again(
        self, edge: Source, account: Account
    ) -> None:
        give(account, 1_500)
        plan = make_plan("metered", [usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))])
        subscribe(account, plan, "2026-04-01")
        deliver(edge, account, [("requests", "2026-04-05", "200")])
        complete(account, "2026-04-16")
        close(account, "2026-04-16")
        with pytest.raises(UnableToChange, match="still to be issued"):
            pay(account, "15")
        [last] = run_billing("2026-04-16T04")
        assert (last.total_minor, left(account)) == (500, [])

        # What it took is there again, for the bill that takes its place.
        void_invoice(last.public_id, reason="wrong address", by=finance(), now=NOW)
        assert left(account) == [Money(1_500, "USD")]
        with pytest.raises(UnableToChange, match="still to be issued"):
            pay(account, "15")
        run_billing("2026-04-20T13")
        assert left(account) == []

    def test_what_would_begin_after_the_end_holds_up_nothing(self, closed: Account) -> None:
        with as_worker():
            plan = make_plan("later", [fee("base", "30")])
        subscribe(closed, plan, "2026-05-01")

        pay(closed, "42")
        assert left(closed) == []


@pytest.fixture
def left_by_a_bill(portal_db: None) -> Account:
    """An account whose last bill gave back half of a fee of 30.00."""
    account = make_account("halyard", currency="USD")
    make_profile(account)
    subscribe(account, make_plan("ahead", [fee("base", "30", timing=FeeTiming.IN_ADVANCE)]), "2026-04-01")
    run_billing("2026-04-02")
    close(account, "2026-04-16")
    run_billing("2026-04-16T01")
    return account


def test_a_bill_whose_rest_is_paid_out_is_not_voided(left_by_a_bill: Account) -> None:
    pay(left_by_a_bill, "10")

    with as_worker():
        grant = CreditGrant.objects.select_related("from_invoice").get(account=left_by_a_bill)
    assert grant.from_invoice is not None
    effect = preview_void(grant.from_invoice.public_id)

    assert "What was carried from it is paid out." in effect.refusals
    assert not any("lowered" in refusal for refusal in effect.refusals)


def test_a_bill_that_gave_back_what_is_paid_out_is_not_voided(edge: Source, account: Account) -> None:
    give(account, 1_500)
    plan = make_plan("metered", [usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))])
    subscribe(account, plan, "2026-04-01")
    deliver(edge, account, [("requests", "2026-04-05", "100")])
    complete(account, "2026-04-16")
    close(account, "2026-04-16")
    run_billing("2026-04-16T04")
    ingest_now(
        edge, "account,meter,window_start,quantity,revision\nhalyard,requests,2026-04-05T00:00:00Z,40,2\n"
    )
    *_, closing = run_billing("2026-04-16T05")
    run_billing("2026-04-20")
    assert (closing.kind, left(account)) == ("closing", [Money(1_100, "USD")])
    pay(account, "11")

    effect = preview_void(closing.public_id)

    assert "A credit that it gave back is paid out." in effect.refusals
    assert not any("used since" in refusal for refusal in effect.refusals)


DAMAGE = {
    "amount": ("UPDATE insights_payout SET amount_minor = 999", "do not add to its amount"),
    "kind": ("UPDATE insights_creditgrant SET kind = 'goodwill'", "of a credit that was not carried"),
    "currency": ("UPDATE insights_payout SET currency = 'EUR'", "in another currency"),
    "open": ("UPDATE accounts_account SET state = 'active', closed_at = NULL", "of an open account"),
    "too much": ("UPDATE insights_creditgrant SET amount_minor = 900", "paid out more USD"),
}


def test_the_books_add_it_up(left_by_a_bill: Account) -> None:
    pay(left_by_a_bill, "10")

    out, agrees = verify()
    assert agrees, out
    assert f"{PAYOUTS.name}: 1 rows compared, 0 differences" in out


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_books_name_what_is_wrong_with_it(left_by_a_bill: Account, kind: str) -> None:
    pay(left_by_a_bill, "10")
    statement, reason = DAMAGE[kind]
    damage(statement)

    out, agrees = verify()

    assert not agrees
    assert reason in out


class TestDatabase:
    """It holds whatever forgets the operation's own checks."""

    def row(self, account: Account, minor: int) -> Payout:
        return Payout.objects.create(
            public_id=uuid.uuid4(), account=account, amount_minor=minor, currency="USD", paid_on=PAID_ON,
            reference="wire", recorded_by=make_user(f"{minor}@example.com", is_staff=True),
        )  # fmt: skip

    def use(self, account: Account, payout: Payout, kind: str, minor: int) -> None:
        with as_worker():
            grant = CreditGrant.objects.filter(account=account, kind=kind).order_by("id")[0]
            CreditUse.objects.create(account=account, grant=grant, payout=payout, amount_minor=minor)

    def test_its_uses_add_to_it(self, closed: Account) -> None:
        with pytest.raises(IntegrityError, match="do not add to its amount"), as_worker():
            self.row(closed, 4_200)
        pay(closed, "1")
        with as_worker():
            payout = Payout.objects.get()
        with pytest.raises(IntegrityError, match="do not add to its amount"):
            self.use(closed, payout, "promotion", 5)

    @pytest.mark.parametrize(
        ("kind", "minor", "reason"), [("carried", 4_001, "between"), ("promotion", 5, "left")]
    )
    def test_it_is_of_what_was_left(self, closed: Account, kind: str, minor: int, reason: str) -> None:
        with pytest.raises(IntegrityError, match=reason), as_worker(), transaction.atomic(using="worker"):
            self.use(closed, self.row(closed, minor), kind, minor)

    def test_it_never_changes(self, closed: Account) -> None:
        pay(closed, "1")
        for act in (
            lambda: Payout.objects.update(amount_minor=2),
            lambda: Payout.objects.all()._raw_delete("worker"),
        ):
            with pytest.raises(DatabaseError), as_worker(), transaction.atomic(using="worker"):
                act()
        assert paid(closed) == [100]


def test_the_list_is_read_on_from_any_place(portal_db: None) -> None:
    for name in ("b", "a", "c"):
        account = make_account(name, currency="USD")
        give(account, 100)
        staff = make_user(f"{name}@example.com", is_staff=True)
        with as_staff():
            close_account(account=account, actor=staff, now=instant("2026-04-16"))
    with as_staff():
        whole, found = list_left_over(), list[LeftOver]()
        while page := list_left_over(limit=1, after=found[-1].place if found else None):
            found += page
    assert (tuple(found), len(found)) == (whole, 3)


def test_what_was_paid_out_is_read_on_from_any_place(portal_db: None) -> None:
    """Also where two accounts were paid by forms of the same id, which is unique for each alone."""
    same = uuid.uuid4()
    for name in ("a", "b"):
        account = make_account(name, currency="USD")
        give(account, 100)
        with as_staff():
            close_account(account=account, actor=finance(), now=instant("2026-04-16"))
        pay(account, "1", public_id=same)

    with as_staff():
        found = list(list_payouts(limit=1))
        found += list_payouts(limit=1, after=found[-1].place)
        rest = list_payouts(limit=1, after=found[-1].place)

    assert ([one.account.reference for one in found], rest) == (["b", "a"], ())
