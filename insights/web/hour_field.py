"""A whole hour on the clock of an account's billing zone: a day, and an hour of the list.

Usage comes in windows of an hour in UTC, so that is what a change can begin with. Where a clock is half an hour off,
its own hours begin at half past, and only those are offered.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal
from insights.values.period import InvalidDay, parse_day

_HOUR = timedelta(hours=1)
# Half a year apart, so that summer time is among them.
_LOOKS = (timedelta(0), timedelta(days=182))


def hour_minutes(zone: ZoneInfo, now: datetime) -> tuple[int, ...]:
    """At which minutes of its clock whole hours in UTC begin, around now: 0, or 30 or 45, or two of them."""
    distances = [(now + look).astimezone(zone).utcoffset() or timedelta(0) for look in _LOOKS]
    return tuple(sorted({distance % _HOUR // timedelta(minutes=1) for distance in distances}))


class HourWidget(forms.MultiWidget):
    """A day and an hour beside each other, each with a name of its own for who cannot see them."""

    def __init__(self) -> None:
        day = forms.DateInput(attrs={"type": "date"})
        super().__init__(widgets=[day, forms.Select()], attrs={"class": "hour"})

    def name_parts(self, label: str) -> None:
        """Say of each part what it is."""
        for part, widget in zip(("day", "hour"), self.widgets, strict=True):
            widget.attrs["aria-label"] = f"{label}, {part}"

    def decompress(self, value: Any) -> list[str]:
        """Begin with no day, and midnight."""
        return ["", ""]


class HourField(forms.Field):
    """A whole hour; `set_clock` says on whose clock, before it is shown or read."""

    def __init__(self, *, label: str, required: bool = True, help_text: str = "") -> None:
        super().__init__(label=label, required=required, help_text=help_text, widget=HourWidget())
        self.own_help = help_text
        self.zone = ZoneInfo("UTC")
        self.minutes: tuple[int, ...] = (0,)

    def set_clock(self, zone_name: str, now: datetime) -> None:
        """Offer the hours of this zone, and say so."""
        self.zone = ZoneInfo(zone_name)
        self.minutes = hour_minutes(self.zone, now)
        widget: Any = self.widget
        widget.name_parts(str(self.label))
        hours = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in self.minutes]
        widget.widgets[1].choices = [(hour, hour) for hour in hours]
        self.help_text = " ".join(filter(None, (self.own_help, self._clock_words())))

    def _clock_words(self) -> str:
        if self.minutes == (0,):
            return f"A whole hour on the clock of {self.zone}."
        past = " or ".join(f"{minute} minutes past" if minute else "the full hour" for minute in self.minutes)
        return (
            f"On the clock of {self.zone}. Usage is counted hour by hour on the clock of UTC, and those hours begin at "
            f"{past} there, so that only such times are offered."
        )

    def clean(self, value: Any) -> datetime | None:
        """Read the hour, or say what is wrong with it: no day, a time between hours, one the clock skips or repeats."""
        day, hour = (str(part or "").strip() for part in (value or ("", "")))
        if not day:
            if self.required:
                raise forms.ValidationError("Choose a day.")
            return None
        try:
            parse_day(day)
            instant = scan_instant(f"{day}T{hour}:00", f"{hour[:5]}", clock_zone=self.zone)
        except InvalidDay as error:
            raise forms.ValidationError(f"{_sentence(str(error))}") from None
        except Refusal as refusal:
            raise forms.ValidationError(self._refused_words(refusal)) from None
        if instant.minute:
            raise forms.ValidationError(self._between_words(instant, hour))
        return instant

    def _refused_words(self, refusal: Refusal) -> str:
        if refusal.code in ("timestamp_nonexistent", "timestamp_ambiguous"):
            return f"{refusal.message.partition(';')[0]}; choose the hour before or after it."
        return "Choose an hour of the list."

    def _between_words(self, instant: datetime, hour: str) -> str:
        before = instant.astimezone(UTC).replace(minute=0)
        times = [f"{each.astimezone(self.zone):%H:%M}" for each in (before, before + _HOUR)]
        return (
            f"{hour} in {self.zone} is {instant:%H:%M} in UTC, inside one of the hours by which usage is counted. "
            f"Choose {times[0]} or {times[1]}."
        )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
