"""P43: no input makes a 5xx, none hangs, none makes the server grow, and no error tells secrets."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.bad_inputs.judging import fault_in
from tests.bad_inputs.mutations import MEDIA_TYPES, Request, damaged_file, odd_request
from tests.bad_inputs.whole import REFUSED
from tests.faults.cluster import manage
from tests.faults.p33 import web_mib
from tests.faults.raw_http import Answer, ask_raw
from tests.faults.senders import at_once, key_of
from tests.faults.site import Outcome, Site, settle, states
from tests.faults.workers import Workers

SENTENCE = "No input makes a 5xx, and no error tells secrets"
COUNT = 10_000
CLIENTS = 8
ANSWER_SECONDS_MAX = 5.0
GROWTH_MIB_MAX = 50.0
# Caches are full and every module is loaded after so many.
WARM = 200
# Too long an address or header is turned away by the server in front of the application, in a few words of its own.
TURNED_AWAY = frozenset({414, 431})
TURNED_AWAY_BYTES_MAX = 400
# Of the requests so many follow the published description, the rest the grammar of odd pieces.
DESCRIBED_SHARE = 0.25


@dataclass(slots=True)
class Judge:
    """Every answer passes here; what is wrong is kept with what was asked."""

    outcome: Outcome
    statuses: Counter[int] = field(default_factory=Counter)
    seconds_max: float = 0.0
    asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str, method: str, answer: Answer, sent: bytes = b"") -> None:
        if answer.status in TURNED_AWAY and len(answer.content) < TURNED_AWAY_BYTES_MAX:
            fault: str | None = None
        elif answer.status == 0:
            fault = f"no answer: {answer.content_type}"
        else:
            fault = fault_in(
                method=method,
                status=answer.status,
                content_type=answer.content_type,
                content=answer.content,
                sent=sent,
            )
        with self._lock:
            self.asked += 1
            self.statuses[answer.status] += 1
            self.seconds_max = max(self.seconds_max, answer.seconds)
            if fault is not None:
                self.outcome.failures.append(f"{name}: {fault}")
                self.outcome.differences += 1
            if answer.seconds >= ANSWER_SECONDS_MAX:
                self.outcome.require_in_time(f"{name} took {answer.seconds:.1f} s", holds=False)


def run(site: Site) -> Outcome:
    """Send odd requests and damaged files by the thousand, and look at every answer."""
    count = site.count or COUNT
    outcome = Outcome("P43", SENTENCE, site.seed, faults_asked=2 * count)
    keys = _write_world()
    cluster = site.servers()
    cluster.start_web(FAULTS_SABOTAGE=site.sabotage, API_REQUESTS_PER_MINUTE="1000000")
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=50_000,
    )  # fmt: skip
    workers.start()
    judge = Judge(outcome)
    try:
        described = round(count * DESCRIBED_SHARE)
        _send(judge, cluster.port, keys, range(min(WARM, count)), _request_of(site.seed))
        before = web_mib(cluster)
        _send(judge, cluster.port, keys, range(WARM, count - described), _request_of(site.seed))
        _send_described(judge, cluster.port, keys["account"], keys["source"], described)
        _send(judge, cluster.port, keys, range(count), _file_of(site.seed))
        growth = web_mib(cluster) - before
        outcome.require(
            f"batches are left: {states(site.conninfo)}", holds=settle(site.conninfo, tend=workers.tend)
        )
    finally:
        workers.stop()
        cluster.stop_web()
    outcome.faults = judge.asked
    outcome.require(f"a web process grew by {growth:.0f} MiB", holds=growth <= GROWTH_MIB_MAX)
    _check_tried(outcome, judge, count)
    _check_books(site, outcome)
    outcome.figures.append(
        f"{judge.asked} requests, answers {dict(sorted(judge.statuses.items()))}, slowest {judge.seconds_max:.1f} s; "
        f"web processes grew by {growth:.0f} MiB; batches {states(site.conninfo)}"
    )
    outcome.check_faults()
    return outcome


def _write_world() -> dict[str, str]:
    """An account with a key, a source with a key, and another account whose every text must never be told."""
    from tests import factories

    account, other = (
        factories.make_account("ansel"),
        factories.make_account("brook-CANARY", name="CANARY Inc"),
    )
    user = factories.make_user("owner@example.com")
    factories.make_membership(account, user)
    factories.make_meter("bytes_out", unit="B", dimensions=["region", "protocol"])
    factories.make_meter("corrections", unit="B", dimensions=[], allows_negative=True)
    factories.make_source("edge", key_kind="row_id", clock_zone="", max_age_days=None)
    factories.make_source("secret-CANARY", account=other, name="CANARY")
    return {
        "source": key_of("edge"),
        "account": factories.make_api_key(account, created_by=user)[1],
        "broken": "up_live_0123456789_nothing",
        "none": "",
    }


Make = Callable[[int], tuple[str, Request]]


def _request_of(seed: int) -> Make:
    return lambda number: (
        f"request {number} of seed {seed}",
        odd_request(random.Random(f"{seed} request {number}")),
    )


def _file_of(seed: int) -> Make:
    """Files that are known to be refused come first, then damaged ones; each follows from its number alone."""
    known = [case for case in REFUSED if len(case.body) < 2**20]

    def make(number: int) -> tuple[str, Request]:
        if number < len(known):
            case = known[number]
            return f"case {case.number}", Request(content_type=MEDIA_TYPES[case.form], body=case.body)
        return f"file {number} of seed {seed}", damaged_file(random.Random(f"{seed} file {number}"))

    return make


def _send(judge: Judge, port: int, keys: dict[str, str], numbers: range, make: Make) -> None:
    def one(number: int) -> None:
        name, request = make(number)
        judge.take(name, request.method, ask_raw(port, request, keys[request.key]), request.body)

    at_once([partial(one, number) for number in numbers], clients=CLIENTS)


def _send_described(judge: Judge, port: int, reading_key: str, writing_key: str, count: int) -> None:
    """Follow the published description, and break it where it says something, as schemathesis does."""
    from tests.faults.described import described_cases

    for number, (name, method, call) in enumerate(described_cases(port, judge.outcome.seed, count)):
        key = writing_key if "/batches" in name else reading_key
        began = time.monotonic()
        status, content_type, content = call(key)
        judge.take(
            f"described {number} {name}",
            method,
            Answer(status, content_type, content, time.monotonic() - began),
        )


def _check_tried(outcome: Outcome, judge: Judge, count: int) -> None:
    """Requests that are all turned away at the door would try nothing."""
    outcome.require(
        "too few requests were taken", holds=judge.statuses[200] + judge.statuses[202] > count // 10
    )
    outcome.require("too few requests were refused", holds=judge.statuses[400] > count // 10)


def _check_books(site: Site, outcome: Outcome) -> None:
    """Whatever came in, the books agree with themselves."""
    done = manage(site.env, "verify_books")
    outcome.require(f"verify_books: {done.stdout[-500:]} {done.stderr[-500:]}", holds=done.returncode == 0)
