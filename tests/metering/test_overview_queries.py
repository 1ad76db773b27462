"""The overview says the same as the records, and compares complete days with the same days."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.metering.overview import AccountOverview
from insights.metering.overview_queries import get_account_overview
from insights.metering.windows import Kind
from tests.factories import make_account, make_meter, make_source
from tests.metering.facts import deliver, hour

pytestmark = pytest.mark.database
NOW = hour("2026-11-05T12")


@pytest.fixture
def account(portal_db: None) -> Account:
    """An account whose days begin at 23:00 UTC in winter."""
    return make_account("ansel", billing_zone="Europe/Berlin")


def overview_of(account: Account) -> AccountOverview:
    with account_scope(account.pk, read_only=True):
        return get_account_overview(account, NOW)


def days(first: str, count: int, quantity: int, endpoint: str = "a") -> list[dict[str, object]]:
    return [
        {"at": hour(first) + timedelta(days=number), "quantity": quantity, "endpoint": endpoint}
        for number in range(count)
    ]


def test_an_account_without_usage_has_no_cards(account: Account) -> None:
    make_meter("m")

    overview = overview_of(account)

    assert overview.meters == ()
    assert overview.completeness.complete_to is None


@pytest.mark.parametrize(
    ("aggregation", "so_far", "comparable", "same_days", "whole"),
    [
        ("sum", 60, 48, 40, 310),
        ("count", 5, 4, 4, 31),
        ("time_weighted_sum", 60, 48, 40, 310),
        ("unique_count", 5, 4, 4, 31),
        ("max", 12, 12, 10, 10),
        ("latest", 12, 12, 10, 10),
    ],
)
def test_complete_days_stand_against_the_same_days(
    account: Account, aggregation: str, so_far: int, comparable: int, same_days: int, whole: int
) -> None:
    unique = ["endpoint"] if aggregation == "unique_count" else []
    make_meter("m", aggregation=aggregation, dimensions=["endpoint"], unique_dimensions=unique)
    rows = [*days("2026-09-30T22", 31, 10), *days("2026-10-31T23", 5, 12)]
    deliver(make_source(), rows, account="ansel", meter="m", complete_to=hour("2026-11-05T08"))

    [card] = overview_of(account).meters

    assert (card.so_far, card.comparable, card.same_days_before) == (so_far, comparable, same_days)
    assert (card.previous_whole, card.compared_to) == (whole, date(2026, 11, 4))
    assert card.change == Decimal(comparable - same_days) / same_days


def test_a_month_in_which_usage_began_is_no_measure(account: Account) -> None:
    make_meter("m", dimensions=["endpoint"])
    rows = [*days("2026-10-20T22", 5, 10), *days("2026-10-31T23", 5, 12)]
    deliver(make_source(), rows, account="ansel", meter="m", complete_to=NOW)

    [card] = overview_of(account).meters

    assert (card.same_days_before, card.change, card.previous_whole) == (None, None, 50)


def test_the_trend_tells_zero_gap_and_incomplete_apart(account: Account) -> None:
    make_meter("m", dimensions=["endpoint"])
    rows = [*days("2026-11-01T10", 1, 5), *days("2026-11-02T10", 1, 0), *days("2026-11-04T10", 2, 5)]
    deliver(make_source(), rows, account="ansel", meter="m", complete_to=hour("2026-11-05T11"))

    [card] = overview_of(account).meters

    assert len(card.trend) == 30
    kinds = [Kind.BEFORE, Kind.COMPLETE, Kind.ZERO, Kind.GAP, Kind.COMPLETE, Kind.INCOMPLETE]
    assert [point.kind for point in card.trend[-6:]] == kinds


def test_shares_are_the_five_largest_and_the_rest(account: Account) -> None:
    make_meter("m", dimensions=["endpoint"])
    rows = [row for n in range(8) for row in days("2026-11-02T10", 1, 10 - n, f"e{n}")]
    deliver(make_source(), rows, account="ansel", meter="m", complete_to=NOW)

    [card] = overview_of(account).meters

    assert [share.value for share in card.shares] == ["e0", "e1", "e2", "e3", "e4", None]
    assert (card.shares[-1].is_rest, card.shares[-1].members, card.shares[-1].quantity) == (True, 3, 12)
    assert sum(share.quantity for share in card.shares) == card.so_far


def test_windows_that_two_sources_report_count_once(account: Account) -> None:
    make_meter("m", aggregation="unique_count", dimensions=["endpoint"], unique_dimensions=["endpoint"])
    for slug in ("one", "two"):
        deliver(make_source(slug), days("2026-11-02T10", 2, 5), account="ansel", meter="m", complete_to=NOW)

    [card] = overview_of(account).meters

    assert card.so_far == 2


def test_cards_cost_no_further_statements(account: Account) -> None:
    source = make_source()
    for number in range(6):
        make_meter(f"m{number}", dimensions=["endpoint"])
        deliver(source, days("2026-11-02T10", 2, 5), account="ansel", meter=f"m{number}", complete_to=NOW)

    with account_scope(account.pk), CaptureQueriesContext(connections["default"]) as captured:
        overview = get_account_overview(account, NOW)

    assert len(overview.meters) == 6
    # Watermarks, feeding, meters, days, shares.
    assert len(captured) == 5


def test_another_accounts_usage_is_not_in_it(account: Account) -> None:
    make_account("brook")
    make_meter("m", dimensions=["endpoint"])
    deliver(make_source(), days("2026-11-02T10", 2, 5), account="brook", meter="m", complete_to=NOW)

    assert overview_of(account).meters == ()
