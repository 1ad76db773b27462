"""P9: limits are applied before the work, in bounded memory and time, by the real web server."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.bad_inputs.too_much import EXPECTED, HEADER, LINE, MEBIBYTE, cases, repeated
from tests.faults.pouring import Answered, pour
from tests.faults.senders import key_of
from tests.faults.site import Outcome, Site

SENTENCE = "Limits are applied before the work"
COUNT = 5
ANSWER_SECONDS_MAX = 2.0
PEAK_MIB_MAX = 300
OPEN_BATCHES_MAX = 1_000
# Where the limit lies, in bytes as sent; the others are known to be too much only by their end.
CROSSED_AT = {"1 GiB": 64 * MEBIBYTE, "1 GiB announced": 0}
FLOOD = "one batch too many"
ACCEPTED = "as many as may be"
FILLED = (
    "insights_ledgerentry", "insights_usagerecord", "insights_usagerollup", "insights_series",
    "insights_batchbytes", "insights_workitem", "insights_rejectedline", "insights_unattributedreject",
    "insights_batchpart",
)  # fmt: skip


def run(site: Site) -> Outcome:
    """Send far too much of everything, again and again; no worker runs, since nothing may come so far."""
    rounds = site.count or COUNT
    names = [name for name in EXPECTED if name != ACCEPTED]
    outcome = Outcome("P9", SENTENCE, site.seed, faults_asked=rounds * (len(names) + 1))
    key, flooded = _write_world(site)
    cluster = site.servers()
    cluster.start_web(FAULTS_SABOTAGE=site.sabotage)
    slowest: dict[str, float] = {}
    pids: set[int] = set()
    try:
        for _round in range(rounds):
            for name, media_type, pieces, announced in cases():
                if name == ACCEPTED:
                    continue
                answered = pour(
                    cluster.port,
                    key,
                    media_type,
                    pieces,
                    announced=announced,
                    limit_bytes=CROSSED_AT.get(name, 2**40),
                )
                status, code, _read = EXPECTED[name]
                _judge(outcome, name, answered, status=status, code=code, slowest=slowest)
            answered = pour(
                cluster.port, flooded, "text/csv", repeated(LINE * 1000, size_bytes=60 * MEBIBYTE),
                announced=None, limit_bytes=0,
            )  # fmt: skip
            _judge(outcome, FLOOD, answered, status=429, code="too_many_batches", slowest=slowest)
            pids |= set(cluster.web_workers())
        _judge_memory(outcome, pids)
    finally:
        cluster.stop_web()
    _check_stored(site, outcome, refused=rounds * len(names))
    outcome.figures.append(
        "slowest answers: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in slowest.items())
    )
    outcome.check_faults()
    return outcome


def _write_world(site: Site) -> tuple[str, str]:
    """Make a source, and another whose batches wait already; the keys of both."""
    from tests import factories

    factories.make_meter("bytes_out", unit="B", dimensions=["region"])
    factories.make_account("ansel")
    factories.make_source("edge", key_kind="row_id", clock_zone="")
    flooded = factories.make_source("flooded", key_kind="row_id", clock_zone="")
    first = factories.receive_batch(pieces=[HEADER + LINE % 1], source_id=flooded.pk, via="command")
    with psycopg.connect(site.conninfo) as connection:
        columns = ", ".join(
            row[0]
            for row in connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'insights_batch'::regclass AND attnum > 0 "
                "AND NOT attisdropped AND attname NOT IN ('id', 'public_id', 'upload_id')"
            )
        )
        connection.execute(
            f"WITH more AS (INSERT INTO insights_batch (public_id, upload_id, {columns}) "
            f"SELECT gen_random_uuid(), gen_random_uuid(), {columns} FROM insights_batch, generate_series(2, %s) "
            "WHERE id = %s RETURNING id) "
            "INSERT INTO insights_workitem (batch_id, state, lease_owner, lease_number, deliveries) "
            "SELECT id, 'waiting', '', 0, 0 FROM more",
            [OPEN_BATCHES_MAX, first.batch_id],
        )
    return key_of("edge"), key_of("flooded")


def _judge(
    outcome: Outcome, name: str, answered: Answered, *, status: int, code: str, slowest: dict[str, float]
) -> None:
    outcome.faults += 1
    slowest[name] = max(slowest.get(name, 0.0), answered.seconds)
    outcome.require(
        f"{name} was answered {answered.status} {answered.code!r} after {answered.sent} bytes, not {status} {code}",
        holds=(answered.status, answered.code) == (status, code),
    )
    outcome.require_in_time(
        f"{name} was answered after {answered.seconds:.1f} s", holds=answered.seconds < ANSWER_SECONDS_MAX
    )


def _judge_memory(outcome: Outcome, pids: set[int]) -> None:
    peaks = [peak for pid in pids if (peak := peak_mib(pid))]
    outcome.require(
        f"a web process took {max(peaks, default=0)} MiB", holds=max(peaks, default=0) < PEAK_MIB_MAX
    )
    outcome.require("no web process could be measured", holds=bool(peaks))
    outcome.figures.append(f"largest web process ever {max(peaks, default=0)} MiB, of {len(peaks)}")


def peak_mib(pid: int) -> int:
    """The most memory a process ever had, 0 if it is gone."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) // 1024 if found else 0
    return 0


def _check_stored(site: Site, outcome: Outcome, *, refused: int) -> None:
    with psycopg.connect(site.conninfo) as connection:
        states = dict(
            connection.execute("SELECT state, count(*) FROM insights_batch GROUP BY state").fetchall()
        )
        kept = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,) for table in FILLED
        }
    # The batches that wait were put there before; only the first of them has bytes.
    before = {"insights_batchbytes": 1, "insights_workitem": OPEN_BATCHES_MAX}
    expected = {table: (before.get(table, 0),) for table in FILLED}
    outcome.rows = sum(states.values())
    outcome.require(f"stored {kept}", holds=kept == expected)
    outcome.require(
        f"batches are {states}", holds=states == {"received": OPEN_BATCHES_MAX, "refused": refused}
    )
    outcome.differences = sum(kept[table] != expected[table] for table in FILLED)
