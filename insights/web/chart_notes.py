"""Notes on charts: the marks of those in the stretch that is drawn, and the list under it with what may be done."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

from django.http import HttpRequest

from accounts.models import AccountState
from insights.metering.coarser import coarser, hours_a_bar
from insights.metering.explore import Exploration
from insights.notebook.facts import Note, Viewer
from insights.notebook.queries import NOTES_ON_A_CHART_MAX, list_notes_between
from insights.values.period import Period, local_day


@dataclass(frozen=True, slots=True)
class NoteRow:
    """A note as a list shows it, and whether who looks may change it."""

    note: Note
    may_change: bool


def viewer_of(request: Any) -> Viewer:
    """Who looks at a page of an account: a member, or staff who write nothing."""
    if request.membership is None:
        return Viewer(user_id=None, role=None, may_write=False)
    return Viewer(
        user_id=request.user.pk,
        role=request.membership.role,
        may_write=request.account.state == AccountState.ACTIVE,
    )


def note_rows(notes: Iterable[Note], viewer: Viewer) -> list[NoteRow]:
    """Rows of a list of notes."""
    return [NoteRow(note, viewer.may_change(note.author_id)) for note in notes]


def notes_under(
    request: HttpRequest, notes: Sequence[Note], *, back: str, query: str, now: datetime, zone: tzinfo
) -> dict[str, Any]:
    """The list under a chart, and a form that writes another note and comes back to the same page."""
    viewer = viewer_of(request)
    return {
        "note_rows": note_rows(notes, viewer),
        "note_may_write": viewer.may_write,
        "note_back": back,
        "note_query": query,
        "note_now": now.astimezone(zone).replace(tzinfo=None).isoformat(timespec="minutes"),
        "notes_are_cut": len(notes) == NOTES_ON_A_CHART_MAX,
    }


def explorer_notes(
    request: Any, answer: Exploration, context: dict[str, Any], *, now: datetime, zone: tzinfo
) -> dict[str, Any]:
    """Mark the notes of the stretch that is drawn on its figure and in its legend, and list them."""
    if "figure" not in context:
        return {}
    slots = [bucket.slot for bucket in answer.buckets]
    notes = list_notes_between(request.account, start=slots[0].start, end=slots[-1].end)
    if notes:
        drawn = coarser(answer, hours=hours_a_bar(answer))
        starts = [bucket.slot.start for bucket in drawn.buckets]
        context["figure"]["data"].append(_trace(notes, starts, context["figure"]["points"]["x"]))
        context["marks"].append({"kind": "note", "label": "Note"})
    query = answer.filter.query_string()
    return notes_under(request, notes, back="usage", query=query, now=now, zone=zone)


def cost_notes(
    request: Any, cost: dict[str, Any], query: str, *, now: datetime, zone: tzinfo
) -> dict[str, Any]:
    """The same for the page in money, whose figures share their stretches of time, one for each currency."""
    if not cost["count"]:
        return {}
    slots = cost["answer"].slots
    notes = list_notes_between(request.account, start=slots[0].start, end=slots[-1].end)
    starts = [slot.start for slot in slots]
    for one in cost["currencies"] if notes else ():
        one["figure"]["data"].append(_trace(notes, starts, one["figure"]["data"][0]["x"]))
        one["legend"].append({"kind": "note", "label": "Note"})
    return notes_under(request, notes, back="usage", query=query, now=now, zone=zone)


def _trace(notes: Sequence[Note], starts: Sequence[datetime], labels: Sequence[str]) -> dict[str, Any]:
    """One mark for each bar with notes; their words are what is said of it."""
    by_bar: dict[int, list[Note]] = {}
    for note in reversed(notes):
        by_bar.setdefault(bisect_right(starts, note.at) - 1, []).append(note)
    return {
        "type": "scatter",
        "name": "Note",
        "x": [labels[number] for number in by_bar],
        "y": [0] * len(by_bar),
        "meta": {"series": "note"},
        "customdata": [[note.text for note in together] for together in by_bar.values()],
    }


def mark_days(
    points: Iterable[list[dict[str, Any]]], days: Sequence[date], notes: Iterable[Note], zone: tzinfo
) -> None:
    """Mark the notes on small charts of days; each has a point for each of the days."""
    words: dict[date, str] = {}
    for note in notes:
        day = local_day(note.at, zone)
        words[day] = f"{note.text}; {words[day]}" if day in words else note.text
    for chart in points:
        for point, day in zip(chart, days, strict=True):
            if day in words:
                point["note"] = words[day]


def notes_of_days(request: Any, period: Period) -> tuple[Note, ...]:
    """The notes of some days."""
    return list_notes_between(request.account, start=period.start, end=period.end)
