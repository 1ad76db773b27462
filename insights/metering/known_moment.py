"""As known at which moment: an instant or a ledger position, read strictly and written back in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal

KNOWN_PARAMETERS = ("known_at", "position")
# One digit less than the largest number that a position may become, so that every such text is one.
_POSITION_DIGITS_MAX = 18
# What the control of a page sends: a local time without seconds.
_WITHOUT_SECONDS = len("2026-11-12T14:00")


class KnownRefused(ValueError):
    """The moment cannot be understood, or has not come yet."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code, self.field, self.message = code, field, message


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


def read_known(given: Mapping[str, str], *, zone: tzinfo, now: datetime) -> KnownAt | None:
    """The moment that the parameters name, if they name one; raises KnownRefused.

    An instant is RFC 3339 with an offset, or a local time of the billing zone, seconds left out or not.
    """
    text, position = given.get("known_at"), given.get("position")
    if text is None and position is None:
        return None
    if text is None:
        return KnownAt(asked_position=_position(position or ""))
    if position is not None:
        raise KnownRefused("parameter", "position", "Give an instant or a position, not both.")
    instant = _instant(text, zone)
    if instant > now:
        raise KnownRefused(
            "timestamp_future",
            "known_at",
            "What will be known then cannot be said yet; give a moment that has been.",
        )
    return KnownAt(instant=instant)


def _instant(text: str, zone: tzinfo) -> datetime:
    full = f"{text}:00" if len(text) == _WITHOUT_SECONDS else text
    try:
        return scan_instant(full, "known_at", clock_zone=zone)
    except Refusal as refusal:
        raise KnownRefused(refusal.code, "known_at", f"“{text[:40]}”: {refusal.message}.") from None


def _position(text: str) -> int:
    is_plain = text.isascii() and text.isdigit() and len(text) <= _POSITION_DIGITS_MAX
    if not is_plain or (text[0] == "0" and text != "0"):
        raise KnownRefused("position", "position", "A position is a whole number from 0.")
    return int(text)
