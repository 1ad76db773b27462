"""One line of millions of records and ten thousand endpoints: how soon it opens, and in how much memory."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.models import InvoiceState, LineItem, Meter
from insights.rating.charges import Graduated, Tier
from tests.bench import ingest, site
from tests.bench.figures import Report
from tests.bench.pages import wait_for_sums
from tests.bench.rows import LARGEST, Plan
from tests.bench.site import Site
from tests.billing.scene import bill, complete, make_plan, make_profile, subscribe, usage_price

ENDPOINTS = 10_000
ROWS_PER_FILE = 125_000
ROUNDS = 5
SECONDS_MAX = 2.0
GROWTH_MIB_MAX = 30


def measure(running: Site, report: Report, records: int) -> None:
    """Take the records in by the usual way, issue the bill of their month, and open the only line of usage."""
    start = _last_month(datetime.now(UTC))
    endpoints = max(1, min(ENDPOINTS, records // 100))
    series = tuple((LARGEST, "requests", f"e{number}", "r0") for number in range(endpoints))
    report.heading(f"A line of {records:,} records and {endpoints:,} endpoints")
    ingest.load_new(
        running, Plan(records, start, series), key_kind="window", files=-(-records // ROWS_PER_FILE)
    )
    report.say("large line, days summed behind ingest after", f"{wait_for_sums():.0f} s")
    with as_worker():
        account = Account.objects.get(reference=LARGEST)
    began = time.perf_counter()
    line = _issued_line(account, start)
    report.say("large line, issued after", f"{time.perf_counter() - began:.1f} s")
    if line.metered_quantity != _sum_of(records):
        raise RuntimeError(f"the line is for {line.metered_quantity}")
    own = f"/a/{account.public_id}/bills/{line.invoice.public_id}/lines/{line.position}/"
    _open(running, report, {"large line": own, "large line, its records": f"{own}records/"})


def _last_month(now: datetime) -> datetime:
    return (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)).replace(day=1)


def _sum_of(records: int) -> Decimal:
    """What the rows add up to, as `rows.line_maker` writes them."""
    hundredths = sum(number * 7919 % 1_000_003 * 100 + number % 4 * 25 for number in range(records))
    return Decimal(hundredths) / 100


def _issued_line(account: Account, start: datetime) -> LineItem:
    tiers = (
        Tier(above=Decimal(0), up_to=Decimal(1_000_000), unit_amount=Decimal("0.0001")),
        Tier(above=Decimal(1_000_000), up_to=None, unit_amount=Decimal("0.00001")),
    )
    make_profile(account)
    with as_worker():
        unit = Meter.objects.get(key="requests").unit
    plan = make_plan("large-line", [usage_price("requests", Graduated(tiers=tiers), unit=unit)])
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    subscription = subscribe(account, plan, f"{start:%Y-%m-%d}")
    complete(account, today)
    issued = bill(subscription, f"{today}T00")[0]
    if issued.state != InvoiceState.ISSUED:
        raise RuntimeError(f"the bill was not issued: {issued.parked_for}")
    with as_worker():
        return LineItem.objects.select_related("invoice").get(invoice=issued, meter_key="requests")


def _open(running: Site, report: Report, pages: dict[str, str]) -> None:
    cookie = {"Cookie": site.session_cookie("owner@example.com")}
    before = running.forget_peak(running.web)
    with running.caller() as caller:
        for name, path in pages.items():
            seconds = []
            for _round in range(ROUNDS):
                began = time.perf_counter()
                caller.request("GET", path, headers=cookie)
                answer = caller.getresponse()
                size = len(answer.read())
                if answer.status != 200:
                    raise RuntimeError(f"{path}: {answer.status}")
                seconds.append(time.perf_counter() - began)
            report.say(f"{name}, opened", f"{median(seconds):.2f} s, {size:,} bytes")
            report.at_most(f"{name}, slowest of {ROUNDS}", max(seconds), SECONDS_MAX, " s")
    grown = running.peak_mib(running.web) - before
    report.at_most("large line, memory growth of a web process", grown, GROWTH_MIB_MAX, " MiB")
