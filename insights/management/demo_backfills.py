"""Backfills of the demo: one closed, one held and previewed, so that staff can see both; made once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.core.management.base import CommandError

from accounts.models import User
from insights.feeds.backfill_operations import ask_preview, confirm_close, open_backfill
from insights.feeds.backfill_queries import get_backfill
from insights.feeds.operations import import_source_toml
from insights.ingest.operations import receive_batch
from insights.models import Backfill, Batch, Source
from usage_portal.demo.backfills import TRIAL, describe_trial, first_half, second_half
from usage_portal.demo.cast import STAFF_EMAIL
from usage_portal.demo.company import Company

LOOK_EVERY_SECONDS = 0.1
PATIENCE = timedelta(minutes=5)


def make_backfills(company: Company, *, ring: Callable[[int], None]) -> None:
    """Make what is missing of the two; waits for the worker after each step that is its."""
    staff = User.objects.get(email=STAFF_EMAIL)
    if not Source.objects.filter(slug=TRIAL).exists():
        import_source_toml(text=describe_trial(company), actor=staff)
    made = Backfill.objects.filter(source__slug=TRIAL).order_by("id").values_list("public_id", flat=True)
    if len(made) == 0:
        _fill("The trial was never sent", first_half(company), "trial, first half", staff)
    first = made.all()[0]
    _preview(first, staff, ring)
    if get_backfill(public_id=first).state == "ready":
        reason = "Checked against the trial's own report"
        _let_work(first, confirm_close(public_id=first, actor=staff, reason=reason), ring)
    if len(made.all()) == 1:
        _fill(
            "The rest of the trial, and one day corrected", second_half(company), "trial, second half", staff
        )
    _preview(made.all()[1], staff, ring)


def _fill(reason: str, body: bytes, name: str, staff: User) -> None:
    backfill = open_backfill(slug=TRIAL, actor=staff, reason=reason, takes_any_age=True)
    source = Source.objects.get(slug=TRIAL)
    receive_batch(
        pieces=(body,), source_id=source.pk, via="command", media_type="csv", name=name, backfill=backfill
    )


def _preview(backfill: UUID, staff: User, ring: Callable[[int], None]) -> None:
    if get_backfill(public_id=backfill).state == "open":
        _let_work(backfill, ask_preview(public_id=backfill, actor=staff), ring)
        return
    held = Batch.objects.filter(backfill__public_id=backfill).order_by("id").values_list("id", flat=True)
    _let_work(backfill, held[0], ring)


def _let_work(backfill: UUID, batch_id: int, ring: Callable[[int], None]) -> None:
    ring(batch_id)
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while (facts := get_backfill(public_id=backfill)).is_worked_on:
        if time.monotonic() > deadline:
            raise CommandError(f"Backfill {backfill} is not worked on; is a Celery worker running?")
        time.sleep(LOOK_EVERY_SECONDS)
    if facts.problem:
        raise CommandError(f"Backfill {backfill}: {facts.problem}")
