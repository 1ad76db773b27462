"""P38: overload is refused politely and fairly, behind the proxy that ships, beside clients that stall."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.faults.downloads import make_world
from tests.faults.proxy import find_proxy, proxied
from tests.faults.senders import ask, key_of
from tests.faults.site import Outcome, Site, percentile
from tests.faults.slow import read_slowly, stall

SENTENCE = "Overload is refused politely and fairly"
COUNT = 200
SMALL = 50
HONEST = 20
# A key may ask so often in a minute; the impolite one asks as fast as it can.
REQUESTS_PER_MINUTE = 45
FLOODING_THREADS = 4
# The proxy counts connections by address, so the stalled ones come from several.
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 7))
IDLE_SECONDS, LOADED_SECONDS = 8.0, 40.0
IDLE_SECONDS_SMALL, LOADED_SECONDS_SMALL = 3.0, 12.0
SLOWER_MAX = 2.0
# Below this nobody notices, and twice as much of almost nothing means nothing.
SECONDS_UNNOTICED = 1.0
PAUSE_SECONDS = 2.0


@dataclass(slots=True)
class Asked:
    """The answers that some clients had."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return percentile(self.seconds, 95) if self.seconds else 0.0


def run(site: Site) -> Outcome:
    """Ask honestly while nothing else happens, and again beside two hundred clients that stall and one that floods."""
    stalled = site.count or COUNT
    outcome = Outcome("P38", SENTENCE, site.seed, faults_asked=stalled)
    if find_proxy() is None:
        outcome.skipped = "nginx is not installed"
        return outcome
    is_small = stalled <= SMALL
    world = make_world(rows=50_000)
    writer, honest, flooding = key_of("edge"), _keys(HONEST), _keys(1, "flood")[0]
    cluster = site.servers()
    cluster.start_web(API_REQUESTS_PER_MINUTE=str(REQUESTS_PER_MINUTE))
    try:
        with ExitStack() as stack:
            # Without the proxy the stalled clients hold the threads of the web server itself.
            port = cluster.port if site.sabotage else stack.enter_context(proxied(cluster, site.directory))
            idle = _ask_for(port, honest, IDLE_SECONDS_SMALL if is_small else IDLE_SECONDS)
            seconds = LOADED_SECONDS_SMALL if is_small else LOADED_SECONDS
            loaded, flood = _ask_beside(
                site, outcome, port, (world.key, writer, flooding), honest, stalled, seconds
            )
    finally:
        cluster.stop_web()
    _judge(outcome, idle, loaded, flood)
    return outcome


def _keys(count: int, name: str = "honest") -> list[str]:
    from tests import factories

    keys = []
    for number in range(count):
        account = factories.make_account(f"{name}-{number}")
        user = factories.make_user(f"{name}-{number}@example.com")
        keys.append(factories.make_api_key(account, created_by=user)[1])
    return keys


def _ask_for(port: int, keys: list[str], seconds: float) -> Asked:
    ended, asked = threading.Event(), Asked()
    threads = [
        threading.Thread(target=_ask_on, args=(port, key, ended, asked, PAUSE_SECONDS)) for key in keys
    ]
    for thread in threads:
        thread.start()
    ended.wait(seconds)
    ended.set()
    for thread in threads:
        thread.join()
    return asked


def _ask_on(port: int, key: str, ended: threading.Event, asked: Asked, pause: float) -> None:
    while not ended.is_set():
        began = time.monotonic()
        told = ask(port, "GET", "/api/v1/account", headers={"Authorization": f"Bearer {key}"})
        asked.seconds.append(time.monotonic() - began)
        asked.statuses[told.status] += 1
        if told.status == 429 and "retry-after" not in told.headers:
            asked.statuses[-1] += 1
        ended.wait(pause)


def _ask_beside(
    site: Site,
    outcome: Outcome,
    port: int,
    keys: tuple[str, str, str],
    honest: list[str],
    stalled: int,
    seconds: float,
) -> tuple[Asked, Asked]:
    """Ask honestly beside a flood and stalled clients, for a third of the time without Redis."""
    reader, writer, flooding = keys
    cluster, ended, flood = site.servers(), threading.Event(), Asked()
    begun: list[int] = []

    def be_slow(number: int) -> None:
        address = ADDRESSES[number % len(ADDRESSES)]
        if number % 5 < 2:
            begun.append(read_slowly(port, reader, ended, address=address))
        else:
            begun.append(stall(port, writer, ended, is_header=number % 5 == 2, address=address))

    threads = [threading.Thread(target=be_slow, args=(number,), daemon=True) for number in range(stalled)]
    threads += [
        threading.Thread(target=_ask_on, args=(port, flooding, ended, flood, 0.02), daemon=True)
        for _thread in range(FLOODING_THREADS)
    ]
    for thread in threads:
        thread.start()
    loaded = _ask_for(port, honest, seconds / 3)
    cluster.kill_redis()
    without = _ask_for(port, honest, seconds / 3)
    cluster.start_redis()
    again = _ask_for(port, honest, seconds / 3)
    for asked in (without, again):
        loaded.statuses += asked.statuses
        loaded.seconds += asked.seconds
    ended.set()
    for thread in threads:
        thread.join(30)
    outcome.faults = len(begun)
    outcome.figures.append(
        f"{len(begun)} stalled clients began {sum(begun)} requests; Redis was away for a third"
    )
    return loaded, flood


def _judge(outcome: Outcome, idle: Asked, loaded: Asked, flood: Asked) -> None:
    limit = max(SLOWER_MAX * idle.p95, SECONDS_UNNOTICED)
    outcome.rows = sum(loaded.statuses.values())
    outcome.differences = outcome.rows - loaded.statuses[200]
    outcome.require(
        f"honest clients were answered {dict(loaded.statuses)}", holds=set(loaded.statuses) == {200}
    )
    outcome.require_in_time(
        f"p95 of honest clients is {loaded.p95:.2f} s, limit {limit:.2f} s", holds=loaded.p95 < limit
    )
    outcome.require(f"the flood was answered {dict(flood.statuses)}", holds=set(flood.statuses) == {200, 429})
    outcome.figures.append(
        f"{HONEST} honest clients: p95 {idle.p95:.2f} s idle, {loaded.p95:.2f} s and max "
        f"{max(loaded.seconds, default=0):.2f} s beside them, all of {outcome.rows} answered 200; "
        f"the flood had {flood.statuses[200]} answers of 200 and {flood.statuses[429]} of 429"
    )
    outcome.check_faults()
