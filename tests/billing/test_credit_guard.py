"""The database itself holds uses of a credit within its amount, whoever forgot to take the account's lock."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pytest
from django.db import IntegrityError

from accounts.tenancy import as_worker
from insights.models import CreditGrant, CreditUse, Invoice
from tests.billing.bills import NOVEMBER, make_grant, make_invoice
from tests.factories import make_account

pytestmark = pytest.mark.database
_USE = (
    "INSERT INTO insights_credituse (account_id, grant_id, invoice_id, is_return, amount_minor) "
    "VALUES (%s, %s, %s, false, %s)"
)


@pytest.fixture
def grant(portal_db: None) -> CreditGrant:
    """A credit of 100.00."""
    return make_grant(make_account("halyard", currency="EUR"), minor=10_000)


@pytest.fixture
def invoices(grant: CreditGrant) -> tuple[Invoice, Invoice]:
    return make_invoice(grant.account, lines=[]), make_invoice(grant.account, lines=[], period=NOVEMBER)


def use(grant: CreditGrant, invoice: Invoice, minor: int, **fields: bool) -> None:
    with as_worker():
        CreditUse.objects.create(
            account=grant.account, grant=grant, invoice=invoice, amount_minor=Decimal(minor), **fields
        )


def test_the_whole_of_it_may_be_used_and_given_back(
    grant: CreditGrant, invoices: tuple[Invoice, Invoice]
) -> None:
    use(grant, invoices[0], 10_000)
    use(grant, invoices[0], -10_000, is_return=True)
    use(grant, invoices[1], 10_000)


@pytest.mark.parametrize(("first", "second"), [(10_001, None), (6_000, 4_001), (6_000, -6_001)])
def test_no_more_than_that(
    grant: CreditGrant, invoices: tuple[Invoice, Invoice], first: int, second: int | None
) -> None:
    minors = [minor for minor in (first, second) if minor is not None]
    for invoice, minor in zip(invoices, minors[:-1], strict=False):
        use(grant, invoice, minor)

    with pytest.raises(IntegrityError, match="between nothing and its amount"):
        use(grant, invoices[1], minors[-1])


def worker() -> psycopg.Connection:
    """A connection of the worker's role, whose transactions are its own."""
    return psycopg.connect(os.environ["WORKER_DATABASE_URL"])


def test_two_at_once_without_the_lock_of_the_account(
    grant: CreditGrant, invoices: tuple[Invoice, Invoice]
) -> None:
    account_id, grant_id = grant.account.pk, grant.pk
    with worker() as one, worker() as other, ThreadPoolExecutor(1) as beside:
        one.execute(_USE, [account_id, grant_id, invoices[0].pk, 6_000])
        waiting: Future[object] = beside.submit(
            other.execute, _USE, [account_id, grant_id, invoices[1].pk, 6_000]
        )
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        one.commit()
        with pytest.raises(psycopg.errors.CheckViolation):
            waiting.result(timeout=10)
        other.rollback()


def test_a_snapshot_that_would_not_see_the_others_use_is_refused(
    grant: CreditGrant, invoices: tuple[Invoice, Invoice]
) -> None:
    with worker() as one:
        one.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            one.execute(_USE, [grant.account.pk, grant.pk, invoices[0].pk, 6_000])
        one.rollback()
