"""The words of usage as it was known at an earlier moment: which moment, what differs since, and the way back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from insights.metering.explore import Exploration
from insights.metering.faults import Fault
from insights.metering.known import BatchSince, Since
from insights.metering.known_moment import KNOWN_PARAMETERS, KnownAt
from insights.metering.usage_filter import Pairs, UsageFilter
from insights.values.quantity import Scale
from insights.web.filters import url
from insights.web.words import instant_words, quantity_words

BATCHES_SHOWN = 10
NOT_KEPT = "Whether it was complete then was not kept."


@dataclass(frozen=True, slots=True)
class KnownControl:
    """The field for the moment: what stands in it, the rest of the question, and what is wrong with it."""

    value: str
    hidden: Pairs
    zone: str
    errors: tuple[str, ...]


def known_control(
    question: UsageFilter, *, zone: tzinfo, typed: Pairs = (), faults: Iterable[Fault] = ()
) -> KnownControl:
    """The control of a question that was answered, or of one whose moment was refused, with what was typed."""
    given = dict(reversed(typed))
    errors = tuple(fault.message for fault in faults if fault.field in KNOWN_PARAMETERS)
    value = given.get("known_at", "") if errors else _local_text(question.known, zone)
    return KnownControl(value, without_moment(question.pairs()), str(zone), errors)


def without_moment(pairs: Pairs) -> Pairs:
    """The same question of what is known now."""
    return tuple(pair for pair in pairs if pair[0] not in KNOWN_PARAMETERS)


def _local_text(known: KnownAt | None, zone: tzinfo) -> str:
    if known is None or known.at is None:
        return ""
    return known.at.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")


def moment_words(known: KnownAt, zone: tzinfo) -> str:
    """The moment in words: as known at 12 Nov 2026, 14:00."""
    if known.instant is not None:
        return f"as known at {_exact_words(known.instant, zone)}"
    when = f", {_exact_words(known.changed_at, zone)}" if known.changed_at else ""
    return f"as known at position {known.asked_position}{when}"


def _exact_words(instant: datetime, zone: tzinfo) -> str:
    seconds = f"{instant.astimezone(zone):%S}"
    return instant_words(instant, zone) + ("" if seconds == "00" else f":{seconds}")


def known_context(
    answer: Exploration, since: Since, *, shown: dict[str, Any], zone: tzinfo
) -> dict[str, Any]:
    """What the page of an earlier moment says in other words than that of now. `shown` is what it says of now."""
    known = answer.filter.known
    if known is None:
        return {}
    moment = moment_words(known, zone)
    changed = (
        f"The last change before it was at {_exact_words(known.changed_at, zone)}" if known.changed_at else ""
    )
    context: dict[str, Any] = {
        "moment": moment,
        "moment_note": f"{changed}, position {known.position}." if changed else "Nothing had come by then.",
        "now_url": url(replace(answer.filter, known=None)),
        "since": since,
        "since_words": since_words(since, answer.unit, shown["priced"]),
        "records_words": records_words(since),
        "batches": [(batch, batch_words(batch)) for batch in (since.batches or ())[:BATCHES_SHOWN]],
        "batches_left": max(len(since.batches or ()) - BATCHES_SHOWN, 0),
        "too_many_batches": since.batches is None,
        "nothing_known": known.position == 0,
        "completeness": {"state": "none", "label": moment.capitalize(), "detail": NOT_KEPT},
        "sources": NOT_KEPT,
    }
    if "caption" in shown:
        context["caption"] = f"{shown['caption'].removesuffix('.')}, {moment}."
        context["summary"] = f"{shown['summary'].removesuffix('.')}; {moment}."
        context["compare_note"] = (
            "The period before is shown as known then too, and so there is no change of complete days to name."
            if shown["has_previous"]
            else ""
        )
    return context


def since_words(since: Since, unit: str, scale: Scale | None = None) -> str:
    """Then and now in one sentence."""
    if since.then == since.now:
        return f"Then and now it is {quantity_words(since.now, unit, scale)}."
    size = quantity_words(abs(since.difference), unit, scale)
    side = "more" if since.difference > 0 else "less"
    difference = f": {size} {side} now" if since.difference else ""
    return f"Then {quantity_words(since.then, unit, scale)}, now {quantity_words(since.now, unit, scale)}{difference}."


def records_words(since: Since) -> str:
    """How many records made the difference."""
    if not since.came and not since.went:
        return "No record of what is shown has come or gone since."
    return f"{_records(since.came)} came and {_records(since.went)} went since."


def _records(number: int) -> str:
    return f"{number:,} record{'' if number == 1 else 's'}"


def batch_words(batch: BatchSince) -> str:
    """What one batch did to what is shown."""
    did = f"{_records(batch.came)} came, {_records(batch.went)} went"
    return f"taken out again: {did}" if batch.is_revert else did
