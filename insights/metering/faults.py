"""What is wrong with a query, named so that a program and a person can mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a query: code and field for programs, a sentence for people."""

    code: str
    field: str
    message: str


class UsageFilterRefused(ValueError):
    """The query cannot be answered as asked."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)
