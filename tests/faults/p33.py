"""P33: a download is whole or visibly broken, whatever breaks in the middle of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psutil

from tests.faults.cluster import Cluster, wait_until
from tests.faults.downloads import Fetched, Replacer, World, fetch, judge_snapshot, make_world
from tests.faults.people import Visitor, member_of
from tests.faults.senders import ask
from tests.faults.site import Outcome, Site, close_connections, percentile
from tests.faults.slow import read_slowly
from tests.faults.wire import Wire

SENTENCE = "A download is whole or visibly broken"
COUNT = 50
SMALL = 10
ROWS, ROWS_SMALL = 500_000, 100_000
KINDS = ("web", "network", "postgres", "network", "cancel", "web", "network", "closed", "network", "web")
# What a server that ends its answers tidily would hide; it cannot hide its own death.
HIDDEN_KINDS = ("cancel", "postgres")
# So much may be on its way already when something happens, and is not broken by it.
AHEAD_BYTES = 6 * 2**20
# A right that is taken away is looked at again after 8 MiB.
AHEAD_BYTES_CLOSED = 18 * 2**20
WHOLE = 3
SLOW_READERS = 20
HONEST_USERS = 10
BROWSE_SECONDS, BROWSE_SECONDS_SMALL = 40.0, 10.0
HONEST_SECONDS_MAX = 1.0
GROWTH_MIB_MAX = 50.0
BACK_SECONDS_MAX = 60.0


def run(site: Site) -> Outcome:
    """Break downloads at random bytes, replace rows under others, and let slow readers and honest users meet."""
    cuts = site.count or COUNT
    outcome = Outcome("P33", SENTENCE, site.seed, faults_asked=cuts)
    if shutil.which("curl") is None:
        outcome.skipped = "curl is not installed"
        return outcome
    world = make_world(rows=ROWS if cuts > SMALL else ROWS_SMALL)
    cluster = site.servers()
    cluster.start_web(FAULTS_SABOTAGE=site.sabotage)
    try:
        with Wire(cluster.port) as wire:
            size = _check_whole(site, outcome, wire, world)
            before = web_mib(cluster)
            _cut(site, outcome, wire, world, cuts=cuts, size=size)
            if not site.sabotage:
                _replace_meanwhile(site, outcome, wire, world, rounds=WHOLE if cuts > SMALL else 1)
                _browse_beside_slow_readers(site, outcome, world, is_small=cuts <= SMALL)
            growth = web_mib(cluster) - before
    finally:
        cluster.stop_web()
    outcome.require(f"a web process grew by {growth:.0f} MiB", holds=growth < GROWTH_MIB_MAX)
    outcome.figures.append(
        f"{world.rows} rows, {size / 2**20:.0f} MiB; web processes grew by {growth:.0f} MiB"
    )
    outcome.check_faults()
    return outcome


def web_mib(cluster: Cluster) -> float:
    """The largest resident size among the processes that answer requests."""
    sizes = []
    for pid in cluster.web_workers():
        with suppress(psutil.Error):
            sizes.append(psutil.Process(pid).memory_info().rss / 2**20)
    return max(sizes, default=0.0)


def _check_whole(site: Site, outcome: Outcome, wire: Wire, world: World) -> int:
    fetched = fetch(wire.port, world, site.directory)
    _judge_whole(site, outcome, world, fetched)
    return fetched.size_bytes


def _judge_whole(site: Site, outcome: Outcome, world: World, fetched: Fetched) -> None:
    proof = _proof(site.servers(), world, fetched)
    found = (fetched.exit_code, proof.get("state"), proof.get("rows"), proof.get("sha256"))
    expected = (0, "done", world.rows, fetched.sha256())
    outcome.rows += world.rows
    outcome.require(f"a whole download came to {found}, not {expected}", holds=found == expected)


def _proof(cluster: Cluster, world: World, fetched: Fetched) -> dict[str, object]:
    told = ask(
        cluster.port, "GET", f"/api/v1/downloads/{fetched.download_id}",
        headers={"Authorization": f"Bearer {world.key}"},
    )  # fmt: skip
    return told.body if isinstance(told.body, dict) else {}


def _cut(site: Site, outcome: Outcome, wire: Wire, world: World, *, cuts: int, size: int) -> None:
    chance = random.Random(site.seed)
    kinds = HIDDEN_KINDS if site.sabotage else KINDS
    seen: dict[str, int] = {}
    for number in range(cuts):
        kind = kinds[number % len(kinds)]
        if kind == "closed" and size < 2 * AHEAD_BYTES_CLOSED:
            kind = "network"
        ahead = AHEAD_BYTES_CLOSED if kind == "closed" else AHEAD_BYTES
        offset = chance.randrange(1_000, max(2_000, size - ahead))
        wire.at(offset, _event(site, kind, world), is_cut_after=kind == "network")
        at = time.monotonic()
        fetched = fetch(wire.port, world, site.directory)
        _put_right(site, kind, world)
        back = wait_until(partial(_is_readable, site, world, fetched), seconds=BACK_SECONDS_MAX, poll=0.2)
        outcome.recoveries.append(time.monotonic() - at)
        outcome.require(f"the proof could not be read again after {kind}", holds=back)
        outcome.faults += wire.has_happened
        is_seen = _judge_cut(site, outcome, world, kind, offset, fetched)
        seen[kind] = seen.get(kind, 0) + is_seen
    told = ", ".join(f"{kind} {number}" for kind, number in sorted(seen.items()))
    outcome.figures.append(
        f"{sum(seen.values())} of {cuts} broken downloads seen by curl and by the proof: {told}"
    )


def _is_readable(site: Site, world: World, fetched: Fetched) -> bool:
    return bool(_proof(site.servers(), world, fetched)) or not fetched.download_id


def _judge_cut(site: Site, outcome: Outcome, world: World, kind: str, offset: int, fetched: Fetched) -> bool:
    # Who has the header and the proof is told so; who has nothing at all has no checksum to be content with.
    proof = _proof(site.servers(), world, fetched) if fetched.download_id else {}
    is_seen_by_curl = fetched.exit_code != 0
    is_seen_by_proof = proof.get("state") != "done" and proof.get("sha256") != fetched.sha256()
    outcome.differences += not (is_seen_by_curl and is_seen_by_proof)
    outcome.require(
        f"{kind} at byte {offset}: curl ended with {fetched.exit_code} after {fetched.size_bytes} bytes, the proof "
        f"says {proof.get('state')}",
        holds=is_seen_by_curl and is_seen_by_proof,
    )
    return is_seen_by_curl and is_seen_by_proof


def _event(site: Site, kind: str, world: World) -> Callable[[], None]:
    cluster = site.servers()

    def kill_web() -> None:
        for pid in cluster.web_workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def cancel() -> None:
        # What a statement_timeout does, at a moment of our choice.
        with cluster.superuser() as connection:
            connection.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'COPY%'"
            )

    return {
        "web": kill_web,
        "postgres": lambda: cluster.stop_postgres(signal.SIGQUIT),
        "cancel": cancel,
        "closed": lambda: _set_state(world, "closed"),
        "network": lambda: None,
    }[kind]


def _put_right(site: Site, kind: str, world: World) -> None:
    cluster = site.servers()
    if kind == "postgres":
        cluster.start_postgres()
    if kind == "closed":
        _set_state(world, "active")
    if kind == "web":
        wait_until(cluster.answers, seconds=BACK_SECONDS_MAX)


def _set_state(world: World, state: str) -> None:
    from django.db import connections
    from django.db.models.functions import Now

    from accounts.models import Account
    from accounts.tenancy import as_owner

    with as_owner():
        Account.objects.filter(pk=world.account_id).update(
            state=state, closed_at=Now() if state == "closed" else None
        )
    connections.close_all()


def _replace_meanwhile(site: Site, outcome: Outcome, wire: Wire, world: World, *, rounds: int) -> None:
    replacer = Replacer(site.conninfo, world, site.seed)
    mixed = 0
    for _round in range(rounds):
        replacer.start()
        wait_until(lambda: len(replacer.order) > len(world.series) // 20, seconds=BACK_SECONDS_MAX, poll=0.01)
        fetched = fetch(wire.port, world, site.directory)
        after = len(replacer.order)
        replacer.stop()
        _judge_whole(site, outcome, world, fetched)
        faults = judge_snapshot(fetched.path, world, replacer)
        outcome.failures += faults
        outcome.differences += len(faults)
        mixed += after
    outcome.figures.append(
        f"{rounds} whole downloads while {mixed} series were replaced: each row once, each of one moment"
    )


def _browse_beside_slow_readers(site: Site, outcome: Outcome, world: World, *, is_small: bool) -> None:
    from accounts.models import Account
    from accounts.tenancy import as_worker

    # The server was stopped since, and with it the connections that made the first world.
    close_connections()
    others = [make_world(rows=50_000, reference=f"slow-{number}") for number in range(3)]
    with as_worker():
        account = Account.objects.get(pk=world.account_id)
    visitors = [member_of(account, name=f"user-{number}") for number in range(HONEST_USERS)]
    port, ended = site.servers().port, threading.Event()
    readers = [
        threading.Thread(target=read_slowly, args=(port, others[number % 3].key, ended), daemon=True)
        for number in range(SLOW_READERS)
    ]
    times: list[float] = []
    bad: list[int] = []
    users = [
        threading.Thread(target=_browse, args=(port, visitor, ended, times, bad)) for visitor in visitors
    ]
    for thread in (*readers, *users):
        thread.start()
    ended.wait(BROWSE_SECONDS_SMALL if is_small else BROWSE_SECONDS)
    ended.set()
    for thread in (*users, *readers):
        thread.join(30)
    slow = percentile(times, 95) if times else 0.0
    outcome.require(f"honest users were answered {sorted(set(bad))}", holds=not bad and bool(times))
    outcome.require_in_time(f"p95 of honest users is {slow:.2f} s", holds=slow < HONEST_SECONDS_MAX)
    outcome.figures.append(
        f"{len(times)} pages of {HONEST_USERS} users beside {SLOW_READERS} readers of 1 kB/s: p95 {slow:.2f} s"
    )


def _browse(port: int, visitor: Visitor, ended: threading.Event, times: list[float], bad: list[int]) -> None:
    pages = (visitor.home, f"{visitor.home}batches/", "/healthz", f"{visitor.home}usage/")
    number = 0
    while not ended.wait(1.0):
        began = time.monotonic()
        told = ask(port, "GET", pages[number % len(pages)], headers={"Cookie": visitor.cookie})
        times.append(time.monotonic() - began)
        if told.status != 200:
            bad.append(told.status)
        number += 1
