"""P4: the same identity with other content never wins silently, in one file or in two that are worked on at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import psycopg

from tests.faults.load import COLUMNS, FilePlan, Load, Size, make_load, write_plan
from tests.faults.p01 import compare
from tests.faults.senders import at_once
from tests.faults.site import Outcome, Site, keep, settle, source_ids, write_catalogue
from tests.faults.workers import Workers

SENTENCE = "Other content under the same identity never wins silently"
COUNT = 1_000
CHANGES = {
    "edge": ("quantity", "higher", "lower"),
    "bookings": ("quantity", "meter", "window_start", "endpoint", "region", "protocol", "higher", "lower"),
}
OTHER = {
    "quantity": "77.5",
    "meter": "meter_01",
    "window_start": "2025-11-05T13:00:00Z",
    "endpoint": "elsewhere",
    "region": "ap-south",
    "protocol": "grpc",
}
# Both lines in one file, or one in each of two files that are delivered at the same moment.
FILES = ("together", "first", "second")

Cells = dict[str, str]


def run(site: Site) -> Outcome:
    """Send pairs of lines that meet; exactly one of each pair may stay, and the other must be listed."""
    count = site.count or COUNT
    outcome = Outcome("P4", SENTENCE, site.seed, faults_asked=count)
    empty = make_load(site.directory / "load", seed=site.seed, size=Size(files=0, accounts=12))
    load, later = _write_pairs(empty, count, random.Random(site.seed))
    write_catalogue(load)
    sources = source_ids()
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=40, more={"FAULTS_SABOTAGE": site.sabotage},
    )  # fmt: skip
    workers.start()
    try:
        at_once(
            [lambda file=file: keep(load, file, sources=sources) for file in load.files],
            clients=len(load.files),
        )
        settled = settle(site.conninfo, tend=workers.tend, seconds=site.settle_seconds)
    finally:
        workers.stop()
    outcome.faults = count
    outcome.require("deliveries are left", holds=settled)
    compare(site, load, outcome)
    _check_survivors(site, outcome, pairs=count, later=later)
    return outcome


def _check_survivors(site: Site, outcome: Outcome, *, pairs: int, later: int) -> None:
    with psycopg.connect(site.conninfo) as connection:
        current, higher = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE revision = 2) FROM insights_usagerecord"
        ).fetchone() or (0, 0)
        (conflicts,) = connection.execute(
            "SELECT count(*) FROM insights_rejectedline WHERE code = 'id_conflict'"
        ).fetchone() or (0,)
    outcome.require(f"{current} survivors of {pairs} pairs", holds=current == pairs)
    outcome.require(f"{higher} of {later} higher revisions are current", holds=higher == later)
    outcome.require(f"{conflicts} of {pairs - later} conflicts are listed", holds=conflicts == pairs - later)
    outcome.figures.append(f"{pairs} pairs: {conflicts} conflicts listed, {higher} higher revisions current")


def _write_pairs(empty: Load, count: int, chance: random.Random) -> tuple[Load, int]:
    """Write the files and return how many pairs have a higher revision."""
    rows: dict[tuple[str, str], list[Cells]] = {(slug, name): [] for slug in CHANGES for name in FILES}
    later = 0
    for number, (slug, change) in zip(range(count), _changes(), strict=False):
        line, other = _pair(empty, slug, change, number)
        later += change in ("higher", "lower")
        if chance.random() < 0.5:
            line, other = other, line
        is_together = number % 3 == 0
        rows[slug, "together" if is_together else "first"].append(line)
        rows[slug, "together" if is_together else "second"].append(other)
    files = []
    for (slug, name), lines in rows.items():
        # The second file is read in another order, so that neither simply runs ahead.
        if name == "second":
            chance.shuffle(lines)
        columns = (*COLUMNS, "row_id") if slug == "bookings" else COLUMNS
        text = [",".join(columns), *(",".join(row.get(column, "") for column in columns) for row in lines)]
        files.append(FilePlan(f"{slug}-{name}.csv", slug, "csv"))
        (empty.directory / files[-1].name).write_text("\n".join(text) + "\n")
    load = replace(empty, files=tuple(files))
    write_plan(load)
    return load, later


def _changes() -> Iterator[tuple[str, str]]:
    every = [(slug, change) for slug, changes in CHANGES.items() for change in changes]
    while True:
        yield from every


def _pair(load: Load, slug: str, change: str, number: int) -> tuple[Cells, Cells]:
    line = {
        "account": load.accounts[number % len(load.accounts)].reference,
        "meter": "meter_00",
        "window_start": "2025-11-05T12:00:00Z",
        "quantity": str(number + 1_000),
        "revision": "1",
        "endpoint": f"e{number}",
        "region": "eu-west",
        "protocol": "https",
    }
    if slug == "bookings":
        line["row_id"] = f"pair-{number}"
    if change in ("higher", "lower"):
        return line, {**line, "revision": "2", "quantity": OTHER["quantity"]}
    return line, {**line, change: OTHER[change]}
