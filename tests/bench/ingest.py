"""Measures ingest: new rows, the same again in another order, and the same with every tenth corrected."""

from __future__ import annotations

from statistics import median

from tests.bench import floor, site
from tests.bench.figures import Report
from tests.bench.rows import Plan, write_files
from tests.bench.site import Sender, Site
from tests.bench.stages import read_shares

TARGET_NEW = 0.5
TARGET_DUPLICATE = 0.9
WORKER_MIB_MAX = 300


def load_new(running: Site, plan: Plan, *, key_kind: str, files: int) -> tuple[Sender, float]:
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

    raw = median(floors)
    all_floors = ", ".join(f"{one:.1f}" for one in floors)
    report.say(f"raw COPY, {kind}", f"{plan.records / raw:,.0f} rows/s (median of {all_floors} s)")
    for name, seconds in (("new", new), ("duplicate", duplicate), ("a tenth corrected", revised)):
        report.say(f"ingest, {kind}, {name}", f"{plan.records / seconds:,.0f} rows/s ({seconds:.1f} s)")
    report.at_least(f"ingest, {kind}, new, against COPY", raw / new, TARGET_NEW)
    report.at_least(f"ingest, {kind}, duplicate, against COPY", raw / duplicate, TARGET_DUPLICATE)
    report.say(f"ingest, {kind}, a tenth corrected, against COPY", f"{raw / revised:.2f} (no target)")
    report.at_most(
        f"peak memory of a worker, {kind}", running.peak_mib(running.worker), WORKER_MIB_MAX, " MiB"
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
