"""What was metered for bases: which quantities their prices ask for, and the answers at one ledger position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from insights.billing.basis import Basis, IssuedBill, MeterOfBill, ServiceSegment
from insights.billing.bounds import SourceState
from insights.billing.draft import BilledUsage
from insights.billing.row_queries import any_of
from insights.billing.usage_lines import MeteredUsage, Quantities
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
from insights.values.period import Period

# The number of a segment, the id of a meter's version, the segment's time, and the dimensions wanted.
_Question = tuple[int, int, Period, tuple[str, ...]]


class UsageRead:
    """Everything metered that some bases asked for, the position it is as known at, and how complete it was then.

    `not_billed` are the sources of each account whose usage was left out.
    """

    def __init__(
        self,
        position: int,
        meters: Sequence[BilledMeter],
        sources: Mapping[int, Sequence[SourceState]],
        not_billed: Mapping[int, tuple[str, ...]],
    ) -> None:
        self.position = position
        self.sources = sources
        self.not_billed = not_billed
        self.metered: dict[Ask, Metered] = {}
        self._meters = tuple(map(meter_of_bill, meters))
        # Many accounts have the very same segments, which are kept here so that no others get their identity.
        self._questions: dict[int, tuple[Sequence[ServiceSegment], tuple[_Question, ...]]] = {}

    def answers(self, basis: Basis) -> bool:
        """Whether all that the basis asks for was read."""
        return all(ask in self.metered for ask in self.asks(basis))

    def asks(self, basis: Basis) -> Iterator[Ask]:
        """All that a basis asks for: of its own period, and of the periods of bills to correct."""
        for segments in (basis.segments, *(bill.used_segments for bill in basis.to_correct)):
            for _, _, ask in self._asks_of(basis, segments):
                yield ask
        places: tuple[Basis | IssuedBill, ...] = (basis, *basis.to_correct)
        for place in places:
            for _, ask in self._asks_of_nobody(basis, place):
                yield ask

    def of(self, basis: Basis) -> BilledUsage:
        """The usage of one basis; raises KeyError unless it was read."""
        current: dict[tuple[int, int], Quantities] = {}
        records = 0
        for number, meter_id, ask in self._asks_of(basis, basis.segments):
            metered = self.metered[ask]
            current[number, meter_id] = metered.by_values
            records += metered.records
        return BilledUsage(
            meters=self._meters,
            current=current,
            earlier={bill.id: self._of_segments(basis, bill.used_segments) for bill in basis.to_correct},
            records=records,
            lost=self._lost(basis, basis),
            earlier_lost={bill.id: self._lost(basis, bill) for bill in basis.to_correct},
        )

    def _lost(self, basis: Basis, place: Basis | IssuedBill) -> frozenset[str]:
        """Keys of meters with usage at a time at which no subscription of the account has a price for them."""
        return frozenset(
            key
            for key, ask in self._asks_of_nobody(basis, place)
            if any(self.metered[ask].by_values.values())
        )

    def _asks_of_nobody(self, basis: Basis, place: Basis | IssuedBill) -> Iterator[tuple[str, Ask]]:
        for key, times in place.priced_elsewhere.items():
            for meter in self._meters:
                if meter.key == key:
                    for time in times:
                        yield key, Ask(basis.account_id, basis.zone, meter.id, time, ())

    def _of_segments(self, basis: Basis, segments: Sequence[ServiceSegment]) -> MeteredUsage:
        return {
            (number, meter_id): self.metered[ask].by_values
            for number, meter_id, ask in self._asks_of(basis, segments)
        }

    def _asks_of(self, basis: Basis, segments: Sequence[ServiceSegment]) -> Iterator[tuple[int, int, Ask]]:
        if basis.is_opening:
            return
        known = self._questions.get(id(segments))
        if known is None:
            known = self._questions[id(segments)] = (segments, tuple(_questions(segments, self._meters)))
        for number, meter_id, service, names in known[1]:
            yield number, meter_id, Ask(basis.account_id, basis.zone, meter_id, service, names)


def read_usage(bases: Sequence[Basis]) -> UsageRead:
    """Read what the bases ask for; inside a transaction that is one snapshot."""
    meters = list_billed_meters()
    sources, not_billed = _source_states([basis.account_id for basis in bases])
    usage = UsageRead(read_position(), meters, sources, not_billed)
    usage.metered |= read_metered((ask for basis in bases for ask in usage.asks(basis)), meters)
    return usage


def _source_states(
    accounts: Sequence[int],
) -> tuple[dict[int, list[SourceState]], dict[int, tuple[str, ...]]]:
    """How far the sources that are billed sent, and the names of the others, by account."""
    billable = set(Source.objects.filter(billable=True).values_list("pk", flat=True))
    found: dict[int, list[SourceState]] = {}
    others: dict[int, tuple[str, ...]] = {}
    marks = (
        Watermark.objects.filter(account__in=any_of(accounts))
        .order_by("account_id", "source_slug")
        .values_list(
            "account_id", "source_id", "source_name", "source_slug", "counts_from", "complete_to", "ended_at"
        )
    )
    for account_id, source_id, name, slug, counts_from, complete_to, ended_at in marks:
        if source_id in billable:
            state = SourceState(
                name=name, counts_from=counts_from, complete_to=complete_to, ended_at=ended_at
            )
            found.setdefault(account_id, []).append(state)
        else:
            others[account_id] = (*others.get(account_id, ()), slug)
    return found, others


def _questions(segments: Sequence[ServiceSegment], meters: Sequence[MeterOfBill]) -> Iterator[_Question]:
    """Every meter in every segment of a plan: also those that no price names, since their usage must not be lost."""
    plans = [segment for segment in segments if segment.add_on_id is None]
    for number, segment in enumerate(plans):
        for meter in meters:
            price = segment.sheet.by_meter.get(meter.key)
            names = price.matrix.dimensions if price is not None and price.matrix is not None else ()
            yield number, meter.id, segment.service, names


def meter_of_bill(meter: BilledMeter) -> MeterOfBill:
    """The version of a meter as a bill names it, in the unit that its quantities have once they are aggregated."""
    return MeterOfBill(
        id=meter.id,
        key=meter.key,
        version=meter.version,
        name=meter.name,
        unit=f"{meter.unit} hours" if needs_seconds(meter.aggregation) else meter.unit,
        retired_at=meter.retired_at,
    )
