"""What was metered for contracts: which quantities their prices ask for, and the answers at one ledger position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from insights.billing.contract import Contract, MeterOfBill, ServiceSegment
from insights.billing.draft import BilledUsage
from insights.billing.usage_lines import MeteredUsage
from insights.metering.aggregations import adds_over_time
from insights.metering.metered_queries import (
    Ask,
    BilledMeter,
    Metered,
    list_billed_meters,
    read_metered,
    read_position,
)


@dataclass(frozen=True, slots=True)
class UsageRead:
    """Everything metered that some contracts asked for, and the position it is as known at."""

    position: int
    meters: tuple[BilledMeter, ...]
    metered: dict[Ask, Metered]

    def answers(self, contract: Contract) -> bool:
        """Whether all that the contract asks for was read."""
        return all(ask in self.metered for ask in _asks(contract, self.meters))

    def of(self, contract: Contract) -> BilledUsage:
        """The usage of one contract; raises KeyError unless it was read."""
        return BilledUsage(
            meters=tuple(_meter_of_bill(meter) for meter in self.meters),
            current=self._of_segments(contract, contract.plans),
            earlier={
                bill.id: self._of_segments(contract, _plans(bill.segments)) for bill in contract.to_correct
            },
        )

    def records(self, contract: Contract) -> int:
        """How many records the contract's own period is made of."""
        return sum(self.metered[ask].records for _, _, ask in _asks_of(contract, contract.plans, self.meters))

    def _of_segments(self, contract: Contract, segments: Sequence[ServiceSegment]) -> MeteredUsage:
        return {
            (number, meter.id): dict(self.metered[ask].by_values)
            for number, meter, ask in _asks_of(contract, segments, self.meters)
        }


def read_usage(contracts: Iterable[Contract]) -> UsageRead:
    """Read what the contracts ask for; inside a transaction that is one snapshot."""
    meters = list_billed_meters()
    position = read_position()
    asks = [ask for contract in contracts for ask in _asks(contract, meters)]
    return UsageRead(position, meters, read_metered(asks, meters))


def _asks(contract: Contract, meters: Sequence[BilledMeter]) -> Iterator[Ask]:
    for segments in (contract.plans, *(_plans(bill.segments) for bill in contract.to_correct)):
        for _, _, ask in _asks_of(contract, segments, meters):
            yield ask


def _asks_of(
    contract: Contract, segments: Sequence[ServiceSegment], meters: Sequence[BilledMeter]
) -> Iterator[tuple[int, BilledMeter, Ask]]:
    """Every meter in every segment: also those that no price names, since their usage must not be lost."""
    if contract.is_opening:
        return
    for number, segment in enumerate(segments):
        dimensions = {
            price.meter_key: price.matrix.dimensions
            for price in segment.sheet.prices
            if price.matrix is not None
        }
        for meter in meters:
            names = dimensions.get(meter.key, ())
            yield number, meter, Ask(contract.account_id, contract.zone, meter.id, segment.service, names)


def _plans(segments: Iterable[ServiceSegment]) -> tuple[ServiceSegment, ...]:
    return tuple(segment for segment in segments if segment.add_on_id is None)


def _meter_of_bill(meter: BilledMeter) -> MeterOfBill:
    return MeterOfBill(
        id=meter.id,
        key=meter.key,
        version=meter.version,
        name=meter.name,
        unit=meter.unit,
        is_additive=adds_over_time(meter.aggregation),
        retired_at=meter.retired_at,
    )
