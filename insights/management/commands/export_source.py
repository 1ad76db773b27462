"""Writes a source's definition as TOML, in the form that import_source reads."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.tenancy import as_worker
from insights.feeds.queries import UnknownSource, get_source
from insights.ingest.source_definition import source_to_toml


class Command(BaseCommand):
    help = "Write a source's definition as TOML."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the source and, if wanted, a file."""
        parser.add_argument("source", help="slug of the source")
        parser.add_argument("--output", type=Path, help="file to write; standard output if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the TOML."""
        try:
            with as_worker():
                definition = get_source(slug=options["source"], now=timezone.now()).definition
        except UnknownSource:
            raise CommandError(f"there is no source {options['source']!r}") from None
        text = source_to_toml(definition)
        if options["output"] is None:
            self.stdout.write(text, ending="")
        else:
            options["output"].write_text(text, encoding="utf-8")
