"""Prints the months of the ledger as CSV: where each one is, and whether it may be archived."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.tenancy import as_worker
from insights.exports.formatting import csv_lines
from insights.retention.facts import month_rows
from insights.retention.month_queries import list_months
from insights.retention.restore_operations import list_damaged_files


class Command(BaseCommand):
    help = "Print the months of the ledger as CSV, and read the files of the archived ones if asked to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say whether files are to be read."""
        parser.add_argument(
            "--check-files", action="store_true", help="read every archive and compare it with its hash"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write one line per month; end with 1 if a file is damaged."""
        with as_worker():
            for line in csv_lines(month_rows(list_months(now=timezone.now()))):
                self.stdout.write(line.decode(), ending="")
            damaged = list_damaged_files() if options["check_files"] else ()
        if damaged:
            raise CommandError("\n".join(damaged))
