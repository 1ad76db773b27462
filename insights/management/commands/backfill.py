"""Opens, previews, closes and discards backfills by the command line, with the same rules as the staff pages."""

from __future__ import annotations

import time
import uuid
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.tenancy import as_worker
from insights import tasks
from insights.feeds.backfill_facts import BackfillFacts
from insights.feeds.backfill_operations import (
    UnableToBackfill,
    UnknownBackfill,
    ask_preview,
    confirm_close,
    discard_backfill,
    open_backfill,
)
from insights.feeds.backfill_queries import get_backfill
from insights.feeds.backfill_wording import backfill_sentence, close_sentence
from insights.feeds.queries import UnknownSource

POLL_SECONDS = 0.2
RING_AGAIN_SECONDS = 10.0


class Command(BaseCommand):
    """`backfill open SOURCE`, then `preview`, `close`, `discard` or `show` with the number it printed."""

    help = "Hold usage that comes late in many files, preview it, and let customers see all of it at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the step, and what it is taken with."""
        steps = parser.add_subparsers(dest="step", required=True)
        opening = steps.add_parser("open", help="open a backfill of a source and print its number")
        opening.add_argument("source", help="slug of the source")
        opening.add_argument(
            "--keep-age-limit", action="store_true", help="refuse lines older than the source's age limit"
        )
        for step, words in (
            ("show", "say how far it is"),
            ("preview", "count what closing would do, and take it back"),
            ("close", "write everything into the books at once"),
            ("discard", "end it without a trace in the books"),
        ):
            steps.add_parser(step, help=words).add_argument("number", type=uuid.UUID)
        for step in ("open", "close", "discard"):
            steps.choices[step].add_argument("--reason", required=True, help="kept in the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        """Take the step, wait for the worker where there is something for it, and say how it stands."""
        with as_worker():
            try:
                self._take(options)
            except UnknownSource:
                raise CommandError(f"There is no source {options['source']!r}.") from None
            except UnknownBackfill:
                raise CommandError(f"There is no backfill {options['number']}.") from None
            except UnableToBackfill as refusal:
                raise CommandError(str(refusal)) from None

    def _take(self, options: dict[str, Any]) -> None:
        step, reason = options["step"], options.get("reason") or ""
        if step == "open":
            opened = open_backfill(
                slug=options["source"],
                actor=None,
                reason=reason,
                takes_any_age=not options["keep_age_limit"],
            )
            self.stdout.write(str(opened))
            return
        number: uuid.UUID = options["number"]
        batch_id: int | None = None
        if step == "preview":
            batch_id = ask_preview(public_id=number, actor=None)
        elif step == "close":
            batch_id = confirm_close(public_id=number, actor=None, reason=reason)
        elif step == "discard":
            batch_id = discard_backfill(public_id=number, actor=None, reason=reason, now=datetime.now(UTC))
        self._say(self._follow(number, batch_id))

    def _follow(self, number: uuid.UUID, batch_id: int | None) -> BackfillFacts:
        rung_at: float | None = None
        while (facts := get_backfill(public_id=number)).is_worked_on and batch_id is not None:
            if rung_at is None or time.monotonic() - rung_at > RING_AGAIN_SECONDS:
                rung_at = time.monotonic()
                tasks.ring(batch_id)
            time.sleep(POLL_SECONDS)
        return facts

    def _say(self, facts: BackfillFacts) -> None:
        self.stdout.write(f"{backfill_sentence(facts)}.")
        if facts.preview is not None and facts.is_at_rest:
            self.stdout.write(f"{close_sentence(facts.preview)}.")
        if facts.problem:
            raise CommandError(facts.problem)
