"""Bad rows among good ones, by API, command and browser: the same lines refused for the same reasons, the rest in."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from accounts.tenancy import as_worker, connection
from tests.bad_inputs.rows import CASES, delivery
from tests.bad_inputs.ways import WAYS, Doors, rejects_of, worked
from tests.ingest.deliveries import FORMS, NOW

SOURCES = ("edge", "berlin", "days", "bound")


def stored_records() -> dict[str, tuple[Decimal, str]]:
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT u.row_id, u.quantity, coalesce(s.dimensions ->> 'region', '') "
            "FROM insights_usagerecord u JOIN insights_series s ON s.id = u.series_id"
        )
        return {row_id: (quantity, region) for row_id, quantity, region in cursor.fetchall()}


def assert_taken_but_for_its_bad_lines(
    doors: Doors, *, way: str, slug: str, form: str, good_lines: int
) -> None:
    sent = delivery(source=slug, form=form, good_lines=good_lines)

    receipt = worked(WAYS[way](doors, slug, sent.body, form), now=NOW)

    assert rejects_of(receipt) == sent.rejects
    assert (receipt.counts.received, receipt.counts.new) == (sent.lines, len(sent.stored))
    assert stored_records() == sent.stored


@pytest.mark.parametrize("slug", SOURCES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_each_bad_row_is_refused_alone(doors: Callable[[str], Doors], way: str, form: str, slug: str) -> None:
    assert_taken_but_for_its_bad_lines(doors(slug), way=way, slug=slug, form=form, good_lines=500)


def test_every_bad_row_among_ten_thousand_good_ones(doors: Callable[[str], Doors]) -> None:
    assert len([case for case in CASES if case.code is not None]) >= 90
    assert_taken_but_for_its_bad_lines(doors("edge"), way="api", slug="edge", form="csv", good_lines=10_000)
