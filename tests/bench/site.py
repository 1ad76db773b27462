"""The portal under measurement: its web server and workers, and the ways in that a customer and a source have."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from django.conf import settings
from django.db import transaction
from django.test import Client

from accounts.models import Account, User
from accounts.tenancy import as_owner, as_worker, connection
from insights.feeds.operations import issue_source_key
from insights.models import Batch, BatchState
from tests import factories
from tests.bench.figures import progress
from tests.bench.rows import DIMENSIONS, LARGEST, METERS, Plan
from tests.bench.stages import TIMES_FILE
from tests.conftest import KEPT_TABLES
from usage_portal.devstack.places import ROOT
from usage_portal.devstack.processes import Child, start, stop, wait_until_ready

WORKER_PROCESSES = 2
UPLOADS_AT_ONCE = 2
POLL_SECONDS = 0.05
START_SECONDS_MAX = 60.0
OPEN_STATES = (BatchState.RECEIVED, BatchState.PROCESSING)


@dataclass(frozen=True, slots=True)
class Site:
    """The running web server and worker, and where files of this run are."""

    directory: Path
    port: int
    web: Child
    worker: Child

    @property
    def times(self) -> Path:
        return Path(os.environ[TIMES_FILE])

    def forget_times(self) -> None:
        self.times.write_text("")

    def processes(self, child: Child) -> list[psutil.Process]:
        """The processes that do the work; their parents only start them."""
        return psutil.Process(child.process.pid).children()

    def peak_mib(self, child: Child) -> float:
        return max(_kib(process.pid, "VmHWM") for process in self.processes(child)) / 1024

    def forget_peak(self, child: Child) -> float:
        """Begin the peak anew; return what the largest process holds now."""
        for process in self.processes(child):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        return max(_kib(process.pid, "VmRSS") for process in self.processes(child)) / 1024

    def cpu_seconds(self) -> float:
        """What the portal and PostgreSQL have used so far; unlike a clock it hardly minds other work on the machine."""
        return sum(
            _cpu_of_tree(pid) for pid in (self.web.process.pid, self.worker.process.pid, postmaster_pid())
        )

    @contextmanager
    def caller(self) -> Iterator[http.client.HTTPConnection]:
        caller = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            yield caller
        finally:
            caller.close()


def postmaster_pid() -> int:
    with _superuser() as superuser:
        (directory,) = superuser.execute("SHOW data_directory").fetchone()
    return int((Path(directory) / "postmaster.pid").read_text().split()[0])


def postgres_cpu_seconds() -> float:
    return _cpu_of_tree(postmaster_pid())


def _cpu_of_tree(pid: int) -> float:
    """Seconds of a process, of its children, and of those that have ended, which their parent has taken over."""
    parent = psutil.Process(pid)
    seconds = 0.0
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _superuser() -> psycopg.Connection:
    return psycopg.connect(os.environ["MIGRATE_DATABASE_URL"], user="postgres", autocommit=True)


def _kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


@contextmanager
def running_site() -> Iterator[Site]:
    var = Path(os.environ["PORTAL_VAR"])
    directory, metrics, times = var / "files", var / "run" / "metrics", var / "run" / "times.jsonl"
    for made in (directory, metrics):
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
    os.environ[TIMES_FILE] = str(times)
    times.write_text("")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | {"PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    gunicorn = [
        "gunicorn",
        "--config",
        str(ROOT / "usage_portal" / "gunicorn_conf.py"),
        "tests.bench.timed_web",
    ]
    celery = [
        "celery",
        "--app=tests.bench.timed_worker",
        "worker",
        "--beat",
        f"--concurrency={WORKER_PROCESSES}",
    ]
    # In a directory made anew: a schedule that a killed beat left half written keeps the next one from starting.
    celery += [
        f"--schedule={directory / 'beat-schedule'}",
        "--loglevel=WARNING",
        "--without-gossip",
        "--without-mingle",
    ]
    children = []
    try:
        for name, module, log in (("web", gunicorn, "bench-web.log"), ("worker", celery, "bench-worker.log")):
            command = [sys.executable, "-m", *module]
            children.append(start(name=name, command=command, env=env, log=var / "log" / log, cwd=ROOT))
        web, worker = children
        wait_until_ready(web, is_ready=lambda: _answers(port), seconds_max=START_SECONDS_MAX)
        site = Site(directory, port, web, worker)
        # The beat is a child of the worker too.
        wait_until_ready(
            worker,
            is_ready=lambda: len(site.processes(worker)) > WORKER_PROCESSES,
            seconds_max=START_SECONDS_MAX,
        )
        yield site
    finally:
        for child in children:
            stop(child)
        shutil.rmtree(directory, ignore_errors=True)


def _answers(port: int) -> bool:
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        caller.request("GET", "/healthz")
        return caller.getresponse().status == 200
    except OSError:
        return False
    finally:
        caller.close()


def empty_database() -> None:
    """Take every row of an earlier measurement away."""
    with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'bench_%'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition"
        )
        tables = [row[0] for row in cursor.fetchall() if row[0] not in KEPT_TABLES]
        cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")


def settle() -> None:
    """Begin each measurement after a checkpoint, so that none pays for the one before."""
    with _superuser() as superuser:
        superuser.execute("CHECKPOINT")


def clean() -> None:
    """Do at once what the database would do behind a load for minutes, beside the pages that are measured."""
    with _superuser() as superuser:
        superuser.execute("VACUUM (ANALYZE)")
        superuser.execute("CHECKPOINT")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock, and seconds of processors."""

    clock: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Sender:
    """A source and the key it sends with."""

    source_id: int
    key: str


def open_accounts(plan: Plan) -> Account:
    """Make the accounts and meters of a plan; return the largest account, which has an owner."""
    for meter in dict.fromkeys(METERS):
        factories.make_meter(meter, dimensions=list(DIMENSIONS))
    with as_worker():
        Account.objects.bulk_create([Account(reference=name, name=name) for name in plan.accounts])
        largest = Account.objects.get(reference=LARGEST)
    factories.make_membership(largest, factories.make_user("owner@example.com"), role="owner")
    return largest


def open_sender(slug: str, *, key_kind: str) -> Sender:
    source = factories.make_source(slug, key_kind=key_kind, clock_zone="")
    staff = factories.make_user(f"staff-{slug}@example.com", is_staff=True)
    with as_worker():
        return Sender(source.pk, issue_source_key(slug=slug, name="bench", actor=staff).plain)


def send(site: Site, sender: Sender, body: Path | bytes) -> None:
    """Send one file by HTTP, as a source does."""
    with site.caller() as caller:
        content: Any = body if isinstance(body, bytes) else body.read_bytes()
        headers = {"Authorization": f"Bearer {sender.key}", "Content-Type": "text/csv"}
        caller.request("POST", "/api/v1/usage/batches", body=content, headers=headers)
        answer = caller.getresponse()
        text = answer.read()
    if answer.status not in (200, 202):
        raise RuntimeError(f"{answer.status}: {text[:500]!r}")


def send_all(site: Site, sender: Sender, files: Sequence[Path]) -> Spent:
    """Send files, two at a time; return the seconds from the first byte sent until all are visible."""
    settle()
    site.forget_times()
    cpu = site.cpu_seconds()
    began = time.perf_counter()
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        list(pool.map(lambda file: send(site, sender, file), files))
    accepted = time.perf_counter() - began
    wait_until_visible([sender.source_id])
    taken = time.perf_counter() - began
    progress(f"{len(files)} files taken in after {accepted:.1f} s, visible after {taken:.1f} s")
    return Spent(taken, site.cpu_seconds() - cpu)


def wait_until_visible(source_ids: Iterable[int]) -> None:
    with as_worker():
        batches = Batch.objects.filter(source_id__in=list(source_ids))
        while batches.filter(state__in=OPEN_STATES).exists():
            time.sleep(POLL_SECONDS)
        failed = batches.exclude(state=BatchState.DONE).first()
    if failed is not None:
        raise RuntimeError(f"a batch ended as {failed.state}: {failed.error_code} {failed.error_detail}")


def verdicts_of(sender: Sender) -> dict[str, int]:
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT sum(new), sum(replaced), sum(duplicate), sum(stale), sum(rejected) FROM insights_batch "
            "WHERE source_id = %s",
            [sender.source_id],
        )
        return dict(
            zip(("new", "replaced", "duplicate", "stale", "rejected"), cursor.fetchone(), strict=True)
        )


def session_cookie(email: str) -> str:
    """Sign a person in and return the cookie that a browser would send."""
    with as_worker():
        user = User.objects.get(email=email)
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"
