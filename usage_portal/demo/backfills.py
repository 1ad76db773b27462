"""Two late deliveries of the demo: what the trial before the launch used, sent long afterwards in two halves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from usage_portal.demo.company import Company, hour_start

TRIAL = "edge-trial"
TRIAL_DAYS = 6
ACCOUNTS = 2
HEADER = "account,meter,window_start,quantity,endpoint,region,revision"


def describe_trial(company: Company) -> str:
    """The TOML of the trial's own source, which sends nothing more since the launch."""
    return (
        f'slug = "{TRIAL}"\nname = "Edge, trial before the launch"\nkey_kind = "window"\nformat = "csv"\n'
        'window = "hour"\nmax_ahead_seconds = 300\nlateness_seconds = 0\ncadence_seconds = 86400\n'
        f"ended_at = {hour_start(company.first_hour):%Y-%m-%dT%H:%M:%SZ}\n"
    )


def first_half(company: Company) -> bytes:
    """The first days, all of them new."""
    return _file(_lines(company, days=range(TRIAL_DAYS // 2), revision=1))


def second_half(company: Company) -> bytes:
    """The other days, a correction of one that came before, and two lines that cannot be taken."""
    last = TRIAL_DAYS // 2 - 1
    lines = [*_lines(company, days=range(last, last + 1), revision=2)]
    lines += _lines(company, days=range(last + 1, TRIAL_DAYS), revision=1)
    start = f"{_day(company, last):%Y-%m-%dT%H:%M:%SZ}"
    lines.append(f"somebody-unknown,requests,{start},12,trial.example,eu-west,1")
    lines.append(f"{company.accounts[0].reference},requests,{start},1.2e3,trial.example,eu-west,1")
    return _file(lines)


def _file(lines: Iterator[str] | list[str]) -> bytes:
    return ("\n".join((HEADER, *lines)) + "\n").encode()


def _day(company: Company, day: int) -> datetime:
    return hour_start(company.first_hour) - timedelta(days=TRIAL_DAYS - day)


def _lines(company: Company, *, days: range, revision: int) -> Iterator[str]:
    trying = [account.reference for account in company.accounts if account.state == "active"][:ACCOUNTS]
    for day in days:
        for hour in range(24):
            start = f"{_day(company, day) + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"
            for number, account in enumerate(trying, start=1):
                requests = number * (100 + 7 * hour + day) * revision
                for meter, quantity in (("requests", requests), ("bytes_out", 3_000 * requests)):
                    yield f"{account},{meter},{start},{quantity},trial.example,eu-west,{revision}"
