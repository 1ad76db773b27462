"""Makes the meters that a TOML file describes; those that exist unchanged are left alone."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.tenancy import as_worker
from insights.feeds.meter_toml import InvalidMeters, MeterDescription, parse_meters_toml
from insights.feeds.operations import save_meter
from insights.models import Meter

MEANING = ("unit", "grain_seconds", "aggregation", "dimensions", "unique_dimensions")


class Command(BaseCommand):
    help = "Make meters from a TOML file (see docs/examples/electricity.toml)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the file."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Make what is missing; refuse what would change the meaning of a version in use."""
        try:
            descriptions = parse_meters_toml(options["file"].read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from None
        except InvalidMeters as error:
            raise CommandError("\n".join(error.errors)) from None
        with as_worker():
            for description in descriptions:
                self.stdout.write(f"{description.key} (version {description.version}): {_make(description)}")


def _make(description: MeterDescription) -> str:
    wanted = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(description).items()
    }
    existing = Meter.objects.filter(key=description.key, version=description.version).first()
    if existing is None:
        _refuse_out_of_turn(description)
        save_meter(meter=Meter(**wanted), actor=None)
        return "made"
    changed = [name for name in MEANING if getattr(existing, name) != wanted[name]]
    if changed:
        raise CommandError(
            f"{description.key}: {', '.join(changed)} differ from version {description.version}; "
            "a meter with another meaning is a new version"
        )
    return "unchanged"


def _refuse_out_of_turn(description: MeterDescription) -> None:
    for other in Meter.objects.filter(key=description.key).order_by("version"):
        if other.version > description.version:
            raise CommandError(
                f"{description.key}: version {other.version} exists; a new version comes after it"
            )
        if other.retired_at is None:
            raise CommandError(
                f"{description.key}: version {other.version} is open; retire it in the admin, from the instant on "
                f"that version {description.version} counts"
            )
