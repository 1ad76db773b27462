"""Real Celery workers that are killed and started again, and the record of every death."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.faults.points import AFTER_THE_BATCH
from usage_portal.devstack.places import ROOT
from usage_portal.devstack.processes import Child, start, stop

DELIVERIES_MAX_TO_DIE = 2
READY_SECONDS_MAX = 90.0


@dataclass(frozen=True, slots=True)
class Death:
    """One kill that hit a worker at work: where, in which lease of which batch, and when."""

    point: str
    how: str
    batch: int
    lease: int
    in_transaction: bool
    at: float

    @property
    def is_mid_batch(self) -> bool:
        return self.point not in AFTER_THE_BATCH


@dataclass(slots=True)
class Workers:
    """Some Celery workers of two processes each, kept alive until they are stopped."""

    env: dict[str, str]
    directory: Path
    count: int = 2
    processes: int = 2
    lease_seconds: float = 30.0
    ring_seconds: float = 10.0
    chunk_lines: int = 250
    more: dict[str, str] = field(default_factory=dict)
    children: list[Child | None] = field(default_factory=list)
    _orders: int = 0

    def start(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        (self.directory / "orders").mkdir(parents=True)
        self.children = [None] * self.count
        self.tend()
        self.wait_until_ready()

    def tend(self) -> None:
        """Start again whatever has died, as a process supervisor does."""
        for number, child in enumerate(self.children):
            if child is None or child.has_ended():
                if child is not None:
                    stop(child)
                self.children[number] = self._start_one(number)

    def _start_one(self, number: int) -> Child:
        command = [sys.executable, "-m", "celery", "--app=tests.faults.worker_app", "worker", "--beat"]
        command += [f"--schedule={self.directory / f'beat-{number}'}", f"--concurrency={self.processes}"]
        command += [
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            f"--hostname=faults{number}@%h",
        ]
        return start(
            name="A Celery worker",
            command=command,
            env=self.env
            | {
                "FAULTS_DIRECTORY": str(self.directory),
                "FAULTS_LEASE": str(self.lease_seconds),
                "FAULTS_RING": str(self.ring_seconds),
                "FAULTS_CHUNK_LINES": str(self.chunk_lines),
                "PGAPPNAME": "faults",
            }
            | self.more,
            stop_signal=signal.SIGTERM,
            log=self.directory / f"worker-{number}.log",
            cwd=ROOT,
        )

    def wait_until_ready(self) -> None:
        """A worker is ready once its pool has forked; what it does not take at once waits in the queue."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while any(len(self._pool_of(child)) < self.processes for child in self.children):
            if time.monotonic() > deadline:
                raise RuntimeError(f"no worker became ready; see {self.directory}")
            self.tend()
            time.sleep(0.2)

    def pause(self) -> None:
        """Let them stand still where they are, as on a host that does nothing else for them."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for child in self.children:
            if child is not None:
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, number)

    def stop(self) -> None:
        for child in self.children:
            if child is not None:
                # Gently would wait for the batch in hand; nothing is lost by not waiting.
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
        self.children = []

    def _pool_of(self, child: Child | None) -> list[int]:
        if child is None or child.has_ended():
            return []
        with suppress(psutil.Error):
            return [process.pid for process in psutil.Process(child.process.pid).children()]
        return []

    def pool(self) -> list[int]:
        """The processes that do the work."""
        return [pid for child in self.children for pid in self._pool_of(child)]

    # Orders to die at a named point.

    def order(self, point: str, *, how: str) -> None:
        self._orders += 1
        (self.directory / "orders" / f"{self._orders:04d}.{point}.{how}").touch()

    def open_orders(self) -> int:
        return len(list((self.directory / "orders").iterdir()))

    # Deaths at any moment.

    def kill_one_at_work(self, chance: random.Random, *, how: str) -> bool:
        """Stop a child that holds a lease, look where it stands, and kill it there; False when none is at work."""
        owned = {pid: child for child in self.children if child is not None for pid in self._pool_of(child)}
        leases = self._leases()
        at_work = [pid for pid in owned if pid in leases]
        if not at_work:
            return False
        pid = chance.choice(at_work)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        # Looked at again now that it stands still: it may have gone on to another batch, or to none.
        held = self._leases()
        victims = held.keys() & (set(self._pool_of(owned[pid])) if how == "worker" else {pid})
        if pid not in held or any(held[victim][2] > DELIVERIES_MAX_TO_DIE for victim in victims):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            return False
        in_transaction = self._is_in_transaction(pid)
        at = time.time()
        try:
            if how == "worker":
                os.killpg(owned[pid].process.pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            # A sibling that died by order took this one along, and its death is written down there.
            return False
        batch, lease, _deliveries = held[pid]
        facts = {"point": "any moment", "how": how, "batch": batch, "lease": lease,
                 "in_transaction": in_transaction, "at": at}  # fmt: skip
        with (self.directory / "deaths.jsonl").open("a") as file:
            file.write(json.dumps(facts) + "\n")
        return True

    def _leases(self) -> dict[int, tuple[int, int, int]]:
        with psycopg.connect(self.env["WORKER_DATABASE_URL"]) as connection:
            rows = connection.execute(
                "SELECT lease_owner, batch_id, lease_number, deliveries FROM insights_workitem "
                "WHERE state = 'leased' AND leased_until > clock_timestamp()"
            ).fetchall()
        return {
            int(owner.rpartition(":")[2]): (batch, lease, deliveries)
            for owner, batch, lease, deliveries in rows
        }

    def _is_in_transaction(self, pid: int) -> bool:
        with psycopg.connect(self.env["WORKER_DATABASE_URL"]) as connection:
            row = connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL",
                [f"faults-{pid}"],
            ).fetchone()
        return row is not None

    # What happened.

    def deaths(self) -> list[Death]:
        names = ("point", "how", "batch", "lease", "in_transaction", "at")
        return [Death(*(facts[name] for name in names)) for facts in self._lines("deaths.jsonl")]

    def claims(self) -> dict[tuple[int, int], float]:
        """When each lease of each batch began."""
        return {(facts["batch"], facts["lease"]): facts["at"] for facts in self._lines("claims.jsonl")}

    def recoveries(self) -> list[float | None]:
        """For each death in the middle of a batch, the seconds until another worker had taken it over."""
        claims = self.claims()
        return [
            claims[death.batch, death.lease + 1] - death.at
            if (death.batch, death.lease + 1) in claims
            else None
            for death in self.deaths()
            if death.is_mid_batch
        ]

    def count_lines(self, file: str) -> int:
        return len(self._lines(file))

    def _lines(self, file: str) -> list[dict[str, Any]]:
        path = self.directory / file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
