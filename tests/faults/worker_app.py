"""What `celery -A tests.faults.worker_app` loads: the product's tasks, and places in them where a worker may die.

Functions of the product are wrapped here, in the worker's process; nothing in the product knows of it. An order to
die is a file `<n>.<point>.<how>`; the worker that takes it away is the one that dies. Deaths and claims are written
down as lines of JSON, so that the run can tell where each death landed and how long it took to be made good.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import django
import psycopg

django.setup()

from django.db import transaction  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402

from accounts.tenancy import connection  # noqa: E402
from insights import tasks  # noqa: E402
from insights.ingest import (  # noqa: E402
    chunk_operations,
    column_operations,
    operations,
    read_operations,
    store_operations,
    work_operations,
)
from insights.metering import operations as metering  # noqa: E402
from tests.faults import sabotage  # noqa: E402
from usage_portal.celery import app  # noqa: E402

DIRECTORY = Path(os.environ["FAULTS_DIRECTORY"])
# On the third delivery without a committed chunk a further death would set the batch aside, as promised.
DELIVERIES_MAX_TO_DIE = 2


class _Doing:
    """What this process is working on."""

    batch_id = 0
    lease_number = 0
    deliveries = 0


def _write_down(file: str, **facts: object) -> None:
    line = json.dumps({**facts, "pid": os.getpid(), "at": time.time()}) + "\n"
    descriptor = os.open(DIRECTORY / file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def _may_die() -> bool:
    if _Doing.deliveries > DELIVERIES_MAX_TO_DIE:
        return False
    # The whole worker takes its other child along.
    with psycopg.connect(os.environ["WORKER_DATABASE_URL"]) as looking:
        row = looking.execute(
            "SELECT max(deliveries) FROM insights_workitem WHERE state = 'leased' AND batch_id <> %s",
            [_Doing.batch_id],
        ).fetchone()
    return row is None or (row[0] or 0) <= DELIVERIES_MAX_TO_DIE


def _die_if_ordered(point: str) -> None:
    if not _Doing.batch_id:
        return
    for order in (DIRECTORY / "orders").glob(f"*.{point}.*"):
        if not _may_die():
            return
        try:
            order.unlink()
        except FileNotFoundError:
            continue
        is_whole = order.name.endswith(".worker")
        _write_down(
            "deaths.jsonl", point=point, how="worker" if is_whole else "child", batch=_Doing.batch_id,
            lease=_Doing.lease_number, in_transaction=connection().in_atomic_block,
        )  # fmt: skip
        if is_whole:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def _wrap(module: Any, name: str, *, before: str | None = None, after: str | None = None) -> None:
    original: Callable[..., Any] = getattr(module, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        if before is not None:
            _die_if_ordered(before)
        result = original(*args, **options)
        if after is not None:
            _die_if_ordered(after)
        return result

    setattr(module, name, wrapped)


def _wrap_claim() -> None:
    original = work_operations.claim_work

    def claim_work(*, batch_id: int, owner: str) -> Any:
        lease = original(batch_id=batch_id, owner=owner)
        if lease is not None:
            _Doing.batch_id, _Doing.lease_number = batch_id, lease.number
            with connection().cursor() as cursor:
                cursor.execute("SELECT deliveries FROM insights_workitem WHERE batch_id = %s", [batch_id])
                _Doing.deliveries = cursor.fetchone()[0]
            _write_down("claims.jsonl", batch=batch_id, lease=lease.number)
            _die_if_ordered("claimed")
        return lease

    work_operations.claim_work = claim_work


def _wrap_ingest() -> None:
    original, write_chunk = tasks._ingest, tasks._write_chunk

    def ingest(lease: Any) -> None:
        try:
            original(lease)
            _die_if_ordered("done, not acknowledged")
        finally:
            _Doing.batch_id = 0

    def write(*args: Any, is_last: bool, **options: Any) -> None:
        write_chunk(*args, is_last=is_last, **options)
        _Doing.deliveries = 1
        if not is_last:
            _die_if_ordered("between chunks")

    tasks._ingest, tasks._write_chunk = ingest, write


def _wrap_hold() -> None:
    original = work_operations.hold_lease

    def hold_lease(lease: Any) -> None:
        original(lease)
        # The first to be called after the commit, before anything else that might wait for it.
        transaction.on_commit(lambda: _die_if_ordered("committed"), using="worker")

    work_operations.hold_lease = hold_lease


def _wrap_points() -> None:
    _wrap(tasks, "open_batch", after="opened")
    _wrap(read_operations, "_read_columns", before="before parse", after="after parse")
    _wrap(read_operations, "_parse", before="before parse", after="after parse")
    _wrap(read_operations, "intern_series", before="before series", after="after series")
    _wrap(read_operations, "_ensure_months", after="after months")
    _wrap(tasks, "read_chunk", after="chunk read")
    _wrap(work_operations, "hold_lease", before="before lease is held", after="lease held")
    _wrap(work_operations, "extend_lease", after="lease extended")
    _wrap(work_operations, "finish_work", after="work finished")
    _wrap(chunk_operations, "_open_entry", after="entry opened")
    _wrap(column_operations, "copy_stage_text", after="staged")
    _wrap(column_operations, "insert_stage", after="new records stored")
    _wrap(column_operations, "look_at_sample", after="known looked up")
    _wrap(store_operations, "copy_stage", after="staged")
    _wrap(store_operations, "_insert_new", after="new records stored")
    _wrap(store_operations, "find_known", after="known looked up")
    _wrap(store_operations, "_apply", after="replacements stored")
    _wrap(chunk_operations, "store_chunk", before="before store", after="chunk stored")
    _wrap(metering, "roll_up_stage", after="rolled up")
    _wrap(chunk_operations, "count_chunk", before="batch counted", after="parts counted")
    _wrap(chunk_operations, "close_batch", before="before close", after="batch closed")
    _wrap(metering, "move_watermarks", after="watermarks moved")
    _wrap(chunk_operations, "take_position", before="before position", after="position taken")


def _name_connection(connection: Any, **_: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('application_name', %s, false)", [f"faults-{os.getpid()}"])


def _poison() -> None:
    """A batch with this in its name kills whoever reads it."""
    read_chunk = tasks.read_chunk

    def read(run: Any, *args: Any) -> Any:
        if "poison" in run.batch.name:
            _write_down("deaths.jsonl", point="poison", how="child", batch=run.batch.pk,
                        lease=_Doing.lease_number, in_transaction=False)  # fmt: skip
            os.kill(os.getpid(), signal.SIGKILL)
        return read_chunk(run, *args)

    tasks.read_chunk = read


def _shift_receipt(days: int) -> None:
    """Let every batch have come so many days later, as far as age limits are concerned."""
    open_batch = tasks.open_batch

    def open_later(batch: Any) -> Any:
        batch.received_at += timedelta(days=days)
        return open_batch(batch)

    tasks.open_batch = open_later


def _receive_at(instant: str) -> None:
    """Let every batch have come at one instant, for files whose windows are written down."""
    open_batch = tasks.open_batch

    def open_then(batch: Any) -> Any:
        batch.received_at = datetime.fromisoformat(instant)
        return open_batch(batch)

    tasks.open_batch = open_then


def _commit_slowly(seconds_max: float) -> None:
    """Let transactions overlap, and let every tenth end in a rollback after its last statement."""
    take_position = chunk_operations.take_position
    # Not from the run's seed, which every child of the pool would share and so commit in step with the others.
    chance = random.SystemRandom()

    def take_slowly(entry_id: int) -> None:
        time.sleep(chance.uniform(0, seconds_max))
        take_position(entry_id)
        if chance.random() < 0.1:
            _write_down("rollbacks.jsonl", entry=entry_id)
            raise store_operations.ConcurrentChange("rolled back by the test")

    chunk_operations.take_position = take_slowly


def prepare() -> None:
    """Set the times of this run and wrap the product's functions; the pool's children inherit it."""
    operations.CHUNK_LINES = int(os.environ.get("FAULTS_CHUNK_LINES", operations.CHUNK_LINES))
    work_operations.LEASE_SECONDS = float(os.environ.get("FAULTS_LEASE", work_operations.LEASE_SECONDS))
    app.conf.beat_schedule["ring_waiting_work"]["schedule"] = timedelta(
        seconds=float(os.environ.get("FAULTS_RING", "10"))
    )
    connection_created.connect(_name_connection, weak=False)
    sabotage.apply_to_worker(os.environ.get("FAULTS_SABOTAGE", ""))
    _poison()
    if slow := float(os.environ.get("FAULTS_SLOW", "0")):
        _commit_slowly(slow)
    if days := int(os.environ.get("FAULTS_CLOCK_DAYS", "0")):
        _shift_receipt(days)
    if instant := os.environ.get("FAULTS_RECEIVED_AT"):
        _receive_at(instant)
    _wrap_claim()
    _wrap_hold()
    _wrap_points()
    _wrap_ingest()


prepare()
