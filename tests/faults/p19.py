"""P19: a row that comes late is in the invoice or in a correction of it, never in both and never in neither."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg

from tests.faults.bill_breakages import broken
from tests.faults.bill_crowd import deliver_rows, gather, periods_of
from tests.faults.site import Outcome, Site

SENTENCE = "Late rows are never dropped"
COUNT = 500
# Of each account so many rows are sent right before its invoice is made, and so many right after.
ROWS_AT_THE_EDGE = 5
SMALL = 100
AT_ONCE = 8
# A row is there a while after it is sent, so that sending has to begin before issuing to come first.
ISSUE_SECONDS_MAX, SEND_SECONDS_MAX = 0.5, 0.05
EDGES = ("2026-03-31T23:55:00Z", "2026-04-01T00:00:00Z")
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, 1, tzinfo=UTC)
MAY = datetime(2026, 5, 1, 1, tzinfo=UTC)
_PLACES = """
SELECT a.reference,
    sum(l.metered_quantity) FILTER (WHERE l.kind = 'charge' AND i.period_start = '2026-03-01Z'),
    sum(l.metered_quantity) FILTER (WHERE l.kind = 'correction'),
    sum(l.metered_quantity) FILTER (WHERE l.kind = 'charge' AND i.period_start = '2026-04-01Z'),
    sum(l.amount_minor)
FROM insights_lineitem l JOIN insights_invoice i ON i.account_id = l.account_id AND i.id = l.invoice_id
JOIN accounts_account a ON a.id = i.account_id WHERE i.state = 'issued' AND l.meter_key = 'requests' GROUP BY 1
"""


def run(site: Site) -> Outcome:
    """Send rows while the invoices that they would be in are issued, and just before and after; find each once."""
    trials = site.count or COUNT
    outcome = Outcome("P19", SENTENCE, site.seed, faults_asked=trials)
    names = _open(trials)
    wanted = _rows_before(names)
    with broken(site):
        _race(site, outcome, names)
    late = [
        [name, "requests", f"2026-03-{day + 10:02d}T00:00:00Z", "1000", "1"]
        for name in names
        for day in range(ROWS_AT_THE_EDGE)
    ]
    deliver_rows([*late, *([name, "requests", EDGES[1], "100000", "1"] for name in names)], until=MAY)
    with broken(site):
        _bill_all(MAY)
    _check(site, outcome, len(names), before=wanted)
    outcome.check_faults()
    return outcome


def _open(trials: int) -> list[str]:
    from insights.rating.charges import PerUnit
    from tests.billing.scene import Decimal, make_plan, usage_price
    from tests.factories import make_meter, make_source

    make_meter("requests", unit="unit", grain_seconds=300, dimensions=[])
    make_source("edge", window="5min")
    plan = make_plan("units", [usage_price("requests", PerUnit(unit_amount=Decimal("0.01")))])
    return [one.account.reference for one in gather(trials, [plan], starts_at=MARCH)]


def _rows_before(names: Sequence[str]) -> int:
    """Send what is there before any invoice; returns what each account has of it."""
    rows = [
        [name, "requests", f"2026-03-{day + 20:02d}T00:00:00Z", "100", "1"]
        for name in names
        for day in range(ROWS_AT_THE_EDGE)
    ]
    deliver_rows(rows, until=APRIL)
    return 100 * ROWS_AT_THE_EDGE


def _race(site: Site, outcome: Outcome, names: Sequence[str]) -> None:
    """In each trial one thread issues the invoice and another sends a row of its last five minutes."""
    from django.db import connections

    from accounts.tenancy import as_worker
    from insights.billing.issue_operations import issue_invoice
    from insights.models import Subscription

    with as_worker():
        subscriptions = list(Subscription.objects.filter(account__reference__in=names).order_by("pk"))
    chance = random.Random(site.seed)
    overlapped: list[bool] = []

    def trial(name: str, to_bill: Any, delays: tuple[float, float]) -> None:
        gate = threading.Barrier(2)
        spans: dict[str, tuple[float, float]] = {}

        def act(what: str, delay: float, do: Callable[[], Any]) -> None:
            try:
                gate.wait(60)
                time.sleep(delay)
                began = time.monotonic()
                with as_worker():
                    do()
                spans[what] = (began, time.monotonic())
            finally:
                connections.close_all()

        acts = (
            ("issue", delays[0], partial(issue_invoice, to_bill, APRIL)),
            ("send", delays[1], partial(deliver_rows, [[name, "requests", EDGES[0], "7", "1"]])),
        )
        threads = [threading.Thread(target=act, args=each) for each in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcome.require(f"{name}: issuing or sending failed", holds=len(spans) == 2)
        if len(spans) == 2:
            overlapped.append(spans["issue"][0] < spans["send"][1] and spans["send"][0] < spans["issue"][1])

    jobs = [
        (name, to_bill, (chance.uniform(0, ISSUE_SECONDS_MAX), chance.uniform(0, SEND_SECONDS_MAX)))
        for name, to_bill in zip(names, periods_of(subscriptions, APRIL), strict=True)
    ]
    with ThreadPoolExecutor(AT_ONCE // 2) as pool:
        list(pool.map(lambda job: trial(*job), jobs))
    outcome.faults = len(overlapped)
    outcome.figures.append(f"{sum(overlapped)} of {len(overlapped)} rows were sent while their invoice was issued")


def _bill_all(now: datetime) -> None:
    from accounts.tenancy import as_worker
    from insights.billing.run_operations import issue_due
    from insights.models import Subscription

    with as_worker():
        tally = issue_due(list(Subscription.objects.select_related("account").order_by("pk")), now)
    if tally.failed or tally.parked:
        raise AssertionError(f"{tally.failed} failed, {tally.parked} parked: {tally.problem}")


def _check(site: Site, outcome: Outcome, count: int, *, before: int) -> None:
    """March's line and its corrections hold March's rows, April's line April's, and all of it at its price."""
    late = 1_000 * ROWS_AT_THE_EDGE
    in_invoice = in_correction = 0
    with psycopg.connect(site.conninfo) as connection:
        rows = connection.execute(_PLACES).fetchall()
        sent = connection.execute("SELECT count(*) FROM insights_usagerecord").fetchone()
    for name, march, corrected, april, minor in rows:
        is_in = march == before + 7
        in_invoice += is_in
        in_correction += not is_in
        wanted = (before + 7 * is_in, late + 7 * (not is_in), 100_000, before + late + 7 + 100_000)
        if (march, corrected, april, minor) != wanted:
            outcome.differences += 1
            outcome.failures.append(f"{name}: {march}, {corrected}, {april}, {minor}, not {wanted}")
    outcome.rows = sent[0] if sent else 0
    is_many = count > SMALL
    outcome.require(
        "no row came in time, or none late", holds=not is_many or bool(in_invoice and in_correction)
    )
    outcome.require(f"{len(rows)} of {count} accounts were billed", holds=len(rows) == count)
    outcome.figures.append(
        f"{count} races: the row was {in_invoice} times in the invoice and {in_correction} times in a correction; "
        f"{count * ROWS_AT_THE_EDGE} rows right before the issue, {count * ROWS_AT_THE_EDGE} right after, "
        f"{count} at the first instant of the next period"
    )
