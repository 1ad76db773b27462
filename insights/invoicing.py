"""The Celery tasks that bring invoices up to date, as beat asks for them by the clock.

A pass that is cut short, by its time or by a kill, is taken up again by the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import structlog
from celery import shared_task

from accounts.tenancy import as_worker
from insights.billing.dispatch_queries import list_invoices_to_file, list_invoices_to_mail
from insights.billing.file_operations import file_invoice
from insights.billing.mail_operations import send_invoice_mail
from insights.billing.pass_operations import run_pass
from insights.billing.period_queries import PartOfAccounts, read_clock
from insights.billing.uncovered_operations import find_uncovered

logger = structlog.get_logger(__name__)
Done = TypeVar("Done")

# Well before a task's time is up.
PASS_SECONDS_MAX = 240.0
FILES_AT_ONCE = 200
MAILS_AT_ONCE = 50


@shared_task
def draft_invoices(number: int = 0, of: int = 1) -> int:
    """Draft anew what usage or a change has left behind, in a part of the accounts; return how many were looked at."""
    return _pass("draft", PartOfAccounts(number, of))


@shared_task
def issue_invoices(number: int = 0, of: int = 1) -> int:
    """Issue what is due and park what a person has to look at, of a part of the accounts; return how many went out."""
    return _pass("issue", PartOfAccounts(number, of))


@shared_task
def find_uncovered_usage() -> int:
    """Put usage that no subscription covers on the list, of all accounts; return for how many it changed.

    An invoice that is due looks for its own account; this finds it where no invoice is to come.
    """
    with as_worker():
        return find_uncovered(None, read_clock())


@shared_task
def send_invoices() -> int:
    """Make the file of every issued invoice that has none, then mail those issued lately; return how many mails."""
    with as_worker():
        now = read_clock()
        for invoice_id in list_invoices_to_file(limit=FILES_AT_ONCE):
            _try(file_invoice, invoice_id, now)
        mailed = [
            _try(send_invoice_mail, invoice_id, now)
            for invoice_id in list_invoices_to_mail(now, limit=MAILS_AT_ONCE)
        ]
        return sum(len(reached or ()) for reached in mailed)


@shared_task
def mail_invoice(invoice_id: int) -> int:
    """Mail one issued invoice, however long ago it was issued, unless it was mailed before; return how many mails."""
    with as_worker():
        return len(_try(send_invoice_mail, invoice_id, read_clock()) or ())


def _try(act: Callable[..., Done], invoice_id: int, now: datetime) -> Done | None:
    """Do something with one invoice; one that cannot be done is in the log and holds up no other."""
    try:
        return act(invoice_id, now=now)
    except Exception as error:
        logger.error("invoice not sent", invoice=invoice_id, error=f"{type(error).__name__}: {error}")
        return None


def _pass(kind: str, part: PartOfAccounts) -> int:
    with as_worker():
        run = run_pass(kind, read_clock(), until=time.monotonic() + PASS_SECONDS_MAX, part=part)
    if run is None:
        return 0
    return run.issued if kind == "issue" else run.done
