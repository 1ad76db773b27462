"""Saved views of the usage explorer: keeping the present one under a name, opening, renaming, sharing and deleting."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import account_page
from accounts.forms import add_refusal
from accounts.operations import UnableToChange
from insights.metering.faults import UsageFilterRefused
from insights.metering.queries import list_meters
from insights.metering.usage_filter import parse_usage_filter
from insights.models.notebook import VIEW_NAME_CHARACTERS_MAX
from insights.notebook.facts import View
from insights.notebook.operations import change_view, delete_view, save_view
from insights.notebook.queries import find_view, list_views
from insights.web.chart_notes import viewer_of

_FIELDS_MAX = 200


class ViewForm(forms.Form):
    """A name, and whether the account sees it."""

    name = forms.CharField(label="Name", max_length=VIEW_NAME_CHARACTERS_MAX)
    is_shared = forms.BooleanField(
        label="For everybody in the account", required=False, help_text="Otherwise for you alone."
    )


def views_beside(request: Any, query: str) -> dict[str, Any]:
    """The views that the viewer may open beside the explorer, and the question that they may keep."""
    viewer = viewer_of(request)
    return {
        "saved_views": [(view, view.query == query) for view in list_views(request.account, viewer)],
        "view_query": query,
        "view_may_write": viewer.may_write,
    }


@account_page
@require_safe
def view_list(request: Any) -> HttpResponse:
    """Show every view that the viewer sees."""
    return _list(request)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def view_save(request: Any) -> HttpResponse:
    """Keep a question under a name and go on looking at it; the address alone leads to the list."""
    if request.method != "POST":
        return redirect("view-list", request.account.public_id)
    form = ViewForm(request.POST)
    query = _question(request)
    if form.is_valid():
        try:
            view = save_view(
                account=request.account,
                name=form.cleaned_data["name"],
                query=query,
                is_shared=form.cleaned_data["is_shared"],
                owner=request.user,
            )
        except UnableToChange as error:
            add_refusal(form, error)
        else:
            messages.success(request, f"The view “{view.name}” is saved.")
            return redirect(_explorer(request, query))
    return _list(request, form=form, query=query, status=422)


@account_page
@require_safe
def view_open(request: Any, view_uuid: UUID) -> HttpResponse:
    """Lead to the explorer with the question of a view: the address that stays when the view is renamed."""
    return redirect(_explorer(request, _view_or_404(request, view_uuid).query))


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def view_change(request: Any, view_uuid: UUID) -> HttpResponse:
    """Rename a view or share it; the address alone leads to the list."""
    view = _view_or_404(request, view_uuid)
    if request.method != "POST":
        return redirect("view-list", request.account.public_id)
    _refuse_unless_own(request, view)
    form = ViewForm(request.POST)
    if form.is_valid():
        try:
            change_view(
                account=request.account,
                public_id=view.public_id,
                name=form.cleaned_data["name"],
                is_shared=form.cleaned_data["is_shared"],
                actor=request.user,
                now=timezone.now(),
            )
        except UnableToChange as error:
            add_refusal(form, error)
        else:
            messages.success(request, "The view is changed.")
            return redirect("view-list", request.account.public_id)
    return _list(request, form=form, changed=view, status=422)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def view_delete(request: Any, view_uuid: UUID) -> HttpResponse:
    """Delete a view; the address alone leads to the list."""
    view = _view_or_404(request, view_uuid)
    if request.method == "POST":
        _refuse_unless_own(request, view)
        delete_view(account=request.account, public_id=view.public_id, actor=request.user)
        messages.success(request, f"The view “{view.name}” is deleted.")
    return redirect("view-list", request.account.public_id)


def _list(
    request: Any,
    *,
    form: ViewForm | None = None,
    query: str = "",
    changed: View | None = None,
    status: int = 200,
) -> HttpResponse:
    """The list; `form` is what was refused, of a new view of the query or of the view that was to be changed."""
    viewer = viewer_of(request)
    rows = []
    for view in list_views(request.account, viewer):
        is_refused = changed is not None and view.public_id == changed.public_id
        may_change = viewer.may_change(view.owner_id)
        own = ViewForm(
            initial={"name": view.name, "is_shared": view.is_shared}, auto_id=f"{view.public_id}-%s"
        )
        rows.append((view, may_change, form if is_refused else own, is_refused))
    context: dict[str, Any] = {
        "nav": "usage",
        "rows": rows,
        "form": form if changed is None else None,
        "query": query,
        "page": {},
    }
    return render(request, "usage/views.html", context, status=status)


def _question(request: Any) -> str:
    """The question that is kept, in its one form; refuses what the explorer would not answer."""
    try:
        pairs = parse_qsl(request.POST.get("query", ""), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise BadRequest("query: not a view of the usage.") from None
    try:
        question = parse_usage_filter(
            pairs,
            meters=list_meters(request.account),
            zone=ZoneInfo(request.account.billing_zone),
            now=timezone.now(),
        )
    except UsageFilterRefused as refused:
        raise BadRequest(str(refused)) from None
    return question.query_string()


def _explorer(request: Any, query: str) -> str:
    return f"{reverse('usage-explorer', args=[request.account.public_id])}?{query}"


def _view_or_404(request: Any, public_id: UUID) -> View:
    view = find_view(request.account, viewer_of(request), public_id=public_id)
    if view is None:
        raise Http404
    return view


def _refuse_unless_own(request: Any, view: View) -> None:
    if not viewer_of(request).may_change(view.owner_id):
        raise PermissionDenied(
            "Members change and delete their own views; owners of the account shared ones too."
        )
