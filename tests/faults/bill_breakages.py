"""One breakage for each promise about money, in this process and only while it is tried; the promise must turn red."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.faults.site import Site

Swap = tuple[Any, str, Any]


def _drop_a_value() -> list[Swap]:
    """P13: usage of one dimension value falls out of its bill."""
    from insights.billing import usage_lines

    split_by_cell = usage_lines.split_by_cell

    def without_one(matrix: Any, usage: Any) -> Any:
        found = split_by_cell(matrix, usage)
        dropped = next((values for values, quantity in found.items() if quantity), None)
        return {values: quantity for values, quantity in found.items() if values != dropped}

    return [(usage_lines, "split_by_cell", without_one)]


BREAKAGES: dict[str, Callable[[], list[Swap]]] = {
    "P13": _drop_a_value,
}


@contextmanager
def broken(site: Site) -> Iterator[None]:
    """Break what the promise rests on, if the run asks for it, and put it right again."""
    with ExitStack() as stack:
        for owner, name, value in BREAKAGES[site.sabotage]() if site.sabotage in BREAKAGES else ():
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield
