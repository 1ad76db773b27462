"""How much was used when: the truth of the demo as runs of hours and quantities, one run per series.

Whole numbers only. What went wrong on the way to the portal (late, resent, corrected or broken lines) is
not known here, so that sums of these runs say what the portal has to show in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from usage_portal.demo.company import Company, CustomDomain, DemoAccount, Endpoint
from usage_portal.demo.rhythms import NOISE_MASK, dice_table, growth_by_day, noise_table, week_of_hours

EDGE = "edge"
EDGE_HISTORY = "edge-history"
DOMAINS = "domains"

# Thousandths of the level that each of an endpoint's regions takes, first region first.
REGION_SHARES = {1: (1000,), 2: (680, 320), 3: (540, 310, 150)}


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that really happened: `factor` times the traffic, or none at all where it is None."""

    reference: str | None
    region: str | None
    first_hour: int
    end_hour: int
    factor: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """One series over a stretch: window starts as hour numbers, ascending, and the quantity in each."""

    source: str
    account: str
    meter: str
    dimensions: tuple[tuple[str, str], ...]
    hours: list[int]
    quantities: list[int]


def attack(company: Company) -> Incident:
    """A flood of requests against one account, on the evening of the thirteenth day before today."""
    midnight = company.end_hour - company.end_hour % 24
    start = midnight - 13 * 24 + 18
    return Incident(
        reference="opalgate-ticketing", region=None, first_hour=start, end_hour=start + 5, factor=23
    )


def outage(company: Company) -> Incident:
    """Seven hours in which one region sent nothing at all: missing rows, not zeros."""
    midnight = company.end_hour - company.end_hour % 24
    start = midnight - 8 * 24 + 9
    return Incident(reference=None, region="eu-central", first_hour=start, end_hour=start + 7, factor=None)


def iter_hourly_runs(
    company: Company, account: DemoAccount, *, first_hour: int, end_hour: int
) -> Iterator[Run]:
    """Traffic of the live feed: hourly requests, bytes, connections and policy units, and endpoint hours."""
    traffic_from = max(first_hour, company.hourly_from)
    for endpoint in account.endpoints:
        if traffic_from < end_hour:
            for region, share in zip(endpoint.regions, REGION_SHARES[len(endpoint.regions)], strict=True):
                hours, levels = _hourly_levels(
                    company,
                    account,
                    endpoint,
                    region=region,
                    share=share,
                    first_hour=traffic_from,
                    end_hour=end_hour,
                )
                yield from _traffic_runs(company, account, endpoint, region, EDGE, hours, levels)
        if endpoint.is_own_domain:
            yield from _endpoint_hours(company, account, endpoint, first_hour=first_hour, end_hour=end_hour)


def iter_daily_runs(
    company: Company, account: DemoAccount, *, first_hour: int, end_hour: int
) -> Iterator[Run]:
    """Traffic of the retired daily feed; it ends where the hourly one begins."""
    end_hour = min(end_hour, company.hourly_from)
    for endpoint in account.endpoints:
        for region, share in zip(endpoint.regions, REGION_SHARES[len(endpoint.regions)], strict=True):
            hours, levels = _daily_levels(
                company,
                account,
                endpoint,
                region=region,
                share=share,
                first_hour=first_hour,
                end_hour=end_hour,
            )
            yield from _traffic_runs(company, account, endpoint, region, EDGE_HISTORY, hours, levels)


def iter_domain_runs(
    company: Company, account: DemoAccount, *, first_hour: int, end_hour: int
) -> Iterator[Run]:
    """Hours per UTC day for which each custom domain existed; days that are not over are left out."""
    end_hour = min(end_hour, company.end_hour - company.end_hour % 24)
    for domain in account.domains:
        hours = [day for day in range(first_hour, end_hour, 24) if _hours_existed(domain, day)]
        if hours:
            quantities = [_hours_existed(domain, day) for day in hours]
            yield Run(
                DOMAINS,
                account.reference,
                "custom_domain_hours",
                (("domain", domain.name),),
                hours,
                quantities,
            )


def _hours_existed(domain: CustomDomain, day: int) -> int:
    return max(0, min(day + 24, domain.closed_hour) - max(day, domain.opened_hour))


def _traffic_runs(
    company: Company,
    account: DemoAccount,
    endpoint: Endpoint,
    region: str,
    source: str,
    hours: list[int],
    levels: list[int],
) -> Iterator[Run]:
    """Turn request levels into the meters an endpoint is counted by."""
    if not hours:
        return
    noise, salt = noise_table(company.seed), endpoint.salt * 31
    place = (("endpoint", endpoint.name), ("region", region), ("protocol", endpoint.protocol))
    # An answer to an attacker is short: bytes grow with the square root of a flood, roughly a quarter of it.
    flood = attack(company)
    in_flood = flood.reference == account.reference
    per_request = endpoint.bytes_per_request
    sizes = [
        level * (per_request // 4 if in_flood and flood.first_hour <= hour < flood.end_hour else per_request)
        * noise[(salt + hour) & NOISE_MASK] // 1000
        for hour, level in zip(hours, levels, strict=True)
    ]  # fmt: skip
    counted = "tcp_connections" if endpoint.rhythm == "tcp" else "requests"
    yield Run(source, account.reference, counted, place, hours, levels)
    yield Run(source, account.reference, "bytes_out", place, hours, sizes)
    if endpoint.policy_weight:
        units = [level * endpoint.policy_weight for level in levels]
        yield Run(source, account.reference, "policy_units", place[:2], hours, units)


def _hourly_levels(
    company: Company,
    account: DemoAccount,
    endpoint: Endpoint,
    *,
    region: str,
    share: int,
    first_hour: int,
    end_hour: int,
) -> tuple[list[int], list[int]]:
    """Count requests per hour; idle hours are left out, or zero where the endpoint reports zeros."""
    noise, dice = noise_table(company.seed), dice_table(company.seed)
    curve = week_of_hours(endpoint.rhythm, region)
    growth = _growth(company, account)
    base, salt, activity = endpoint.hourly_requests * share, endpoint.salt, endpoint.activity
    reports_zeros = endpoint.reports_zeros
    flood, silence = attack(company), outage(company)
    floods, silences = flood.reference == account.reference, silence.region == region
    hours: list[int] = []
    levels: list[int] = []
    for hour in range(max(first_hour, endpoint.opened_hour), min(end_hour, endpoint.closed_hour)):
        shape = curve[hour % 168]
        if silences and silence.first_hour <= hour < silence.end_hour:
            continue
        if not shape or dice[(salt * 7 + hour * 5) & NOISE_MASK] >= activity:
            if reports_zeros:
                hours.append(hour)
                levels.append(0)
            continue
        level = (
            base
            * shape
            // 1000
            * growth[(hour - company.first_hour) // 24]
            * noise[(salt + hour) & NOISE_MASK]
        )
        if floods and flood.first_hour <= hour < flood.end_hour:
            level *= flood.factor or 1
        hours.append(hour)
        levels.append(level // 1_000_000_000 or 1)
    return hours, levels


def _daily_levels(
    company: Company,
    account: DemoAccount,
    endpoint: Endpoint,
    *,
    region: str,
    share: int,
    first_hour: int,
    end_hour: int,
) -> tuple[list[int], list[int]]:
    """Count requests per UTC day; a nearly silent endpoint skips whole days."""
    noise, dice = noise_table(company.seed), dice_table(company.seed)
    curve = week_of_hours(endpoint.rhythm, region)
    by_weekday = tuple(sum(curve[(start + hour) % 168] for hour in range(24)) for start in range(0, 168, 24))
    growth = _growth(company, account)
    base, salt = endpoint.hourly_requests * share * endpoint.activity // 1000, endpoint.salt
    day_activity = min(1000, endpoint.activity * 18)
    opened = endpoint.opened_hour + -endpoint.opened_hour % 24
    closed = endpoint.closed_hour - endpoint.closed_hour % 24
    hours: list[int] = []
    levels: list[int] = []
    for hour in range(max(first_hour, opened), min(end_hour, closed), 24):
        day = hour // 24
        shape = by_weekday[day % 7]
        if not shape or dice[(salt * 7 + day * 5) & NOISE_MASK] >= day_activity:
            if endpoint.reports_zeros:
                hours.append(hour)
                levels.append(0)
            continue
        level = (
            base
            * shape
            // 1000
            * growth[(hour - company.first_hour) // 24]
            * noise[(salt + day * 29) & NOISE_MASK]
        )
        hours.append(hour)
        levels.append(level // 1_000_000_000 or 1)
    return hours, levels


def _endpoint_hours(
    company: Company, account: DemoAccount, endpoint: Endpoint, *, first_hour: int, end_hour: int
) -> Iterator[Run]:
    """One line per clock hour in which an endpoint sent data from any of its regions."""
    silence = outage(company)
    is_silenced = set(endpoint.regions) == {silence.region}
    hours = [
        hour
        for hour in range(max(first_hour, endpoint.opened_hour), min(end_hour, endpoint.closed_hour))
        if not (is_silenced and silence.first_hour <= hour < silence.end_hour)
    ]
    if hours:
        yield Run(
            EDGE, account.reference, "endpoint_hours", (("endpoint", endpoint.name),), hours, [1] * len(hours)
        )


def _growth(company: Company, account: DemoAccount) -> tuple[int, ...]:
    days = (company.end_hour - company.first_hour) // 24 + 1
    return growth_by_day(company.seed, account.salt, account.growth_from, days)
