"""Prints what a source has delivered, as CSV, to be laid beside the sender's own totals."""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.tenancy import as_worker
from insights.ingest.archive_operations import list_archived_months
from insights.metering.control_queries import UnknownSource, sum_control_totals
from insights.values.months import month_text


class Command(BaseCommand):
    help = "Print records and quantity of a source by account and month."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the source and the grouping."""
        parser.add_argument("--source", required=True)
        parser.add_argument("--by", default="account,month", choices=["account", "account,month", "month"])

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the header and one line per group, months in the source's clock."""
        by = tuple(options["by"].split(","))
        try:
            with as_worker():
                rows = sum_control_totals(source_slug=options["source"], by=by)
                archived = list_archived_months()
        except UnknownSource as error:
            raise CommandError(str(error)) from None
        if archived:
            named = ", ".join(map(month_text, archived))
            self.stderr.write(f"Records of archived months are not in these totals: {named}.")
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow([*by, "records", "quantity"])
        for row in rows:
            writer.writerow([*row.group, row.records, f"{row.quantity.normalize():f}"])
