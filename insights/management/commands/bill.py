"""Brings invoices up to date at once: issues what is due and drafts what is behind, as the timetable does."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.billing.pass_operations import run_pass
from insights.billing.period_queries import read_clock
from insights.billing.run_operations import Tally, bill_subscriptions
from insights.models import BillingRun, Subscription

_A_DAY = 86_400


class Command(BaseCommand):
    help = "Issue the invoices that are due and draft the running ones, of all accounts or of one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the account, if not all."""
        parser.add_argument(
            "--account", help="reference of one account; its drafts are made anew in any case"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was done; fail if something could not be billed."""
        with as_worker():
            done = _bill_account(options["account"]) if options["account"] else _bill_all()
        for one in done:
            issued = f"{one.issued:,} invoices issued, {one.parked:,} parked"
            self.stdout.write(f"{one.done:,} subscriptions, {issued}, {one.failed:,} failed")
        problems = [one.problem for one in done if one.failed]
        if problems:
            raise CommandError(problems[0])


def _bill_all() -> list[BillingRun | Tally]:
    passes = (run_pass(kind, read_clock(), until=time.monotonic() + _A_DAY) for kind in ("issue", "draft"))
    return [run for run in passes if run is not None] or [Tally()]


def _bill_account(reference: str) -> list[BillingRun | Tally]:
    account = Account.objects.filter(reference=reference).first()
    if account is None:
        raise CommandError(f"there is no account {reference!r}")
    subscriptions = Subscription.objects.filter(account=account).select_related("account").order_by("pk")
    return [bill_subscriptions(list(subscriptions), read_clock())]
