"""The records between two positions: exactly those by which usage as known at one differs from that of the other."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.exports.between_queries import MovedPlace, MovedRecord, list_moved
from insights.exports.queries import RecordsFilter, list_records
from insights.metering.between import Between, Place
from insights.metering.between_queries import read_moved
from insights.metering.known_moment import KnownAt
from insights.metering.meter_queries import list_meters
from insights.models import Series
from insights.values.period import Period
from tests.billing.scene import instant
from tests.factories import ingest_now
from tests.metering.test_known_queries import Notes, World, head, live_through, random_body, world

__all__ = ["world"]
pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
PERIOD = Period(instant("2026-10-31T12"), instant("2026-11-04T04"))


def known_records(account: Account, position: int) -> set[tuple[Any, ...]]:
    """Every record of the period as known at a position, read the way pages read it."""
    found = set()
    for meter in list_meters(account):
        wanted = RecordsFilter(
            account_id=account.pk,
            meter_id=meter.id,
            dimension_keys=meter.dimensions,
            period=PERIOD,
            known=KnownAt(asked_position=position, position=position),
        )
        for row in list_records(wanted, after=None, limit=10_000):
            place = row.position
            found.add((place.series_id, place.window_start, place.row_id, row.revision, row.quantity))
    return found


def places_of(account: Account) -> tuple[Place, ...]:
    """The series of each meter, in two stretches that meet inside a day."""
    middle = instant("2026-11-03T05")
    stretches = (Period(PERIOD.start, middle), Period(middle, PERIOD.end))
    return tuple(
        Place(
            meter.aggregation,
            stretch,
            tuple(Series.objects.for_account(account).filter(meter=meter.id).values_list("pk", flat=True)),
        )
        for meter in list_meters(account)
        for stretch in stretches
    )


def every_moved(between: Between) -> list[MovedRecord]:
    """All of them, a few at a time."""
    found: list[MovedRecord] = []
    after: MovedPlace | None = None
    while rows := list_moved(between, after=after, limit=7):
        found += rows
        after = rows[-1].at
    return found


@pytest.mark.parametrize("seed", range(4))
def test_then_less_what_went_with_what_came_is_now(world: World, seed: int, monkeypatch: Any) -> None:
    chance = random.Random(seed)
    for source in world.sources:
        ingest_now(source, random_body(chance, source, []))
    notes = Notes({account.pk: [] for account in world.accounts}, world.accounts, [])
    live_through(world, notes, chance, monkeypatch)
    last = head()
    positions = sorted({0, last, *chance.sample(range(1, last), 4)})

    for account, (first, second) in itertools.product(
        world.accounts, itertools.combinations_with_replacement(positions, 2)
    ):
        with account_scope(account.pk, read_only=True):
            before, after = known_records(account, first), known_records(account, second)
            between = Between(account.pk, first, second, places_of(account))
            moved = every_moved(between)
            counted = read_moved(between)

        came = {_facts(row) for row in moved if row.at.came}
        went = {_facts(row) for row in moved if not row.at.came}
        assert (came, went) == (after - before, before - after), (first, second)
        assert len(moved) == len(came) + len(went)
        assert [row.at for row in moved] == sorted((row.at for row in moved), key=_order)
        for number, (place, one) in enumerate(zip(between.places, counted, strict=True)):
            own = [row for row in moved if row.place == number]
            assert (one.came, one.went) == (
                sum(row.at.came for row in own),
                sum(1 - row.at.came for row in own),
            )
            if place.aggregation == "sum":
                assert one.raw == sum(row.quantity * (2 * row.at.came - 1) for row in own)


def _facts(row: MovedRecord) -> tuple[Any, ...]:
    return (row.at.series_id, row.at.window_start, row.at.row_id, row.revision, row.quantity)


def _order(place: MovedPlace) -> tuple[Any, ...]:
    return (place.series_id, place.window_start, place.row_id, place.came)
