"""Sums the rollups again from the records, one account at a time; what was right stays as it was, byte by byte."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.tenancy import as_worker, current_alias
from insights.books.queries import UnknownAccount, list_account_ids
from insights.metering.operations import rebuild_rollups


class Command(BaseCommand):
    help = "Sum the rollups of one account or of all again from the records."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the account, if not all."""
        parser.add_argument("--account", help="reference of the one account to be summed again")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebuild, each account in its own transaction."""
        days = 0
        with as_worker():
            try:
                account_ids = list_account_ids(reference=options["account"])
            except UnknownAccount:
                raise CommandError(f"there is no account {options['account']!r}") from None
            for account_id in account_ids:
                with transaction.atomic(using=current_alias()):
                    days += rebuild_rollups(account_id=account_id)
        self.stdout.write(f"{days:,} days of {len(account_ids):,} accounts summed again.")
