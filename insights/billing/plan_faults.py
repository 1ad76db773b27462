"""What is wrong with a plan as it was written: where, in which field, by a code, and in words with the mend."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlanFault:
    """One fault. `table` is such as `plan`, `version`, `price out` or `price out, tier 2`; `field` may be empty.

    `line` counts from 1 in the text that has the fault, where there is a text that tells.
    """

    table: str
    field: str
    code: str
    message: str
    line: int | None = dataclasses.field(default=None, compare=False)

    def __str__(self) -> str:
        place = f"line {self.line}, {self.table}" if self.line else self.table
        where = f"{place}, {self.field}" if self.field else place
        return f"{where}: {self.message} ({self.code})"


class InvalidPlan(ValueError):
    """The plan cannot be taken; `faults` has every one that was found."""

    def __init__(self, faults: Iterable[PlanFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))
