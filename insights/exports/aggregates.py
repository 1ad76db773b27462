"""Writes an exploration as CSV: one line for each stretch of time, or for each stretch and group. Pure.

Shows the quantities that the page shows and computes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from decimal import Decimal

from insights.exports.formatting import column_names, csv_lines, safe_text
from insights.metering.explore import Bucket, Exploration, Group
from insights.values.quantity import exact_text

BEFORE = ("window_start", "window_end")
AFTER = ("quantity", "unit", "state")
# Whatever is as known at an earlier moment says so in each of its rows.
KNOWN_COLUMN = "known_at_position"
# A dimension may well have a value called "other"; this column tells the rest, and records without the
# dimension.
PART = "part"


def aggregate_lines(answer: Exploration, *, zone: tzinfo, raw: bool) -> Iterator[bytes]:
    """Yield the CSV lines of an exploration, header first; `raw` leaves texts as they are."""
    rows = _grouped_rows(answer, zone, raw=raw) if answer.filter.group_by else _plain_rows(answer, zone)
    return csv_lines(
        rows if answer.filter.known is None else _with_position(rows, answer.filter.known.position)
    )


def _with_position(rows: Iterator[Iterable[str]], position: int) -> Iterator[Iterable[str]]:
    """Say in each row as known at which position it is."""
    yield (*next(rows), KNOWN_COLUMN)
    for row in rows:
        yield (*row, str(position))


def instant_text(instant: datetime, zone: tzinfo) -> str:
    """Return an instant in RFC 3339 as the clock of a zone shows it, with its offset, or Z for none."""
    return instant.astimezone(zone).isoformat().replace("+00:00", "Z")


def quantity_text(quantity: Decimal | None) -> str:
    """Return every digit of a quantity, and nothing for one that is not known."""
    return "" if quantity is None else exact_text(quantity)


def part_name(group: Group) -> str:
    """Say whether a group is one value, the records without one, or the rest."""
    if group.is_rest:
        return "other"
    return "none" if group.value is None else "value"


def _plain_rows(answer: Exploration, zone: tzinfo) -> Iterator[Iterable[str]]:
    has_previous = answer.filter.compares
    yield (*BEFORE, *AFTER, "records", *(("previous_quantity",) if has_previous else ()))
    for bucket in answer.buckets:
        row = (
            *_window(bucket, zone),
            quantity_text(bucket.quantity),
            answer.unit,
            bucket.kind,
            str(bucket.records),
        )
        yield (*row, quantity_text(bucket.previous)) if has_previous else row


def _grouped_rows(answer: Exploration, zone: tzinfo, *, raw: bool) -> Iterator[Iterable[str]]:
    yield column_names(fixed_before=(*BEFORE, PART), dimensions=(answer.filter.group_by,), fixed_after=AFTER)
    names = [_group_cells(group, raw=raw) for group in answer.groups]
    for bucket in answer.buckets:
        for cells, quantity in zip(names, bucket.parts, strict=True):
            yield (*_window(bucket, zone), *cells, quantity_text(quantity), answer.unit, bucket.kind)


def _group_cells(group: Group, *, raw: bool) -> tuple[str, str]:
    value = group.value or ""
    return part_name(group), value if raw else safe_text(value)


def _window(bucket: Bucket, zone: tzinfo) -> tuple[str, str]:
    return instant_text(bucket.slot.start, zone), instant_text(bucket.slot.end, zone)
