"""What the portal knows when it reads a line: accounts and meters, as plain facts.

Holds no usage and looks nothing up; whoever reads a batch takes these facts beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AccountFact:
    id: int
    state: str = "active"
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MeterFact:
    id: int
    key: str
    unit: str
    grain_seconds: int
    dimensions: tuple[str, ...] = ()
    allows_negative: bool = False
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Accounts by the reference that usage files call them, meters by key."""

    accounts: Mapping[str, AccountFact]
    meters: Mapping[str, MeterFact]

    @property
    def dimension_keys(self) -> frozenset[str]:
        return frozenset(key for meter in self.meters.values() for key in meter.dimensions)
