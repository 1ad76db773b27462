"""Reads the books against themselves: every check in one snapshot, differences handed on one by one.

Holds no list of rows, so its memory does not grow with the books or with what is wrong in them. Run as the worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import Account
from accounts.tenancy import connection, current_alias
from insights.books.bill_queries import BILL_CHECKS_READ, BillCheck, BillScope
from insights.books.check import Check
from insights.books.checks import CHECKS
from insights.models import BookCheck

FETCHED_AT_ONCE = 1_000


class UnknownAccount(LookupError):
    """No account has that reference."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check compared, and how much of it differs."""

    name: str
    rows: int
    differences: int


def check_books(
    *,
    account_id: int | None,
    kept_since: datetime,
    takes_all: bool = False,
    on_result: Callable[[CheckResult], None],
    on_difference: Callable[[str], None],
) -> tuple[CheckResult, ...]:
    """Run every check, telling each difference and then each result as it is found.

    `takes_all` holds every issued invoice to its usage, not only the newest ones of each account.
    """
    results = []
    with transaction.atomic(using=current_alias()):
        with connection().cursor() as cursor:
            # One snapshot, so that work that goes on meanwhile cannot look like a difference.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # No month is detached while this reads, or after its snapshot and before its first look at records.
            cursor.execute("LOCK TABLE insights_usagerecord IN ACCESS SHARE MODE")
            cursor.execute("SET LOCAL jit = off")
            cursor.execute("SET LOCAL work_mem = '64MB'")
            # Cursors are planned for their first rows unless told that all are wanted.
            cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
            # Right after a load nothing is known of the new rows, and a join takes few for granted: a loop over all of
            # them for each, or a merge by half of a key, has been seen to take minutes. Hashing is never far off.
            for plan in ("nestloop", "mergejoin"):
                cursor.execute(f"SET LOCAL enable_{plan} = off")
        for check in CHECKS:
            if check.is_platform_wide and account_id is not None:
                continue
            result = _run(check, {"account": account_id, "kept_since": kept_since}, on_difference)
            results.append(result)
            on_result(result)
        for bill_check in BILL_CHECKS_READ:
            scope = BillScope(account_id=account_id, takes_all=takes_all)
            result = _compare(bill_check, scope, on_difference)
            results.append(result)
            on_result(result)
    return tuple(results)


def _run(check: Check, parameters: dict[str, Any], on_difference: Callable[[str], None]) -> CheckResult:
    differences = 0
    with connection().chunked_cursor() as cursor:
        cursor.execute(check.differences, parameters)
        while found := cursor.fetchmany(FETCHED_AT_ONCE):
            for (difference,) in found:
                differences += 1
                on_difference(difference)
    with connection().cursor() as cursor:
        cursor.execute(check.rows, parameters)
        rows = int(cursor.fetchone()[0])
    return CheckResult(name=check.name, rows=rows, differences=differences)


def _compare(check: BillCheck, scope: BillScope, on_difference: Callable[[str], None]) -> CheckResult:
    rows = differences = 0
    for found in check.compare(scope):
        rows += 1
        if found is not None:
            differences += 1
            on_difference(found)
    return CheckResult(name=check.name, rows=rows, differences=differences)


def find_last_check() -> BookCheck | None:
    """Return the newest check of all the books that was kept, if there is one."""
    return BookCheck.objects.order_by("-id").first()


def list_account_ids(*, reference: str | None) -> tuple[int, ...]:
    """Return the account of that reference, or every account; raises UnknownAccount."""
    accounts = Account.objects.order_by("id")
    if reference is not None:
        accounts = accounts.filter(reference=reference)
    found = tuple(accounts.values_list("id", flat=True))
    if reference is not None and not found:
        raise UnknownAccount(reference)
    return found
