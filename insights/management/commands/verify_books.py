"""Checks stored data against itself and names every difference; ends with 1 if there is any."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.tenancy import as_worker
from insights.books.operations import REJECTS_KEPT
from insights.books.queries import CheckResult, UnknownAccount, check_books, list_account_ids


class Command(BaseCommand):
    help = "Check the books against themselves: one line per check, every difference by kind and id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the account, if not all."""
        parser.add_argument(
            "--account", help="reference of one account; checks on whole batches are left out"
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="hold every issued invoice to the usage it was made of, not only the newest of each account",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print as it goes; fail at the end, so that every difference is named."""
        with as_worker():
            results = check_books(
                account_id=_account_id(options["account"]),
                kept_since=timezone.now() - REJECTS_KEPT,
                takes_all=options["all"],
                on_result=self._say,
                on_difference=self.stdout.write,
            )
        differences = sum(result.differences for result in results)
        if differences:
            raise CommandError(f"the books differ: {differences:,} differences")
        self.stdout.write("The books agree.")

    def _say(self, result: CheckResult) -> None:
        self.stdout.write(f"{result.name}: {result.rows:,} rows compared, {result.differences:,} differences")


def _account_id(reference: str | None) -> int | None:
    if reference is None:
        return None
    try:
        return list_account_ids(reference=reference)[0]
    except UnknownAccount:
        raise CommandError(f"there is no account {reference!r}") from None
