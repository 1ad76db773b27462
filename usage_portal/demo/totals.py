"""What the portal has to show once everything is loaded, summed from the truth and not from the files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from usage_portal.demo.company import Company, hour_start
from usage_portal.demo.files import RUNS_BY_SOURCE
from usage_portal.demo.meters import METERS_BY_KEY


@dataclass(frozen=True, slots=True)
class ExpectedTotal:
    """Current records of one account, source, meter and month, and what they come to."""

    account: str
    source: str
    meter: str
    month: str
    records: int
    quantity: int


def expected_totals(company: Company, *, utc_months: bool = False) -> tuple[ExpectedTotal, ...]:
    """Sum per account, source, meter and month such as 2026-11, in the billing zone unless asked for UTC."""
    sums: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for account in company.accounts:
        months = _month_of_hour(company, "UTC" if utc_months else account.billing_zone)
        for source, iter_runs in RUNS_BY_SOURCE.items():
            for run in iter_runs(company, account, first_hour=company.first_hour, end_hour=company.end_hour):
                counts_windows = METERS_BY_KEY[run.meter].aggregation == "unique_count"
                for hour, quantity in zip(run.hours, run.quantities, strict=True):
                    total = sums[run.account, source, run.meter, months[hour - company.first_hour]]
                    total[0] += 1
                    total[1] += min(1, quantity) if counts_windows else quantity
    return tuple(_sorted_totals(sums))


def _month_of_hour(company: Company, zone: str) -> list[str]:
    clock = ZoneInfo(zone)
    return [
        f"{hour_start(hour).astimezone(clock):%Y-%m}" for hour in range(company.first_hour, company.end_hour)
    ]


def _sorted_totals(sums: dict[tuple[str, str, str, str], list[int]]) -> Iterator[ExpectedTotal]:
    for (account, source, meter, month), (records, quantity) in sorted(sums.items()):
        yield ExpectedTotal(
            account=account, source=source, meter=meter, month=month, records=records, quantity=quantity
        )
