"""An estimate in plain words: which is cheaper and by how much, and what stands on neither side. Pure."""

from __future__ import annotations

from insights.billing.estimate import Estimate, EstimatedPeriod
from insights.billing.price_words import money_words, quantity_words
from insights.values.exact import exact_of
from insights.values.money import Money

LEFT_OUT = (
    "Both sides are whole bills: after discounts, the credit that comes with a plan, and tax. Left out on both: "
    "credits that were granted to the account, corrections of earlier bills, and what was carried from one bill to "
    "the next."
)
LEFT_OUT_TYPED = (
    "It is a whole bill: after discounts, the credit that comes with the plan, and tax. Left out: credits that were "
    "granted to the account, and corrections."
)
CHANGED = (
    "The plan changed in this period; what that made of the lines, before discounts on the whole bill, credits and "
    "tax, is on the bill."
)
ONCE = "Fees that are due once, when a plan begins, are left out of the plan that is asked about."


def estimate_sentence(estimate: Estimate) -> str:
    """What it comes to, and which is cheaper by how much."""
    billed, difference = estimate.billed, estimate.difference
    total = money_words(estimate.estimated)
    if billed is None or difference is None:
        return f"On {estimate.plan_name} these quantities come to {total} in a whole period."
    count = len(estimate.periods)
    periods = "the last closed period comes" if count == 1 else f"the last {count} closed periods come"
    if not difference.minor:
        return f"On {estimate.plan_name} {periods} to {total}, which is what was billed{_before(estimate)}."
    size = money_words(Money(abs(difference.minor), difference.currency))
    if difference.minor < 0:
        way = f"{size} less than the {money_words(billed)} billed{_before(estimate)}: {estimate.plan_name} is cheaper"
    else:
        way = f"{size} more than the {money_words(billed)} billed{_before(estimate)}: what you had is cheaper"
    return f"On {estimate.plan_name} {periods} to {total}, {way}."


def _before(estimate: Estimate) -> str:
    """What the bills took besides, where they came to something else than is compared here."""
    is_other = any(one.left_out is not None and one.left_out.minor for one in estimate.periods)
    return " before credits and corrections" if is_other else ""


def left_out_sentences(estimate: Estimate) -> list[str]:
    """What the estimate leaves out, and how many periods it could not take."""
    if estimate.asked_periods is None:
        return [LEFT_OUT_TYPED]
    found = [LEFT_OUT] if estimate.is_as_billed else [LEFT_OUT, ONCE]
    if len(estimate.periods) < estimate.asked_periods:
        found.append(
            f"Only {len(estimate.periods)} of the {estimate.asked_periods} periods asked for are closed."
        )
    return found


def period_notes(period: EstimatedPeriod) -> list[str]:
    """What must be known to read a period's figures."""
    found = []
    if period.has_first_prices:
        since = period.sheet.effective_from
        found.append(
            "The plan had no prices yet when this period began; its first ones are taken, "
            f"of {since.day} {since:%b %Y}."
        )
    if period.is_changed:
        found.append(CHANGED)
    if period.own_price_note:
        found.append(period.own_price_note)
    left_out = period.left_out
    if left_out is not None and left_out.minor and period.head is not None:
        found.append(
            f"The bill itself came to {money_words(period.head.total)}: credits, corrections and what was carried "
            f"make the difference of {money_words(left_out)}."
        )
    found += [
        f"{quantity_words(exact_of(one.quantity), one.unit)} of {one.meter_key} have no price on this plan and "
        "are not in the amount."
        for one in period.estimate.unpriced
    ]
    found += [f"Not in the amount: {problem}" for problem in period.estimate.problems]
    if period.counts:
        names = {price.key: price.name for price in period.sheet.prices}
        counts = ", ".join(f"{count} \u00d7 {names.get(key, key)}" for key, count in period.counts.items())
        found.append(f"Fees that are counted: {counts}.")
    return found
