"""Staff take a batch back: first what it would do, in numbers, then the act with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import staff_page
from insights import tasks
from insights.feeds.batch_queries import UnknownBatch
from insights.feeds.revert_operations import UnableToRevert, ask_revert, confirm_revert


@staff_page
@require_POST
def batch_revert_prepare(request: Any, batch_uuid: UUID) -> HttpResponse:
    """Have a worker count what reverting the batch would do."""
    now = timezone.now()
    return _act(request, batch_uuid, lambda: ask_revert(public_id=batch_uuid, actor=request.user, now=now))


@staff_page
@require_POST
def batch_revert(request: Any, batch_uuid: UUID) -> HttpResponse:
    """Have a worker take the batch out of the books."""
    now, reason = timezone.now(), request.POST.get("reason", "")
    return _act(
        request,
        batch_uuid,
        lambda: confirm_revert(public_id=batch_uuid, actor=request.user, reason=reason, now=now),
    )


def _act(request: HttpRequest, batch_uuid: UUID, act: Callable[[], int]) -> HttpResponse:
    try:
        tasks.ring(act())
    except UnknownBatch:
        raise Http404 from None
    except UnableToRevert as refusal:
        messages.error(request, str(refusal))
    return redirect("staff-batch", batch_uuid)
