"""Makes or changes a source from a TOML file, audited as done on the command line."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.tenancy import as_worker
from insights.feeds.operations import SavedSource, import_source_toml
from insights.feeds.queries import find_account_id
from insights.ingest.source_definition import InvalidSource


class Command(BaseCommand):
    help = "Make the source that a TOML file describes, or change the one of that slug."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the file and, for a source of one account, the account."""
        parser.add_argument("file", type=Path, help="TOML file, or - for standard input")
        parser.add_argument("--account", help="reference of the one account the source writes for")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, and say what is different now."""
        text = _read(options["file"])
        try:
            with as_worker():
                account_id = _account_id(options["account"])
                saved = import_source_toml(text=text, actor=None, account_id=account_id)
        except InvalidSource as error:
            lines = [f"{name}: {message}" if name else message for name, message in error.errors]
            raise CommandError("\n".join(lines)) from None
        self.stdout.write(_said(saved))


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path}: the file is not UTF-8") from None


def _account_id(reference: str | None) -> int | None:
    if reference is None:
        return None
    account_id = find_account_id(reference=reference)
    if account_id is None:
        raise CommandError(f"no account has the reference {reference!r}")
    return account_id


def _said(saved: SavedSource) -> str:
    if saved.is_new:
        return f"{saved.slug}: made"
    return (
        f"{saved.slug}: changed {', '.join(saved.changed)}" if saved.changed else f"{saved.slug}: unchanged"
    )
