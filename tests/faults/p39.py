"""P39: each server may go. Without Redis everything is taken and caught up; without PostgreSQL the answer is 503."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from itertools import count

from tests.faults.cluster import wait_until
from tests.faults.load import FilePlan, Load, Size, make_load
from tests.faults.p01 import compare
from tests.faults.p06 import Clients
from tests.faults.people import member_of
from tests.faults.senders import Told, ask, make_source_keys
from tests.faults.site import Outcome, Site, settle, write_catalogue
from tests.faults.workers import Workers

SENTENCE = "Redis and PostgreSQL may go"
COUNT = 25
LINES = 60
REDIS_DOWN_SECONDS = 30.0
REDIS_DOWN_SECONDS_SHORT = 6.0
BACK_SECONDS_MAX = 30.0
# One fault of so many takes Redis away; the others restart PostgreSQL.
REDIS_EVERY = 5
PROBES = ("/healthz", "/readyz", "/auth/login/")
# How soon it must be counted is the limit of recoveries; after this nothing more is waited for.
CANARY_SECONDS_MAX = 120.0


def run(site: Site) -> Outcome:
    """Take Redis away for a while and restart PostgreSQL, under uploads, and watch every answer."""
    faults = site.count or COUNT
    outcome = Outcome("P39", SENTENCE, site.seed, faults_asked=faults, recovery_seconds_max=BACK_SECONDS_MAX)
    load = make_load(site.directory / "load", seed=site.seed, size=Size(files=100 + 60 * faults, lines=LINES))
    write_catalogue(load)
    cluster = site.servers()
    cluster.start_web(FAULTS_SABOTAGE=site.sabotage)
    canaries = list(load.files[-faults:])
    clients = Clients(cluster.port, load, make_source_keys(load), pause_seconds=1.0, kept_back=len(canaries))
    looker = Looker(cluster.port, *_sign_in(load))
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=50_000,
    )  # fmt: skip
    slowest: dict[str, float] = {}
    workers.start()
    try:
        clients.start()
        looker.start()
        for number, canary in enumerate(canaries):
            at = time.monotonic()
            server = "Redis" if number % REDIS_EVERY == 0 else "PostgreSQL"
            if server == "Redis":
                at = _take_redis_away(site, outcome, clients, looker)
            else:
                _restart_postgres(site, looker, how=(signal.SIGINT, signal.SIGQUIT)[number % 2])
            outcome.faults += 1
            _prove_consumption(site, outcome, workers, clients, canary, since=at)
            slowest[server] = max(slowest.get(server, 0.0), outcome.recoveries[-1])
        clients.stop()
        looker.stop()
        outcome.require("batches are left", holds=settle(site.conninfo, tend=workers.tend))
        clients.retry_all()
        settle(site.conninfo, tend=workers.tend)
    finally:
        clients.stop()
        looker.stop()
        workers.stop()
        cluster.stop_web()
    outcome.figures += [f"slowest back after {server}: {slowest[server]:.1f} s" for server in sorted(slowest)]
    _check_answers(outcome, clients, looker)
    compare(site, load, outcome)
    outcome.check_faults()
    return outcome


def _take_redis_away(site: Site, outcome: Outcome, clients: Clients, looker: Looker) -> float:
    """Return when it was back. Meanwhile uploads must be accepted and pages answered."""
    cluster = site.servers()
    accepted, looked = clients.accepted(), looker.good
    cluster.kill_redis()
    looker.is_redis_down = True
    time.sleep(REDIS_DOWN_SECONDS if site.count is None else REDIS_DOWN_SECONDS_SHORT)
    looker.is_redis_down = False
    outcome.require("no upload was accepted without Redis", holds=clients.accepted() > accepted)
    outcome.require("no page was answered without Redis", holds=looker.good > looked)
    cluster.start_redis()
    return time.monotonic()


def _restart_postgres(site: Site, looker: Looker, *, how: signal.Signals) -> None:
    cluster = site.servers()
    looker.is_postgres_down = True
    cluster.stop_postgres(how)
    time.sleep(1.0)
    cluster.start_postgres()
    looker.is_postgres_down = False


def _prove_consumption(
    site: Site, outcome: Outcome, workers: Workers, clients: Clients, canary: FilePlan, *, since: float
) -> None:
    """Send one more file; the seconds from the fault until it is counted are the recovery."""

    def is_counted() -> bool:
        workers.tend()
        told = clients.send(canary)
        return told.status == 200 and told.body["state"] == "done"

    counted = wait_until(is_counted, seconds=CANARY_SECONDS_MAX, poll=0.3)
    outcome.require("a file sent after a fault was not counted in time", holds=counted)
    clients.remember(canary)
    outcome.recoveries.append(time.monotonic() - since)


def _check_answers(outcome: Outcome, clients: Clients, looker: Looker) -> None:
    answers = [*clients.told().values(), *looker.answers]
    unavailable = [told for told in answers if told.status == 503]
    traces = [told for told in answers if "Traceback" in str(told.body)]
    hurried = [told for told in unavailable if "retry-after" not in told.headers]
    outcome.rows += len(answers)
    outcome.require(f"pages answered {sorted(looker.bad)[:5]}", holds=not looker.bad)
    outcome.require(f"{len(traces)} answers hold a stack trace", holds=not traces)
    outcome.require(
        f"{len(hurried)} of {len(unavailable)} answers of 503 lack Retry-After", holds=not hurried
    )
    outcome.require("nobody met PostgreSQL's absence", holds=bool(unavailable) or outcome.faults < 2)
    statuses = {told.status for told in clients.told().values()}
    outcome.require(f"uploads were answered {sorted(statuses)}", holds=statuses <= {200, 202, 503})
    outcome.figures.append(
        f"{len(looker.answers)} pages and probes asked for, {len(clients.told())} files sent; "
        f"{len(unavailable)} answers of 503; slowest answer {looker.seconds_max:.1f} s"
    )


def _sign_in(load: Load) -> tuple[str, tuple[str, ...]]:
    """Open a session for a member of an account; its cookie, and the pages to be looked at."""
    from accounts.models import Account
    from accounts.tenancy import as_worker

    with as_worker():
        account = Account.objects.get(reference=load.accounts[0].reference)
    visitor = member_of(account)
    own = visitor.home
    return visitor.cookie, (*PROBES, own, f"{own}usage/", f"{own}batches/")


@dataclass
class Looker:
    """Asks for pages all the time; 503 is right while PostgreSQL is away, and nothing but 200 else."""

    port: int
    cookie: str
    pages: tuple[str, ...]
    is_redis_down: bool = False
    is_postgres_down: bool = False
    good: int = 0
    seconds_max: float = 0.0
    bad: set[str] = field(default_factory=set)
    answers: list[Told] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(60)

    def _look(self) -> None:
        for number in count():
            if self._ended.wait(0.1):
                return
            page = self.pages[number % len(self.pages)]
            was_down, began = self.is_postgres_down, time.monotonic()
            # Whoever watches the service has no session, and so no need of the database to be told that it lives.
            headers = {} if page in PROBES else {"Cookie": self.cookie}
            told = ask(self.port, "GET", page, headers=headers)
            self.seconds_max = max(self.seconds_max, time.monotonic() - began)
            if page not in PROBES:
                self.answers.append(told)
            self.good += told.status == 200
            # A fault may begin or end while the page is being made.
            may_fail = (was_down or self.is_postgres_down) and page != "/healthz"
            if told.status != 200 and not (may_fail and told.status == 503):
                self.bad.add(f"{told.status} for {page.partition('/a/')[0] or 'a page of an account'}")
