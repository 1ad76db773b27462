"""Usage at a time at which an account has no subscription at all: found, told of, and waiting until it is seen."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from accounts.models import Account, AuditEntry
from accounts.operations import UnableToChange
from accounts.tenancy import as_owner, as_staff, as_worker, connection
from insights.billing.settlement_operations import release_invoice
from insights.billing.uncovered_operations import find_uncovered, release_uncovered
from insights.billing.uncovered_queries import list_accounts_waiting, list_findings, list_findings_of_all
from insights.models import Invoice, InvoiceState, Source, Subscription, UncoveredUsage
from insights.rating.charges import Percentage, PerUnit
from tests.billing.scene import (
    assert_books_agree,
    bill,
    complete,
    deliver,
    fee,
    findings_of,
    instant,
    make_plan,
    make_profile,
    meters,
    run_billing,
    subscribe,
    usage_price,
)
from tests.books.test_verify_books import verify
from tests.factories import make_account, make_source, make_user

pytestmark = pytest.mark.database
PRICE = usage_price("requests", PerUnit(unit_amount=Decimal(1)))


def ended(subscription: Subscription, at: str) -> None:
    with as_worker():
        Subscription.objects.filter(pk=subscription.pk).update(ends_at=instant(at))


def found(account: Account) -> list[tuple[str, str, str, int, bool]]:
    """What is on the list, looked through just now: meter, days, quantity, records, and whether it waits."""
    with as_worker():
        find_uncovered(None, instant("2026-06-01"))
        quantities = {
            row.public_id: row.quantity.normalize() for row in UncoveredUsage.objects.for_account(account)
        }
        return [
            (
                one.meter_key,
                f"{one.first_used_on}..{one.last_used_on}",
                str(quantities[one.public_id]),
                one.records,
                one.released_at is None,
            )
            for one in list_findings(account)
        ]


def verify_later() -> tuple[str, bool]:
    """What the books say when the usage has been there for hours."""
    with as_owner(), connection().cursor() as cursor:
        for statement in (
            "ALTER TABLE insights_ledgerentry DISABLE TRIGGER USER",
            "UPDATE insights_ledgerentry SET committed_at = committed_at - interval '3 hours'",
            "ALTER TABLE insights_ledgerentry ENABLE TRIGGER USER",
        ):
            cursor.execute(statement)
    return verify()


def reasons(invoice: Invoice) -> list[str]:
    return [one["code"] for one in invoice.parked_for]


@pytest.fixture
def march(account: Account) -> Subscription:
    """A subscription of March alone, with usage in it."""
    subscription = subscribe(account, make_plan("metered", [PRICE]), "2026-03-01")
    ended(subscription, "2026-04-01")
    return subscription


class TestFinding:
    def test_usage_after_the_last_subscription_is_found(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        deliver(edge, account, [("requests", "2026-03-31T23", "1"), ("requests", "2026-04-01", "2.5")])
        deliver(edge, account, [("requests", "2026-04-09", "4")])

        assert found(account) == [("requests", "2026-04-01..2026-04-09", "6.5", 2, True)]

    def test_so_is_usage_before_the_first_and_between_two(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        subscribe(account, make_plan("later", [PRICE]), "2026-04-20T12")
        hours = ["2026-02-28T23", "2026-03-01", "2026-04-10", "2026-04-20T11", "2026-04-20T12", "2026-05-30"]
        deliver(edge, account, [("requests", hour, "1") for hour in hours])

        assert found(account) == [
            ("requests", "2026-02-28..2026-02-28", "1", 1, True),
            ("requests", "2026-04-10..2026-04-20", "2", 2, True),
        ]

    def test_what_another_subscription_covers_is_not(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        subscribe(account, make_plan("plain", [fee("base", "1")]), "2026-03-20")
        deliver(edge, account, [("requests", "2026-04-10", "1")])

        assert found(account) == []

    def test_what_no_plan_of_the_account_prices_is_not(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        meters("bytes")
        deliver(edge, account, [("bytes", "2026-04-10", "1")])

        assert found(account) == []

    def test_what_a_percentage_counts_is_as_what_it_is_of(self, edge: Source, account: Account) -> None:
        meters("volume", unit="USD")
        meters("payments")
        cut = Percentage(percent=Decimal(2), fixed_amount=Decimal("0.10"), count_meter="payments")
        ended(
            subscribe(account, make_plan("cut", [usage_price("volume", cut, unit="USD")]), "2026-03-01"),
            "2026-04-01",
        )
        deliver(edge, account, [("payments", "2026-04-10", "3")])

        unlisted, _ = verify_later()

        assert "1 records that no subscription covers are not listed" in unlisted
        assert found(account) == [("payments", "2026-04-10..2026-04-10", "3", 1, True)]
        assert verify()[1]

    def test_what_comes_of_a_source_that_is_not_charged_is_not(
        self, account: Account, march: Subscription
    ) -> None:
        deliver(make_source("free", billable=False), account, [("requests", "2026-04-10", "1")])

        assert found(account) == []

    def test_what_a_subscription_covers_since_goes_from_the_list(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        deliver(edge, account, [("requests", "2026-04-10", "1"), ("requests", "2026-04-12", "1")])
        assert len(found(account)) == 1

        subscribe(account, make_plan("later", [PRICE]), "2026-04-11")

        assert found(account) == [("requests", "2026-04-10..2026-04-10", "1", 1, True)]

    def test_one_account_that_fails_holds_up_no_other(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        other = make_account("other", currency="USD")
        make_profile(other)
        second = subscribe(other, make_plan("other", [PRICE]), "2026-03-01")
        ended(second, "2026-04-01")
        for each in (account, other):
            deliver(edge, each, [("requests", "2026-03-05", "1"), ("requests", "2026-04-10", "1")])
            complete(each, "2026-06-01")
        with as_owner(), connection().cursor() as cursor:
            cursor.execute(
                f"ALTER TABLE insights_uncoveredusage ADD CONSTRAINT broken CHECK (account_id <> {account.pk})"
            )

        try:
            assert (found(account), len(found(other))) == ([], 1)
            # Nor does it hold up its own bills: what is on no bill makes none of them wrong.
            assert [one.state for one in run_billing("2026-05-01T01")] == ["issued", "parked"]
        finally:
            with as_owner(), connection().cursor() as cursor:
                cursor.execute("ALTER TABLE insights_uncoveredusage DROP CONSTRAINT broken")
        assert len(found(account)) == 1


class TestBills:
    def test_the_next_bill_waits_and_is_let_through_with_it(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        later = subscribe(account, make_plan("later", [PRICE]), "2026-05-01")
        deliver(edge, account, [("requests", "2026-03-05", "7"), ("requests", "2026-04-10", "3")])
        deliver(edge, account, [("requests", "2026-05-05", "7")])
        complete(account, "2026-06-01")

        [parked] = bill(march, "2026-06-01T01")
        assert (parked.state, reasons(parked)) == (InvoiceState.PARKED, ["uncovered_usage"])
        assert parked.parked_for[0]["message"] == (
            "No subscription covers the time of 1 record of requests, used on 2026-04-10: that usage is on no bill."
        )

        with as_staff():
            release_invoice(
                parked.public_id,
                findings=findings_of(parked),
                reason="a test of ours",
                by=make_user("s@x.example", is_staff=True),
            )

        assert bill(march, "2026-06-01T02")[0].state == InvoiceState.ISSUED
        # It was seen, so no other bill waits for it again.
        assert bill(later, "2026-06-01T02")[0].state == InvoiceState.ISSUED
        assert found(account) == [("requests", "2026-04-10..2026-04-10", "3", 1, False)]
        assert_books_agree()

    def test_usage_before_the_first_subscription_holds_up_no_bill(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        deliver(edge, account, [("requests", "2026-02-27", "1"), ("requests", "2026-03-05", "7")])
        complete(account, "2026-04-01")

        assert [one.state for one in bill(march, "2026-04-01T01")] == [InvoiceState.ISSUED]
        assert found(account) == [("requests", "2026-02-27..2026-02-27", "1", 1, True)]

    def test_where_no_bill_comes_it_waits_for_a_person(
        self, edge: Source, account: Account, march: Subscription
    ) -> None:
        deliver(edge, account, [("requests", "2026-03-05", "7")])
        complete(account, "2026-04-01")
        assert [one.state for one in bill(march, "2026-04-01T01")] == [InvoiceState.ISSUED]
        deliver(edge, account, [("requests", "2026-04-10", "3")])
        assert len(found(account)) == 1
        with as_staff():
            assert [(one.reference, places) for one, places in list_accounts_waiting()] == [
                (account.reference, 1)
            ]
            [finding] = list_findings(account)

        staff = make_user("s@x.example", is_staff=True)
        with as_staff():
            release_uncovered(
                account, finding.public_id, finding=finding.problem.finding, reason="trial", by=staff
            )
            assert list_accounts_waiting() == ()
        with as_worker():
            assert AuditEntry.objects.filter(act="uncovered_usage.release").count() == 1

        # More of it waits again.
        deliver(edge, account, [("requests", "2026-04-11", "1")])
        assert found(account) == [("requests", "2026-04-10..2026-04-11", "4", 2, True)]
        with as_staff(), pytest.raises(UnableToChange):
            release_uncovered(
                account, finding.public_id, finding=finding.problem.finding, reason="trial", by=staff
            )


class TestLetPass:
    """What a person let pass stays let pass, in the parts that a later subscription leaves of it."""

    @pytest.fixture
    def seen(self, edge: Source, account: Account, march: Subscription) -> Account:
        """Ten units on four days after March, which staff let pass."""
        for day, quantity in (("03", "1"), ("08", "2"), ("14", "3"), ("28", "4")):
            deliver(edge, account, [("requests", f"2026-04-{day}", quantity)])
        found(account)
        with as_staff():
            [finding] = list_findings(account)
            staff = make_user("s@x.example", is_staff=True)
            release_uncovered(
                account, finding.public_id, finding=finding.problem.finding, reason="trial", by=staff
            )
        return account

    def cover(self, account: Account, start: str, end: str) -> None:
        ended(subscribe(account, make_plan(f"from-{start}", [PRICE]), start), end)

    def test_a_later_subscription_splits_it(self, seen: Account) -> None:
        self.cover(seen, "2026-04-08", "2026-04-09")

        assert found(seen) == [
            ("requests", "2026-04-03..2026-04-03", "1", 1, False),
            ("requests", "2026-04-14..2026-04-28", "7", 2, False),
        ]
        with as_staff():
            assert {(one.released_by, one.reason) for one in list_findings(seen)} == {
                ("s@x.example", "trial")
            }
        # A part of a part is one too.
        self.cover(seen, "2026-04-14", "2026-04-20")
        assert [waits for *_, waits in found(seen)] == [False, False]

    def test_one_begins_where_it_began(self, seen: Account) -> None:
        self.cover(seen, "2026-04-01", "2026-04-10")

        assert found(seen) == [("requests", "2026-04-14..2026-04-28", "7", 2, False)]

    def test_what_comes_to_a_part_later_waits(self, edge: Source, seen: Account) -> None:
        self.cover(seen, "2026-04-08", "2026-04-09")
        found(seen)
        deliver(edge, seen, [("requests", "2026-04-15", "1")])

        assert [(quantity, waits) for _, _, quantity, _, waits in found(seen)] == [("8", True), ("1", False)]

    def test_usage_on_days_that_nobody_saw_waits(self, edge: Source, seen: Account) -> None:
        self.cover(seen, "2026-05-01", "2026-05-02")
        deliver(edge, seen, [("requests", "2026-05-09", "1")])

        assert [(quantity, waits) for _, _, quantity, _, waits in found(seen)] == [
            ("1", True),
            ("1E+1", False),
        ]

    def test_so_it_does_where_one_part_is_left_and_holds_no_more_than_was_seen(
        self, edge: Source, seen: Account
    ) -> None:
        self.cover(seen, "2026-04-20", "2026-05-20")
        deliver(edge, seen, [("requests", "2026-04-01", "4")])

        assert found(seen) == [("requests", "2026-04-01..2026-04-14", "1E+1", 4, True)]

    def test_parts_that_hold_more_than_was_seen_wait(self, edge: Source, seen: Account) -> None:
        self.cover(seen, "2026-04-08", "2026-04-09")
        deliver(edge, seen, [("requests", "2026-04-15", "5")])

        assert [waits for *_, waits in found(seen)] == [True, True]


def test_the_list_of_all_is_read_on_from_what_is_off_it_by_then(
    edge: Source, account: Account, march: Subscription
) -> None:
    """A subscription may cover it between two pages of a long file, which goes on behind it."""
    for day in ("01", "05", "09"):
        deliver(edge, account, [("requests", f"2026-04-{day}", "1")])
    for start, end in (("2026-04-02", "2026-04-03"), ("2026-04-06", "2026-04-07")):
        ended(subscribe(account, make_plan(f"from-{start}", [PRICE]), start), end)
    assert len(found(account)) == 3
    with as_staff():
        [first] = list_findings_of_all(limit=1)
    ended(subscribe(account, make_plan("covers", [PRICE]), "2026-04-01"), "2026-04-02")
    assert len(found(account)) == 2

    with as_staff():
        rest = list_findings_of_all(limit=9, after=first.place)

    assert [str(one.found.first_used_on) for one in rest] == ["2026-04-05", "2026-04-09"]


def test_books_name_what_is_not_on_the_list(edge: Source, account: Account, march: Subscription) -> None:
    """Usage that was there for hours and that nobody was told of is a difference; what is on the list is counted."""
    deliver(edge, account, [("requests", "2026-04-10", "3"), ("requests", "2026-04-11", "3")])
    assert_books_agree()

    said, is_in_order = verify_later()
    found(account)
    said_then, is_in_order_then = verify()

    assert not is_in_order
    assert "2 records that no subscription covers are not listed" in said
    assert is_in_order_then, said_then
    assert re.search("usage that no subscription covers is listed: 1 ", said_then), said_then
