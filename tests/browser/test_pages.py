"""Every page: nothing for axe to find, no sideways scrolling and a quiet console, at both widths in both themes.

The pages come from the URL configuration, so that a page added later is looked at, or turns a test red.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from insights.models import Meter, Source
from tests.browser.conftest import BACKEND, Visit
from tests.browser.visitor import NARROW, WIDE
from tests.browser.world import World
from tests.isolation.addresses import Address, list_addresses

# Acts that answer to POST alone, files, and probes for machines: each is shown below not to be a page.
NOT_PAGES = frozenset(
    {
        "add-on-end",
        "add-on-start",
        "backfill-close",
        "backfill-csv",
        "backfill-discard",
        "backfill-preview",
        "backfill-upload",
        "batch-rejects-csv",
        "batch-replay",
        "batch-revert",
        "batch-revert-prepare",
        "batch-try-again",
        "bill-conservation-csv",
        "bill-csv",
        "bill-difference-csv",
        "bill-difference-values-csv",
        "bill-forecast-csv",
        "bill-edges-csv",
        "bill-json",
        "bill-line-days-csv",
        "bill-line-records-csv",
        "bill-line-values-csv",
        "bill-list-csv",
        "bill-moved-records-csv",
        "bill-pdf",
        "bill-proof",
        "bill-then-and-now-csv",
        "bill-verifier",
        "billing-profile-save",
        "credit-grant",
        "credits-csv",
        "estimate-csv",
        "healthz",
        "key-create",
        "key-revoke",
        "metrics",
        "note-add",
        "note-delete",
        "notes-csv",
        "override-end",
        "override-set",
        "plan-drop",
        "plan-heading",
        "plan-publish",
        "plan-retire",
        "prices-csv",
        "payout-record",
        "readyz",
        "source-backfill-open",
        "source-import",
        "source-key-issue",
        "source-key-revoke",
        "source-new-toml",
        "source-preview",
        "source-state",
        "source-toml",
        "source-upload",
        "staff-account-state",
        "staff-billing-csv",
        "staff-invoice-open",
        "staff-invoice-paid",
        "staff-invoice-release",
        "staff-invoice-void",
        "staff-invoices-csv",
        "staff-left-over-csv",
        "staff-member-add",
        "staff-member-remove",
        "staff-member-role",
        "staff-months-csv",
        "staff-payouts-csv",
        "staff-plan-csv",
        "staff-runs-csv",
        "staff-plan-toml",
        "staff-plans-csv",
        "staff-uncovered-csv",
        "subscription-cancel",
        "subscription-change",
        "subscription-end",
        "subscription-start",
        "support-start",
        "support-stop",
        "uncovered-release",
        "usage-aggregates-csv",
        "usage-changes-csv",
        "usage-records-csv",
        "view-change",
        "view-delete",
        "view-open",
        "view-save",
    }
)
VISITORS = {"account": "owner", "staff": "staff", "signed_in": "owner", "public": "", "sign_in": ""}
SIGNED_IN_ONLY = {
    "account_change_password": "owner",
    "account_logout": "owner",
    "account_reauthenticate": "owner",
    # Whoever has a password is sent on to change it.
    "account_set_password": "viewer",
}
# Written as a regular expression, and shown for a link that no longer works.
SPELT_OUT = {"account_reset_password_from_key": "/auth/password/reset/key/1-abc/"}

# A page in another state, or one of Django's own, is looked at once in each theme and once at each width.
ONE_LOOK_EACH = ((WIDE, "light"), (NARROW, "dark"))

ADDRESSES = [
    address for address in list_addresses() if address.kind != "api" and not address.route.startswith("api/")
]
PAGES = [address for address in ADDRESSES if address.name not in NOT_PAGES]
OTHERS = [address for address in ADDRESSES if address.name in NOT_PAGES]


def path_of(address: Address, world: World) -> str:
    spelt = SPELT_OUT.get(address.name)
    return spelt or address.path(world.values(address.kind))


@pytest.mark.parametrize("address", PAGES, ids=lambda address: address.name)
def test_page(address: Address, world: World, visit: Visit) -> None:
    visitor = visit(SIGNED_IN_ONLY.get(address.name, VISITORS[address.kind]))
    path = path_of(address, world)

    # The home page of a person with several accounts lists them only when asked to.
    response = visitor.open(path + ("?switch=1" if address.name == "portal-home" else ""))
    visitor.settle()

    assert response.status == 200
    assert response.url.startswith(visitor.site + path), "it led elsewhere"
    assert "text/html" in response.headers["content-type"]
    assert visitor.page.locator("h1").count() == 1
    assert visitor.list_faults() == []


@pytest.mark.parametrize("address", OTHERS, ids=lambda address: address.name)
def test_what_is_not_a_page(address: Address, world: World) -> None:
    client = Client()
    who = VISITORS[address.kind]
    if who:
        client.force_login(world.people[who], backend=BACKEND)

    response = client.get(path_of(address, world))

    assert response.status_code != 200 or "text/html" not in response.headers["Content-Type"]


def test_only_addresses_there_are_stand_aside() -> None:
    assert {address.name for address in OTHERS} == NOT_PAGES


# Who looks, and where.
STATES = {
    "explorer-split": ("owner", "/a/{account}/usage/?group_by=region"),
    "explorer-hours": ("owner", "/a/{account}/usage/?period=last-7-days&granularity=hour&clock=utc"),
    "explorer-narrowed": ("owner", "/a/{account}/usage/?dimension.region=eu-west&group_by=endpoint"),
    "explorer-no-match": ("owner", "/a/{account}/usage/?dimension.region=nowhere"),
    "explorer-refused": ("owner", "/a/{account}/usage/?from=2026-11-20&to=2026-11-10"),
    "explorer-future": ("owner", "/a/{account}/usage/?from=2099-01-01&to=2099-01-31"),
    "explorer-before-first": ("owner", "/a/{account}/usage/?from=2020-01-01&to=2020-01-31"),
    "explorer-in-money": ("owner", "/a/{account}/usage/?measure=cost&group_by=region"),
    "explorer-in-money-by-month": (
        "owner",
        "/a/{account}/usage/?measure=cost&period=last-12-months&granularity=month&group_by=region",
    ),
    "explorer-in-money-refused": ("owner", "/a/{account}/usage/?measure=cost&granularity=hour"),
    "settings-of-a-viewer": ("viewer", "/a/{account}/settings/"),
    "overview-empty": ("owner", "/a/{empty}/"),
    "usage-empty": ("owner", "/a/{empty}/usage/"),
    "batches-empty": ("owner", "/a/{empty}/batches/"),
    "bills-empty": ("owner", "/a/{empty}/bills/"),
    "prices-empty": ("owner", "/a/{empty}/prices/"),
    "credits-empty": ("owner", "/a/{empty}/credits/"),
    "billing-details-empty": ("owner", "/a/{empty}/billing-details/"),
    "bill-being-checked": ("owner", "/a/{account}/bills/{checked}/"),
    "estimate-typed": (
        "owner",
        "/a/{account}/estimate/?from=quantities&plan=pro&quantity.bytes_out=62500000000&count.seats=3",
    ),
    "estimate-refused": ("owner", "/a/{account}/estimate/?plan=absent&periods=3"),
    "estimate-empty": ("owner", "/a/{empty}/estimate/"),
    "bill-so-far": ("owner", "/a/{account}/bills/{draft}/"),
    "bill-difference-of-nothing": ("owner", "/a/{account}/bills/{draft}/difference/?with={draft}"),
    "bill-difference-so-far": ("owner", "/a/{account}/bills/{draft}/difference/?with={issued}"),
    "bill-difference-by-value": (
        "owner",
        "/a/{account}/bills/{draft}/difference/values/?with={issued}&meter=bytes_out",
    ),
    "then-and-now-of-a-draft": ("owner", "/a/{account}/bills/{draft}/then-and-now/?position=0"),
    "then-and-now-refused": ("owner", "/a/{account}/bills/{issued}/then-and-now/?known_at=x"),
    "edges-of-an-hour": ("owner", "/a/{account}/bills/{issued}/edges/?within=60"),
    "notes-empty": ("owner", "/a/{empty}/notes/"),
    "notes-to-support": ("looker", "/a/{account}/notes/"),
    "views-empty": ("owner", "/a/{empty}/views/"),
    "views-to-support": ("looker", "/a/{account}/views/"),
    "bill-to-support": ("looker", "/a/{account}/bills/{checked}/"),
    "billing-details-to-support": ("looker", "/a/{account}/billing-details/"),
    "bill-of-no-file": ("owner", "/a/{account}/bills/{issued}/bill.pdf"),
    "staff-billing-empty": ("staff", "/staff/accounts/{empty}/billing/"),
    "staff-plan-of-an-add-on": ("staff", "/staff/plans/support/"),
    "staff-plan-edit-a-copy": ("staff", "/staff/plans/team/edit/"),
    "staff-plan-price-of-a-fee": ("staff", "/staff/plans/team/prices/base/"),
    "staff-invoice-parked": ("staff", "/staff/invoices/{checked}/"),
    "staff-invoices-none": ("staff", "/staff/invoices/?q=zzzz"),
    "batches-filtered": ("owner", "/a/{account}/batches/?rejects=with"),
    "support-overview": ("looker", "/a/{account}/"),
    "support-settings": ("looker", "/a/{account}/settings/"),
    "staff-search": ("staff", "/staff/accounts/?q=ansel"),
    "staff-search-none": ("staff", "/staff/accounts/?q=zzzz"),
    "staff-account-closed": ("staff", "/staff/accounts/{closed}/"),
    "staff-batch-waiting": ("staff", "/staff/batches/{waiting}/"),
    "staff-backfill-closed": ("staff", "/staff/backfills/{closed_backfill}/"),
    "somebody-elses": ("owner", "/a/{closed}/"),
    "not-there": ("", "/nothing/here/"),
    "sign-in-first": ("", "/a/{account}/usage/?group_by=region"),
}


@pytest.mark.parametrize("state", STATES)
def test_page_in_another_state(state: str, world: World, visit: Visit) -> None:
    who, path = STATES[state]
    visitor = visit(who)

    visitor.open(
        path.format(
            account=world.account.public_id,
            closed=world.closed.public_id,
            empty=world.empty.public_id,
            waiting=world.waiting.public_id,
            closed_backfill=world.closed_backfill,
            checked=world.checked_bill,
            draft=world.draft_bill,
            issued=world.bill,
        )
    )
    visitor.settle()

    assert visitor.page.locator("h1").count() == 1
    assert visitor.list_faults(ONE_LOOK_EACH) == []


def test_a_bill_with_every_step_open(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    visitor.open(f"/a/{world.account.public_id}/bills/{world.bill}/")
    visitor.page.eval_on_selector_all("details.disclosure", "all => all.forEach(one => { one.open = true; })")

    faults = visitor.list_faults(ONE_LOOK_EACH)
    amounts_hidden = visitor.page.eval_on_selector_all(
        ".table-wrap", "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.ariaLabel)"
    )

    assert (faults, amounts_hidden) == ([], [])


def admin_paths(world: World) -> list[str]:
    """The admin's first page, every table, and the forms that staff change things with."""
    tables = [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    ]
    forms: list[str] = []
    rows: tuple[Any, ...] = (Meter.objects.first(), world.source, world.people["viewer"])
    for row in rows:
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        forms += [reverse(f"{name}_add"), reverse(f"{name}_change", args=[row.pk])]
    assert Source in admin.site._registry
    return [reverse("admin:index"), *tables, *forms]


def test_the_admin(world: World, visit: Visit) -> None:
    visitor = visit("root")
    faults = {}
    for path in admin_paths(world):
        response = visitor.open(path)
        visitor.settle()
        found = visitor.list_faults(ONE_LOOK_EACH)
        faults[path] = [str(response.status), *found] if response.status != 200 or found else []
        visitor.complaints.clear()

    assert not any(faults.values()), "\n".join(f"{path}: {found}" for path, found in faults.items() if found)


SCROLLING_TABLES = """[...document.querySelectorAll(".table-wrap")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.getAttribute("aria-label"))"""
# Of these no table scrolls inside its box on a phone: columns leave there, or a row becomes a block.
READ_ON_A_PHONE = (
    "bill-list",
    "bill-detail",
    "bill-line",
    "bill-difference",
    "bill-then-and-now",
    "bill-edges",
    "bill-conservation",
    "bill-forecast",
    "credit-list",
    "estimate",
)


@pytest.mark.parametrize("name", READ_ON_A_PHONE)
def test_tables_of_bills_fit_a_phone(name: str, world: World, visit: Visit) -> None:
    visitor = visit("owner")
    visitor.page.set_viewport_size({"width": NARROW, "height": 900})
    address = next(one for one in PAGES if one.name == name)

    visitor.open(path_of(address, world) + ("?plan=pro&periods=3" if name == "estimate" else ""))
    visitor.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    visitor.settle()

    assert visitor.page.evaluate(SCROLLING_TABLES) == []


@pytest.mark.parametrize("measure", ["usage", "cost"])
def test_usage_and_cost_fit_a_phone(measure: str, world: World, visit: Visit) -> None:
    visitor = visit("owner")
    visitor.page.set_viewport_size({"width": NARROW, "height": 900})

    visitor.open(f"/a/{world.values('account')['account_uuid']}/usage/?measure={measure}&group_by=region")
    visitor.settle()

    assert visitor.page.evaluate(SCROLLING_TABLES) == []
