"""A bill then and now in money: of made-up accounts, at many positions, against the corrections that followed."""

from __future__ import annotations

import pytest

from accounts.tenancy import as_owner
from insights.explain.then_and_now import ThenAndNow
from insights.models import Invoice, LedgerEntry, LineItem
from tests.conftest import Cast
from tests.explain.cost_scene import CostWorld, make_cost_world
from tests.explain.test_then_and_now import at, both

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
SEEDS = range(10, 16)
POSITIONS = 6


@pytest.mark.parametrize("seed", SEEDS)
def test_what_changed_since_is_what_was_corrected_line_by_line(cast: Cast, seed: int) -> None:
    world = make_cost_world(cast, seed)

    for invoice in issued(world):
        found = both(world.account, invoice)
        check(found)
        assert found.is_equal
        assert found.total_then == found.stored
        changed: dict[int | None, int] = {}
        for change in found.lines:
            changed[change.position] = changed.get(change.position, 0) + change.change.minor
        assert {place: minor for place, minor in changed.items() if minor} == corrections(invoice)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_comes_to_the_same_now_from_whichever_moment_it_is_asked(cast: Cast, seed: int) -> None:
    world = make_cost_world(cast, seed)
    [march, *_] = issued(world)
    own = both(world.account, march)
    with as_owner():
        positions = sorted(set(LedgerEntry.objects.values_list("position", flat=True)))

    found = [both(world.account, march, at(place)) for place in positions[:: -(-len(positions) // POSITIONS)]]

    for one in found:
        check(one)
        assert one.total_now == own.total_now
    assert len({one.moved for one in found}) > 1


def issued(world: CostWorld) -> list[Invoice]:
    return [invoice for invoice in world.invoices if invoice.state == "issued"]


def corrections(invoice: Invoice) -> dict[int | None, int]:
    """What later invoices correct of this one, in minor units by the position of the line; None for new lines."""
    found: dict[int | None, int] = {}
    with as_owner():
        positions = dict(LineItem.objects.filter(invoice=invoice).values_list("pk", "position"))
        for row in LineItem.objects.filter(corrects_invoice_id=invoice.pk, kind="correction"):
            place = positions.get(row.corrects_id)
            found[place] = found.get(place, 0) + int(row.amount_minor)
    return {place: minor for place, minor in found.items() if minor}


def check(found: ThenAndNow) -> None:
    """Lines add to both totals, and nothing is left over in money or in quantity."""
    assert found.is_rated
    assert found.residual.minor == 0
    assert (
        found.total_then.minor + sum(change.change.minor for change in found.lines) == found.total_now.minor
    )
    assert {change.residual for change in found.lines} <= {None, 0}
