"""Writes a version of a plan as TOML, in the form that load_plan reads."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.tenancy import as_worker
from insights.billing.catalogue_queries import UnknownPlan, plan_document
from insights.billing.plan_toml_text import plan_to_toml


class Command(BaseCommand):
    help = "Write a plan's newest version as TOML."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the plan and, if wanted, a version and a file."""
        parser.add_argument("plan", help="key of the plan")
        parser.add_argument("--number", type=int, help="number of the version; the newest if not given")
        parser.add_argument("--output", type=Path, help="file to write; standard output if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the TOML."""
        try:
            with as_worker():
                text = plan_to_toml(plan_document(options["plan"], number=options["number"]))
        except UnknownPlan:
            raise CommandError(f"there is no such version of a plan {options['plan']!r}") from None
        if options["output"] is None:
            self.stdout.write(text, ending="")
        else:
            options["output"].write_text(text, encoding="utf-8")
