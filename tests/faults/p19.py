"""P19: a row that comes late is in the invoice or in a correction of it, never in both and never in neither."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg

from tests.faults.bill_breakages import broken
from tests.faults.bill_crowd import at_once, deliver_rows, gather, periods_of
from tests.faults.site import Outcome, Site

SENTENCE = "Late rows are never dropped"
COUNT = 500
# Of each account so many rows are sent right before its invoice is made, and so many right after.
ROWS_AT_THE_EDGE = 5
SMALL = 100
AT_ONCE = 8
PAUSE_SECONDS_MAX = 0.1
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
    # To every other account only: rows that come later bring the whole bill up again, and with it what was missed.
    late = [
        [name, "requests", f"2026-03-{day + 10:02d}T00:00:00Z", "1000", "1"]
        for name in names[1::2]
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


# Where the sender stands when the invoice begins to be made; a row is there once its position is committed.
STAGES = ("before sending", "before the position", "position taken", "sent")


class _Trial:
    """One row on its way, and the invoice that it meets."""

    def __init__(self, stage: str, pause_seconds: float) -> None:
        self.stage, self.pause_seconds = stage, pause_seconds
        self.reached = threading.Event()
        self.done: set[str] = set()

    def send(self, name: str) -> None:
        _sending.trial = self
        self.reach("before sending")
        deliver_rows([[name, "requests", EDGES[0], "7", "1"]])
        self.reach("sent")
        self.done.add("sent")

    def issue(self, to_bill: Any) -> None:
        from insights.billing.issue_operations import issue_invoice

        if self.reached.wait(60):
            issue_invoice(to_bill, APRIL)
            self.done.add("issued")

    def reach(self, stage: str) -> None:
        """Let the invoice begin, and give it some time before going on."""
        if stage == self.stage:
            self.reached.set()
            time.sleep(self.pause_seconds)


_sending = threading.local()


@contextmanager
def _stages() -> Iterator[None]:
    """Let senders of this process say where they stand around the last statement of their transaction."""
    from insights.ingest import chunk_operations

    take_position = chunk_operations.take_position

    def say_so(entry_id: int) -> None:
        _sending.trial.reach("before the position")
        take_position(entry_id)
        _sending.trial.reach("position taken")

    chunk_operations.take_position = say_so
    try:
        yield
    finally:
        chunk_operations.take_position = take_position


def _race(site: Site, outcome: Outcome, names: Sequence[str]) -> None:
    """In each trial one thread issues the invoice and another sends a row of its last five minutes."""
    from accounts.tenancy import as_worker
    from insights.models import Subscription

    with as_worker():
        subscriptions = list(Subscription.objects.filter(account__reference__in=names).order_by("pk"))
    chance = random.Random(site.seed)

    def race(job: tuple[str, Any, _Trial]) -> None:
        name, to_bill, trial = job
        answers = at_once([partial(trial.send, name), partial(trial.issue, to_bill)])
        outcome.require(f"{name}: {answers}", holds=trial.done == {"sent", "issued"})
        outcome.faults += trial.done == {"sent", "issued"}

    jobs = [
        (name, to_bill, _Trial(STAGES[number % len(STAGES)], chance.uniform(0, PAUSE_SECONDS_MAX)))
        for number, (name, to_bill) in enumerate(zip(names, periods_of(subscriptions, APRIL), strict=True))
    ]
    with _stages(), ThreadPoolExecutor(AT_ONCE // 2) as pool:
        list(pool.map(race, jobs))


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
    in_invoice = in_correction = 0
    with psycopg.connect(site.conninfo) as connection:
        rows = connection.execute(_PLACES).fetchall()
        sent = connection.execute("SELECT count(*) FROM insights_usagerecord").fetchone()
    for name, march, corrected, april, minor in rows:
        is_in = march == before + 7
        late = 1_000 * ROWS_AT_THE_EDGE if int(name.rpartition("-")[2]) % 2 else 0
        corrected = corrected or 0
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
        f"{count} races from {len(STAGES)} stages of sending: the row was {in_invoice} times in the invoice and "
        f"{in_correction} times in a correction; {count * ROWS_AT_THE_EDGE} rows right before the issue, "
        f"{count // 2 * ROWS_AT_THE_EDGE} right after, {count} at the first instant of the next period"
    )
