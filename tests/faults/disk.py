"""P39, the disk: a full one refuses cleanly, and everything goes on by itself once there is room again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.faults.cluster import Cluster, wait_until
from tests.faults.load import FilePlan, Load, Size, make_load
from tests.faults.p01 import compare
from tests.faults.people import member_of
from tests.faults.senders import Told, ask, make_source_keys, send
from tests.faults.site import Outcome, Site, close_connections, settle, states, write_catalogue
from tests.faults.workers import Workers
from usage_portal.devstack.management import DATABASE
from usage_portal.devstack.places import NOBODY_UID

SENTENCE = "A full disk refuses cleanly and loses nothing"
COUNT = 3
DISK_MIB = 96
# What is left when the filler has been written; records and bytes use it up soon.
LEFT_BYTES = 1_500_000
FILES_PER_ROUND = 150
FULL_SECONDS, FULL_SECONDS_SABOTAGE, FULL_SECONDS_SAMPLE = 20.0, 60.0, 3.0
BACK_SECONDS_MAX = 30.0


def run(site: Site) -> Outcome:
    """Fill the disk that holds bytes and records, again and again, under uploads and pages."""
    rounds = site.count or COUNT
    outcome = Outcome("disk", SENTENCE, site.seed, faults_asked=rounds, recovery_seconds_max=BACK_SECONDS_MAX)
    disk = site.directory / "small"
    if not _may_mount(disk):
        outcome.skipped = "a disk of its own can only be mounted by root"
        return outcome
    load = make_load(
        site.directory / "load", seed=site.seed, size=Size(files=FILES_PER_ROUND * rounds, lines=300)
    )
    write_catalogue(load)
    cluster = site.servers()
    try:
        with _small_disk(cluster, disk):
            _try(site, outcome, load, disk, rounds)
    finally:
        subprocess.run(["umount", str(disk)], check=False)
    outcome.check_faults()
    return outcome


def _may_mount(disk: Path) -> bool:
    disk.mkdir(exist_ok=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def _small_disk(cluster: Cluster, disk: Path) -> Iterator[None]:
    """Put the bytes of uploads, and the months of records to come, on the small disk."""
    place = disk / "pg"
    place.mkdir()
    os.chown(place, NOBODY_UID, NOBODY_UID)
    with cluster.superuser() as connection:
        connection.execute(f"CREATE TABLESPACE small OWNER portal_owner LOCATION '{place}'")
        connection.execute(f"ALTER DATABASE {DATABASE} SET default_tablespace = 'small'")
        connection.execute("GRANT CREATE ON TABLESPACE small TO PUBLIC")
    with psycopg.connect(cluster.env["MIGRATE_DATABASE_URL"], autocommit=True) as owner:
        owner.execute("SET ROLE portal_owner")
        owner.execute("ALTER TABLE insights_batchbytes SET TABLESPACE small")
    close_connections()
    try:
        yield
    finally:
        close_connections()
        cluster.fresh_database()
        with cluster.superuser() as connection:
            connection.execute("DROP TABLESPACE small")


def _try(site: Site, outcome: Outcome, load: Load, disk: Path, rounds: int) -> None:
    from accounts.models import Account
    from accounts.tenancy import as_worker

    cluster = site.servers()
    with as_worker():
        visitor = member_of(Account.objects.get(reference=load.accounts[0].reference))
    keys = make_source_keys(load)
    cluster.start_web()
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=100, more={"FAULTS_SABOTAGE": site.sabotage},
    )  # fmt: skip
    told: list[Told] = []
    met = 0
    workers.start()
    try:
        waiting = list(load.files)
        for _round in range(rounds):
            with _filled(disk):
                # They stand still until there is no room, so that batches which were taken meet the full disk.
                workers.pause()
                refused = _send_until_refused(cluster.port, keys, load, waiting, told)
                met += sum(states(site.conninfo).get(state, 0) for state in ("received", "processing"))
                workers.resume()
                _be_full(site, workers)
                page = ask(cluster.port, "GET", visitor.home, headers={"Cookie": visitor.cookie})
                outcome.require(f"a page was answered {page.status}", holds=page.status in (200, 503))
            at = time.monotonic()
            outcome.faults += refused is not None
            if refused is not None:
                again = wait_until(
                    lambda file=refused: send(cluster.port, keys[file.source], load, file).is_accepted,
                    seconds=4 * BACK_SECONDS_MAX, poll=0.5,
                )  # fmt: skip
                outcome.require("nothing was accepted once there was room", holds=again)
            settled = settle(site.conninfo, tend=workers.tend, seconds=site.settle_seconds)
            outcome.require(f"batches are left: {states(site.conninfo)}", holds=settled)
            outcome.recoveries.append(time.monotonic() - at)
    finally:
        workers.stop()
        cluster.stop_web()
    outcome.require("no batch that was taken met the full disk", holds=met > 0)
    outcome.figures.append(f"{met} batches that were taken met a full disk")
    _judge(site, outcome, told)
    compare(site, load, outcome)


@contextmanager
def _filled(disk: Path) -> Iterator[None]:
    """Leave little room on the disk for a while."""
    filler = disk / "filler"
    room = shutil.disk_usage(disk).free - LEFT_BYTES
    with filler.open("wb") as file:
        file.write(b"\0" * max(0, room))
    try:
        yield
    finally:
        filler.unlink()


def _send_until_refused(
    port: int, keys: dict[str, str], load: Load, waiting: list[FilePlan], told: list[Told]
) -> FilePlan | None:
    """Send one file after the other; the first that is refused, or None if there was room for all."""
    for _number in range(FILES_PER_ROUND):
        file = waiting.pop()
        answer = send(port, keys[file.source], load, file)
        told.append(answer)
        if not answer.is_accepted:
            return file
    return None


def _be_full(site: Site, workers: Workers) -> None:
    """Stay full for a while, in which workers try again and again."""
    seconds = FULL_SECONDS_SABOTAGE if site.sabotage else FULL_SECONDS
    until = time.monotonic() + (FULL_SECONDS_SAMPLE if site.is_sample else seconds)
    while time.monotonic() < until:
        workers.tend()
        time.sleep(0.5)


def _judge(site: Site, outcome: Outcome, told: list[Told]) -> None:
    statuses = {answer.status for answer in told}
    refused = [answer for answer in told if not answer.is_accepted]
    outcome.require(f"uploads were answered {sorted(statuses)}", holds=statuses <= {200, 202, 503})
    outcome.require(
        "an answer of 503 lacks Retry-After or tells too much",
        holds=all(
            "retry-after" in answer.headers and "Traceback" not in str(answer.body) for answer in refused
        ),
    )
    outcome.require(f"batches are {states(site.conninfo)}", holds=set(states(site.conninfo)) == {"done"})
    outcome.figures.append(
        f"{len(told)} files sent, {len(refused)} refused for want of room; all others done without help"
    )
