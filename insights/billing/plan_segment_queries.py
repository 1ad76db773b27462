"""The plans of many subscriptions with their prices, and which segments they make of a period.

Runs as the worker, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insights.billing.basis import Problem, ServiceSegment
from insights.billing.bill_to_make_mapping import PeriodToBill, beginning_at
from insights.billing.catalogue_queries import sheet_in_force, sheets_of
from insights.billing.own_price_mapping import own_sheet
from insights.billing.row_queries import list_add_ons, list_overrides, list_phases
from insights.billing.subscription_queries import subscription_facts
from insights.billing.timeline import (
    InvalidTimeline,
    SubscriptionFacts,
    add_on_segments_in,
    is_first,
    segments_in,
)
from insights.rating.sheet import PriceSheet
from insights.values.period import Period


def list_opening_segments(wanted: Sequence[PeriodToBill]) -> list[tuple[ServiceSegment, ...]]:
    """The segments that the invoices opening these subscriptions are made of, in the order asked for."""
    if not wanted:
        return []
    plans = SubscribedPlans(wanted)
    return [beginning_at(plans.segments(one, one.whole)[0], one.service.start) for one in wanted]


class SubscribedPlans:
    """The plans of a number of subscriptions with their prices: which segments they make of a period."""

    def __init__(self, wanted: Sequence[PeriodToBill]) -> None:
        subscriptions = [each.subscription.pk for each in wanted]
        self._phases = list_phases(subscriptions)
        self._add_ons = list_add_ons(subscriptions)
        plans = {phase.plan_id for phases in self._phases.values() for phase in phases}
        self._sheets = sheets_of(plans | {one.plan_id for many in self._add_ons.values() for one in many})
        self._overrides = list_overrides([each.account.pk for each in wanted])
        self._with_overrides = {account_id for account_id, _ in self._overrides}
        self._made: dict[Any, tuple[tuple[ServiceSegment, ...], tuple[Problem, ...]]] = {}

    def segments(
        self, to_bill: PeriodToBill, whole: Period
    ) -> tuple[tuple[ServiceSegment, ...], tuple[Problem, ...]]:
        """The segments in a billing period and what is wrong with them; the same objects for all that have the same.

        So what follows from segments alone can be made once for many accounts.
        """
        facts = subscription_facts(to_bill.subscription)
        if to_bill.account.pk in self._with_overrides:
            return self._make(whole, facts)
        place = (
            whole, facts.starts_at, facts.ends_at,
            *((one.starts_at, one.plan_id, one.policy, *one.counts.items()) for one in self._phases.get(facts.id, ())),
            *((one.id, *one.counts.items()) for one in self._add_ons.get(facts.id, ())),
        )  # fmt: skip
        made = self._made.get(place)
        if made is None:
            made = self._made[place] = self._make(whole, facts)
        return made

    def _make(
        self, whole: Period, facts: SubscriptionFacts
    ) -> tuple[tuple[ServiceSegment, ...], tuple[Problem, ...]]:
        phases = self._phases.get(facts.id, ())
        add_ons = self._add_ons.get(facts.id, ())
        try:
            found = (*segments_in(whole, facts, phases), *add_on_segments_in(whole, facts, add_ons))
        except InvalidTimeline as error:
            return (), (Problem(code="no_plan", message=f"{error}."),)
        segments: list[ServiceSegment] = []
        problems: list[Problem] = []
        for segment in found:
            plan_sheet = sheet_in_force(self._sheets.get(segment.plan_id, ()), segment.priced_at)
            if plan_sheet is None:
                message = f"Plan {segment.plan_id} has no published prices at {segment.priced_at:%Y-%m-%d %H:%M} UTC."
                problems.append(Problem(code="no_prices", message=message))
                continue
            overrides = self._overrides.get((facts.account_id, segment.plan_id), ())
            versions = self._sheets.get(segment.plan_id, ())
            own = own_sheet(plan_sheet, overrides, segment.priced_at, versions=versions)
            if own.unfit:
                problems.append(Problem(code="own_price_unfit", message=own.unfit_words))
            if unsaid := [
                one.key for one in plan_sheet.fees if one.is_counted and one.key not in segment.counts
            ]:
                problems.append(_count_unsaid(plan_sheet, unsaid))
            segments.append(
                ServiceSegment(
                    service=segment.service,
                    sheet=own.sheet,
                    policy=segment.policy,
                    counts=segment.counts,
                    is_first=is_first(segment, facts.starts_at, phases, add_ons),
                    add_on_id=segment.add_on_id,
                )
            )
        return tuple(segments), tuple(problems)


def _count_unsaid(sheet: PriceSheet, keys: Sequence[str]) -> Problem:
    message = (
        f"{sheet.plan_name} counts {', '.join(keys)} since its version {sheet.version}, and nobody said how many; "
        "change the subscription to the same plan with these counts."
    )
    return Problem(code="count_unsaid", message=message)
