"""`./portal bench`: speed as ratios against PostgreSQL itself, on servers of its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import django
import psycopg

MEASUREMENTS = ("ingest-row-id", "ingest-window", "pages", "download", "beside", "large-line", "drafts")
RECORDS = 1_000_000
ACCOUNTS = [1_000, 10_000]
LINE_RECORDS = 5_000_000
ROWS_PER_FILE = 125_000


def main(arguments: Sequence[str]) -> int:
    """Measure at each size in turn; 0 when no target was missed."""
    parser = argparse.ArgumentParser(prog="./portal bench", description=__doc__)
    parser.add_argument(
        "--records", type=int, nargs="+", default=[RECORDS], metavar="N", help="sizes, measured in turn"
    )
    parser.add_argument(
        "--only", action="append", choices=MEASUREMENTS, help="only this one; may be repeated"
    )
    parser.add_argument(
        "--accounts", type=int, nargs="+", default=ACCOUNTS, metavar="N", help="how many are drafted, in turn"
    )
    parser.add_argument(
        "--line-records", type=int, default=LINE_RECORDS, metavar="N", help="how many the large line is for"
    )
    options = parser.parse_args(arguments)
    django.setup()
    from tests.bench.figures import Report, machine_words
    from tests.bench.site import running_site

    report = Report()
    report.say("machine", machine_words())
    report.say("PostgreSQL", _server_words())
    wanted = options.only or MEASUREMENTS
    pages_by_size: dict[int, dict[str, float]] = {}
    if set(wanted) - {"drafts"}:
        with running_site() as running:
            for records in sorted(options.records) if set(wanted) - {"drafts", "large-line"} else ():
                pages_by_size[records] = _measure(running, report, records, wanted)
            if "large-line" in wanted:
                from tests.bench import large_line

                large_line.measure(running, report, options.line_records)
    if "drafts" in wanted:
        # Without workers beside it, whose own passes would draft the same accounts.
        from tests.bench import drafts

        for accounts in sorted(options.accounts):
            drafts.measure(report, accounts)
    if len(pages_by_size) > 1 and "pages" in wanted:
        from tests.bench.pages import say_growth

        report.heading("Growth")
        say_growth(report, pages_by_size)
    print(f"\n{len(report.missed)} targets missed{': ' if report.missed else ''}{'; '.join(report.missed)}")
    return 0


def _measure(running: object, report: object, records: int, wanted: Sequence[str]) -> dict[str, float]:
    from tests.bench import beside, ingest, pages
    from tests.bench.rows import make_plan

    plan = make_plan(records=records, now=datetime.now(UTC))
    files = max(2, -(-records // ROWS_PER_FILE))
    report.heading(
        f"{records:,} records, {len(plan.series):,} series, {len(plan.accounts):,} accounts, {files} files"
    )
    found: dict[str, float] = {}
    if "ingest-row-id" in wanted:
        ingest.measure(running, plan, report, key_kind="row_id", files=files)
    if "ingest-window" in wanted:
        ingest.measure(running, plan, report, key_kind="window", files=files)
    elif {"pages", "download"} & set(wanted):
        ingest.load_new(running, plan, key_kind="window", files=files)
    if "pages" in wanted:
        found = pages.measure(running, report)
    if "download" in wanted:
        pages.measure_download(running, report)
    if "beside" in wanted:
        beside.measure(running, plan, report, files=files)
    return found


def _server_words() -> str:
    with psycopg.connect(os.environ["DATABASE_URL"]) as web:
        said = {name: web.execute(f"SHOW {name}").fetchone()[0]
                for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers")}  # fmt: skip
    if (said["fsync"], said["synchronous_commit"]) != ("on", "on"):
        raise SystemExit(
            "bench: fsync and synchronous_commit have to be on for these figures to mean anything."
        )
    return ", ".join(f"{name} {value}" for name, value in said.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
