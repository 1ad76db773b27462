"""What was metered for bases: which quantities their prices ask for, and the answers at one ledger position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from insights.billing.basis import Basis, MeterOfBill, ServiceSegment
from insights.billing.bounds import SourceState
from insights.billing.draft import BilledUsage
from insights.billing.usage_lines import MeteredUsage
from insights.metering.aggregations import needs_seconds
from insights.metering.metered_queries import (
    Ask,
    BilledMeter,
    Metered,
    list_billed_meters,
    read_metered,
    read_position,
)
from insights.models import Source, Watermark


@dataclass(frozen=True, slots=True)
class UsageRead:
    """Everything metered that some bases asked for, the position it is as known at, and how complete it was then.

    `not_billed` are the sources of each account whose usage was left out.
    """

    position: int
    meters: tuple[BilledMeter, ...]
    metered: dict[Ask, Metered]
    sources: dict[int, list[SourceState]]
    not_billed: dict[int, tuple[str, ...]]

    def answers(self, basis: Basis) -> bool:
        """Whether all that the basis asks for was read."""
        return all(ask in self.metered for ask in _asks(basis, self.meters))

    def of(self, basis: Basis) -> BilledUsage:
        """The usage of one basis; raises KeyError unless it was read."""
        return BilledUsage(
            meters=tuple(_meter_of_bill(meter) for meter in self.meters),
            current=self._of_segments(basis, basis.plans),
            earlier={bill.id: self._of_segments(basis, _plans(bill.segments)) for bill in basis.to_correct},
        )

    def records(self, basis: Basis) -> int:
        """How many records the basis's own period is made of."""
        return sum(self.metered[ask].records for _, _, ask in _asks_of(basis, basis.plans, self.meters))

    def _of_segments(self, basis: Basis, segments: Sequence[ServiceSegment]) -> MeteredUsage:
        return {
            (number, meter.id): dict(self.metered[ask].by_values)
            for number, meter, ask in _asks_of(basis, segments, self.meters)
        }


def read_usage(bases: Iterable[Basis]) -> UsageRead:
    """Read what the bases ask for; inside a transaction that is one snapshot."""
    meters = list_billed_meters()
    position = read_position()
    bases = list(bases)
    asks = [ask for basis in bases for ask in _asks(basis, meters)]
    sources, not_billed = _source_states([basis.account_id for basis in bases])
    return UsageRead(position, meters, read_metered(asks, meters), sources, not_billed)


def _source_states(
    accounts: Sequence[int],
) -> tuple[dict[int, list[SourceState]], dict[int, tuple[str, ...]]]:
    """How far the sources that are billed sent, and the names of the others, by account."""
    billable = set(Source.objects.filter(billable=True).values_list("pk", flat=True))
    found: dict[int, list[SourceState]] = {}
    others: dict[int, tuple[str, ...]] = {}
    for mark in Watermark.objects.filter(account__in=accounts).order_by("account_id", "source_slug"):
        if mark.source_id in billable:
            state = SourceState(
                name=mark.source_name,
                counts_from=mark.counts_from,
                complete_to=mark.complete_to,
                ended_at=mark.ended_at,
            )
            found.setdefault(mark.account_id, []).append(state)
        else:
            others[mark.account_id] = (*others.get(mark.account_id, ()), mark.source_slug)
    return found, others


def _asks(basis: Basis, meters: Sequence[BilledMeter]) -> Iterator[Ask]:
    for segments in (basis.plans, *(_plans(bill.segments) for bill in basis.to_correct)):
        for _, _, ask in _asks_of(basis, segments, meters):
            yield ask


def _asks_of(
    basis: Basis, segments: Sequence[ServiceSegment], meters: Sequence[BilledMeter]
) -> Iterator[tuple[int, BilledMeter, Ask]]:
    """Every meter in every segment: also those that no price names, since their usage must not be lost."""
    if basis.is_opening:
        return
    for number, segment in enumerate(segments):
        dimensions = {
            price.meter_key: price.matrix.dimensions
            for price in segment.sheet.prices
            if price.matrix is not None
        }
        for meter in meters:
            names = dimensions.get(meter.key, ())
            yield number, meter, Ask(basis.account_id, basis.zone, meter.id, segment.service, names)


def _plans(segments: Iterable[ServiceSegment]) -> tuple[ServiceSegment, ...]:
    return tuple(segment for segment in segments if segment.add_on_id is None)


def _meter_of_bill(meter: BilledMeter) -> MeterOfBill:
    return MeterOfBill(
        id=meter.id,
        key=meter.key,
        version=meter.version,
        name=meter.name,
        unit=f"{meter.unit} hours" if needs_seconds(meter.aggregation) else meter.unit,
        retired_at=meter.retired_at,
    )
