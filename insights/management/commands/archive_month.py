"""Takes a month of the ledger out of the database, into a file that restore_month reads back."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.tenancy import as_worker
from insights.feeds.operations import COMMAND_LINE
from insights.retention.archive_operations import archive_month
from insights.retention.care_operations import drop_detached_month
from insights.retention.file_operations import DamagedFile
from insights.retention.invoice_queries import last_issued_by_month
from insights.retention.lock_operations import HELD_UP_EXIT_CODE, HeldUp, Request, UnableToArchive
from insights.values.months import InvalidMonth, month_text, parse_month

_DROPPED = {
    True: "The detached table of {} is dropped; its file was read first.",
    False: "The file of {} is whole; its detached table was dropped before.",
}


class Command(BaseCommand):
    help = "Archive one month of usage records, or drop the table of one that was archived."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the month and the reason."""
        parser.add_argument("month", help="YYYY-MM; months of the ledger are in UTC")
        parser.add_argument("--reason", default="", help="why; kept with the month and audited")
        parser.add_argument("--by", default=COMMAND_LINE, help="who, for the audit trail")
        parser.add_argument(
            "--drop-detached",
            action="store_true",
            help="drop the detached table of an archived month now, after reading its file once more",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Archive or drop, and say what was done in numbers."""
        now = timezone.now()
        try:
            month = parse_month(options["month"])
            with as_worker():
                if options["drop_detached"]:
                    self.stdout.write(_DROPPED[drop_detached_month(month, now=now)].format(month_text(month)))
                    return
                request = Request(month=month, actor_name=options["by"], reason=options["reason"])
                issued = last_issued_by_month([month], now=now)
                row = archive_month(request, last_invoice_issued_at=issued.get(month), now=now)
        except HeldUp as error:
            raise CommandError(str(error), returncode=HELD_UP_EXIT_CODE) from None
        except (InvalidMonth, UnableToArchive, DamagedFile) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{month_text(month)} is archived: {row.records:,} records, {row.file_bytes:,} bytes in {row.file_name}, "
            f"SHA-256 {row.file_sha256}; {row.rollups:,} rollups of {row.accounts:,} accounts sealed."
        )
