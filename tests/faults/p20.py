"""P20: an issued invoice is rated again to the same bytes, whatever has changed and whoever does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Any

from tests.faults.bill_again import hashes
from tests.faults.bill_books import EPOCH, follow, open_companies
from tests.faults.bill_breakages import broken
from tests.faults.bill_load import make_bills
from tests.faults.cluster import manage
from tests.faults.p13 import SMALL, size_of
from tests.faults.site import Outcome, Site
from usage_portal.devstack.places import ROOT

SENTENCE = "Rating is reproducible"
COUNT = 600
CHANGES = 20
ELSEWHERE = (
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "77", "TZ": "America/New_York", "LC_ALL": "C.UTF-8"},
)


def run(site: Site) -> Outcome:
    """Rate all invoices again after unrelated changes, here and in other processes, and check the usage behind them."""
    count = site.count or COUNT
    outcome = Outcome("P20", SENTENCE, site.seed, faults_asked=CHANGES)
    directory = site.directory / "load"
    make_bills(directory, seed=site.seed, size=size_of(count))
    world = open_companies(directory)
    follow(directory, world)
    outcome.faults = sum(_change(world, number) for number in range(CHANGES))
    with broken(site):
        here = hashes()
    _judge(outcome, "here", here)
    if not site.sabotage:
        for more in ELSEWHERE if count > SMALL else ELSEWHERE[:1]:
            _judge(outcome, f"with {' '.join(more.values())}", _hashes_elsewhere(site, more))
        books = manage(site.env, "verify_books")
        outcome.require(f"the books: {books.stdout[-2_000:]}", holds=books.returncode == 0)
    outcome.require("nothing was rated again", holds=bool(here))
    outcome.figures.append(
        f"{len(here)} invoices rated again after {outcome.faults} changes of catalogue and accounts"
    )
    outcome.check_faults()
    return outcome


def _judge(outcome: Outcome, where: str, found: dict[str, Any]) -> None:
    wrong = [invoice_id for invoice_id, (stored, again) in found.items() if stored != again]
    outcome.rows += len(found)
    outcome.differences += len(wrong)
    outcome.require(f"{where}, {len(wrong)} invoices come out otherwise: {wrong[:5]}", holds=not wrong)


def _hashes_elsewhere(site: Site, more: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.bill_again"], cwd=ROOT, env=os.environ | site.env | more,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _change(world: dict[str, Any], number: int) -> int:
    """One of many changes that no issued invoice has anything to do with."""
    from accounts.models import Account
    from accounts.tenancy import as_worker
    from insights.models import BillingProfile, CreditGrant, Meter, Plan
    from tests.billing.scene import fee, make_plan, publish

    account = world["accounts"][number % len(world["accounts"])]["reference"]
    with as_worker():
        match number % 5:
            case 0:
                plan = Plan.objects.order_by("pk")[number % Plan.objects.count()]
                price = fee("base", "999", currency=plan.currency)
                publish(
                    plan,
                    [price],
                    number=90 + number,
                    effective_from=datetime.fromisoformat("2026-06-01T00:00:00Z"),
                )
            case 1:
                BillingProfile.objects.filter(account__reference=account).update(
                    tax_name="New", tax_percent="1.5", due_days=3
                )
            case 2:
                Meter.objects.create(key=f"more-{number}", name="More", unit="unit", grain_seconds=3600)
            case 3:
                make_plan(f"other-{number}", [fee("base", "1")])
                Account.objects.filter(reference=account).update(name="Renamed")
            case 4:
                row = Account.objects.get(reference=account)
                CreditGrant.objects.create(
                    account=row, kind="goodwill", name="Sorry", amount_minor=10**6, currency=row.currency,
                    granted_at=EPOCH, reason="late", priority=1,
                )  # fmt: skip
    return 1
