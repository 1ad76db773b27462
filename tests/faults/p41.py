"""P41: wall clocks of hosts decide nothing about money: neither what is due, nor when, nor in which order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import time_machine

from tests.faults.bill_breakages import broken
from tests.faults.bill_crowd import deliver_rows, gather
from tests.faults.site import Outcome, Site

SENTENCE = "Wall clocks are not trusted"
CASES = ("48 h behind", "48 h ahead", "jumping by an hour", "twice as fast")
COUNT = 20
JUMP_EVERY_SECONDS = 0.05
DAY = timedelta(days=1)


def run(site: Site) -> Outcome:
    """Draft, issue, file and mail with each kind of wrong clock; what money rests on is the database's time."""
    from tests.factories import make_source

    count = site.count or COUNT
    outcome = Outcome("P41", SENTENCE, site.seed, faults_asked=len(CASES))
    plans = _plans()
    make_source("edge", cadence_seconds=3600)
    for number, case in enumerate(CASES):
        _try(site, outcome, case, plans[number], count)
        outcome.faults += 1
    _check_order(site, outcome)
    outcome.figures.append(
        f"{len(CASES)} wrong clocks, each with {count} invoices due and {count} that end in a day"
    )
    outcome.check_faults()
    return outcome


def _plans() -> list[Any]:
    from insights.rating.charges import PerUnit
    from tests.billing.scene import Decimal, fee, make_plan, meters, usage_price

    meters("requests")
    tenth = PerUnit(unit_amount=Decimal("0.10"))
    return [
        make_plan(f"plan-{number}", [usage_price("requests", tenth), fee("base", "60")])
        for number in range(len(CASES))
    ]


@contextmanager
def wrong_clock(case: str) -> Iterator[None]:
    """Let this process believe another time; its monotonic clock goes on as clocks of hosts do."""
    shift = {CASES[0]: -2 * DAY, CASES[1]: 2 * DAY}.get(case, timedelta(0))
    ended = threading.Event()
    with time_machine.travel(datetime.now(UTC) + shift, tick=True) as traveller:
        thread = threading.Thread(target=_keep_wrong, args=(case, traveller, ended), daemon=True)
        if not shift:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            if not shift:
                thread.join()


def _keep_wrong(case: str, traveller: Any, ended: threading.Event) -> None:
    is_late = False
    while not ended.wait(JUMP_EVERY_SECONDS):
        if case == CASES[2]:
            traveller.shift(timedelta(hours=-1 if is_late else 1))
            is_late = not is_late
        else:
            traveller.shift(timedelta(seconds=JUMP_EVERY_SECONDS))


def _try(site: Site, outcome: Outcome, case: str, plan: Any, count: int) -> None:
    from insights.invoicing import draft_invoices, issue_invoices, send_invoices

    before = _database_clock(site)
    midnight = before.replace(hour=0, minute=0, second=0, microsecond=0)
    due = gather(count, [plan], starts_at=midnight - 40 * DAY, prefix=f"due-{plan.key}")
    running = gather(count, [plan], starts_at=_month_before(midnight + DAY), prefix=f"running-{plan.key}")
    with wrong_clock(case), broken(site):
        names = [one.account.reference for one in (*due, *running)]
        window = f"{midnight - 35 * DAY:%Y-%m-%dT%H:%M:%SZ}"
        deliver_rows([[name, "requests", window, "10", "1"] for name in names], until=midnight + 30 * DAY)
        for task in (draft_invoices, issue_invoices, send_invoices, issue_invoices):
            _quietly(task)
    after = _database_clock(site)
    _judge(site, outcome, case, plan.key, (before, after), count)


def _quietly(task: Callable[[], Any]) -> None:
    """Mails go into a box in memory."""
    from django.test.utils import override_settings

    with override_settings(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend"):
        task()


def _month_before(instant: datetime) -> datetime:
    """Where a period began that ends at this instant."""
    month = (instant.year * 12 + instant.month - 2) % 12 + 1
    year = instant.year - (instant.month == 1)
    day = instant.day
    while True:
        try:
            return instant.replace(year=year, month=month, day=day)
        except ValueError:
            day -= 1


def _database_clock(site: Site) -> datetime:
    with psycopg.connect(site.conninfo) as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now.astimezone(UTC)


_INVOICES = """
SELECT a.reference, i.period_start, i.period_end, i.issued_at, i.due_at, i.drafted_at, s.changed_at, f.made_at,
    i.state, g.starts_at
FROM insights_invoice i JOIN accounts_account a ON a.id = i.account_id
JOIN insights_subscription g ON g.account_id = i.account_id AND g.id = i.subscription_id
LEFT JOIN insights_settlement s ON s.account_id = i.account_id AND s.invoice_id = i.id
LEFT JOIN insights_invoicefile f ON f.account_id = i.account_id AND f.invoice_id = i.id
WHERE a.reference LIKE %s ORDER BY i.period_start
"""


def _judge(
    site: Site, outcome: Outcome, case: str, key: str, span: tuple[datetime, datetime], count: int
) -> None:
    with psycopg.connect(site.conninfo) as connection:
        due = connection.execute(_INVOICES, [f"due-{key}-%"]).fetchall()
        running = connection.execute(_INVOICES, [f"running-{key}-%"]).fetchall()
    issued = [row for row in due if row[8] == "issued"]
    early = [row for row in (*due, *running) if row[8] != "draft" and row[2] > span[0]]
    outcome.rows += len(due) + len(running)
    outcome.require(f"{case}: {len(issued)} of {count} due were issued", holds=len(issued) == count)
    outcome.require(f"{case}: {len(early)} invoices came early", holds=not early)
    outcome.require(f"{case}: {len(running)} of {count} are drafted", holds=len(running) == count)
    faults = 0
    for _, start, _, issued_at, due_at, drafted_at, changed_at, made_at, _, starts_at in issued:
        faults += start != starts_at or due_at - issued_at != timedelta(days=14)
        faults += any(not span[0] <= each <= span[1] for each in (issued_at, drafted_at, changed_at, made_at))
    outcome.differences += faults + len(early)
    outcome.require(f"{case}: {faults} periods, due dates or instants are the host's", holds=not faults)


def _check_order(site: Site, outcome: Outcome) -> None:
    """Numbers follow the instants of issue, positions those of commits, and neither is the host's."""
    with psycopg.connect(site.conninfo) as connection:
        late = connection.execute(
            "SELECT count(*) FROM (SELECT issued_at < lag(issued_at) OVER (ORDER BY number_in_series) AS is_late "
            "FROM insights_invoice WHERE state = 'issued') n WHERE is_late"
        ).fetchone()
        disordered = connection.execute(
            "SELECT count(*) FROM (SELECT committed_at < lag(committed_at) OVER (ORDER BY position) AS is_late "
            "FROM insights_ledgerentry) e WHERE is_late"
        ).fetchone()
        numbers = connection.execute(
            "SELECT count(*), max(number_in_series) FROM insights_invoicenumber"
        ).fetchone()
    outcome.require(f"{late} numbers are out of the order of issues", holds=late == (0,))
    outcome.require(f"{disordered} positions are out of the order of commits", holds=disordered == (0,))
    outcome.require(f"numbers have gaps: {numbers}", holds=numbers is not None and numbers[0] == numbers[1])
