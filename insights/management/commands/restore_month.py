"""Puts an archived month back into the ledger, byte by byte as it was."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.tenancy import as_worker
from insights.feeds.operations import COMMAND_LINE
from insights.retention.file_operations import DamagedFile
from insights.retention.lock_operations import HELD_UP_EXIT_CODE, HeldUp, Request, UnableToArchive
from insights.retention.restore_operations import restore_month
from insights.values.months import InvalidMonth, month_text, parse_month


class Command(BaseCommand):
    help = (
        "Put an archived month back into the ledger, from its file or from the table that is still detached."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the month and the reason."""
        parser.add_argument("month", help="YYYY-MM")
        parser.add_argument("--reason", default="restored on the command line", help="why; audited")
        parser.add_argument("--by", default=COMMAND_LINE, help="who, for the audit trail")
        parser.add_argument(
            "--from-detached",
            action="store_true",
            help="attach the table that is kept for a week, without reading the file",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore, and say what is back."""
        now = timezone.now()
        try:
            month = parse_month(options["month"])
            request = Request(month=month, actor_name=options["by"], reason=options["reason"])
            with as_worker():
                row = restore_month(
                    request, from_detached=options["from_detached"], now=now, say=self._say_at_once
                )
        except HeldUp as error:
            raise CommandError(str(error), returncode=HELD_UP_EXIT_CODE) from None
        except (InvalidMonth, UnableToArchive, DamagedFile) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{month_text(month)} is back: {row.records:,} records, the same text as was archived."
        )

    def _say_at_once(self, text: str) -> None:
        """What is waited for is of use only while it is waited for."""
        self.stderr.write(text)
        self.stderr.flush()
