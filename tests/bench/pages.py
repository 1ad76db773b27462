"""Measures pages and the download of the largest account through the web server on loopback."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import psycopg

from accounts.models import Account, User
from accounts.tenancy import account_scope, as_worker
from insights.exports.queries import records_copy, records_filter
from insights.metering.queries import list_meters
from insights.metering.sum_operations import list_days_to_sum
from insights.metering.usage_filter import parse_usage_filter
from tests.bench import floor, site
from tests.bench.bills import issue_bills
from tests.bench.figures import Report, p50_p95, progress
from tests.bench.rows import LARGEST
from tests.bench.site import Site
from tests.factories import make_api_key

REQUESTS = 50
WARM_UP = 5
PAGE_MILLISECONDS_MAX = 60
GROWTH_MAX = 1.2
DOWNLOAD_TARGET = 0.8
DOWNLOAD_ROUNDS = 3
GROWTH_MIB_MAX = 30
WEB_MIB_MAX = 300
POLL_SECONDS = 0.5


def _questions(today: date) -> dict[str, str]:
    """The pages, by the name of their figure."""
    days = {"meter": "requests", "period": "last-12-months", "granularity": "day"}
    quarter = {
        "meter": "requests",
        "from": str(today - timedelta(days=91)),
        "to": str(today),
        "granularity": "hour",
    }
    month = today.replace(day=1)
    money = {
        "meter": "requests",
        "measure": "cost",
        "from": str((month - timedelta(days=1)).replace(day=1)),
        "to": str(today),
    }
    return {
        "overview": "",
        "explorer, 12 months by day": f"usage/?{urlencode(days)}",
        "explorer, 12 months by day, top 10 and other": f"usage/?{urlencode({**days, 'group_by': 'endpoint'})}",
        "explorer, 12 months by month, top 10 and other":
            f"usage/?{urlencode({**days, 'granularity': 'month', 'group_by': 'endpoint'})}",
        "explorer, 3 months by hour": f"usage/?{urlencode(quarter)}",
        "explorer, 3 months by hour, top 10 and other": f"usage/?{urlencode({**quarter, 'group_by': 'endpoint'})}",
        "explorer in money, a bill of 26 lines and a running one, by day":
            f"usage/?{urlencode({**money, 'granularity': 'day'})}",
        "explorer in money, the same by month, top 10 and other":
            f"usage/?{urlencode({**money, 'granularity': 'month', 'group_by': 'endpoint'})}",
        "batches": "batches/",
    }  # fmt: skip


def _largest() -> Account:
    with as_worker():
        return Account.objects.get(reference=LARGEST)


def wait_for_sums() -> float:
    """Wait until every day of meters of many series is summed; return the seconds."""
    began = time.perf_counter()
    with as_worker():
        while list_days_to_sum():
            time.sleep(POLL_SECONDS)
    return time.perf_counter() - began


def measure(running: Site, report: Report) -> dict[str, float]:
    """Time every page warm, one request after another; return p95 and processor time of each, in milliseconds."""
    account = _largest()
    cookie = {"Cookie": site.session_cookie("owner@example.com")}
    own = f"/a/{account.public_id}/"
    report.say("days summed behind ingest after", f"{wait_for_sums():.0f} s")
    pages_of_bills = _bills(account, own, cookie)
    site.clean()
    pages = {name: (f"{own}{query}", cookie) for name, query in _questions(datetime.now(UTC).date()).items()}
    found: dict[str, float] = {}
    with running.caller() as caller:
        for name, (path, headers) in (pages | pages_of_bills).items():
            seconds, each = _time_page(running, caller, path, headers)
            p50, p95 = p50_p95(seconds)
            found[f"{name}, p95"], found[f"{name}, processor"] = p95, each
            report.say(f"{name}, p50", f"{p50:.0f} ms, of which processor {each:.0f} ms")
            report.at_most(f"{name}, p95", p95, PAGE_MILLISECONDS_MAX, " ms")
    report.at_most("peak memory of a web process", running.peak_mib(running.web), WEB_MIB_MAX, " MiB")
    return found


def _bills(account: Account, own: str, cookie: dict[str, str]) -> dict[str, tuple[str, dict[str, str]]]:
    """The pages that explain a bill of some thirty lines, and the same bill by the API."""
    issued = issue_bills(account)
    bill = f"{own}bills/{issued.public_id}/"
    with as_worker():
        owner = User.objects.get(email="owner@example.com")
    _row, key = make_api_key(account, created_by=owner, scopes=["bills:read"])
    return {
        "bills": (f"{own}bills/", cookie),
        "a bill": (bill, cookie),
        "a bill by the API": (f"/api/v1/invoices/{issued.public_id}", {"Authorization": f"Bearer {key}"}),
        "a line of a bill": (f"{bill}lines/{issued.position}/", cookie),
        "difference of two bills": (f"{bill}difference/", cookie),
        "where usage went": (f"{bill}where-usage-went/", cookie),
        "a bill then and now": (f"{bill}then-and-now/", cookie),
        "edges of a period": (f"{bill}edges/?within=60", cookie),
    }


def _time_page(
    running: Site, caller: HTTPConnection, path: str, headers: dict[str, str]
) -> tuple[list[float], float]:
    """The seconds of each request, and the processor time of one on average, in milliseconds."""
    seconds, cpu = [], 0.0
    for number in range(WARM_UP + REQUESTS):
        if number == WARM_UP:
            cpu = running.cpu_seconds()
        began = time.perf_counter()
        caller.request("GET", path, headers=headers)
        answer = caller.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
    return seconds, (running.cpu_seconds() - cpu) / REQUESTS * 1000


def say_growth(report: Report, by_size: dict[int, dict[str, float]]) -> None:
    small, large = min(by_size), max(by_size)
    for name, figure in by_size[large].items():
        grown = f"{name}, from {small:,} to {large:,} records"
        report.at_most(grown, figure / by_size[small][name], GROWTH_MAX, "x")


def measure_download(running: Site, report: Report) -> None:
    """The records of a year as CSV, by psql and through the web stack in turn."""
    account = _largest()
    query = {"meter": "requests", "period": "last-12-months", "granularity": "month"}
    cookie = site.session_cookie("owner@example.com")
    statement = _statement(account, query)
    ours, theirs = running.directory / "web.csv", running.directory / "psql.csv"
    before = running.forget_peak(running.web)
    psql, web = [], []
    for _round in range(DOWNLOAD_ROUNDS):
        psql.append(floor.copy_out(statement, account_id=account.pk, file=theirs))
        web.append(
            _download(running, f"/a/{account.public_id}/usage/records.csv?{urlencode(query)}", cookie, ours)
        )
    if ours.read_bytes() != theirs.read_bytes():
        raise AssertionError("the download is not what psql wrote")
    lines = ours.read_bytes().count(b"\n") - 1
    progress(f"psql {psql}, web {web}")
    report.say(
        "CSV download", f"{lines / median(web):,.0f} rows/s ({lines:,} rows, {ours.stat().st_size:,} bytes)"
    )
    report.at_least("CSV download against psql \\copy", median(psql) / median(web), DOWNLOAD_TARGET)
    grown = running.peak_mib(running.web) - before
    report.at_most("memory growth of a web process in a download", grown, GROWTH_MIB_MAX, " MiB")


def _statement(account: Account, query: dict[str, str]) -> str:
    """The statement of the download with its parameters written in, for psql."""
    now = datetime.now(UTC)
    with account_scope(account.pk):
        question = parse_usage_filter(
            list(query.items()), meters=list_meters(account), zone=ZoneInfo(account.billing_zone), now=now
        )
    copy = records_copy(records_filter(account, question), raw=False)
    with psycopg.connect(os.environ["DATABASE_URL"]) as web:
        return psycopg.ClientCursor(web).mogrify(copy.statement, copy.parameters)


def _download(running: Site, path: str, cookie: str, file: Path) -> float:
    with running.caller() as caller, file.open("wb") as out:
        began = time.perf_counter()
        caller.request("GET", path, headers={"Cookie": cookie, "Accept-Encoding": "identity"})
        answer = caller.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}: {answer.read()[:300]!r}")
        while piece := answer.read(256 * 1024):
            out.write(piece)
        return time.perf_counter() - began
