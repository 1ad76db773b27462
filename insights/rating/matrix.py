"""Prices by dimension value: each quantity belongs to exactly one cell, or to the catch-all, and is charged once.

A cell gives a value for every dimension of the matrix, so two cells cannot overlap. Refuses usage that has no price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from insights.rating.figures import InvalidTerms
from insights.rating.rate import UnableToRate
from insights.rating.terms import PriceTerms
from insights.values.exact import EXACT

CATCH_ALL: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The terms for usage with exactly these dimension values, in the order of the matrix's dimensions."""

    values: tuple[str, ...]
    terms: PriceTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Prices by the values of one or more dimensions; `catch_all` is for every combination without a cell."""

    dimensions: tuple[str, ...]
    cells: tuple[Cell, ...]
    catch_all: PriceTerms | None = None

    def __post_init__(self) -> None:
        if not self.dimensions or len(set(self.dimensions)) != len(self.dimensions):
            raise InvalidTerms("a matrix names each of its dimensions once")
        known: set[tuple[str, ...]] = set()
        for cell in self.cells:
            if len(cell.values) != len(self.dimensions):
                raise InvalidTerms(f"cell {', '.join(cell.values)} does not have a value for every dimension")
            if cell.values in known:
                raise InvalidTerms(f"overlap: there are two cells for {', '.join(cell.values)}")
            known.add(cell.values)

    def terms_of(self, key: tuple[str, ...]) -> PriceTerms | None:
        """The terms of a cell by its values, or of the catch-all by CATCH_ALL."""
        if key == CATCH_ALL:
            return self.catch_all
        return next((cell.terms for cell in self.cells if cell.values == key), None)


def cell_key(matrix: Matrix, dimensions: Mapping[str, str]) -> tuple[str, ...]:
    """Where usage with these dimension values belongs; an absent dimension is the empty value.

    Raises UnableToRate when there is neither a cell nor a catch-all: usage is never left out of a bill in silence.
    """
    values = tuple(dimensions.get(name, "") for name in matrix.dimensions)
    if any(cell.values == values for cell in matrix.cells):
        return values
    if matrix.catch_all is None:
        raise UnableToRate(f"no price for {', '.join(values)} and no catch-all")
    return CATCH_ALL


def split_by_cell(
    matrix: Matrix, usage: Iterable[tuple[Mapping[str, str], Decimal]]
) -> dict[tuple[str, ...], Decimal]:
    """The quantity of each cell in the order of the matrix, the catch-all last; together all of the usage.

    Cells without usage are there with zero, since their price may be due without any.
    """
    keys = [cell.values for cell in matrix.cells]
    if matrix.catch_all is not None:
        keys.append(CATCH_ALL)
    quantities = dict.fromkeys(keys, Decimal(0))
    for dimensions, quantity in usage:
        key = cell_key(matrix, dimensions)
        quantities[key] = EXACT.add(quantities[key], quantity)
    return quantities
