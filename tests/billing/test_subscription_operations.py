"""Subscriptions begin, change and end by their rules, in any sequence, and each act is kept with its account."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Account, AuditEntry
from accounts.operations import UnableToChange, close_account
from accounts.tenancy import as_owner, as_staff, as_worker
from insights.billing.add_on_operations import end_add_on, start_add_on
from insights.billing.catalogue_operations import load_plan, publish_version, retire_plan
from insights.billing.override_operations import end_override, set_override
from insights.billing.periods import period_containing
from insights.billing.plan_faults import InvalidPlan
from insights.billing.plan_toml import parse_plan_toml
from insights.billing.row_queries import list_phases
from insights.billing.subscription_operations import (
    cancel_change,
    change_plan,
    end_subscription,
    start_subscription,
)
from insights.billing.subscription_queries import anchor_of, subscription_facts
from insights.billing.subscription_rule_queries import UnknownSubscription, next_hour, period_end
from insights.billing.timeline import segments_in, subscribed_part
from insights.models import Invoice, LegalEntity, PriceOverride, Subscription, SubscriptionPhase
from insights.rating.plan_change import ChangePolicy
from insights.values.period import Period
from tests import factories
from tests.billing.plan_files import NOW, PRO, fee_plan, publish

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("catalogue")]
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
SEATS = {"seats": "3"}


@pytest.fixture
def catalogue(portal_db: None) -> None:
    """A metered plan with seats, two plans of a fee, an add-on, and plans that do not fit."""
    factories.make_meter()
    for text in (
        PRO,
        fee_plan("basic"),
        fee_plan("team"),
        fee_plan("support", kind="add_on"),
        fee_plan("euro", currency="EUR"),
        fee_plan("yearly", interval="year"),
        fee_plan("later", effective_from="2027-01-01T00:00:00Z"),
        fee_plan("addon_year", kind="add_on", interval="year"),
    ):
        publish(text)


@pytest.fixture
def acme(catalogue: None) -> Account:
    return factories.make_account("acme")


def start(account: Account, plan: str = "basic", **changes: Any) -> Subscription:
    values: dict[str, Any] = {
        "name": "Main",
        "anchor_day": date(2026, 11, 1),
        "starts_at": BEGIN,
        "counts": SEATS if plan == "pro" else {},
        "by": None,
        **changes,
    }
    with as_staff():
        return start_subscription(account_id=account.pk, plan_key=plan, **values)


def change(subscription: Subscription, plan: str, hours: int, **changes: Any) -> SubscriptionPhase:
    values: dict[str, Any] = {
        "policy": ChangePolicy.CONTINUE,
        "counts": SEATS if plan == "pro" else {},
        "by": None,
        **changes,
    }
    with as_staff():
        return change_plan(
            account_id=subscription.account_id,
            subscription_id=subscription.public_id,
            plan_key=plan,
            starts_at=BEGIN + timedelta(hours=hours),
            **values,
        )


def add(subscription: Subscription, plan: str = "support", hours: int = 5) -> Any:
    with as_staff():
        return start_add_on(
            account_id=subscription.account_id,
            subscription_id=subscription.public_id,
            plan_key=plan,
            starts_at=BEGIN + timedelta(hours=hours),
            counts={},
            by=None,
        )


def end(subscription: Subscription, hours: int, *, now: datetime = NOW) -> None:
    with as_staff():
        end_subscription(
            account_id=subscription.account_id,
            subscription_id=subscription.public_id,
            ends_at=BEGIN + timedelta(hours=hours),
            by=None,
            now=now,
        )


def issue(subscription: Subscription, period: Period, *, kind: str = "period") -> None:
    """An issued invoice of the period, as the owner writes it."""
    with as_owner():
        entity, _ = LegalEntity.objects.get_or_create(key="us", name="We", address="Here", number_prefix="A-")
        Invoice.objects.create(
            account_id=subscription.account_id,
            subscription=subscription,
            kind=kind,
            state="issued",
            period_start=period.start,
            period_end=period.end,
            issue_from=period.end,
            currency="USD",
            drafted_at=period.end,
            legal_entity=entity,
            number=f"A-{Invoice.objects.count() + 1}",
            number_in_series=Invoice.objects.count() + 1,
            issued_at=period.end,
            due_at=period.end,
            sha256=b"0" * 32,
        )


def phases(subscription: Subscription) -> list[tuple[str, datetime]]:
    with as_staff():
        rows = SubscriptionPhase.objects.filter(subscription=subscription, cancelled_at=None)
        return list(rows.order_by("starts_at").values_list("plan__key", "starts_at"))


def acts(account: Account) -> list[str]:
    with as_staff():
        return list(AuditEntry.objects.filter(account=account).order_by("id").values_list("act", flat=True))


class TestStart:
    def test_zone_currency_and_interval_are_copied(self, catalogue: None) -> None:
        account = factories.make_account("berlin", billing_zone="Europe/Berlin")

        subscription = start(account, "pro", anchor_day=date(2026, 11, 15))

        assert (subscription.billing_zone, subscription.currency, subscription.interval_months) == (
            "Europe/Berlin",
            "USD",
            1,
        )
        with as_staff():
            period = period_containing(anchor_of(subscription), BEGIN)
            assert period.end == datetime(2026, 11, 14, 23, tzinfo=UTC)
            phases_of = list_phases([subscription.pk])[subscription.pk]
            assert [one.counts for one in segments_in(period, subscription_facts(subscription), phases_of)]
        assert acts(account) == ["subscription.start"]

    @pytest.mark.parametrize(
        ("plan", "changes", "field", "words"),
        [
            ("absent", {}, "plan", "no such plan"),
            ("support", {}, "plan", "add it as an add-on"),
            ("euro", {}, "plan", "in EUR"),
            ("later", {}, "plan", "no published version in force at 1 Nov 2026, 00:00 UTC"),
            ("basic", {"starts_at": BEGIN + timedelta(minutes=30)}, "starts_at", "whole hour"),
            ("basic", {"starts_at": BEGIN + timedelta(microseconds=1)}, "starts_at", "whole hour"),
            ("basic", {"starts_at": BEGIN.replace(year=9000)}, "starts_at", "year"),
            ("basic", {"anchor_day": date(1, 1, 1)}, "anchor_day", "year"),
            ("basic", {"name": " "}, "name", "Enter a name"),
            ("basic", {"name": "a\x00b"}, "name", "cannot be seen"),
            ("basic", {"counts": SEATS}, "counts", "no counted fee seats"),
            ("pro", {"counts": {}}, "counts", "Say how many Seats"),
            ("pro", {"counts": {"seats": "-1"}}, "counts", "digits"),
            ("pro", {"counts": {"seats": "NaN"}}, "counts", "digits"),
            ("pro", {"counts": {"seats": "1e3"}}, "counts", "digits"),
            ("pro", {"counts": {"seats": "9" * 39}}, "counts", "digits"),
        ],
    )
    def test_what_does_not_fit_is_refused_at_its_field(
        self, acme: Account, plan: str, changes: dict[str, Any], field: str, words: str
    ) -> None:
        with pytest.raises(UnableToChange, match=words) as raised:
            start(acme, plan, **changes)

        assert raised.value.field == field
        assert acts(acme) == []

    def test_a_plan_of_one_account_is_for_nobody_else(self, acme: Account) -> None:
        other = factories.make_account("other")
        publish(fee_plan("own").replace("currency", 'account = "acme"\ncurrency', 1))

        start(acme, "own")
        with pytest.raises(UnableToChange, match="no such plan for this account"):
            start(other, "own")

    def test_a_retired_plan_is_not_offered_and_a_closed_account_buys_nothing(self, acme: Account) -> None:
        with as_staff():
            retire_plan(key="basic", actor=None, now=NOW)
        with pytest.raises(UnableToChange, match="retired"):
            start(acme)
        with as_worker():
            close_account(account=acme, actor=factories.make_user("staff@example.com"), now=NOW)
        with pytest.raises(UnableToChange, match="closed"):
            start(acme, "pro")


class TestChange:
    def test_any_sequence_of_changes_is_kept_in_order(self, acme: Account) -> None:
        subscription = start(acme)
        change(subscription, "pro", 48)
        change(subscription, "team", 24)
        seats = change(subscription, "pro", 72, counts={"seats": "2.50"})

        assert phases(subscription) == [
            ("basic", BEGIN),
            ("team", BEGIN + timedelta(hours=24)),
            ("pro", BEGIN + timedelta(hours=48)),
            ("pro", BEGIN + timedelta(hours=72)),
        ]
        assert seats.counts == {"seats": "2.5"}
        assert acts(acme) == ["subscription.start", *["subscription.change_plan"] * 3]

    @pytest.mark.parametrize(
        ("plan", "hours", "field", "words"),
        [
            ("basic", 24, "plan", "is on Basic with these counts"),
            ("yearly", 24, "plan", "every 12 months"),
            ("support", 24, "plan", "add-on"),
            ("team", -1, "starts_at", "begins at"),
            ("team", 0, "starts_at", "Another plan begins"),
            ("team", 480, "starts_at", "ends at"),
        ],
    )
    def test_what_does_not_fit_is_refused_at_its_field(
        self, acme: Account, plan: str, hours: int, field: str, words: str
    ) -> None:
        subscription = start(acme)
        end(subscription, 480)

        with pytest.raises(UnableToChange, match=words) as raised:
            change(subscription, plan, hours)

        assert raised.value.field == field

    def test_nothing_changes_in_what_is_issued(self, acme: Account) -> None:
        subscription = start(acme)
        issue(subscription, Period(BEGIN, BEGIN + timedelta(hours=200)), kind="opening")
        change(subscription, "team", 50)
        issue(subscription, Period(BEGIN, BEGIN + timedelta(hours=100)))

        for act in (
            lambda: change(subscription, "pro", 99),
            lambda: add(subscription, hours=99),
            lambda: end(subscription, 99),
        ):
            with pytest.raises(UnableToChange, match="5 Nov 2026, 04:00 UTC or later"):
                act()
        change(subscription, "pro", 100)

    def test_a_refusal_names_hours_on_the_account_s_clock(self) -> None:
        """It is read beside the form, whose hours are on that clock."""
        account = factories.make_account("kestrel", billing_zone="Asia/Kolkata")
        subscription = start(account)
        local = BEGIN.astimezone(ZoneInfo("Asia/Kolkata"))
        begins = f"{local.day} {local:%b %Y, %H:%M} in Asia/Kolkata"

        with pytest.raises(UnableToChange, match=f"begins at {begins}"):
            change(subscription, "team", -1)
        with pytest.raises(UnableToChange, match=f"Another plan begins at {begins} already"):
            change(subscription, "team", 0)

    def test_another_accounts_subscription_is_as_absent(self, acme: Account) -> None:
        subscription = start(factories.make_account("other"))
        for account, public_id in ((acme, subscription.public_id), (acme, uuid4())):
            with as_staff(), pytest.raises(UnknownSubscription):
                change_plan(
                    account_id=account.pk,
                    subscription_id=public_id,
                    plan_key="team",
                    starts_at=NOW,
                    policy=ChangePolicy.RESTART,
                    counts={},
                    by=None,
                )

    def test_a_change_to_come_is_cancelled_and_one_that_began_is_not(self, acme: Account) -> None:
        subscription = start(acme)
        begun, coming = change(subscription, "team", 24), change(subscription, "pro", 1000)

        def cancel(hour: datetime) -> None:
            with as_staff():
                cancel_change(
                    account_id=acme.pk,
                    subscription_id=subscription.public_id,
                    starts_at=hour,
                    by=None,
                    now=NOW,
                )

        cancel(coming.starts_at)
        with pytest.raises(UnableToChange, match="may be cancelled already"):
            cancel(coming.starts_at)
        with pytest.raises(UnableToChange, match="has begun"):
            cancel(begun.starts_at)
        with pytest.raises(UnableToChange, match="first plan"):
            cancel(BEGIN)
        assert [plan for plan, _ in phases(subscription)] == ["basic", "team"]
        change(subscription, "pro", 1000)
        assert acts(acme).count("subscription.cancel_change") == 1

    def test_two_changes_at_one_hour_are_one(self, acme: Account) -> None:
        subscription = start(acme)

        def attempt(plan: str) -> str:
            try:
                change(subscription, plan, 24)
            except UnableToChange:
                return "refused"
            finally:
                connections.close_all()
            return "changed"

        with ThreadPoolExecutor(4) as pool:
            answers = sorted(pool.map(attempt, ["team", "pro", "team", "pro"]))

        assert answers == ["changed", "refused", "refused", "refused"]
        assert len(phases(subscription)) == 2


class TestMeters:
    def test_two_subscriptions_do_not_price_one_meter_at_the_same_time(self, acme: Account) -> None:
        first = start(acme, "pro")
        with pytest.raises(UnableToChange, match="bytes_out would be charged twice") as raised:
            start(acme, "pro", name="Second")
        assert raised.value.field == "plan"

        second = start(acme, name="Second")
        with pytest.raises(UnableToChange, match="charged twice"):
            change(second, "pro", 24)
        end(first, 24)
        change(second, "pro", 24)
        with pytest.raises(UnableToChange, match="charged twice"):
            end(first, 25, now=BEGIN)

    def test_an_add_on_has_no_price_for_a_meter(self, acme: Account) -> None:
        with pytest.raises(InvalidPlan, match="has fees and no price for a meter"):
            publish(PRO.replace('"pro"', '"extra"').replace("currency", 'kind = "add_on"\ncurrency', 1))

    def test_a_new_version_does_not_bring_a_meter_that_is_priced_already(self, acme: Account) -> None:
        start(acme, "pro")
        start(acme, "basic", name="Second")
        metered = PRO.split("[[prices]]")[1].replace('"out"', '"again"')
        text = f"{fee_plan('basic', effective_from='2026-12-01T00:00:00Z')}\n[[prices]]{metered}"

        with as_staff():
            load_plan(document=parse_plan_toml(text), actor=None)
            with pytest.raises(InvalidPlan, match="for the account acme, bytes_out would be charged twice"):
                publish_version(key="basic", number=2, actor=None, now=NOW)

    def test_two_who_start_at_once_do_not_price_it_both(self, acme: Account) -> None:
        def attempt(number: int) -> str:
            try:
                start(acme, "pro", name=f"Number {number}")
            except UnableToChange:
                return "refused"
            finally:
                connections.close_all()
            return "started"

        with ThreadPoolExecutor(4) as pool:
            answers = sorted(pool.map(attempt, range(4)))

        assert answers == ["refused", "refused", "refused", "started"]


class TestEnds:
    def test_an_end_to_come_may_be_moved_and_a_past_one_not(self, acme: Account) -> None:
        subscription = start(acme)
        end(subscription, 1000)
        end(subscription, 10)

        with pytest.raises(UnableToChange, match="has ended"):
            end(subscription, 2000)
        assert acts(acme) == ["subscription.start", "subscription.end", "subscription.end"]

    def test_an_end_is_after_the_start(self, acme: Account) -> None:
        with pytest.raises(UnableToChange, match="after its start"):
            end(start(acme), 0)

    def test_add_ons_come_and_go(self, acme: Account) -> None:
        subscription = start(acme)
        add_on = add(subscription)

        def finish(plan: str, hours: int) -> None:
            with as_staff():
                end_add_on(
                    account_id=acme.pk,
                    subscription_id=subscription.public_id,
                    plan_key=plan,
                    started_at=add_on.starts_at,
                    ends_at=BEGIN + timedelta(hours=hours),
                    by=None,
                    now=NOW,
                )

        with pytest.raises(UnableToChange, match="after its start"):
            finish("support", 5)
        with pytest.raises(UnableToChange, match="already"):
            add(subscription)
        finish("support", 10)
        with pytest.raises(UnableToChange, match="has ended"):
            finish("support", 1000)
        with pytest.raises(UnableToChange, match="no such add-on"):
            finish("absent", 10)
        for plan, words in (("basic", "no add-on"), ("addon_year", "every 12 months")):
            with pytest.raises(UnableToChange, match=words):
                add(subscription, plan)
        assert acts(acme)[1:] == ["subscription.start_add_on", "subscription.end_add_on"]

    def test_the_next_hour_and_the_end_of_the_period(self, acme: Account) -> None:
        subscription = start(acme)

        assert next_hour(NOW) == NOW
        assert next_hour(NOW + timedelta(seconds=1)) == NOW + timedelta(hours=1)
        assert period_end(subscription, NOW) == datetime(2026, 12, 1, tzinfo=UTC)


class TestOverrides:
    def override(self, account: Account, **changes: Any) -> PriceOverride:
        values: dict[str, Any] = {
            "plan_key": "pro",
            "price_key": "out",
            "toml": 'model = "per_unit"\nunit_amount = "0.07"\nincluded = 50',
            "starts_at": BEGIN,
            "ends_at": None,
            "reason": "as agreed",
            "by": None,
            **changes,
        }
        with as_staff():
            return set_override(account_id=account.pk, **values)

    def test_unit_and_timing_are_those_of_the_price(self, acme: Account) -> None:
        out = self.override(acme)
        seats = self.override(acme, price_key="seats", toml='model = "per_unit"\nunit_amount = 4')

        assert out.terms is not None
        assert out.terms["conversion"] == {"unit": "GB", "units_per": "1000000000"}
        assert out.terms["charge"] == {"model": "per_unit", "unit_amount": "0.07"}
        assert seats.terms is not None
        assert (seats.terms["timing"], seats.terms["is_prorated"]) == ("in_advance", True)
        assert acts(acme) == ["override.set", "override.set"]

    @pytest.mark.parametrize(
        ("toml", "code"),
        [
            ("model = ", "not_toml"),
            ('model = "per_unit"\nunit_amount = 0.07', "float"),
            ('meter = "bytes_in"\nmodel = "per_unit"\nunit_amount = 1', "fixed"),
            ('unit = "bit"\nmodel = "per_unit"\nunit_amount = 1', "unit_differs"),
            ('model = "graduated"\ntiers = [{ up_to = 5 }]', "gap"),
            ('dimensions = ["region"]', "fixed"),
        ],
    )
    def test_faulty_terms_are_named(self, acme: Account, toml: str, code: str) -> None:
        with pytest.raises(InvalidPlan) as raised:
            self.override(acme, toml=toml)

        assert code in [fault.code for fault in raised.value.faults]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"plan_key": "absent"}, "plan"),
            ({"price_key": "absent"}, "price"),
            ({"reason": ""}, "reason"),
            ({"ends_at": BEGIN}, "ends_at"),
            ({"starts_at": BEGIN + timedelta(minutes=1)}, "starts_at"),
            ({"starts_at": datetime(2025, 1, 1, tzinfo=UTC)}, "price"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, acme: Account, changes: dict[str, Any], field: str) -> None:
        with pytest.raises(UnableToChange) as raised:
            self.override(acme, **changes)

        assert raised.value.field == field

    def test_one_price_of_its_own_at_a_time(self, acme: Account) -> None:
        first = self.override(acme)
        with pytest.raises(UnableToChange, match="end that one first"):
            self.override(acme, starts_at=BEGIN + timedelta(days=40))
        with as_staff():
            end_override(
                account_id=acme.pk,
                plan_key="pro",
                price_key=first.price_key,
                started_at=first.starts_at,
                ends_at=BEGIN + timedelta(days=30),
                by=None,
                now=NOW,
            )

        self.override(acme, starts_at=BEGIN + timedelta(days=30))

    def test_it_does_not_reach_into_what_is_issued(self, acme: Account) -> None:
        issue(start(acme, "pro"), Period(BEGIN, BEGIN + timedelta(days=30)))

        with pytest.raises(UnableToChange, match="issued"):
            self.override(acme)
        self.override(acme, starts_at=BEGIN + timedelta(days=30))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("basic", "team", "pro")), st.integers(-5, 900)), max_size=6))
def test_whatever_was_done_every_period_is_tiled(catalogue: None, changes: list[tuple[str, int]]) -> None:
    subscription = start(factories.make_account(f"acme-{uuid4()}"))
    for plan, hours in changes:
        try:
            change(subscription, plan, hours)
        except UnableToChange:
            continue
    with as_staff():
        phases_of = list_phases([subscription.pk])[subscription.pk]
    facts = subscription_facts(subscription)
    period = Period(BEGIN - timedelta(days=3), BEGIN + timedelta(days=30))

    segments = segments_in(period, facts, phases_of)

    part = subscribed_part(period, facts)
    assert part is not None
    assert (segments[0].start, segments[-1].end) == (part.start, part.end)
    assert all(one.end == next_.start for one, next_ in pairwise(segments))
