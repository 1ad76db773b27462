"""Cost against the period before: the same question of the same number of days just before, stretch by stretch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal

from insights.explain.cost_answer import CostAnswer, CurrencyCost
from insights.metering.explore import change_of
from insights.metering.windows import ONE_DAY, Slot, days_of
from insights.values.money import Money
from insights.values.period import local_day, start_of_day
from insights.web import words


@dataclass(frozen=True, slots=True)
class CostBefore:
    """The amounts of one currency in the period before, beside those shown, and what complete stretches changed by.

    `total` is of the amounts.
    """

    slots: tuple[Slot, ...]
    amounts: tuple[Money | None, ...]
    total: Money
    change: Decimal | None
    words: str


def cost_before(
    one: CurrencyCost, before: CostAnswer | None, *, zone: tzinfo, now: datetime
) -> CostBefore | None:
    """The currency in the period before, or None where it had no price there."""
    found = (
        [each for each in before.currencies if each.total.currency == one.total.currency] if before else []
    )
    if before is None or not found or all(bucket.amount is None for bucket in found[0].buckets):
        return None
    amounts = [bucket.amount for bucket in found[0].buckets][: len(one.buckets)]
    amounts += [None] * (len(one.buckets) - len(amounts))
    today = start_of_day(local_day(now, zone), zone)
    # What has no day is in no stretch that is compared; one period may have it where the other has days.
    is_of_days = all(not each.undated.minor and not each.left for each in (one, found[0]))
    complete = list(_complete(one, amounts, today)) if is_of_days else []
    # A month that is over is compared as a whole, as in units, though the one before has fewer days.
    is_whole = _is_whole(one, today) and len(complete) == min(len(one.buckets), len(found[0].buckets))
    shown = one.buckets if is_whole else one.buckets[: len(complete)]
    change = change_of(
        sum((bucket.amount.amount for bucket in shown if bucket.amount is not None), Decimal(0)),
        sum(complete, Decimal(0)),
    )
    return CostBefore(
        slots=tuple(bucket.slot for bucket in found[0].buckets),
        amounts=tuple(amounts),
        total=Money(sum(amount.minor for amount in amounts if amount is not None), one.total.currency),
        change=change,
        words=_words(before, change, count=len(complete), is_whole=is_whole, zone=zone) if complete else "",
    )


def _is_whole(one: CurrencyCost, today: datetime) -> bool:
    """Whether all that is shown is over and has a price."""
    return all(bucket.slot.end <= today and bucket.amount is not None for bucket in one.buckets)


def _complete(one: CurrencyCost, amounts: list[Money | None], today: datetime) -> Iterator[Decimal]:
    """The amounts of the period before, as far as the days shown are over and both have a price."""
    for bucket, earlier in zip(one.buckets, amounts, strict=True):
        if bucket.slot.end > today or bucket.amount is None or earlier is None:
            return
        yield earlier.amount


def _words(before: CostAnswer, change: Decimal | None, *, count: int, is_whole: bool, zone: tzinfo) -> str:
    first, end = days_of(before.slots[:count], zone)
    compared = words.period_words(first, end - ONE_DAY)
    if is_whole and change is not None:
        return f"{words.change_words(change)} {compared}"
    return words.complete_days_words(change, count=count, unit=before.filter.granularity, before=compared)
