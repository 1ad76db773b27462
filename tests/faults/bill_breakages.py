"""One breakage for each promise about money, in this process and only while it is tried; the promise must turn red."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.faults.site import Site

Swap = tuple[Any, str, Any]


def _drop_a_value() -> list[Swap]:
    """P13: usage of one dimension value falls out of its bill."""
    from insights.billing import usage_lines

    split_by_cell = usage_lines.split_by_cell

    def without_one(matrix: Any, usage: Any) -> Any:
        found = split_by_cell(matrix, usage)
        dropped = next((values for values, quantity in found.items() if quantity), None)
        return {values: quantity for values, quantity in found.items() if values != dropped}

    return [(usage_lines, "split_by_cell", without_one)]


def _round_one_by_one() -> list[Swap]:
    """P14: each part is rounded by itself."""
    from insights.values import money
    from insights.values.exact import round_half_away

    def one_by_one(total: int, weights: Any) -> Any:
        whole = sum(weights.values(), Fraction(0))
        return {key: round_half_away(total * weight / whole) for key, weight in weights.items()}

    return [(money, "split", one_by_one)]


def _add_days_in_utc() -> list[Swap]:
    """P15: a day begins 24 hours after the one before it, counted from the first of the year."""
    from insights.billing import periods
    from insights.values import period

    start_of_day = period.start_of_day

    def in_utc(day: Any, zone: Any) -> datetime:
        first = day.replace(month=1, day=1)
        return start_of_day(first, zone) + timedelta(days=(day - first).days)

    return [(periods, "start_of_day", in_utc), (period, "start_of_day", in_utc)]


def _check_then_insert() -> list[Swap]:
    """P16: whether an invoice is issued is looked at before it is made, and nothing holds others off meanwhile."""
    from accounts.tenancy import as_owner, connection
    from insights.billing import issue_operations

    with as_owner(), connection().cursor() as cursor:
        cursor.execute("ALTER TABLE insights_invoice DROP CONSTRAINT invoice_once_per_operation")
    return [(issue_operations, "hold_account", lambda account_id: None)]


def _neither_lock_nor_trigger() -> list[Swap]:
    """P18: invoices of one account are made side by side, and nothing adds up what they take of a credit."""
    from accounts.tenancy import as_owner, connection
    from insights.billing import issue_operations

    with as_owner(), connection().cursor() as cursor:
        cursor.execute("ALTER TABLE insights_credituse DISABLE TRIGGER credits_stay_within")
    return [(issue_operations, "hold_account", lambda account_id: None)]


def _position_of_the_commit() -> list[Swap]:
    """P19: an invoice says that it knew everything that was there when it was stored."""
    from insights.billing import issue_operations
    from insights.metering.metered_queries import read_position

    make_drafts = issue_operations.make_drafts

    def as_of_now(loaded: Any, usage: Any) -> Any:
        time.sleep(0.5)
        usage.position = read_position()
        return make_drafts(loaded, usage)

    return [(issue_operations, "make_drafts", as_of_now)]


def _price_of_today() -> list[Swap]:
    """P20: what is rated again takes the prices that are in force today."""
    from insights.billing import issued_bill_queries
    from insights.billing.catalogue_queries import sheets_of
    from insights.models import Plan

    segments_of = issued_bill_queries.segments_of

    def of_today(document: Any) -> Any:
        found = segments_of(document)
        plans = dict(
            Plan.objects.filter(key__in=[each.sheet.plan_key for each in found]).values_list("key", "pk")
        )
        sheets = sheets_of(plans.values())
        return tuple(replace(each, sheet=sheets[plans[each.sheet.plan_key]][-1]) for each in found)

    return [(issued_bill_queries, "segments_of", of_today)]


def _swallow_a_bound() -> list[Swap]:
    """P21: what goes wrong in one bound is taken for nothing found."""
    from insights.billing import bounds

    return [(bounds, "_problem_of_source", lambda source, service: iter(()))]


def _numbers_of_a_sequence() -> list[Swap]:
    """P22: numbers come from a sequence, which gives none back."""
    from accounts.tenancy import connection
    from insights.billing import issue_operations
    from insights.models import InvoiceNumber

    def next_value(entity: Any, invoice: Any) -> int:
        with connection().cursor() as cursor:
            cursor.execute("SELECT nextval('numbers')")
            [number] = cursor.fetchone()
        InvoiceNumber.objects.create(legal_entity=entity, number_in_series=number, invoice_id=invoice.pk)
        return int(number)

    return [(issue_operations, "_take_number", next_value)]


def _clock_of_the_host() -> list[Swap]:
    """P41: what time it is, the host says."""
    from insights import invoicing

    return [(invoicing, "read_clock", lambda: datetime.now(UTC))]


BREAKAGES: dict[str, Callable[[], list[Swap]]] = {
    "P13": _drop_a_value,
    "P14": _round_one_by_one,
    "P15": _add_days_in_utc,
    "P16": _check_then_insert,
    "P18": _neither_lock_nor_trigger,
    "P19": _position_of_the_commit,
    "P20": _price_of_today,
    "P21": _swallow_a_bound,
    "P22": _numbers_of_a_sequence,
    "P41": _clock_of_the_host,
}


def break_for(promise: str) -> None:
    """Break what a promise rests on for the rest of this process."""
    for owner, name, value in BREAKAGES[promise]() if promise in BREAKAGES else ():
        setattr(owner, name, value)


@contextmanager
def broken(site: Site) -> Iterator[None]:
    """Break what the promise rests on, if the run asks for it, and put it right again."""
    with ExitStack() as stack:
        for owner, name, value in BREAKAGES[site.sabotage]() if site.sabotage in BREAKAGES else ():
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield
