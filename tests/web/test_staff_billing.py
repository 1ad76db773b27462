"""Staff start, change and end what an account buys; a refused form keeps what was typed and names the field."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import Account, AuditEntry
from accounts.tenancy import as_staff
from insights.models import (
    AddOn,
    BillingProfile,
    CreditGrant,
    LegalEntity,
    PriceOverride,
    Subscription,
    SubscriptionPhase,
)
from tests import factories
from tests.billing.bills import make_grant, make_invoice, make_subscription, usual_lines
from tests.billing.plan_files import PRO, fee_plan, publish

pytestmark = pytest.mark.database


def hour(name: str, day: str, time: str = "00:00") -> dict[str, str]:
    """A day and an hour as the browser sends them."""
    return {f"{name}_0": day, f"{name}_1": time}


START = {
    "plan": "basic",
    "name": "Production",
    **hour("starts_at", "2026-11-01"),
    "anchor_day": "2026-11-01",
    "policy": "restart",
    "counts": "",
}
CREDIT = {"kind": "goodwill", "name": "Sorry", "amount": "12.50", "priority": "100", "reason": "outage"}
PROFILE = {"legal_entity": "us", "tax_percent": "19", "tax_name": "VAT", "due_days": "14", "grace_days": "3"}
OVERRIDE = {
    "price": "pro/out",
    "toml": 'model = "per_unit"\nunit_amount = "0.07"',
    **hour("starts_at", "2026-11-01"),
    "reason": "as agreed",
}


class Page:
    """The billing page of an account in a browser of staff."""

    def __init__(self, browser: Any, account: Any) -> None:
        self.browser = browser
        self.path = f"/staff/accounts/{account.public_id}/billing/"

    def read(self) -> str:
        answer = self.browser.get(self.path)
        assert answer.status_code == 200
        return str(answer.content.decode())

    def send(self, act: str, data: dict[str, str]) -> Any:
        return self.browser.post(f"{self.path}{act}", data)

    def start(self, **changes: str) -> Subscription:
        assert self.send("start/", START | changes).status_code == 302
        with as_staff():
            return Subscription.objects.latest("id")


@pytest.fixture
def page(cast: Any, signed_in: Any) -> Page:
    factories.make_meter()
    for text in (PRO, fee_plan("basic"), fee_plan("team"), fee_plan("support", kind="add_on")):
        publish(text)
    with as_staff():
        LegalEntity.objects.create(key="us", name="We Ltd", address="Here", number_prefix="A-")
    return Page(signed_in(cast.staff), cast.ours)


def acts() -> list[str]:
    with as_staff():
        rows = AuditEntry.objects.filter(account__isnull=False).order_by("id")
        return list(rows.values_list("act", flat=True))


def test_an_account_without_anything_says_what_is_missing(page: Page) -> None:
    text = page.read()

    assert "No subscriptions yet" in text
    assert "no invoice can be issued" in text


def test_a_subscription_without_a_plan_says_so(page: Page, cast: Any) -> None:
    make_subscription(cast.ours)

    assert "It has no plan" in page.read()


def test_a_subscription_begins_changes_and_ends(page: Page) -> None:
    subscription = page.start()
    one = f"{subscription.public_id}/"

    for when, data in (
        ("change/", {"plan": "pro", "when": "hour", "policy": "continue", "counts": "seats = 3"}),
        ("change/", {"plan": "team", "when": "period", "policy": "restart", "reason": "grew"}),
        ("add-on/", {"plan": "support", "when": "hour"}),
        ("end/", {"when": "instant", **hour("starts_at", "2099-01-01")}),
    ):
        assert page.send(one + when, data).status_code == 302

    text = page.read()
    assert "seats = 3" in text
    assert "go on where they stand" in text
    assert "1 Jan 2099, 00:00" in text
    with as_staff():
        phases = list(SubscriptionPhase.objects.order_by("starts_at"))
        add_on = AddOn.objects.get()
    assert [phase.policy for phase in phases] == ["restart", "continue", "restart"]
    assert all(phase.starts_at.minute == 0 for phase in phases)
    cancelled = page.send(f"{one}cancel/", {"starts_at": phases[2].starts_at.isoformat()})
    ended = page.send(
        f"{one}add-on/end/",
        {
            "add_on": "support",
            "started_at": add_on.starts_at.isoformat(),
            "ends_at": (add_on.starts_at + timedelta(hours=1)).isoformat(),
        },
    )
    assert (cancelled.status_code, ended.status_code) == (302, 302)
    assert "1 change was cancelled" in page.read()
    assert acts() == [
        "subscription.start",
        "subscription.change_plan",
        "subscription.change_plan",
        "subscription.start_add_on",
        "subscription.end",
        "subscription.cancel_change",
        "subscription.end_add_on",
    ]


@pytest.mark.parametrize("days", [-2, 2])
def test_the_hosts_clock_decides_nothing(page: Page, cast: Any, signed_in: Any, days: int) -> None:
    one = f"{page.start().public_id}/"
    soon = (datetime.now(UTC) + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    tomorrow = hour("starts_at", f"{soon:%Y-%m-%d}", f"{soon:%H}:00")
    page.send(one + "change/", {"plan": "team", "when": "instant", "policy": "restart", **tomorrow})

    with time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True):
        page = Page(signed_in(cast.staff), cast.ours)
        cancelled = page.send(one + "cancel/", {"starts_at": soon.isoformat()})
        changed = page.send(
            one + "change/", {"plan": "pro", "when": "hour", "policy": "restart", "counts": "seats = 3"}
        )

    assert (changed.status_code, cancelled.status_code) == (302, 302)
    with as_staff():
        begun = SubscriptionPhase.objects.get(plan__key="pro", cancelled_at=None)
    assert timedelta(0) < begun.starts_at - datetime.now(UTC) <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plan": "absent"}, "Select a valid choice"),
        ({"plan": "support"}, "Select a valid choice"),
        (hour("starts_at", "2026-11-01", "00:30"), "Choose 00:00 or 01:00."),
        (hour("starts_at", "tomorrow"), "Write the date as YYYY-MM-DD"),
        (hour("starts_at", "2026-02-30"), "not in the calendar"),
        (hour("starts_at", "2026-11-01", "24:00"), "Choose an hour of the list."),
        (hour("starts_at", "2026-11-01", "\x00"), "Choose an hour of the list."),
        (hour("starts_at", "2026-11-01", ""), "Choose an hour of the list."),
        (hour("starts_at", ""), "Choose a day."),
        (hour("starts_at", "9998-01-01"), "The year must be 2100 or earlier"),
        ({"anchor_day": "2026-02-30"}, "not in the calendar"),
        ({"counts": "seats"}, "name = value"),
        ({"counts": "seats = 3"}, "no counted fee seats"),
        ({"plan": "pro"}, "Say how many Seats"),
        ({"name": "a\x00b"}, "Null characters"),
        ({"policy": "continue"}, "Select a valid choice"),
    ],
)
def test_a_refused_form_keeps_what_was_typed(page: Page, changes: dict[str, str], words: str) -> None:
    answer = page.send("start/", START | {"name": "Kept name"} | changes)

    text = answer.content.decode()
    assert answer.status_code == 422
    assert words in text
    assert "name" in changes or "Kept name" in text
    with as_staff():
        assert not Subscription.objects.exists()


def test_a_change_at_an_instant_needs_it(page: Page) -> None:
    one = f"{page.start().public_id}/"

    without = page.send(f"{one}change/", {"plan": "team", "when": "instant", "policy": "restart"})
    twice = page.send(
        f"{one}change/",
        {"plan": "team", "when": "instant", **hour("starts_at", "2026-11-01"), "policy": "restart"},
    )

    assert (without.status_code, twice.status_code) == (422, 422)
    assert "Choose a day and an hour." in without.content.decode()
    assert "Another plan begins at" in twice.content.decode()


def test_its_own_price_is_set_and_ended(page: Page) -> None:
    faulty = page.send("override/", OVERRIDE | {"toml": 'model = "per_unit"\nunit_amount = 0.07'})
    assert faulty.status_code == 422
    assert "write it in quotes" in faulty.content.decode()
    assert page.send("override/", OVERRIDE).status_code == 302
    assert "0.07 USD per GB" in page.read()

    end = {"price": "pro/out", "started_at": "2026-11-01T00:00:00+00:00", **hour("ends_at", "2027-01-01")}
    early = page.send("override/end/", end | hour("ends_at", "2026-11-01"))
    assert early.status_code == 422
    assert "Choose an hour after its start" in early.content.decode()
    assert page.send("override/end/", end | hour("ends_at", "soon")).status_code == 422
    assert page.send("override/end/", end | {"started_at": "soon"}).status_code == 404
    assert page.send("override/end/", end).status_code == 302
    with as_staff():
        assert PriceOverride.objects.get().ends_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_profile_is_saved_with_its_tax(page: Page) -> None:
    refused = page.send("profile/", PROFILE | {"tax_name": "", "company_name": "Kept Ltd"})
    assert refused.status_code == 422
    assert "Name the tax" in refused.content.decode()
    assert "Kept Ltd" in refused.content.decode()

    assert (
        page.send("profile/", PROFILE | {"recipients": "a@example.com\r\nb@example.com"}).status_code == 302
    )
    assert "with 19 % VAT" in page.read()
    with as_staff():
        assert BillingProfile.objects.get().recipients == ["a@example.com", "b@example.com"]


def test_a_credit_is_granted_exactly(page: Page) -> None:
    refused = page.send("credit/", CREDIT | {"amount": "12.505"})
    assert refused.status_code == 422
    assert "12.505" in refused.content.decode()
    scoped = CREDIT | {"covers": "out, base"}
    after_tax = page.send("credit/", scoped)
    assert after_tax.status_code == 422
    assert "pays for the whole bill" in after_tax.content.decode()
    assert page.send("credit/", scoped | {"is_before_tax": "on"}).status_code == 302

    assert "12.50 USD" in page.read()
    with as_staff():
        grant = CreditGrant.objects.get()
    assert (grant.amount_minor, grant.covers) == (1250, ["out", "base"])
    assert acts() == ["credit.grant"]


@pytest.mark.parametrize("act", ["change/", "end/", "add-on/", "cancel/", "add-on/end/"])
def test_another_accounts_subscription_is_as_absent(page: Page, cast: Any, signed_in: Any, act: str) -> None:
    theirs = Page(page.browser, cast.other).start()
    data = {
        "plan": "support" if act == "add-on/" else "team",
        "when": "instant",
        "policy": "restart",
        "starts_at": "2027-01-01T00:00:00Z",
        **hour("starts_at", "2027-01-01"),
        "started_at": "2027-01-01T00:00:00Z",
        "ends_at": "2027-01-01T00:00:00Z",
    }

    for public_id in (theirs.public_id, uuid.uuid4()):
        assert page.send(f"{public_id}/{act}", data).status_code == 404


def zoned(cast: Any, zone: str) -> None:
    with as_staff():
        Account.objects.filter(pk=cast.ours.pk).update(billing_zone=zone)


def test_hours_are_those_of_the_accounts_clock(page: Page, cast: Any) -> None:
    zoned(cast, "Europe/Berlin")

    subscription = page.start()
    text = page.read()

    assert subscription.starts_at == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert "A whole hour on the clock of Europe/Berlin." in text
    assert "1 Nov 2026, 00:00" in text


@pytest.mark.parametrize(
    ("zone", "day", "time", "words"),
    [
        ("Europe/Berlin", "2027-03-28", "02:00", "02:00 is skipped by the clock of Europe/Berlin"),
        ("Europe/Berlin", "2026-10-25", "02:00", "02:00 comes twice on the clock of Europe/Berlin"),
        ("Asia/Kolkata", "2026-11-01", "00:00", "00:00 in Asia/Kolkata is 18:30 in UTC"),
        ("Asia/Kathmandu", "2026-11-01", "00:30", "Choose 23:45 or 00:45."),
        ("Australia/Lord_Howe", "2026-11-01", "00:30", "00:30 in Australia/Lord_Howe is 13:30 in UTC"),
    ],
)
def test_an_hour_that_is_none_is_refused_with_the_mend(
    page: Page, cast: Any, zone: str, day: str, time: str, words: str
) -> None:
    zoned(cast, zone)

    answer = page.send("start/", START | hour("starts_at", day, time))

    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_clocks_half_an_hour_off_offer_whole_hours_of_utc(page: Page, cast: Any) -> None:
    zoned(cast, "Asia/Kolkata")

    text = page.read()
    subscription = page.start(**hour("starts_at", "2026-11-01", "00:30"))

    assert "those hours begin at 30 minutes past there" in text
    assert '<option value="00:30">' in text
    assert '<option value="00:00">' not in text
    assert subscription.starts_at == datetime(2026, 10, 31, 19, tzinfo=UTC)


def test_credits_say_what_is_left_of_them(page: Page, cast: Any) -> None:
    grant = make_grant(cast.ours, minor=5000)
    make_invoice(cast.ours, granted=[grant], lines=usual_lines()[:1])

    text = page.read()

    assert re.findall(r"([0-9.]+).EUR</td>", text)[:3] == ["50.00", "20.00", "30.00"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("subscriptions", "Production,basic,2026-11-01T00:00:00Z,,restart,,,"),
        ("add-ons", "Production,support,"),
        ("prices", "pro,out,0.07 USD per GB,2026-11-01T00:00:00Z,,as agreed"),
        ("credits", "Sorry,Goodwill,USD,12.50,0.00,12.50,"),
    ],
)
def test_every_table_is_a_csv_too(page: Page, table: str, words: str) -> None:
    subscription = page.start()
    page.send(f"{subscription.public_id}/add-on/", {"plan": "support", "when": "hour"})
    page.send("override/", OVERRIDE)
    page.send("credit/", CREDIT)

    answer = page.browser.get(f"{page.path}{table}.csv")

    assert answer.headers["Content-Type"].startswith("text/csv")
    assert words in answer.content.decode()
    assert f'href="{page.path}{table}.csv"' in page.read()
    assert page.browser.get(f"{page.path}absent.csv").status_code == 404
