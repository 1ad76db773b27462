"""P6: acknowledged means durable, whichever of web server, PostgreSQL and Redis is killed while clients upload."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import psycopg

from tests.faults.cluster import Cluster, wait_until
from tests.faults.load import FilePlan, Load, Size, make_load
from tests.faults.p01 import compare
from tests.faults.senders import Told, at_once, make_source_keys, send
from tests.faults.site import Outcome, Site, settle, states, write_catalogue
from tests.faults.workers import Workers

SENTENCE = "Acknowledged means durable"
COUNT = 100
CLIENTS = 8
LINES = 60
REFUSED_PAUSE_SECONDS = 3.0
FILES_PER_FAULT = 30
SERVED_SECONDS_MAX = 60.0
PROCESSED_SECONDS_MAX = 60.0
# Of ten faults so many hit each of them.
SHARES = ("web",) * 5 + ("postgres",) * 2 + ("redis",) * 2 + ("flush",)


def run(site: Site) -> Outcome:
    """Upload with eight clients through faults; then everything acknowledged is there, and the rest wholly absent."""
    faults = site.count or COUNT
    outcome = Outcome("P6", SENTENCE, site.seed, faults_asked=faults, mid_batch=0)
    load = make_load(
        site.directory / "load",
        seed=site.seed,
        size=Size(files=max(160, FILES_PER_FAULT * faults), lines=LINES),
    )
    write_catalogue(load)
    cluster = site.servers()
    cluster.start_web(FAULTS_SABOTAGE=site.sabotage)
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=50_000, more={"FAULTS_SABOTAGE": site.sabotage},
    )  # fmt: skip
    clients = Clients(cluster.port, load, make_source_keys(load))
    workers.start()
    try:
        clients.start()
        _inject(site, clients, workers, faults, outcome)
        clients.stop()
        began = time.monotonic()
        settled = settle(site.conninfo, tend=workers.tend, seconds=PROCESSED_SECONDS_MAX)
        outcome.require(f"not processed by itself: {states(site.conninfo)}", holds=settled)
        outcome.figures.append(
            f"the backlog was processed {time.monotonic() - began:.0f} s after the last fault"
        )
        _check_kept(site, clients, outcome)
        clients.retry_all()
        settle(site.conninfo, tend=workers.tend)
    finally:
        clients.stop()
        workers.stop()
        cluster.stop_web()
    sent = clients.sent_files()
    _check_once(site, outcome, files=len(sent))
    compare(site, load, outcome)
    outcome.check_faults()
    return outcome


def _inject(site: Site, clients: Clients, workers: Workers, faults: int, outcome: Outcome) -> None:
    chance = random.Random(site.seed)
    kinds = (
        [SHARES[number % len(SHARES)] for number in range(faults)] if not site.sabotage else ["web"] * faults
    )
    chance.shuffle(kinds)
    slowest: dict[str, float] = {}
    for kind in kinds:
        time.sleep(chance.uniform(0.2, 1.0))
        workers.tend()
        at = time.monotonic()
        outcome.mid_batch = (outcome.mid_batch or 0) + bool(clients.in_flight)
        strike(site.servers(), kind, chance)
        outcome.faults += 1
        served = wait_until(lambda at=at: clients.last_accepted > at, seconds=SERVED_SECONDS_MAX)
        outcome.require(f"no upload was accepted for {SERVED_SECONDS_MAX:.0f} s after {kind}", holds=served)
        outcome.recoveries.append(time.monotonic() - at)
        slowest[kind] = max(slowest.get(kind, 0.0), outcome.recoveries[-1])
        if not clients.has_files():
            break
    served_again = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in sorted(slowest.items()))
    outcome.figures.append(f"uploads were accepted again at the latest after: {served_again}")


def strike(cluster: Cluster, kind: str, chance: random.Random) -> None:
    """Kill one thing and, where nobody else would, start it again."""
    if kind == "web":
        with suppress(ProcessLookupError):
            os.kill(chance.choice(cluster.web_workers()), signal.SIGKILL)
    elif kind == "postgres":
        cluster.stop_postgres(signal.SIGQUIT)
        cluster.start_postgres()
    elif kind == "redis":
        cluster.kill_redis()
        cluster.start_redis()
    else:
        cluster.flush_redis()


def _check_kept(site: Site, clients: Clients, outcome: Outcome) -> None:
    """Each acknowledged upload is done; each of the others is there with every byte, or not at all."""
    with psycopg.connect(site.conninfo) as connection:
        found = {
            row[0]: (str(row[1]), row[2])
            for row in connection.execute("SELECT idempotency_key, public_id, state FROM insights_batch")
        }
        (torn,) = connection.execute(
            "SELECT count(*) FROM insights_batch b WHERE b.state <> 'refused' AND b.sha256 IS DISTINCT FROM "
            "(SELECT sha256(string_agg(p.data, ''::bytea ORDER BY p.piece_no)) FROM insights_batchbytes p "
            "WHERE p.batch_id = b.id)"
        ).fetchone() or (0,)
        (unlisted,) = connection.execute(
            "SELECT count(*) FROM insights_batch b WHERE b.state <> 'refused' "
            "AND NOT EXISTS (SELECT 1 FROM insights_workitem w WHERE w.batch_id = b.id)"
        ).fetchone() or (0,)
    accepted = {name: told.body["id"] for name, told in clients.told().items() if told.is_accepted}
    lost = [
        name
        for name, public_id in accepted.items()
        if name not in found or public_id not in (found[name][0], None)
    ]
    undone = [name for name in accepted if name in found and found[name][1] != "done"]
    outcome.rows += len(accepted)
    outcome.differences += len(lost) + len(undone) + torn + unlisted
    outcome.require(
        f"{len(lost)} of {len(accepted)} acknowledged uploads are lost: {lost[:3]}", holds=not lost
    )
    outcome.require(f"{len(undone)} acknowledged uploads are not done", holds=not undone)
    outcome.require(
        f"{torn} uploads are there in part, {unlisted} without work", holds=not torn and not unlisted
    )
    unknown = [name for name, told in clients.told().items() if not told.is_accepted]
    statuses = sorted({told.status for told in clients.told().values()})
    outcome.require(f"answers {statuses}", holds=set(statuses) <= {0, 200, 202, 503})
    outcome.figures.append(
        f"{len(accepted)} uploads acknowledged, {len(unknown)} not, of which {len(set(unknown) & found.keys())} are "
        f"wholly there; statuses {statuses} (0: connection broken)"
    )


def _check_once(site: Site, outcome: Outcome, *, files: int) -> None:
    with psycopg.connect(site.conninfo) as connection:
        (batches,) = connection.execute(
            "SELECT count(*) FROM insights_batch WHERE state = 'done'"
        ).fetchone() or (0,)
    outcome.require(f"{files} files became {batches} batches after every retry", holds=files == batches)


@dataclass
class Clients:
    """Uploads one file after the other, each under its name as idempotency key, and remembers every answer."""

    port: int
    load: Load
    keys: dict[str, str]
    pause_seconds: float = 0.15
    kept_back: int = 0
    last_accepted: float = 0.0
    in_flight: int = 0
    answers: dict[str, Told] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _waiting: list[FilePlan] = field(default_factory=list)

    def start(self) -> None:
        self._waiting = list(reversed(self.load.files[: len(self.load.files) - self.kept_back]))
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def has_files(self) -> bool:
        return bool(self._waiting)

    def told(self) -> dict[str, Told]:
        with self._lock:
            return dict(self.answers)

    def accepted(self) -> int:
        return sum(told.is_accepted for told in self.told().values())

    def sent_files(self) -> list[FilePlan]:
        return [file for file in self.load.files if file.name in self.answers]

    def _work(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                if not self._waiting:
                    return
                file = self._waiting.pop()
                self.in_flight += 1
            told = self.send(file)
            with self._lock:
                self.in_flight -= 1
                self.answers[file.name] = told
                if told.is_accepted:
                    self.last_accepted = time.monotonic()
            # Whoever is turned away waits, as senders do.
            self._ended.wait(self.pause_seconds if told.is_accepted else REFUSED_PAUSE_SECONDS)

    def send(self, file: FilePlan) -> Told:
        return send(self.port, self.keys[file.source], self.load, file, idempotency_key=file.name)

    def remember(self, file: FilePlan) -> None:
        """Take a file that was sent by hand for one of the clients'."""
        with self._lock:
            self.answers[file.name] = self.send(file)

    def retry_all(self) -> None:
        """Send everything again under the same keys until each is accepted, as senders do."""

        def retry(file: FilePlan) -> None:
            if not wait_until(lambda: self.send(file).is_accepted, seconds=30):
                raise RuntimeError(f"{file.name} is not accepted")

        at_once([partial(retry, file) for file in self.sent_files()], clients=CLIENTS)
