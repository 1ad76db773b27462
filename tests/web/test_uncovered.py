"""Usage that no subscription covers, as the customer and staff see it, and how staff let it pass."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from accounts.tenancy import as_worker
from insights.billing.uncovered_operations import find_uncovered
from insights.models import Invoice, Subscription
from insights.rating.charges import PerUnit
from tests.billing import scene
from tests.conftest import Cast
from tests.factories import make_source

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


@pytest.fixture
def march(cast: Cast) -> Invoice:
    """The last bill of a subscription that ended, behind which usage went on."""
    scene.meters("requests")
    edge = make_source()
    scene.make_profile(cast.ours)
    plan = scene.make_plan("metered", [scene.usage_price("requests", PerUnit(unit_amount=Decimal(1)))])
    subscription = scene.subscribe(cast.ours, plan, "2026-03-01")
    with as_worker():
        Subscription.objects.filter(pk=subscription.pk).update(ends_at=scene.instant("2026-04-01"))
    scene.deliver(edge, cast.ours, [("requests", "2026-03-05", "7")])
    scene.complete(cast.ours, "2026-04-01")
    [march] = scene.bill(subscription, "2026-04-01T01")
    scene.deliver(edge, cast.ours, [("requests", "2026-04-05", "1200"), ("requests", "2026-04-09", "34.5")])
    with as_worker():
        find_uncovered(None, scene.instant("2026-04-20"))
    return march


def test_the_last_bill_names_it_and_opens_its_rows(cast: Cast, march: Invoice, signed_in: Any) -> None:
    browser = signed_in(cast.viewer)
    address = reverse("bill-conservation", args=[cast.ours.public_id, march.public_id])

    text = browser.get(address).content.decode()

    assert "Outside of any subscription" in text
    [(url, quantity)] = re.findall(
        r'<td class="num"[^>]*><a href="([^"]+from=2026-04-05[^"]+)">([^<]+)</a>', text
    )
    assert "1,234.5" in quantity
    assert browser.get(url.replace("&amp;", "&")).status_code == 200


def test_staff_see_the_account_and_let_it_pass(cast: Cast, march: Invoice, signed_in: Any) -> None:
    browser = signed_in(cast.staff)
    address = f"/staff/accounts/{cast.ours.public_id}/billing/"
    assert f'<a href="{address}">{cast.ours.name}</a>' in browser.get("/staff/invoices/").content.decode()
    page = browser.get(address).content.decode()
    [release] = re.findall(r'action="([^"]+/uncovered/[^"]+)"', page)
    [finding] = re.findall(r'name="finding" value="([^"]+)"', page)

    refused = browser.post(release, {"finding": finding, "reason": " "})
    other = browser.post(release, {"finding": "uncovered_usage:0", "reason": "a trial"})
    done = browser.post(release, {"finding": finding, "reason": "a trial"}, follow=True).content.decode()

    assert (refused.status_code, other.status_code) == (422, 422)
    assert re.search(r"by [^<]*: a trial", done)
    assert "/uncovered/" not in done
    assert "on no bill" not in browser.get("/staff/invoices/").content.decode()


def test_nobody_else_may_let_it_pass(cast: Cast, march: Invoice, signed_in: Any) -> None:
    page = signed_in(cast.staff).get(f"/staff/accounts/{cast.ours.public_id}/billing/").content.decode()
    [release] = re.findall(r'action="([^"]+/uncovered/[^"]+)"', page)

    assert signed_in(cast.owner).post(release, {"finding": "x", "reason": "y"}).status_code in (403, 404)
    assert (
        signed_in(cast.staff)
        .post(
            release.replace(str(cast.ours.public_id), str(cast.other.public_id)),
            {"finding": "x", "reason": "y"},
        )
        .status_code
        == 404
    )


def test_the_lists_come_as_csv_too(cast: Cast, march: Invoice, signed_in: Any) -> None:
    browser = signed_in(cast.staff)
    whole = b"".join(browser.get("/staff/invoices/uncovered.csv").streaming_content).decode()
    own = browser.get(f"/staff/accounts/{cast.ours.public_id}/billing/uncovered.csv").content.decode()

    [row] = csv.DictReader(whole.splitlines())

    assert whole == own
    assert (row["account"], row["meter"], row["records"], row["state"]) == (
        cast.ours.reference, "requests", "2", "waits",
    )  # fmt: skip
    # How much it is is behind support access.
    assert "1234" not in whole
