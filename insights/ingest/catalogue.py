"""What the portal knows when it reads a line: accounts and meters, as plain facts.

Holds no usage and looks nothing up; whoever reads a batch takes these facts beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AccountFact:
    id: int
    state: str = "active"
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MeterFact:
    """One version of a meter. It takes windows from the instant at which the version before it was retired."""

    id: int
    key: str
    unit: str
    grain_seconds: int
    dimensions: tuple[str, ...] = ()
    allows_negative: bool = False
    retired_at: datetime | None = None
    earlier: MeterFact | None = None

    @property
    def begins_at(self) -> datetime | None:
        """The first instant of this version's windows; None when they go back for ever."""
        return None if self.earlier is None else self.earlier.retired_at

    def at(self, window_start: datetime) -> MeterFact:
        """The version in force when a window begins: what was sent again stays with the version it belongs to."""
        version = self
        while (begins_at := version.begins_at) is not None and window_start < begins_at:
            version = version.earlier or version
        return version

    def versions(self) -> Iterator[MeterFact]:
        """This version and those before it."""
        version: MeterFact | None = self
        while version is not None:
            yield version
            version = version.earlier


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Accounts by the reference that usage files call them, the newest version of each meter by its key."""

    accounts: Mapping[str, AccountFact]
    meters: Mapping[str, MeterFact]

    @property
    def dimension_keys(self) -> frozenset[str]:
        return dimension_keys_of(self.meters.values())


def dimension_keys_of(meters: Iterable[MeterFact]) -> frozenset[str]:
    """Every dimension that a line may name, whichever version of its meter it belongs to."""
    return frozenset(key for meter in meters for version in meter.versions() for key in version.dimensions)
