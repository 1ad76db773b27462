"""As known at which moment: an instant or a ledger position, read strictly and written back in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal
from insights.metering.faults import Fault

KNOWN_PARAMETERS = ("known_at", "position")
# One digit less than the largest number that a position may become, so that every such text is one.
_POSITION_DIGITS_MAX = 18
# What the control of a page sends: a local time without seconds.
_WITHOUT_SECONDS = len("2026-11-12T14:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAt:
    """The moment asked for, and the last ledger position of the account by then, once that has been looked up.

    Exactly one of `instant` and `asked_position` is set. Position 0 is before everything.
    """

    instant: datetime | None = None
    asked_position: int | None = None
    position: int = 0
    changed_at: datetime | None = None

    @property
    def at(self) -> datetime | None:
        """The instant asked for, or that of the position; None before everything."""
        return self.instant or self.changed_at

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The parameter that asks for this moment again; an instant in UTC, which no change of a zone moves."""
        if self.instant is None:
            return (("position", str(self.asked_position)),)
        return (("known_at", self.instant.astimezone(UTC).isoformat().replace("+00:00", "Z")),)


def read_known(
    given: Mapping[str, str], *, zone: tzinfo, now: datetime, faults: list[Fault]
) -> KnownAt | None:
    """The moment that the parameters name, if they name one; what is wrong with them is added to the faults.

    An instant is RFC 3339 with an offset, or a local time of the billing zone, seconds left out or not.
    """
    text, position = given.get("known_at"), given.get("position")
    if text is not None and position is not None:
        faults.append(Fault("parameter", "position", "Give an instant or a position, not both."))
        return None
    if text is not None:
        return _at_instant(text, zone, now, faults)
    return None if position is None else _at_position(position, faults)


def _at_instant(text: str, zone: tzinfo, now: datetime, faults: list[Fault]) -> KnownAt | None:
    full = f"{text}:00" if len(text) == _WITHOUT_SECONDS else text
    try:
        instant = scan_instant(full, "known_at", clock_zone=zone)
    except Refusal as refusal:
        faults.append(Fault(refusal.code, "known_at", f"“{text[:40]}”: {refusal.message}."))
        return None
    if instant > now:
        message = "What will be known then cannot be said yet; give a moment that has been."
        faults.append(Fault("timestamp_future", "known_at", message))
        return None
    return KnownAt(instant=instant)


def _at_position(text: str, faults: list[Fault]) -> KnownAt | None:
    is_plain = text.isascii() and text.isdigit() and len(text) <= _POSITION_DIGITS_MAX
    if not is_plain or (text[0] == "0" and text != "0"):
        faults.append(Fault("position", "position", "A position is a whole number from 0."))
        return None
    return KnownAt(asked_position=int(text))
