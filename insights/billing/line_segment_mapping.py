"""The part of a billing period that a line is for, with what earlier segments left for it, as a line stores it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from insights.rating.adjustments import Had
from insights.rating.rate import WHOLE_PERIOD, Segment, Usage
from insights.values.exact import exact_number_text, parse_exact_number
from insights.values.quantity import exact_text
from insights.values.share import Share

_HAD_FIGURES = ("figure", "base", "amount")


@lru_cache(maxsize=1024)
def segment_document(segment: Segment) -> dict[str, Any]:
    """The segment as plain JSON values; equal segments are one document, which is not to be changed."""
    before = segment.counted_before
    had = [
        {
            "place": one.place,
            "is_prorated": one.is_prorated,
            **{name: exact_number_text(getattr(one, name)) for name in _HAD_FIGURES},
            **({"floor": exact_number_text(one.floor)} if one.floor else {}),
        }
        for one in segment.had_before
    ]
    return {
        "share": [segment.share.seconds, segment.share.of_seconds],
        "tier_share": [segment.tier_share.seconds, segment.tier_share.of_seconds],
        "counted_before": None
        if before is None
        else {"quantity": exact_text(before.quantity), "count": exact_text(before.count)},
        # Said only where there is something, as lines have it that were stored before anything was due once.
        **({"had_before": had} if had else {}),
    }


def segment_of(document: Mapping[str, Any]) -> Segment:
    """The part of a period that a stored line is for, and what plan changes left for it; whole where none is kept."""
    if not document:
        return WHOLE_PERIOD
    before = document["counted_before"]
    return Segment(
        share=Share(*document["share"]),
        tier_share=Share(*document["tier_share"]),
        counted_before=None
        if before is None
        else Usage(Decimal(before["quantity"]), Decimal(before["count"])),
        had_before=tuple(
            Had(
                place=one["place"],
                is_prorated=one["is_prorated"],
                **{name: parse_exact_number(one[name]) for name in (*_HAD_FIGURES, "floor") if name in one},
            )
            for one in document.get("had_before", ())
        ),
    )
