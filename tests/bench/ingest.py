"""Measures ingest: new rows, the same again in another order, and the same with every tenth corrected."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from statistics import median

from tests.bench import floor, site
from tests.bench.figures import Report
from tests.bench.rows import Plan, write_files
from tests.bench.site import Sender, Site, Spent
from tests.bench.stages import read_shares

TARGETS = {"new": 0.5, "duplicate": 0.9}
PROCESSORS = os.cpu_count() or 1
WORKER_MIB_MAX = 300


def load_new(running: Site, plan: Plan, *, key_kind: str, files: int) -> tuple[Sender, Spent]:
    """Begin with an empty database and send every row once; return who sent and the seconds."""
    site.empty_database()
    site.open_accounts(plan)
    sender = site.open_sender(f"bench-{key_kind}".replace("_", "-"), key_kind=key_kind)
    paths = write_files(running.directory, plan, numbers=plan.in_order(), key_kind=key_kind, files=files)
    return sender, site.send_all(running, sender, paths)


def measure(running: Site, plan: Plan, report: Report, *, key_kind: str, files: int) -> None:
    """Product and floor in turn, so that both see the same machine."""
    kind = key_kind.replace("_", " ")
    rows = running.directory / "floor.copy"
    floors = []
    running.forget_peak(running.worker)
    sender, new = load_new(running, plan, key_kind=key_kind, files=files)
    _say_shares(running, report, f"{kind}, new")
    _check(sender, plan, new=plan.records)
    floor.dump_rows(rows, source_id=sender.source_id)
    floor.make_tables()
    floors.append(floor.copy_in(rows))

    paths = write_files(running.directory, plan, numbers=plan.shuffled(), key_kind=key_kind, files=files)
    duplicate = site.send_all(running, sender, paths)
    _say_shares(running, report, f"{kind}, duplicate")
    _check(sender, plan, new=plan.records, duplicate=plan.records)
    floors.append(floor.copy_in(rows))

    paths = write_files(
        running.directory, plan, numbers=plan.in_order(), key_kind=key_kind, files=files, is_corrected=True
    )
    revised = site.send_all(running, sender, paths)
    _say_shares(running, report, f"{kind}, a tenth corrected")
    corrected = -(-plan.records // 10)
    _check(sender, plan, new=plan.records, duplicate=2 * plan.records - corrected, replaced=corrected)
    floors.append(floor.copy_in(rows))
    rows.unlink()

    _say_ratios(
        report, plan, kind, floors, {"new": new, "duplicate": duplicate, "a tenth corrected": revised}
    )
    report.at_most(
        f"peak memory of a worker, {kind}", running.peak_mib(running.worker), WORKER_MIB_MAX, " MiB"
    )


def _say_ratios(
    report: Report, plan: Plan, kind: str, floors: Sequence[Spent], ingested: Mapping[str, Spent]
) -> None:
    raw, raw_cpu = median(one.clock for one in floors), median(one.cpu for one in floors)
    all_floors = ", ".join(f"{one.clock:.1f}" for one in floors)
    report.say(f"raw COPY, {kind}", f"{plan.records / raw:,.0f} rows/s (median of {all_floors} s)")
    report.say(f"raw COPY, {kind}, processor", f"{raw_cpu / plan.records * 1e6:.1f} µs a row")
    for name, spent in ingested.items():
        figure = f"ingest, {kind}, {name}"
        report.say(figure, f"{plan.records / spent.clock:,.0f} rows/s ({spent.clock:.1f} s)")
        if name in TARGETS:
            report.at_least(f"{figure}, against COPY", raw / spent.clock, TARGETS[name])
        else:
            report.say(f"{figure}, against COPY", f"{raw / spent.clock:.2f} (no target)")
        # What the processors of this machine would allow if nothing else ran and nothing waited.
        best = raw_cpu / (spent.cpu / PROCESSORS)
        report.say(
            f"{figure}, processor",
            f"{spent.cpu / plan.records * 1e6:.1f} µs a row, {best:.2f} of COPY at best",
        )


def _say_shares(running: Site, report: Report, name: str) -> None:
    for label, seconds, share in read_shares(running.times):
        if share >= 0.01:
            report.say(f"share, {name}, {label}", f"{share:.0%} ({seconds:.1f} s)")


def _check(sender: Sender, plan: Plan, **expected: int) -> None:
    """A fast wrong answer is no figure."""
    found = {name: number for name, number in site.verdicts_of(sender).items() if number}
    if found != expected:
        raise AssertionError(f"{plan.records} rows came to {found} and not to {expected}")
