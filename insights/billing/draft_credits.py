"""What the drafts of one account show of its credits: together never more than there is.

In one order: the period that ends first, then the older subscription. Whoever issues takes what is there and asks no
draft. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from insights.billing.basis import CreditOffer

# Where a draft is in the order: the end of its period, its subscription's id and its kind.
Place = tuple[datetime, int, str]
# By grant, in minor units; below zero is given back.
Uses = Mapping[int, int]


def offers_left(
    offers: Sequence[CreditOffer], shown: Mapping[Place, Uses], place: Place
) -> tuple[CreditOffer, ...]:
    """The credits as the draft at this place may show them: less what the drafts before it show."""
    taken: dict[int | None, int] = defaultdict(int)
    for other, uses in shown.items():
        if other < place:
            for grant_id, minor in uses.items():
                taken[grant_id] += minor
    return tuple(
        replace(
            offer,
            credit=replace(
                offer.credit, remaining_minor=max(offer.credit.remaining_minor - taken[offer.grant_id], 0)
            ),
        )
        if offer.grant_id is not None and taken[offer.grant_id]
        else offer
        for offer in offers
    )
