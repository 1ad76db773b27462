"""Meters, series and deliveries for the tests of reading usage."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import transaction

from accounts.tenancy import as_worker, current_alias
from insights.metering.aggregations import MeterFacts
from insights.metering.sum_operations import list_days_to_sum, sum_days
from insights.models import Batch, Source
from tests.factories import ingest_now


def meter_facts(**fields: Any) -> MeterFacts:
    """A summed meter with three dimensions, without a database."""
    defaults = {
        "id": 1,
        "key": "requests",
        "version": 1,
        "name": "Requests",
        "description": "",
        "unit": "requests",
        "aggregation": "sum",
        "dimensions": ("endpoint", "region", "protocol"),
        "unique_dimensions": (),
        "is_newest": True,
        "has_usage": True,
    }
    return MeterFacts(**{**defaults, **fields})


def hour(text: str) -> datetime:
    """The instant of `2026-11-03T14` in UTC."""
    return datetime.fromisoformat(f"{text}:00:00").replace(tzinfo=UTC)


def deliver(
    source: Source, rows: Iterable[Mapping[str, Any]], *, complete_to: datetime | None = None, **fixed: Any
) -> Batch:
    """Send rows through the usual way in; a row has account, meter, at, quantity and its dimensions."""
    lines = [{**fixed, **row} for row in rows]
    dimensions = sorted({key for line in lines for key in line} - {"account", "meter", "at", "quantity"})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["account", "meter", "window_start", "quantity", *dimensions])
    for line in lines:
        start = line["at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        cells = [line.get(key, "") for key in dimensions]
        writer.writerow([line["account"], line["meter"], start, str(line["quantity"]), *cells])
    batch = ingest_now(source, text.getvalue(), media_type="csv", complete_to=complete_to)
    assert batch.rejected == 0, batch.error_detail
    return batch


def hours_from(start: datetime, count: int) -> list[datetime]:
    """Whole hours one after the other."""
    return [start + number * timedelta(hours=1) for number in range(count)]


def sum_days_before(end: date) -> int:
    """Sum every day before one, also of meters of few series; return how many days that were."""
    with as_worker(), transaction.atomic(using=current_alias()):
        return sum(
            sum_days(replace(wanted, days=tuple(day for day in wanted.days if day < end)))
            for wanted in list_days_to_sum(series_min=1)
        )
