"""An account's usage over the edges of an old month, and what the tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command

from accounts.tenancy import as_owner, as_worker, connection
from insights.models import Batch, RejectedLine
from insights.retention.archive_operations import archive_month
from insights.retention.lock_operations import Request
from tests.factories import change_source, ingest_now, make_account, make_meter, make_source

JUNE = date(2024, 6, 1)
JULY = date(2024, 7, 1)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HEADER = "account,meter,window_start,quantity,endpoint,revision,row_id\n"
REQUEST = Request(month=JUNE, actor_name="ops", reason="older than we bill")


def make_world(key_kind: str) -> Any:
    """Three accounts on three clocks, three ways of summing, and one source of the kind."""
    make_meter("bytes_out")
    make_meter("seats", aggregation="latest")
    make_meter("peak", aggregation="max")
    make_account("ansel", billing_zone="America/Havana")
    make_account("brook", billing_zone="Asia/Tokyo")
    make_account("cedar")
    return make_source("edge", clock_zone="", key_kind=key_kind)


def line(
    at: str,
    quantity: object,
    *,
    revision: int = 1,
    account: str = "ansel",
    meter: str = "bytes_out",
    row: str = "",
) -> str:
    """One line; its row id, where the source has one, names the same fact as its window unless said otherwise."""
    return f"{account},{meter},{at}:00Z,{quantity},a,{revision},{row or f'{account}-{meter}-{at}'}\n"


def month_lines() -> list[str]:
    """Lines in May, June and July, three of them within a day of the month's edges on somebody's clock."""
    instants = [
        "2024-05-31T12:00", "2024-05-31T23:00", "2024-06-01T00:00", "2024-06-01T03:00", "2024-06-15T10:00",
        "2024-06-15T11:00", "2024-06-30T23:00", "2024-07-01T02:00", "2024-07-03T12:00",
    ]  # fmt: skip
    return [
        line(at, number + 1, account=account, meter=meter)
        for number, at in enumerate(instants)
        for account in ("ansel", "brook", "cedar")
        for meter in ("bytes_out", "seats", "peak")
    ]


def send(source: Any, *lines: str) -> Batch:
    """Deliver lines; a source of windows has no row id."""
    body = HEADER + "".join(lines)
    if source.key_kind == "window":
        body = "".join(text.rpartition(",")[0] + "\n" for text in body.splitlines())
    return ingest_now(source, body)


def archive(request: Request = REQUEST) -> Any:
    """Archive June as the command does."""
    with as_worker():
        return archive_month(request, last_invoice_issued_at=None, now=NOW)


def verdicts(batch: Batch) -> dict[str, int]:
    """How many lines of a batch had each verdict, those with none left out."""
    counts = {name: getattr(batch, name) for name in ("new", "replaced", "duplicate", "stale", "rejected")}
    return {name: count for name, count in counts.items() if count}


def codes(batch: Batch) -> list[tuple[int, str, str]]:
    """Line, code and field of each refused line."""
    with as_worker():
        rows = RejectedLine.objects.filter(batch=batch).order_by("line_no")
        return [(row.line_no, row.code, row.field) for row in rows]


def rows_of(statement: str, *values: Any) -> list[Any]:
    """Ask as the worker."""
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def records() -> list[str]:
    """Every record in the ledger, byte by byte."""
    return [row[0] for row in rows_of("SELECT u::text FROM insights_usagerecord u ORDER BY u::text")]


def rollups() -> list[str]:
    """Every rollup, byte by byte."""
    return [row[0] for row in rows_of("SELECT r::text FROM insights_usagerollup r ORDER BY r::text")]


def verify(*options: str) -> str:
    """What the check of the books says; the last line tells whether they agree."""
    out = StringIO()
    try:
        call_command("verify_books", *options, stdout=out)
    except CommandError as error:
        return f"{out.getvalue()}{error}"
    return out.getvalue()


def assert_books_agree() -> None:
    """The books agree with themselves, or the test ends with what differs."""
    said = verify()
    assert said.endswith("The books agree.\n"), said


@contextmanager
def no_detached_left() -> Iterator[None]:
    """Tables that a test detached are dropped behind it: they are rows of nobody's model."""
    try:
        yield
    finally:
        with as_owner(), connection().cursor() as cursor:
            cursor.execute(
                "SELECT c.relname FROM pg_class c WHERE c.relname LIKE 'insights_usagerecord_%%_detached'"
            )
            for (table,) in cursor.fetchall():
                cursor.execute(f"DROP TABLE {table}")


def change_age(source: Any, *, days: int) -> None:
    """Let the source send no older lines."""
    change_source(source, max_age_days=days)


def make_world_beside() -> Any:
    """The world beside a cast that has an account called Ansel already."""
    for meter, aggregation in (("bytes_out", "sum"), ("seats", "latest"), ("peak", "max")):
        make_meter(meter, aggregation=aggregation)
    make_account("brook")
    make_account("cedar")
    return make_source("edge", clock_zone="")


def replaced(**fields: Any) -> Request:
    """The usual request with something else in it."""
    return replace(REQUEST, **fields)
