"""The usage page in money: what the usage of some days cost, by day and value, and the bills that it adds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.urls import reverse

from accounts.models import Account
from insights.billing.bill import GROUP_TITLES, BillHead, LineGroup
from insights.billing.day_words import day_rounding_words
from insights.billing.price_words import money_words, scale_words
from insights.explain.cost import Left, NotParted
from insights.explain.cost_answer import BillCost, BillPart, CostAnswer, CostState, CurrencyCost
from insights.explain.cost_queries import read_cost_and_before
from insights.explain.next_unit_queries import list_next_units
from insights.explain.priced_scale_queries import list_priced_scales
from insights.metering.usage_filter import COST, USAGE, UsageFilter
from insights.metering.windows import ONE_DAY, days_of
from insights.values.period import Period, local_day
from insights.values.quantity import Scale, for_column, scale_for
from insights.web import words
from insights.web.bills import period_of
from insights.web.cost_before import CostBefore, cost_before
from insights.web.cost_charts import bucket_label, cost_figure, group_series
from insights.web.cost_rows import cost_rows
from insights.web.filters import Choice, url, with_value
from insights.web.next_unit import next_unit_rows

LEFT_WORDS: Mapping[NotParted, str] = {
    NotParted.HELD: "is for a peak or a latest value of its whole time, so that no days of it have a part",
    NotParted.VALUES: "cannot be told by these values, since their quantities do not add up to it",
    NotParted.CORRECTION: "corrects an earlier bill as a whole and is not told by value",
    NotParted.UNRATED: "has no amounts of single days",
}


def cost_context(account: Account, question: UsageFilter, *, shown: slice, now: datetime) -> dict[str, Any]:
    """Everything the page shows about cost; `shown` are the rows of its table. Raises UsageFilterRefused."""
    zone = ZoneInfo(account.billing_zone)
    answer, before = read_cost_and_before(account, question, now)
    priced = list_priced_scales(account).get((question.meter.key, answer.unit))
    next_units = [
        one
        for one in list_next_units(account, now=now, meter_key=question.meter.key)
        if one.meter_version == question.meter.version
    ]
    if not answer.slots:
        return {
            "count": 0,
            "starts_later": words.period_words(question.first_day, question.last_day),
            "next_units": [],
        }
    first, end = days_of(answer.slots, zone)
    last = min(end - ONE_DAY, local_day(now, zone))
    earlier = {one.total.currency: cost_before(one, before, zone=zone, now=now) for one in answer.currencies}
    return {
        "count": len(answer.slots),
        "answer": answer,
        "period": words.period_words(first, last),
        "priced": priced,
        "unit": answer.unit,
        "unit_size": scale_words(priced, answer.unit) if priced else "",
        "amounts": " and ".join(money_words(one.total) for one in answer.currencies if _is_priced(one)),
        "is_so_far": any(
            bucket.state is CostState.SO_FAR for one in answer.currencies for bucket in one.buckets
        ),
        "filter_words": words.filter_words(question),
        "unpriced": _unpriced_words(answer, zone),
        "compared": " and ".join(one.words for one in earlier.values() if one and one.words),
        "currencies": [
            _currency(
                account,
                answer,
                one,
                zone=zone,
                shown=shown,
                priced=priced,
                before=earlier[one.total.currency],
            )
            for one in sorted(answer.currencies, key=lambda one: not _is_priced(one))
            if _is_priced(one) or one.bills
        ],
        "next_units": next_unit_rows(next_units),
    }


def measure_choices(question: UsageFilter) -> tuple[Choice, ...]:
    """The same question in units and in money, which knows no hours and no other moment."""
    step = "day" if question.granularity == "hour" else question.granularity
    in_money = replace(question, measure=COST, granularity=step, clock="billing", known=None)
    return (
        Choice(
            "Units", url(replace(question, measure=USAGE)), current=question.measure == USAGE, id="in-units"
        ),
        Choice("Money", url(in_money), current=question.measure == COST, id="in-money"),
    )


def _is_priced(one: CurrencyCost) -> bool:
    return bool(one.total.minor or one.left) or any(bucket.amount is not None for bucket in one.buckets)


def _unpriced_words(answer: CostAnswer, zone: tzinfo) -> str:
    """Which days no bill has a line for, where others do."""
    if not answer.is_priced:
        return ""
    states = zip(*(one.buckets for one in answer.currencies), strict=True)
    without = [
        number
        for number, buckets in enumerate(states)
        if all(bucket.state is CostState.NO_PRICE for bucket in buckets)
    ]
    if not without:
        return ""
    unit = answer.filter.granularity
    first, end = days_of((answer.slots[without[0]],), zone)
    if len(without) == 1:
        return f"No bill has a price for it on {words.period_words(first, end - ONE_DAY)}."
    last = days_of((answer.slots[without[-1]],), zone)[1]
    return f"No bill has a price for it on {len(without):,} {unit}s of {words.period_words(first, last - ONE_DAY)}."


def _currency(
    account: Account,
    answer: CostAnswer,
    one: CurrencyCost,
    *,
    zone: tzinfo,
    shown: slice,
    priced: Scale | None,
    before: CostBefore | None,
) -> dict[str, Any]:
    question = answer.filter
    code = one.total.currency
    groups = _groups(one, question)
    scale = _scale_of(one, answer.unit, priced)
    return {
        "code": code,
        "scale": scale,
        "is_priced": _is_priced(one),
        "figure_id": f"cost-figure-{code}",
        "figure": cost_figure(one, question, zone=zone, before=before),
        "before": before,
        "summary": _summary(one, question, zone),
        "caption": _caption(one, question),
        "legend": _legend(groups if one.has_parts else [], has_before=before is not None),
        "groups": groups,
        "largest": max((group.amount.amount for group in one.groups), default=Decimal(0)),
        "unvalued": one.unvalued,
        "has_parts": one.has_parts,
        "is_quiet": any(
            bucket.quantity and bucket.amount is not None and not bucket.amount.minor
            for bucket in one.buckets
        ),
        "rounding": day_rounding_words(code),
        "takes_back": any(bucket.amount is not None and bucket.amount.minor < 0 for bucket in one.buckets),
        "rows": list(cost_rows(one, before, question, zone=zone, unit=answer.unit, scale=scale, shown=shown)),
        "undated": one.undated,
        "total": one.total,
        "bills": [_bill(account, bill, answer, zone) for bill in one.bills],
        "left": [_left(account, left) for left in one.left],
    }


def _legend(groups: list[dict[str, Any]], *, has_before: bool) -> list[dict[str, Any]]:
    legend = [{"series": group["series"], "label": group["label"]} for group in groups]
    return words.legend_before(legend) if has_before else legend


def _scale_of(one: CurrencyCost, unit: str, priced: Scale | None) -> Scale:
    """What the quantities of a table are written in, so that they stand under each other."""
    quantities = [abs(bucket.quantity) for bucket in one.buckets if bucket.quantity is not None]
    largest = max((*quantities, *(abs(group.quantity) for group in one.groups)), default=Decimal(0))
    return for_column(priced, largest) if priced else scale_for(unit, largest)


def _groups(one: CurrencyCost, question: UsageFilter) -> list[dict[str, Any]]:
    return [
        {
            "label": words.group_words(group.value, is_rest=group.is_rest, members=group.members),
            "series": series,
            "amount": group.amount,
            "weight": group.amount.amount,
            "quantity": group.quantity,
            "share": group.amount.amount / one.total.amount if one.total.minor else None,
            "url": url(with_value(question, question.group_by, group.value)) if group.value else "",
        }
        for group, series in zip(one.groups, group_series(one.groups), strict=True)
    ]


def _caption(one: CurrencyCost, question: UsageFilter) -> str:
    text = f"Cost of {question.meter.name.lower()} per {question.granularity}, in {one.total.currency}"
    return f"{text}, split by {words.label(question.group_by)}." if one.has_parts else f"{text}."


def _summary(one: CurrencyCost, question: UsageFilter, zone: tzinfo) -> str:
    """The chart in one sentence, for those who do not see it."""
    known = [bucket for bucket in one.buckets if bucket.amount is not None]
    if not known:
        return f"{_caption(one, question)} No price in this period."
    top = max(known, key=lambda bucket: bucket.amount.minor if bucket.amount else 0)
    return (
        f"{_caption(one, question)} Highest {bucket_label(top, question, zone)}"
        f" with {money_words(top.amount or one.total)}."
    )


def _bill(account: Account, bill: BillCost, answer: CostAnswer, zone: tzinfo) -> dict[str, Any]:
    head = bill.head
    return {
        "head": head,
        "name": head.number or head.subscription_name,
        "url": reverse("bill-detail", args=[account.public_id, head.public_id]),
        "period": period_of(head.period, ZoneInfo(head.zone)),
        "shown": bill.shown,
        "rest": [_part(account, part, head, answer, zone) for part in bill.rest if part.amount.minor],
        "total": bill.total,
    }


def _part(
    account: Account, part: BillPart, head: BillHead, answer: CostAnswer, zone: tzinfo
) -> dict[str, Any]:
    """What else is on a bill: where it is from, and its usage if it is of another meter."""
    if part.group is None:
        what = "other days or values" if answer.filter.values else "other days"
        return {"words": f"{answer.filter.meter.name} of {what}", "amount": part.amount, "url": ""}
    if part.group is LineGroup.USAGE:
        return {
            "words": part.meter_name,
            "amount": part.amount,
            "url": _cost_url(account, part, head.period, zone),
        }
    title = GROUP_TITLES[part.group]
    if part.meter_key:
        return {"words": f"{title}: {part.meter_name}", "amount": part.amount, "url": ""}
    return {"words": f"{title} (not from usage)", "amount": part.amount, "url": ""}


def _cost_url(account: Account, part: BillPart, period: Period, zone: tzinfo) -> str:
    first, last = words.days_of(period, zone)
    query = {"meter": part.meter_key, "measure": "cost", "from": first.isoformat(), "to": last.isoformat()}
    return f"{reverse('usage-explorer', args=[account.public_id])}?{urlencode(query)}"


def _left(account: Account, left: Left) -> dict[str, Any]:
    return {
        "name": left.name,
        "amount": left.amount,
        "words": LEFT_WORDS[left.reason],
        "url": reverse("bill-line", args=[account.public_id, left.bill_id, left.position]),
    }
