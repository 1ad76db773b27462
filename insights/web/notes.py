"""Notes at an instant: the list, its file, and writing, changing and deleting one. Each act posts and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import StreamScope, account_page
from accounts.forms import add_refusal
from accounts.models import Account
from accounts.operations import UnableToChange
from insights.exports.note_rows import note_rows as csv_rows
from insights.models.notebook import NOTE_CHARACTERS_MAX, VIEW_QUERY_CHARACTERS_MAX
from insights.notebook.facts import Note, NotePlace
from insights.notebook.operations import add_note, change_note, delete_note, read_note_instant
from insights.notebook.queries import find_note, list_notes
from insights.web.chart_notes import note_rows, notes_under, viewer_of
from insights.web.csv_files import ROWS_AT_ONCE, csv_stream
from insights.web.record_places import read_record_place, write_record_place

NOTES_PER_PAGE = 50
# Where an act comes back to, by what its form says.
_BACK = {"usage": "usage-explorer", "overview": "account-overview", "notes": "note-list"}


class NoteForm(forms.Form):
    """An instant and a sentence."""

    at = forms.CharField(
        label="When",
        max_length=40,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1", "autocomplete": "off"}),
    )
    text = forms.CharField(label="Note", max_length=NOTE_CHARACTERS_MAX)


@account_page
@require_safe
def note_list(request: Any) -> HttpResponse:
    """Show every note, the latest instant first."""
    return _list(request, NoteForm(initial={"at": _local(request, timezone.now())}))


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def note_add(request: Any) -> HttpResponse:
    """Write a note and come back to where it was written; the address alone leads to the list."""
    if request.method != "POST":
        return redirect("note-list", request.account.public_id)
    form = NoteForm(request.POST)
    if form.is_valid():
        try:
            add_note(
                account=request.account,
                at=read_note_instant(form.cleaned_data["at"], zone=ZoneInfo(request.account.billing_zone)),
                text=form.cleaned_data["text"],
                author=request.user,
            )
        except UnableToChange as error:
            add_refusal(form, error)
        else:
            messages.success(request, "The note is written.")
            return _back(request)
    return _list(request, form, status=422)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def note_detail(request: Any, note_uuid: UUID) -> HttpResponse:
    """Show a note, and change it where that is the viewer's to do."""
    note = _note_or_404(request, note_uuid)
    may_change = viewer_of(request).may_change(note.author_id)
    form = NoteForm(
        request.POST if request.method == "POST" else None,
        initial={"at": _local(request, note.at), "text": note.text},
    )
    if request.method == "POST":
        _refuse_unless(may_change=may_change)
        if form.is_valid():
            try:
                change_note(
                    account=request.account,
                    public_id=note.public_id,
                    at=read_note_instant(
                        form.cleaned_data["at"], zone=ZoneInfo(request.account.billing_zone)
                    ),
                    text=form.cleaned_data["text"],
                    actor=request.user,
                    now=timezone.now(),
                )
            except UnableToChange as error:
                add_refusal(form, error)
            else:
                messages.success(request, "The note is changed.")
                return redirect("note-list", request.account.public_id)
    context = {"nav": "usage", "note": note, "form": form, "may_change": may_change, "zone": _zone(request)}
    return render(request, "usage/note.html", context, status=422 if request.method == "POST" else 200)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def note_delete(request: Any, note_uuid: UUID) -> HttpResponse:
    """Delete a note and come back; the address alone leads to the note."""
    note = _note_or_404(request, note_uuid)
    if request.method != "POST":
        return redirect("note-detail", request.account.public_id, note.public_id)
    _refuse_unless(may_change=viewer_of(request).may_change(note.author_id))
    delete_note(account=request.account, public_id=note.public_id, actor=request.user)
    messages.success(request, "The note is deleted.")
    return _back(request)


@account_page
@require_safe
def notes_csv(request: Any) -> HttpResponseBase:
    """Download every note."""
    rows = csv_rows(_every_note(request.account, request.stream_scope), ZoneInfo(_zone(request)))
    return csv_stream(request, rows, "notes.csv")


def _every_note(account: Account, scope: StreamScope) -> Iterator[Note]:
    """All notes, read by pages; each transaction ends before what it read is sent."""
    place: NotePlace | None = None
    while True:
        with scope.open():
            notes, place = list_notes(account, limit=ROWS_AT_ONCE, after=place)
        yield from notes
        if place is None:
            return


def _list(request: Any, form: NoteForm, *, status: int = 200) -> HttpResponse:
    place = request.GET.get("after", "")
    notes, following = list_notes(request.account, limit=NOTES_PER_PAGE, after=_place(place))
    zone = ZoneInfo(_zone(request))
    context = {
        "nav": "usage",
        "form": form,
        **notes_under(
            request,
            notes,
            back=request.POST.get("back", "notes"),
            query=request.POST.get("query", ""),
            now=timezone.now(),
            zone=zone,
        ),
        "note_rows": note_rows(notes, viewer_of(request)),
        "zone": str(zone),
        "page": {
            "summary": "The latest instant first",
            "previous_url": "?" if place else None,
            "next_url": f"?after={write_record_place(following.note_id, following.at, _micro(following))}"
            if following
            else None,
        },
    }
    return render(request, "usage/notes.html", context, status=status)


def _place(text: str) -> NotePlace | None:
    if not text:
        return None
    note_id, at, micro = read_record_place(text)
    if not (micro.isascii() and micro.isdigit() and len(micro) <= len("999999")):
        raise BadRequest("after: not a place in these notes.")
    return NotePlace(at.replace(microsecond=int(micro)), note_id)


def _micro(place: NotePlace) -> str:
    return str(place.at.microsecond)


def _note_or_404(request: Any, public_id: UUID) -> Note:
    note = find_note(request.account, public_id=public_id)
    if note is None:
        raise Http404
    return note


def _refuse_unless(*, may_change: bool) -> None:
    if not may_change:
        raise PermissionDenied("Members change and delete their own notes; owners of the account any.")


def _back(request: Any) -> HttpResponse:
    """The page the form was on, with the question that it showed."""
    name = _BACK.get(request.POST.get("back", ""), "note-list")
    return redirect(reverse(name, args=[request.account.public_id]) + question_of(request))


def question_of(request: Any) -> str:
    """The question that a form was sent from, as a query string of pairs and nothing else; empty for none."""
    text = request.POST.get("query", "")[:VIEW_QUERY_CHARACTERS_MAX]
    try:
        pairs = parse_qsl(text, max_num_fields=200)
    except ValueError:
        return ""
    return f"?{urlencode(pairs)}" if pairs else ""


def _local(request: Any, instant: Any) -> str:
    local = instant.astimezone(ZoneInfo(_zone(request))).replace(tzinfo=None)
    return str(local.isoformat(timespec="seconds" if local.second else "minutes"))


def _zone(request: Any) -> str:
    zone: str = request.account.billing_zone
    return zone
