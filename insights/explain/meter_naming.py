"""What a table of records of several meters calls them, and the units that their prices are for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from insights.values.quantity import Scale, exact_text, is_multiple


@dataclass(frozen=True, slots=True)
class MeterNaming:
    """The names of meters by their keys, and the scales of their prices by key and unit, as a bill has them."""

    names: Mapping[str, str]
    scales: Mapping[tuple[str, str], Scale]

    def name_of(self, meter: str) -> str:
        """What the meter of this key is called."""
        return self.names.get(meter, meter)

    def scale_of(self, meter: str, unit: str) -> Scale | None:
        """What a page names a record in: the unit of its price, unless that is a pack, of which one has little."""
        scale = self.scales.get((meter, unit))
        return scale if scale and is_multiple(unit, scale.unit) else None

    def priced(self, meter: str, unit: str, quantity: Decimal) -> tuple[str, str]:
        """A quantity with every digit in the unit of its price, and that unit, for a file."""
        scale = self.scales.get((meter, unit))
        return (
            (exact_text(quantity), unit)
            if scale is None
            else (exact_text(scale.number_of(quantity)), scale.unit)
        )
