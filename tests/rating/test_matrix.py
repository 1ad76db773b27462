"""Prices by dimension value: every quantity in exactly one cell."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.rating.charges import PerUnit
from insights.rating.figures import InvalidTerms
from insights.rating.matrix import CATCH_ALL, Cell, Matrix, cell_key, split_by_cell
from insights.rating.rate import UnableToRate
from insights.rating.terms import PriceTerms
from tests.rating import strategies


def price(unit_amount: str) -> PriceTerms:
    return PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(unit_amount)))


def cell(unit_amount: str, *values: str) -> Cell:
    return Cell(values=values, terms=price(unit_amount))


BY_REGION = Matrix(
    dimensions=("region", "protocol"),
    cells=(cell("0.1", "eu", "http"), cell("0.2", "eu", "tcp"), cell("0.3", "us", "http")),
    catch_all=price("0.5"),
)
names = st.sampled_from(("eu", "us", "ap", ""))
protocols = st.sampled_from(("http", "tcp", "udp"))


@pytest.mark.parametrize(
    ("dimensions", "key"),
    [
        ({"region": "eu", "protocol": "tcp"}, ("eu", "tcp")),
        ({"protocol": "tcp", "region": "eu", "endpoint": "a"}, ("eu", "tcp")),
        ({"region": "us", "protocol": "tcp"}, CATCH_ALL),
        ({"region": "eu"}, CATCH_ALL),
        ({}, CATCH_ALL),
        ({"region": "EU", "protocol": "http"}, CATCH_ALL),
    ],
)
def test_usage_is_in_its_cell_or_in_the_catch_all(dimensions: dict[str, str], key: tuple[str, ...]) -> None:
    assert cell_key(BY_REGION, dimensions) == key


@settings(deadline=None)
@given(st.lists(st.tuples(names, protocols, strategies.decimals(0, 1000, 3)), max_size=30))
def test_nothing_is_counted_twice_or_left_out(rows: list[tuple[str, str, Decimal]]) -> None:
    usage = [({"region": region, "protocol": protocol}, quantity) for region, protocol, quantity in rows]

    quantities = split_by_cell(BY_REGION, usage)

    assert sum(quantities.values()) == sum(quantity for _dimensions, quantity in usage)
    assert list(quantities) == [("eu", "http"), ("eu", "tcp"), ("us", "http"), CATCH_ALL]
    assert quantities["eu", "tcp"] == sum(
        quantity for region, protocol, quantity in rows if (region, protocol) == ("eu", "tcp")
    )


def test_a_value_that_was_not_sent_has_a_cell_of_its_own_if_the_price_says_so() -> None:
    matrix = Matrix(dimensions=("region",), cells=(cell("1", ""), cell("2", "eu")))

    assert split_by_cell(matrix, [({}, Decimal(3)), ({"region": "eu"}, Decimal(4))]) == {("",): 3, ("eu",): 4}


def test_usage_without_a_price_is_not_left_out_in_silence() -> None:
    matrix = Matrix(dimensions=("region",), cells=(cell("1", "eu"),))

    with pytest.raises(UnableToRate, match="no price for us and no catch-all"):
        split_by_cell(matrix, [({"region": "us"}, Decimal(3))])


@pytest.mark.parametrize(
    ("dimensions", "cells", "told"),
    [
        (("region",), (cell("1", "eu"), cell("2", "eu")), "overlap: there are two cells for eu"),
        (("region",), (cell("1", "eu", "tcp"),), "eu, tcp does not have a value for every dimension"),
        (("region",), (cell("1"),), "does not have a value"),
        ((), (), "names each of its dimensions once"),
        (("region", "region"), (), "names each of its dimensions once"),
    ],
)
def test_cells_that_overlap_or_do_not_fit_are_refused(
    dimensions: tuple[str, ...], cells: tuple[Cell, ...], told: str
) -> None:
    with pytest.raises(InvalidTerms, match=told):
        Matrix(dimensions=dimensions, cells=cells)


def test_the_terms_of_a_key() -> None:
    assert BY_REGION.terms_of(("us", "http")) == price("0.3")
    assert BY_REGION.terms_of(CATCH_ALL) == price("0.5")
    assert BY_REGION.terms_of(("us", "tcp")) is None
