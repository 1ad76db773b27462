"""One breakage for each promise, applied in the worker's or web server's own process; the promise must turn red.

Those of the promises about money are in `bill_breakages.py`, for what they break runs in the run itself.
"""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Application = Callable[..., Any]


def _counters_after_the_commit() -> None:
    """P1: an account's counters are updated once the rows are committed, instead of with them."""
    from django.db import transaction

    from insights.ingest import chunk_operations

    count_chunk = chunk_operations.count_chunk
    chunk_operations.count_chunk = lambda **facts: transaction.on_commit(
        lambda: count_chunk(**facts), using="worker"
    )


def _rollups_after_the_commit() -> None:
    """P2: sums change once the records are committed, instead of with them."""
    from django.db import transaction

    from accounts.tenancy import connection
    from insights.metering import operations as metering

    roll_up_stage = metering.roll_up_stage
    tables = ("ingest_stage", "ingest_taken")

    def take(table: str) -> list[Any]:
        with connection().cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table}")
            return list(cursor.fetchall())

    def put_back(rows: dict[str, list[Any]]) -> None:
        with transaction.atomic(using="worker"), connection().cursor() as cursor:
            for table, kept in rows.items():
                if kept:
                    places = ", ".join(["%s"] * len(kept[0]))
                    cursor.executemany(f"INSERT INTO {table} VALUES ({places})", kept)
            roll_up_stage()

    def later() -> None:
        rows = {table: take(table) for table in tables}
        transaction.on_commit(lambda: put_back(rows), using="worker")

    metering.roll_up_stage = later


def _age_before_identity() -> None:
    """P3: what was seen is remembered only as long as a row may be late."""
    from insights.ingest import chunk_operations

    chunk_operations.duplicates_among = lambda ledger, lines: set()


def _conflicts_as_duplicates() -> None:
    """P4: a line with other content under a known revision is passed over as if it were a repeat."""
    from insights.ingest import verdicts

    verdict_of = verdicts._Bench._verdict

    def silent(bench: Any, line: Any, identity: Any) -> Any:
        verdict = verdict_of(bench, line, identity)
        return verdicts.Verdict.DUPLICATE if verdict is verdicts.Verdict.ID_CONFLICT else verdict

    verdicts._Bench._verdict = silent  # type: ignore[method-assign]


def _last_arrival_wins() -> None:
    """P5: any revision that is not known yet replaces the one that is current."""
    from insights.ingest import verdicts

    open_state = verdicts._State.__init__

    def forget_revision(state: Any, stored: Any) -> None:
        open_state(state, stored)
        if state.current_revision is not None:
            state.current_revision = 0

    verdicts._State.__init__ = forget_revision  # type: ignore[method-assign]


def _stop_at_the_first_error() -> None:
    """P7: the first line that cannot be taken ends the file."""
    from insights.ingest import read_operations
    from insights.ingest.refusals import RequestRefused

    parse = read_operations._parse

    def parse_strictly(*args: Any) -> Any:
        parsed = parse(*args)
        if parsed.rejected:
            line = parsed.rejected[0]
            raise RequestRefused("shape", line.message, line=line.line_no, field=line.field)
        return parsed

    read_operations._parse = parse_strictly


def _position_is_id() -> None:
    """P8: the position is the entry's id, given out at the beginning and not in the order of commits."""
    from accounts.tenancy import connection
    from insights.ingest import chunk_operations

    open_entry = chunk_operations._open_entry

    def open_with_position(*args: Any) -> int:
        entry_id = open_entry(*args)
        with connection().cursor() as cursor:
            cursor.execute(
                "UPDATE insights_ledgerentry SET position = id, committed_at = clock_timestamp() WHERE id = %s",
                [entry_id],
            )
        return entry_id

    chunk_operations._open_entry = open_with_position
    chunk_operations.take_position = lambda entry_id: None


def _deliveries_in_memory() -> None:
    """P10: a delivery is counted where the process that dies forgets it."""
    from accounts.tenancy import connection
    from insights.ingest import work_operations

    claim_work = work_operations.claim_work

    def uncounted(*, batch_id: int, owner: str) -> Any:
        lease = claim_work(batch_id=batch_id, owner=owner)
        with connection().cursor() as cursor:
            cursor.execute("UPDATE insights_workitem SET deliveries = 0 WHERE batch_id = %s", [batch_id])
        return lease

    work_operations.claim_work = uncounted


def _first_come_first_served() -> None:
    """P11: one task per batch in the order in which they came, and whoever has begun goes on to the end."""
    from accounts.tenancy import connection
    from insights.ingest import turn_queries

    def oldest(*, mine: int = 0, limit: int = 50) -> tuple[int, ...]:
        with connection().cursor() as cursor:
            cursor.execute(
                "SELECT batch_id FROM insights_workitem WHERE state = 'waiting' ORDER BY id LIMIT %s", [limit]
            )
            return tuple(row[0] for row in cursor.fetchall())

    turn_queries.list_turns = oldest
    turn_queries.is_others_turn = lambda *, mine: False


def _a_full_disk_is_a_fault() -> None:
    """disk: a batch that meets a full disk is taken for one that fails."""
    from insights.ingest import retry_operations

    retry_operations.NO_FAULT_SQLSTATES = frozenset()


def _locks_in_any_order() -> None:
    """deadlocks: every chunk takes two more locks, in an order of chance."""
    from accounts.tenancy import connection
    from insights.metering import operations as metering

    roll_up_stage = metering.roll_up_stage
    chance = random.SystemRandom()

    def roll_up() -> None:
        with connection().cursor() as cursor:
            for number in chance.sample((1, 2), 2):
                cursor.execute("SELECT pg_advisory_xact_lock(%s), pg_sleep(0.01)", [number])
        roll_up_stage()

    metering.roll_up_stage = roll_up


def _chunks_of_a_backfill_commit() -> None:
    """backfill: what is closed is committed chunk by chunk."""
    from accounts.tenancy import connection
    from insights.ingest import chunk_operations
    from insights.models import Backfill

    close_chunk = chunk_operations.close_chunk

    def close_and_commit(run: Any, *args: Any) -> None:
        close_chunk(run, *args)
        if Backfill.objects.filter(pk=run.batch.backfill_id, state="closing").exists():
            link = connection()
            link.connection.commit()
            # Whoever opened the savepoints is going to release them.
            for name in filter(None, link.savepoint_ids):
                link._savepoint(name)

    chunk_operations.close_chunk = close_and_commit


# Where a death shows the breakage best.
POINTS = {"P1": ("committed",), "P2": ("committed",)}
WORKER: dict[str, Callable[[], None]] = {
    "P1": _counters_after_the_commit,
    "P2": _rollups_after_the_commit,
    "P3": _age_before_identity,
    "P4": _conflicts_as_duplicates,
    "P5": _last_arrival_wins,
    "P7": _stop_at_the_first_error,
    "P8": _position_is_id,
    "P10": _deliveries_in_memory,
    "P11": _first_come_first_served,
    "disk": _a_full_disk_is_a_fault,
    "deadlocks": _locks_in_any_order,
    "backfill": _chunks_of_a_backfill_commit,
}


def _redis_in_every_page(application: Application) -> Application:
    """P39: a page that first asks Redis."""
    import redis

    def asking(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"].startswith("/a/"):
            redis.Redis.from_url(os.environ["REDIS_URL"]).ping()
        return application(environ, start_response)

    return asking


def _answer_first(application: Application) -> Application:
    """P6: the sender is told that the upload is kept, and then it is kept."""

    # Few, or their connections would run out and refuse every upload.
    pool = ThreadPoolExecutor(8)

    def keep(environ: dict[str, Any]) -> None:
        time.sleep(0.2)
        list(application(environ, lambda *_: None))

    def early(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] != "POST":
            return application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        later = environ | {"wsgi.input": io.BytesIO(body)}
        pool.submit(keep, later)
        start_response("202 Accepted", [("Content-Type", "application/json")])
        return [b'{"id": null}']

    return early


def _unpack_at_once(application: Application) -> Application:
    """P9: what came packed is unpacked whole, and then looked at."""
    import gzip

    from insights.ingest import unpack

    unpack._inflated = lambda pieces, limits: iter([gzip.decompress(b"".join(pieces))])
    return application


def _amounts_of_floats(application: Application) -> Application:
    """P12: one of the places writes its amounts from floats, with the two decimals that most currencies have."""
    from insights.exports import bill_rows

    bill_rows.money_number = lambda money: f"{float(money.amount):.2f}"
    return application


def _end_tidily(application: Application) -> Application:
    """P33: a download that fails is ended as if it were whole."""
    from insights.exports.stream import CsvStream

    next_piece = CsvStream.__next__

    def next_or_end(stream: Any) -> bytes:
        try:
            return next_piece(stream)
        except Exception:
            raise StopIteration from None

    CsvStream.__next__ = next_or_end  # type: ignore[method-assign]
    return application


def _any_depth(application: Application) -> Application:
    """P43: a document may be nested as deep as it likes."""
    from insights.ingest import json_document

    json_document.json_depth_above = lambda text, most: False
    return application


WEB: dict[str, Callable[[Application], Application]] = {
    "P6": _answer_first,
    "P9": _unpack_at_once,
    "P12": _amounts_of_floats,
    "P33": _end_tidily,
    "P39": _redis_in_every_page,
    "P43": _any_depth,
}


def apply_to_worker(promise: str) -> None:
    if promise in WORKER:
        WORKER[promise]()


def apply_to_web(application: Application) -> Application:
    wrap = WEB.get(os.environ.get("FAULTS_SABOTAGE", ""))
    return wrap(application) if wrap else application
