"""The shapes of the demo's traffic: growth, day and night, one flood, one outage, gaps that are not zeros."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from usage_portal.demo.company import Company, build_company, hour_number
from usage_portal.demo.traffic import Run, attack, iter_daily_runs, iter_domain_runs, iter_hourly_runs, outage

NOW = datetime(2026, 11, 23, 14, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def company() -> Company:
    return build_company(
        now=NOW, only=("opalgate-ticketing", "pellucid-health", "marrow-lane-press", "kumori-games")
    )


def _hourly(company: Company, reference: str, meter: str) -> list[Run]:
    runs = iter_hourly_runs(
        company, company.account(reference), first_hour=company.first_hour, end_hour=company.end_hour
    )
    return [run for run in runs if run.meter == meter]


def _daily(company: Company, reference: str, meter: str) -> list[Run]:
    runs = iter_daily_runs(
        company, company.account(reference), first_hour=company.first_hour, end_hour=company.end_hour
    )
    return [run for run in runs if run.meter == meter]


def _sum(runs: list[Run], first_hour: int, end_hour: int) -> int:
    return sum(
        quantity
        for run in runs
        for hour, quantity in zip(run.hours, run.quantities, strict=True)
        if first_hour <= hour < end_hour
    )


def test_the_attack_multiplies_requests_for_its_hours(company: Company) -> None:
    flood = attack(company)
    requests = _hourly(company, "opalgate-ticketing", "requests")

    during = _sum(requests, flood.first_hour, flood.end_hour)
    a_week_earlier = _sum(requests, flood.first_hour - 168, flood.end_hour - 168)

    assert during > 15 * a_week_earlier


def test_the_outage_leaves_rows_out_in_its_region_only(company: Company) -> None:
    silence = outage(company)
    silent = range(silence.first_hour, silence.end_hour)

    hit = _hourly(company, "opalgate-ticketing", "requests")
    spared = _hourly(company, "kumori-games", "requests")

    assert len(silent) == 7
    assert not any(hour in silent for run in hit for hour in run.hours)
    assert any(hour in silent for run in spared for hour in run.hours)
    assert any(hour == silence.end_hour for run in hit for hour in run.hours)


def test_some_idle_endpoints_report_zeros_and_others_nothing(company: Company) -> None:
    runs = _hourly(company, "pellucid-health", "requests")
    idle_on_sundays = [run for run in runs if "office-" in dict(run.dimensions)["endpoint"]]

    with_zeros = [run for run in idle_on_sundays if 0 in run.quantities]
    without = [run for run in idle_on_sundays if 0 not in run.quantities]

    assert with_zeros
    assert without
    assert len(without[0].hours) < len(with_zeros[0].hours)


def test_traffic_grows_and_follows_the_day(company: Company) -> None:
    history = _daily(company, "kumori-games", "requests")
    live = _hourly(company, "kumori-games", "requests")
    first = _sum(history, company.first_hour, company.first_hour + 28 * 24)
    last = _sum(history, company.hourly_from - 28 * 24, company.hourly_from)
    in_tokyo = [run for run in live if ("region", "ap-northeast") in run.dimensions]
    midnight = hour_number(datetime(2026, 11, 12, 15, tzinfo=UTC))
    night = _sum(in_tokyo, midnight, midnight + 3)
    evening = _sum(in_tokyo, midnight + 17, midnight + 20)

    assert last > 1.5 * first
    assert evening > 2 * night


def test_a_closed_account_sends_nothing_after_its_end(company: Company) -> None:
    account = company.account("marrow-lane-press")
    assert account.state_since is not None
    end = hour_number(account.state_since)
    bounds = {"first_hour": company.first_hour, "end_hour": company.end_hour}

    last_starts = [
        max(run.hours)
        for iter_runs in (iter_hourly_runs, iter_daily_runs, iter_domain_runs)
        for run in iter_runs(company, account, **bounds)
    ]

    assert last_starts
    assert max(last_starts) < end


def test_hours_in_a_domain_day_are_at_most_24(company: Company) -> None:
    account = company.account("pellucid-health")
    runs = list(iter_domain_runs(company, account, first_hour=company.first_hour, end_hour=company.end_hour))

    quantities = {quantity for run in runs for quantity in run.quantities}

    assert max(quantities) == 24
    # A domain that came or went during a day was there for some of its hours.
    assert len(quantities) > 1
