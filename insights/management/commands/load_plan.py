"""Makes a plan, or a draft of its next version, from a TOML file; audited as done on the command line."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.operations import UnableToChange
from accounts.tenancy import as_worker
from insights.billing.catalogue_operations import check_plan, load_plan, publish_version
from insights.billing.period_queries import read_clock
from insights.billing.plan_faults import InvalidPlan
from insights.billing.plan_toml import PlanDocument, parse_plan_toml
from insights.billing.toml_lines import located


class Command(BaseCommand):
    help = "Make a plan, or a draft of its next version, from a TOML file (see docs/pricing.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the file, and say how far to go."""
        parser.add_argument("file", type=Path, help="TOML file, or - for standard input")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--check", action="store_true", help="only say what is wrong; nothing is stored")
        how.add_argument(
            "--publish", action="store_true", help="put the version in force from its beginning on"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Load, and say what was made; with faults, say every one and store nothing."""
        text = _read(options["file"])
        try:
            document = parse_plan_toml(text)
            with as_worker():
                said = _check(document) if options["check"] else _load(document, publish=options["publish"])
        except InvalidPlan as error:
            raise CommandError("\n".join(map(str, located(text, error.faults)))) from None
        except UnableToChange as error:
            raise CommandError(error.message) from None
        self.stdout.write(said)


def _check(document: PlanDocument) -> str:
    check_plan(document=document)
    count = len(document.prices)
    return f"{document.key}: {count} {'price' if count == 1 else 'prices'}, nothing is wrong"


def _load(document: PlanDocument, *, publish: bool) -> str:
    loaded = load_plan(document=document, actor=None)
    said = f"{loaded.key}: version {loaded.number} is a draft"
    if loaded.replaced_draft:
        said += ", in the place of the draft before it"
    if publish:
        publish_version(key=loaded.key, number=loaded.number, actor=None, now=read_clock())
        said = f"{loaded.key}: version {loaded.number} is published"
    return said


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path}: the file is not UTF-8") from None
