"""P15: billing periods tile time in every zone there is, from every anchor."""

from __future__ import annotations

import random
from datetime import UTC, date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from tests.faults.bill_breakages import broken
from tests.faults.bill_facts import edge as edge_of_oracle
from tests.faults.site import Outcome, Site

SENTENCE = "Periods tile time in every zone"
ANCHOR_DAYS = (1, 15, 29, 30, 31)
MONTHS = 60
FIRST_YEARS = (1996, 2011, 2023)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
# Half-hour summers and midnights that never come among them.
ALWAYS = (
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)


def run(site: Site) -> Outcome:
    """Ask for the period of the instants around every edge of five years, in each zone, and for each local day."""
    zones = sorted(available_timezones() - {"localtime"})
    chance = random.Random(site.seed)
    if site.count:
        zones = sorted({*ALWAYS, *chance.sample(zones, site.count)})
    outcome = Outcome("P15", SENTENCE, site.seed, faults_asked=len(zones))
    lengths: dict[int, int] = {}
    with broken(site):
        for zone in zones:
            for months in (1, 3, 12):
                anchor = date(chance.choice(FIRST_YEARS), 1 + chance.randrange(12), 1)
                anchor += timedelta(days=chance.choice(ANCHOR_DAYS) - 1)
                _check_periods(outcome, zone, anchor, months)
            _check_days(outcome, zone, chance, lengths)
            outcome.faults += 1
    hours = ", ".join(f"{number} of {hours} h" for hours, number in sorted(lengths.items()))
    outcome.figures.append(
        f"{len(zones)} zones, {outcome.rows} edges, each 1 µs before, at it and after; days {hours}"
    )
    outcome.require(f"no day of 23 or 25 hours: {hours}", holds={23, 24, 25} <= lengths.keys())
    outcome.check_faults()
    return outcome


def _check_periods(outcome: Outcome, zone: str, anchor: date, months: int) -> None:
    """Every edge is where the oracle looked it up, and the instants around it are in the periods beside it."""
    from insights.billing.periods import BillingAnchor, Interval, period_containing, period_number

    billing = BillingAnchor(day=anchor, zone=ZoneInfo(zone), interval=Interval(months))
    numbers = range(-6, MONTHS // months + 1)
    edges = [edge_of_oracle(zone, anchor, number * months) for number in numbers]
    faults = 0
    for number, (start, end) in zip(numbers, pairwise(edges), strict=False):
        period = period_number(billing, number)
        found = [period_containing(billing, instant) for instant in (start, start + TICK, end - TICK)]
        faults += (period.start, period.end) != (start, end)
        faults += any(each != period for each in found)
        faults += period_containing(billing, end).start != end
        outcome.rows += 1
    outcome.differences += faults
    outcome.require(f"{zone}, {months} months from {anchor}: {faults} edges are wrong", holds=not faults)


def _check_days(outcome: Outcome, zone: str, chance: random.Random, lengths: dict[int, int]) -> None:
    """Local days follow each other, and one for each row sent in the hours around its ends."""
    from insights.values.period import local_day, start_of_day

    info = ZoneInfo(zone)
    day = date(chance.choice(FIRST_YEARS), 1, 1)
    starts = [start_of_day(day + number * DAY, info) for number in range(366)]
    faults = 0
    for number, (start, end) in enumerate(pairwise(starts)):
        wanted = day + number * DAY
        # A day that a zone leaves out has no instant at all.
        if start < end:
            faults += {local_day(start, info), local_day(end - TICK, info)} != {wanted}
            hours = round((end - start) / timedelta(hours=1))
            lengths[hours] = lengths.get(hours, 0) + 1
        faults += start > end or start.tzinfo != UTC
        outcome.rows += 1
    outcome.differences += faults
    outcome.require(f"{zone}: {faults} days from {day} do not touch", holds=not faults)
