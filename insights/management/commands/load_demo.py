"""Loads the demo through the door every sender uses: files are received, and the worker ingests them.

May be stopped and started again at any time: it goes on with the files that are missing, if any are.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, Q, Sum

from accounts.tenancy import as_worker
from insights.ingest.operations import receive_batch
from insights.invoicing import mail_invoice
from insights.management.demo_backfills import make_backfills
from insights.management.demo_bills import make_last_bills, make_past_bills
from insights.management.demo_notes import make_notes
from insights.management.demo_setup import issue_demo_key, set_up
from insights.models import Batch, BatchState, Source
from insights.retention.care_operations import make_months_ahead
from insights.tasks import ring
from usage_portal.demo import cast
from usage_portal.demo.company import Company, build_company
from usage_portal.demo.deliveries import list_deliveries
from usage_portal.demo.files import DemoBatch, iter_batches

LEDGER_TIMES = (
    "A year of windows is received in the minutes of the first start, since a ledger takes no time but its own:\n"
    "ask what was known then by position, as each bill names it, and not by an instant of the year."
)
KEY_PREFIX = "demo:"
HOUR_FORM = "%Y-%m-%dT%H"
LOOK_EVERY_SECONDS = 0.25
SAY_EVERY_SECONDS = 5.0
STANDSTILL_SECONDS_MAX = 300.0
OPEN_STATES = (BatchState.RECEIVED, BatchState.PROCESSING)


class Command(BaseCommand):
    """`load_demo`: Tidegate's accounts and fourteen months of their usage."""

    help = "Load the demo: accounts, people, sources and fourteen months of usage. Safe to repeat."

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Load what is missing and print how to sign in."""
        self._said_at = 0.0
        with as_worker():
            stored = _stored_keys()
            company = build_company(now=_story_end(stored) or datetime.now(UTC))
            names = [delivery.name for delivery in list_deliveries(company)]
            prefix = f"{KEY_PREFIX}{company.now:{HOUR_FORM}}:"
            set_up(company)
            make_notes(company)
            make_months_ahead(now=datetime.now(UTC))
            # Told first, so that the pages can be looked at while usage comes in.
            self._print_sign_ins(issue_demo_key(now=datetime.now(UTC)))
            missing = [name for name in names if prefix + name not in stored]
            if missing:
                self.stdout.write(f"The demo's accounts are there; {len(missing)} files of usage follow.")
            self._send(company, prefix=prefix, without=set(names) - set(missing), total=len(names))
            make_backfills(company, ring=ring)
            self.stdout.write("The usage is there; a year of bills follows.")
            make_past_bills(company)
            self._send(
                company,
                prefix=prefix,
                without=set(names) - set(missing),
                total=len(names),
                follows_bills=True,
            )
            make_last_bills(company, now=datetime.now(UTC), mail=mail_invoice.delay)

    def _send(
        self, company: Company, *, prefix: str, without: set[str], total: int, follows_bills: bool = False
    ) -> None:
        """Hand over one file after the other, while the worker is busy with those before, until all are read."""
        sources = dict(Source.objects.values_list("slug", "id"))
        others = {
            delivery.name for delivery in list_deliveries(company) if delivery.follows_bills != follows_bills
        }
        for batch in iter_batches(company, without=without | others):
            # A file that repeats or mends lines of earlier ones is meant to find them there.
            if batch.complete_to is None:
                self._wait(total=total)
            _receive(batch, source_id=sources[batch.source_slug], key=prefix + batch.name)
            self._say_progress(total=total)
        self._wait(total=total)
        self._refuse_unless_loaded()

    def _wait(self, *, total: int) -> None:
        """Wait until the worker has been through every file received so far."""
        before, moved_at = None, time.monotonic()
        while (state := _progress()) and state["open"]:
            self._say_progress(total=total)
            if state != before:
                before, moved_at = state, time.monotonic()
            elif time.monotonic() - moved_at > STANDSTILL_SECONDS_MAX:
                raise CommandError("Nothing has moved for five minutes; is a Celery worker running?")
            time.sleep(LOOK_EVERY_SECONDS)

    def _say_progress(self, *, total: int) -> None:
        if time.monotonic() - self._said_at < SAY_EVERY_SECONDS:
            return
        self._said_at = time.monotonic()
        state = _progress()
        self.stdout.write(f"Loading: {state['done']} of {total} files, {state['lines']:,} lines so far.")
        self.stdout.flush()

    def _refuse_unless_loaded(self) -> None:
        stuck = Batch.objects.filter(idempotency_key__startswith=KEY_PREFIX).exclude(state=BatchState.DONE)
        names = list(stuck.values_list("name", flat=True)[:3])
        if names:
            raise CommandError(f"These files were not ingested: {', '.join(names)}. See the batches page.")

    def _print_sign_ins(self, key: str | None) -> None:
        rows = (
            ("Owner", cast.OWNER_EMAIL),
            ("Viewer", cast.VIEWER_EMAIL),
            ("Accountant of several", cast.ACCOUNTANT_EMAIL),
            ("Support staff", cast.STAFF_EMAIL),
            ("Administrator", cast.ADMIN_EMAIL),
        )
        self.stdout.write(
            f"\n{cast.PLATFORM_NAME}, a made-up platform. Every password is {cast.DEMO_PASSWORD}"
        )
        for who, email in rows:
            self.stdout.write(f"  {who:22} {email}")
        shown = key or "was printed at the first start; make another under Settings"
        self.stdout.write(f"  {'API key':22} {shown}\n")
        self.stdout.write(LEDGER_TIMES)


def _stored_keys() -> frozenset[str]:
    ours = Batch.objects.filter(idempotency_key__startswith=KEY_PREFIX)
    return frozenset(key for key in ours.values_list("idempotency_key", flat=True) if key is not None)


def _story_end(stored: frozenset[str]) -> datetime | None:
    """Return the hour that an earlier start told its story up to, so that this one goes on with the same."""
    if not stored:
        return None
    hour = min(stored).removeprefix(KEY_PREFIX)[: len("2026-11-23T14")]
    return datetime.strptime(hour, HOUR_FORM).replace(tzinfo=UTC)


def _receive(batch: DemoBatch, *, source_id: int, key: str) -> None:
    received = receive_batch(
        pieces=(batch.body,),
        source_id=source_id,
        via="command",
        media_type="csv",
        name=batch.name,
        complete_to=batch.complete_to,
        idempotency_key=key,
    )
    ring(received.batch_id)


def _progress() -> dict[str, int]:
    """Count the demo's files by what is left to do, and the lines behind committed chunks."""
    found = Batch.objects.filter(idempotency_key__startswith=KEY_PREFIX).aggregate(
        open=Count("id", filter=Q(state__in=OPEN_STATES)),
        done=Count("id", filter=Q(state=BatchState.DONE)),
        lines=Sum("lines_done"),
    )
    return {name: count or 0 for name, count in found.items()}
