"""Real processes that issue invoices, which die at a named point or at any moment and are started again.

Forked from the run, so that a death costs no time: the run holds no connection when it forks, and its children open
their own. Points are made by wrapping named functions of the product in the child.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from tests.faults.bill_breakages import break_for
from tests.faults.site import Site, close_connections

# In the order of an issue: where it stands right after the named function has returned.
POINTS = {
    "account locked": "hold_account",
    "drafts stored": "store_drafts",
    "credits used": "_use_credits",
    "number taken": "_take_number",
    "hash made": "invoice_hash",
    "settled": "_settle",
    "committed": "_issue_with",
}
AFTER_THE_COMMIT = frozenset({"committed"})
SECONDS_MAX = 900.0


class RolledBack(RuntimeError):
    """What an issue meets that is to fail after its number was taken."""


@dataclass(slots=True)
class Hands:
    """Some processes with some threads each, which issue the first invoice of every subscription given."""

    site: Site
    shares: Sequence[Sequence[int]]
    now: datetime
    threads: int = 1
    rollbacks: float = 0.0
    deaths: list[str] = field(default_factory=list)
    mid_transaction: int = 0
    _processes: dict[int, Any] = field(default_factory=dict)
    _started: int = 0

    def run(self, *, points: Sequence[str] = (), at_any_moment: int = 0) -> None:
        """Work until every share is done, dying as planned meanwhile; raises TimeoutError."""
        chance = random.Random(self.site.seed)
        orders = list(points)
        deadline = time.monotonic() + SECONDS_MAX
        done: set[int] = set()
        close_connections()
        while len(done) < len(self.shares):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.shares) - len(done)} shares are not done")
            for number in range(len(self.shares)):
                if number not in done and number not in self._processes:
                    self._start(number, orders.pop(0) if orders else "", chance)
            time.sleep(chance.uniform(0.02, 0.2))
            if at_any_moment and self._processes:
                at_any_moment -= self._kill(chance.choice(sorted(self._processes)))
            done |= self._ended()

    def _start(self, number: int, point: str, chance: random.Random) -> None:
        self._started += 1
        order = (point, chance.randrange(1, 4)) if point else ("", 0)
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(self, self.shares[number], order, f"{self.site.seed} {self._started}")
        )
        process.start()
        self._processes[number] = (process, point)

    def _ended(self) -> set[int]:
        """The shares that are done; those that died are started again by whoever asks."""
        done = set()
        for number, (process, point) in list(self._processes.items()):
            if process.is_alive():
                continue
            process.join()
            del self._processes[number]
            if process.exitcode == 0:
                done.add(number)
            elif process.exitcode == -signal.SIGKILL:
                self.deaths.append(point or "any moment")
            else:
                raise RuntimeError(f"a process that issues invoices ended with {process.exitcode}")
        return done

    def _kill(self, number: int) -> bool:
        """Stop a process, look whether it is inside a transaction, and kill it there; not one that has its order."""
        process, point = self._processes[number]
        if point or not process.is_alive():
            return False
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)
        with psycopg.connect(self.site.conninfo) as connection:
            is_inside = connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL",
                [f"hands-{process.pid}"],
            ).fetchone()
        if is_inside is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            return False
        self.mid_transaction += 1
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        return True


def _work(hands: Hands, share: Sequence[int], order: tuple[str, int], seed: str) -> None:
    """One process: issue everything of a share that is not issued yet, in an order of its own."""
    from accounts.tenancy import as_worker

    os.environ["PGAPPNAME"] = f"hands-{os.getpid()}"
    break_for(hands.site.sabotage)
    _die_at(*order)
    chance = random.Random(seed)
    _roll_back(hands.rollbacks, chance)
    wanted = list(share)
    chance.shuffle(wanted)
    lock = threading.Lock()

    def issue_all() -> None:
        with as_worker():
            while True:
                with lock:
                    if not wanted:
                        return
                    subscription_id = wanted.pop()
                _issue(subscription_id, hands.now)

    threads = [threading.Thread(target=issue_all) for _ in range(hands.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)


def _issue(subscription_id: int, now: datetime) -> None:
    from insights.billing.issue_operations import issue_invoice
    from insights.billing.period_queries import list_periods_to_bill
    from insights.models import Invoice, Subscription

    [subscription] = Subscription.objects.filter(pk=subscription_id).select_related("account")
    while not Invoice.objects.filter(subscription=subscription_id, state="issued").exists():
        wanted = list_periods_to_bill([subscription], now)[subscription_id]
        with suppress(RolledBack):
            issue_invoice(next(one for one in wanted if one.kind == "period"), now)


def _die_at(point: str, nth: int) -> None:
    """Let this process die right after the nth time that a point is reached."""
    from insights.billing import issue_operations

    if not point:
        return
    name = POINTS[point]
    function: Callable[..., Any] = getattr(issue_operations, name)
    reached = 0

    def and_die(*args: Any, **more: Any) -> Any:
        nonlocal reached
        answer = function(*args, **more)
        reached += 1
        if reached == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(issue_operations, name, and_die)


def _roll_back(share: float, chance: random.Random) -> None:
    """Let some issues fail between the number and the commit."""
    from insights.billing import issue_operations

    if not share:
        return
    invoice_hash = issue_operations.invoice_hash

    def or_fail(*args: Any) -> bytes:
        if chance.random() < share:
            raise RolledBack
        return invoice_hash(*args)

    issue_operations.invoice_hash = or_fail
