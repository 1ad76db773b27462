"""Days of several meters in one statement: the same from sums and from rollups, for every way of aggregating."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from accounts.tenancy import account_scope
from insights.metering.aggregations import AGGREGATES
from insights.metering.daily_queries import read_daily_quantities
from insights.metering.metered_queries import list_billed_meters
from insights.models import Source
from tests.billing.scene import deliver, meters
from tests.conftest import Cast
from tests.factories import make_source

pytestmark = pytest.mark.database
FIRST, END = date(2026, 3, 1), date(2026, 3, 4)
# Two series, three windows on the second of March and one on the third.
ROWS = (
    ("eu", "2026-03-02T01", "3"),
    ("eu", "2026-03-02T05", "5"),
    ("us", "2026-03-02T01", "4"),
    ("us", "2026-03-03", "7"),
)
EXPECTED = {
    "sum": (12, 7),
    "count": (3, 1),
    "time_weighted_sum": (12, 7),
    "unique_count": (3, 1),
    "max": (9, 7),
    "latest": (9, 7),
}


@pytest.fixture
def source(cast: Cast) -> Source:
    for aggregation in EXPECTED:
        unique = ["region"] if aggregation == "unique_count" else []
        meters(aggregation, aggregation=aggregation, dimensions=["region"], unique_dimensions=unique)
    source = make_source()
    for region, hour, quantity in ROWS:
        deliver(source, cast.ours, [(key, hour, quantity) for key in EXPECTED], region=region)
    return source


def read(cast: Cast, **more: Any) -> dict[str, dict[date, Decimal]]:
    with account_scope(cast.ours.pk, read_only=True):
        versions = list_billed_meters()
        found = read_daily_quantities(cast.ours, versions, first=FIRST, end=END, **more)
    return {meter.key: found[meter.id] for meter in versions if meter.id in found}


def test_every_aggregation_has_its_days(cast: Cast, source: Source) -> None:
    assert set(EXPECTED) == set(AGGREGATES)
    expected = {
        key: {date(2026, 3, 2): Decimal(second), date(2026, 3, 3): Decimal(third)}
        for key, (second, third) in EXPECTED.items()
    }

    assert read(cast) == expected
    # Of sources one by one: with another one left out, everything is there; with this one, nothing is.
    assert read(cast, left_out=[source.pk + 1]) == expected
    assert read(cast, left_out=[source.pk]) == {}


def test_another_account_has_none_of_them(cast: Cast, source: Source) -> None:
    with account_scope(cast.other.pk, read_only=True):
        assert read_daily_quantities(cast.other, list_billed_meters(), first=FIRST, end=END) == {}


def test_it_is_one_statement(cast: Cast, source: Source, django_assert_num_queries: Any) -> None:
    with account_scope(cast.ours.pk, read_only=True):
        versions = list_billed_meters()
        with django_assert_num_queries(1):
            read_daily_quantities(cast.ours, versions, first=FIRST, end=END)
