"""What a bill's meters measured by dimension value, read from the account's series where lines do not say enough.

As known at the position that the bill was made at. In the account's scope.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.basis import MeterOfBill
from insights.billing.billed_quantities import MeterTraits
from insights.billing.closed_period_queries import ClosedPeriod
from insights.billing.estimate_question import EstimateRefused
from insights.billing.left_out_queries import list_left_out
from insights.billing.usage_lines import Quantities
from insights.metering.aggregations import adds_over_time, settled
from insights.metering.archived_queries import list_archived_months
from insights.metering.line_usage_queries import LineScope, list_line_series, read_line_by_series
from insights.metering.meter_queries import list_meters
from insights.metering.metered_queries import BilledMeter
from insights.rating.sheet import SheetPrice
from insights.values.exact import EXACT

_ZERO = Decimal(0)


class SeriesQuantities:
    """The usage behind one issued bill."""

    def __init__(self, account: Account, closed: ClosedPeriod, versions: Sequence[BilledMeter]) -> None:
        self._account = account
        self._closed = closed
        self._aggregations = {meter.id: meter.aggregation for meter in versions}
        self._unpriced: dict[tuple[str, str], Decimal] = {}
        for one in closed.bill.unpriced:
            known = self._unpriced.get((one.meter_key, one.unit), _ZERO)
            self._unpriced[one.meter_key, one.unit] = EXACT.add(known, one.quantity)

    def traits(self, meter: MeterOfBill) -> MeterTraits:
        """How the meter's quantities go together."""
        aggregation = self._aggregations[meter.id]
        # Distinct windows of two dimension values may be the same windows.
        return MeterTraits(
            adds_over_time=adds_over_time(aggregation), adds_over_values=aggregation != "unique_count"
        )

    def unpriced(self, meter: MeterOfBill, wanted: SheetPrice | None) -> Quantities | None:
        """What the bill named as without a price; None where it has to be read by dimension value."""
        # It does not say of which version, so that the first one asked has it.
        quantity = self._unpriced.pop((meter.key, meter.unit), _ZERO)
        if not quantity:
            return {}
        return {(): quantity} if wanted is None or wanted.matrix is None else None

    def read(self, meter: MeterOfBill, wanted: SheetPrice | None) -> Quantities:
        """Read it by the values of the price's dimensions; refused where the records are archived."""
        bill, names = self._closed.bill, wanted.matrix.dimensions if wanted and wanted.matrix else ()
        if list_archived_months(self._account, bill.period):
            message = (
                f"The plan splits {meter.name} otherwise than the bills, and the records of an asked period are "
                "archived; ask for fewer periods."
            )
            raise EstimateRefused("period_archived", "periods", message)
        facts = next(one for one in list_meters(self._account) if one.id == meter.id)
        left_out = list_left_out(self._account, self._closed.details)
        every = list_line_series(self._account.pk, facts)
        series = tuple(one for one in every if one.facts.source_id not in left_out)
        scope = LineScope(self._account.pk, ZoneInfo(self._closed.head.zone), facts, bill.period, series)
        totals = read_line_by_series(scope, position=self._closed.usage_as_of)
        raw: dict[tuple[str, ...], Decimal] = {}
        for one in series:
            quantity, _ = totals.get(one.facts.id, (_ZERO, 0))
            values = tuple(one.dimensions.get(name, "") for name in names)
            raw[values] = EXACT.add(raw.get(values, _ZERO), quantity)
        return {values: settled(facts.aggregation, quantity) for values, quantity in raw.items() if quantity}
