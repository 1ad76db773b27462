"""Which line of a bill usage with some dimension values is on. Plain Python."""

from __future__ import annotations

from collections.abc import Mapping

from insights.billing.basis import MeterOfBill, ServiceSegment
from insights.billing.usage_lines import price_for, usage_line_key
from insights.rating.matrix import CATCH_ALL, cell_key
from insights.rating.rate import UnableToRate


def find_usage_line(
    number: int, segment: ServiceSegment, meter: MeterOfBill, dimensions: Mapping[str, str]
) -> str | None:
    """The name of the line that usage with these dimension values is on; None where no price is for it."""
    price = price_for(segment, meter)
    if price is None:
        return None
    if price.matrix is None:
        return usage_line_key(number, price.key, meter.version, CATCH_ALL)
    try:
        return usage_line_key(number, price.key, meter.version, cell_key(price.matrix, dimensions))
    except UnableToRate:
        return None
