"""Where a promise is tried: how to reach the servers, what to send, and what has become of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.faults.cluster import Cluster
from tests.faults.load import FilePlan, Load

SETTLE_SECONDS_MAX = 180.0
FAILURES_SHOWN = 15


@dataclass(frozen=True, slots=True)
class Site:
    """One try of one promise. `cluster` is absent where the servers are not ours to kill."""

    env: dict[str, str]
    directory: Path
    seed: int
    count: int | None
    lease_seconds: float
    sabotage: str = ""
    cluster: Cluster | None = None
    is_sample: bool = False

    @property
    def conninfo(self) -> str:
        return self.env["WORKER_DATABASE_URL"]

    @property
    def ring_seconds(self) -> float:
        return self.lease_seconds / 3

    @property
    def settle_seconds(self) -> float:
        """A broken run need not be waited for."""
        return 40.0 if self.sabotage else SETTLE_SECONDS_MAX

    def servers(self) -> Cluster:
        if self.cluster is None:
            raise RuntimeError("this promise needs servers of its own")
        return self.cluster


def write_catalogue(load: Load, *, max_age_days: int | None = None, are_accounts_only: bool = False) -> None:
    """Put the accounts, meters and sources of a load into the database, or the accounts of a further one."""
    from accounts.models import Account
    from accounts.tenancy import as_worker
    from insights.models import Meter, Source

    with as_worker():
        Account.objects.bulk_create(
            Account(
                reference=plan.reference, name=plan.reference, billing_zone=plan.zone, currency=plan.currency
            )
            for plan in load.accounts
        )
        if are_accounts_only:
            return
        Meter.objects.bulk_create(
            Meter(
                key=plan.key, name=plan.key, unit="unit", aggregation=plan.aggregation,
                dimensions=list(plan.dimensions),
                unique_dimensions=["endpoint"] if plan.aggregation == "unique_count" else [],
            )
            for plan in load.meters
        )  # fmt: skip
        Source.objects.bulk_create(
            Source(
                slug=plan.slug, name=plan.slug, key_kind=plan.key_kind, clock_zone="", max_age_days=max_age_days,
                lateness_seconds=plan.lateness_seconds,
            )
            for plan in load.sources
        )  # fmt: skip


def source_ids() -> dict[str, int]:
    from accounts.tenancy import as_worker
    from insights.models import Source

    with as_worker():
        return dict(Source.objects.values_list("slug", "id"))


def keep(load: Load, file: FilePlan, *, sources: Mapping[str, int], name: str | None = None) -> int:
    """Deliver one file as the command line does, ring for it, and return the batch's id."""
    from insights import tasks
    from insights.ingest.operations import Upload, receive_upload

    upload = Upload(source_id=sources[file.source], via="command", name=name or file.name)
    received = receive_upload(upload, [load.body(file)])
    tasks.ring(received.batch_id)
    return received.batch_id


def open_batches(conninfo: str) -> int:
    """How many batches are on their way."""
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(
            "SELECT count(*) FROM insights_batch WHERE state IN ('received', 'processing')"
        ).fetchone()
    return int(row[0]) if row else 0


def states(conninfo: str) -> dict[str, int]:
    with psycopg.connect(conninfo) as connection:
        return dict(
            connection.execute("SELECT state, count(*) FROM insights_batch GROUP BY state").fetchall()
        )


def settle(conninfo: str, *, tend: Callable[[], None], seconds: float = SETTLE_SECONDS_MAX) -> bool:
    """Wait until nothing is on its way, keeping the workers alive meanwhile."""
    deadline = time.monotonic() + seconds
    while open_batches(conninfo):
        if time.monotonic() > deadline:
            return False
        tend()
        time.sleep(0.3)
    return True


def wait_for(
    conninfo: str,
    batch_ids: Sequence[int],
    *,
    tend: Callable[[], None],
    poll: float = 0.2,
    seconds: float = 600.0,
) -> None:
    """Wait until these batches are finished; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while connection.execute(
            "SELECT 1 FROM insights_batch WHERE id = ANY(%s) AND finished_at IS NULL LIMIT 1",
            [list(batch_ids)],
        ).fetchone():
            if time.monotonic() > deadline:
                raise TimeoutError(f"batches were not finished after {seconds:.0f} s")
            tend()
            time.sleep(poll)


@dataclass(slots=True)
class Outcome:
    """What one promise came to."""

    promise: str
    sentence: str
    seed: int
    faults_asked: int = 0
    faults: int = 0
    mid_batch: int | None = None
    mid_transaction: int | None = None
    rows: int = 0
    differences: int = 0
    recoveries: list[float] = field(default_factory=list)
    recovery_seconds_max: float = 60.0
    failures: list[str] = field(default_factory=list)
    # What took too long: a failure, but for a sample on a machine that others may load.
    late: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    has_crashed: bool = False
    skipped: str = ""

    def require(self, sentence: str, *, holds: bool) -> None:
        if not holds:
            self.failures.append(sentence)

    def require_in_time(self, sentence: str, *, holds: bool) -> None:
        if not holds:
            self.late.append(sentence)

    def check_faults(self) -> None:
        """A run that injected less than asked proves nothing."""
        self.require(
            f"{self.faults} of {self.faults_asked} faults injected", holds=self.faults >= self.faults_asked
        )
        if self.mid_batch is not None:
            self.require(
                f"only {self.mid_batch} of {self.faults} landed in the middle of a batch",
                holds=self.mid_batch >= 0.8 * self.faults,
            )
        slow = [seconds for seconds in self.recoveries if seconds >= self.recovery_seconds_max]
        self.require_in_time(f"{len(slow)} recoveries took too long", holds=not slow)

    def lines(self) -> Sequence[str]:
        """The figures for people to read."""
        landed = "" if self.mid_batch is None else f", {self.mid_batch} mid-batch"
        landed += "" if self.mid_transaction is None else f", {self.mid_transaction} mid-transaction"
        lines = [
            f"  faults {self.faults} of {self.faults_asked}{landed}",
            f"  rows compared {self.rows}, differences {self.differences}",
        ]
        if self.recoveries:
            lines.append(
                f"  recovery p95 {percentile(self.recoveries, 95):.1f} s, max {max(self.recoveries):.1f} s "
                f"({len(self.recoveries)} recoveries, limit {self.recovery_seconds_max:.0f} s)"
            )
        lines += [f"  {figure}" for figure in self.figures]
        lines += [f"  late: {sentence}" for sentence in self.late if sentence not in self.failures]
        lines += [f"  FAILED: {failure}" for failure in self.failures[:FAILURES_SHOWN]]
        if len(self.failures) > FAILURES_SHOWN:
            lines.append(f"  FAILED: and {len(self.failures) - FAILURES_SHOWN} more")
        return lines


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def close_connections() -> None:
    """Let go of the database before it is dropped."""
    from django.db import connections

    connections.close_all()
