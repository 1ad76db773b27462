"""The forecast on pages, as CSV and over the API: one set of figures, and words where there is too little history."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from accounts.tenancy import account_scope, as_worker
from insights.api.forecast_schema import ForecastSerializer
from insights.billing.forecast_queries import get_bill_forecast
from insights.models import Invoice, Source
from insights.rating.charges import PerUnit
from tests import factories
from tests.api.conftest import Caller, caller, problem_of
from tests.api.test_bills import assert_shape
from tests.billing.scene import (
    bill,
    complete,
    deliver,
    fee,
    instant,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.conftest import Cast

__all__ = ["caller"]

pytestmark = pytest.mark.database
NOW = "2026-04-11T12"


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(instant(NOW), tick=False):
        yield


def daily(source: Source, account: Any, first: str, count: int, quantity: str = "10") -> None:
    start = instant(first)
    days = [(start + number * timedelta(days=1)).strftime("%Y-%m-%d") for number in range(count)]
    deliver(source, account, [("requests", day, quantity) for day in days])


@pytest.fixture
def source(cast: Cast) -> Source:
    meters("requests")
    make_profile(cast.ours, tax_name="VAT", tax_percent=Decimal(19))
    return factories.make_source()


def running(cast: Cast, source: Source, first: str = "2025-12-01", count: int = 131) -> Invoice:
    """A subscription from January on, and ten requests each day from December on up to the tenth of April."""
    prices = [fee("base", "10"), usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))]
    subscription = subscribe(cast.ours, make_plan("basic", prices), "2026-01-01")
    daily(source, cast.ours, first, count)
    complete(cast.ours, "2026-04-11")
    return next(one for one in bill(subscription, NOW) if not one.number)


def text_of(client: Any, address: str, **said: Any) -> str:
    response = client.get(address, **said)
    assert response.status_code == 200, response.content[:500]
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_the_running_bill_says_where_it_goes_and_how_often_that_held(
    cast: Cast, source: Source, signed_in: Any
) -> None:
    draft = running(cast, source)
    client = signed_in(cast.viewer)

    address = reverse("bill-forecast", args=[cast.ours.public_id, draft.public_id])
    text = text_of(client, address)
    card = text_of(client, address, headers={"HX-Request": "true", "HX-Target": "forecast-card"})
    section = text_of(client, address, headers={"HX-Request": "true", "HX-Target": "forecast"})
    for name, arguments in (("bill-detail", [draft.public_id]), ("account-overview", [])):
        page = client.get(reverse(name, args=[cast.ours.public_id, *arguments])).content.decode()
        assert f'hx-get="{address}" hx-trigger="load"' in page
        assert f'<a href="{address}">' in page
        assert "sage of all that it bills is complete to" in page

    # 30 days of 10 requests at 0.10 and the fee of 10, with 19 % tax.
    assert "By the end of the period it is expected to come to 47.60 USD." in text
    assert "In 3 of the last 3 periods the bill ended between the least and the most" in text
    assert "At the period's end 47.60 USD" in card.replace("&#x27;", "'")
    assert "In 3 of the last 3 periods" in card
    assert section in text


def test_what_changed_in_a_running_bill_begins_with_the_end_of_its_period(
    cast: Cast, source: Source, signed_in: Any
) -> None:
    draft = running(cast, source)
    address = reverse("bill-difference", args=[cast.ours.public_id, draft.public_id])

    text = text_of(signed_in(cast.viewer), address)

    # March had 31 days of 10 requests: 41.00 and 19 % tax.
    fair = "By the end of April 2026 it is expected to come to 47.60 USD, 1.19 USD less than March 2026"
    part = "So far, after 10 of 30 days of its period, 24.99 USD less than all of March 2026: 21.00 less for usage"
    assert text.index(fair) < text.index(part)


def test_a_running_bill_with_too_little_history_says_what_part_is_compared(
    cast: Cast, source: Source, signed_in: Any
) -> None:
    draft = running(cast, source, "2026-04-02", 9)
    address = reverse("bill-difference", args=[cast.ours.public_id, draft.public_id])

    text = text_of(signed_in(cast.viewer), address)

    assert "is expected to come to" not in text
    assert "So far, after 10 of 30 days of its period, 10.71 USD more than all of March 2026" in text


def test_an_issued_bill_has_no_forecast(cast: Cast, source: Source, signed_in: Any) -> None:
    running(cast, source)
    with as_worker():
        issued = Invoice.objects.filter(number__isnull=False).first()
    assert issued is not None
    client = signed_in(cast.viewer)
    arguments = [cast.ours.public_id, issued.public_id]

    assert "hx-trigger" not in client.get(reverse("bill-detail", args=arguments)).content.decode()
    assert "Nothing to look ahead to" in text_of(client, reverse("bill-forecast", args=arguments))
    assert len(client.get(reverse("bill-forecast-csv", args=arguments)).content.splitlines()) == 1


def test_too_little_history_is_said_and_nothing_is_guessed(
    cast: Cast, source: Source, signed_in: Any
) -> None:
    draft = running(cast, source, "2026-04-02", 9)

    text = text_of(
        signed_in(cast.viewer), reverse("bill-forecast", args=[cast.ours.public_id, draft.public_id])
    )

    assert "it takes 2 complete weeks of every meter in use, and there are fewer of Requests." in text
    assert "expected to come to" not in text


def test_page_file_and_api_say_the_same(
    cast: Cast, source: Source, signed_in: Any, caller: Callable[[str], Caller]
) -> None:
    draft = running(cast, source)
    daily(source, cast.ours, "2026-04-11", 1, "4")
    reader = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["bills:read"])[1])

    document = reader.get(f"/api/v1/invoices/{draft.public_id}/forecast").json()
    content = signed_in(cast.viewer).get(
        reverse("bill-forecast-csv", args=[cast.ours.public_id, draft.public_id])
    )

    assert_shape(ForecastSerializer(), document)
    assert (document["low"], document["expected"], document["high"]) == ("47.60", "47.60", "47.60")
    assert (document["tested_periods"], document["periods_inside_band"]) == (3, 3)
    [meter] = document["meters"]
    # The draft was made before the four of today were known, which are part of the ten expected of today.
    assert (meter["used"], meter["expected"]) == ("100", "300")
    rows = list(csv.DictReader(io.StringIO(content.content.decode())))
    amounts = [row for row in rows if row["row"] == "amount"]
    assert [(row["low"], row["expected"], row["high"]) for row in amounts] == [("47.60", "47.60", "47.60")]
    assert [row["so_far"] for row in rows if row["row"] == "day"] == [
        point["amount"] for point in document["running"]
    ]


def test_only_a_running_invoice_of_the_account_is_forecast(
    cast: Cast, source: Source, caller: Callable[[str], Caller]
) -> None:
    draft = running(cast, source)
    with as_worker():
        issued = Invoice.objects.filter(number__isnull=False).first()
    assert issued is not None
    ours = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["bills:read"])[1])
    theirs = caller(factories.make_api_key(cast.other, created_by=cast.stranger, scopes=["bills:read"])[1])

    problem_of(ours.get(f"/api/v1/invoices/{issued.public_id}/forecast"), status=404, code="not_running")
    problem_of(theirs.get(f"/api/v1/invoices/{draft.public_id}/forecast"), status=404, code="not_found")


def test_late_usage_of_a_closed_period_is_taken_into_the_test(cast: Cast, source: Source) -> None:
    """What is kept of closed periods is dropped when their days change."""
    draft = running(cast, source)

    def inside() -> tuple[int, int]:
        with account_scope(cast.ours.pk, read_only=True):
            found = get_bill_forecast(cast.ours, public_id=draft.public_id, now=instant(NOW))
        assert found is not None
        return found.inside, found.tested

    assert inside() == (3, 3)
    deliver(factories.make_source("late"), cast.ours, [("requests", "2026-02-20", "500")])
    # February ended above its band; March's band is from the eleventh on of days that have a week with the 500 in it.
    assert inside() == (2, 3)


def test_sources_that_are_not_billed_are_left_out(cast: Cast, source: Source) -> None:
    own = factories.make_source("own")
    factories.change_source(own, billable=False)
    daily(own, cast.ours, "2026-01-01", 100, "1000")
    draft = running(cast, source)

    with account_scope(cast.ours.pk, read_only=True):
        found = get_bill_forecast(cast.ours, public_id=draft.public_id, now=instant(NOW))

    assert found is not None
    assert (found.expected.minor, found.running[-1].amount.minor) == (4760, 2380)


def test_a_forecast_is_a_fixed_number_of_statements(
    cast: Cast, source: Source, django_assert_num_queries: Any
) -> None:
    draft = running(cast, source)
    with account_scope(cast.ours.pk, read_only=True):
        get_bill_forecast(cast.ours, public_id=draft.public_id, now=instant(NOW))
        with django_assert_num_queries(5):
            get_bill_forecast(cast.ours, public_id=draft.public_id, now=instant(NOW))
