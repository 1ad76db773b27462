"""Which file brings which hours, and what goes wrong on the way: late, misread, resent and outdated parts.

A plan only; nothing is rendered here. Mishaps lie some days back, so that recent pages show them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from usage_portal.demo.company import Company, hour_number, hour_start
from usage_portal.demo.purchases import issued_month, purchase_of
from usage_portal.demo.traffic import DOMAINS, EDGE, EDGE_HISTORY, Run

HISTORY_DAYS_PER_FILE = 90
WEEKLY_FILES_UNTIL_DAYS = 14
QUARTER_DAY_FILES_FROM_DAYS = 3


@dataclass(frozen=True, slots=True)
class Mishap:
    """Lines that did not go out right the first time.

    With `factor` (numerator, denominator) they went out with a wrong quantity and are replaced at `revision`;
    without it they were held back and come later, unchanged.
    """

    source: str
    accounts: frozenset[str]
    meters: frozenset[str]
    region: str | None
    first_hour: int
    end_hour: int
    factor: tuple[int, int] | None = None
    revision: int = 1

    def concerns(self, run: Run) -> bool:
        """Say whether lines of this series are hit, on some of their hours."""
        return (
            run.source == self.source
            and run.account in self.accounts
            and run.meter in self.meters
            and (self.region is None or ("region", self.region) in run.dimensions)
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One file: a stretch of hours from one source, or only the lines that `mends` names.

    `send_revision` is what its lines say; a `spoilt` file carries the wrong quantity of its mishap. One that
    `follows_bills` is sent when the bill of its month is out.
    """

    source: str
    name: str
    first_hour: int
    end_hour: int
    complete_to_hour: int | None
    sent_hour: int
    mends: Mishap | None = None
    send_revision: int = 1
    spoilt: bool = False
    follows_bills: bool = False


TRAFFIC = frozenset({"requests", "bytes_out", "tcp_connections", "policy_units"})


def today_hour(company: Company) -> int:
    """Return the UTC midnight that begins the last, incomplete day."""
    return company.end_hour - company.end_hour % 24


def held_back(company: Company) -> tuple[Mishap, ...]:
    """Lines that arrive in a later file than their neighbours."""
    today = today_hour(company)
    pacific = frozenset({"halyard-commerce", "kumori-games", "wattlebird-energy", "drift-and-dory"})
    tokyo = frozenset({"kumori-games", "hoshizora-learning"})
    newsroom = frozenset({"quillfern-media"})
    return (
        Mishap(EDGE, pacific, TRAFFIC, "ap-southeast", today - 6 * 24 + 8, today - 6 * 24 + 14),
        Mishap(EDGE, tokyo, TRAFFIC, "ap-northeast", today - 10 * 24, today - 10 * 24 + 9),
        Mishap(EDGE, newsroom, TRAFFIC, "us-west", today - 2 * 24 + 3, today - 2 * 24 + 5),
    )


def billed_before(company: Company) -> Mishap:
    """Days of an edge site whose log came to light when their month was billed."""
    month = issued_month(company, 1)
    first_hour = hour_number(datetime(month.year, month.month, 10, tzinfo=UTC))
    late = frozenset(account.reference for account in company.accounts if purchase_of(account).has_late_usage)
    return Mishap(EDGE_HISTORY, late, TRAFFIC, "us-east", first_hour, first_hour + 72)


def misread(company: Company) -> tuple[Mishap, ...]:
    """Lines that first went out with a wrong quantity and were corrected by a higher revision."""
    today = today_hour(company)
    some_day = company.hourly_from - 61 * 24
    return (
        # A daily sum that counted one edge node twice.
        Mishap(
            EDGE_HISTORY,
            frozenset({"quillfern-media", "skeldhavn-logistics"}),
            frozenset({"bytes_out"}),
            "us-east",
            some_day,
            some_day + 48,
            factor=(8, 5),
            revision=2,
        ),
        # A counter that was read before it was flushed.
        Mishap(
            EDGE,
            frozenset({"halyard-commerce"}),
            frozenset({"requests", "bytes_out"}),
            "us-east",
            today - 5 * 24 + 10,
            today - 5 * 24 + 14,
            factor=(3, 4),
            revision=2,
        ),
        Mishap(
            EDGE,
            frozenset({"tinwhistle-radio", "plover-parcel"}),
            frozenset({"requests"}),
            None,
            today - 9 * 24,
            today - 9 * 24 + 6,
            factor=(1, 2),
            revision=3,
        ),
    )


def sent_twice(company: Company) -> tuple[Mishap, ...]:
    """Lines that arrive a second time exactly as they were."""
    today = today_hour(company)
    several = frozenset({"halyard-commerce", "pellucid-health", "junco-travel", "saltmarsh-savings"})
    return (Mishap(EDGE, several, TRAFFIC, None, today - 7 * 24 + 12, today - 7 * 24 + 15),)


def list_deliveries(company: Company) -> tuple[Delivery, ...]:
    """List every file as received: history in few large files, then the recent weeks in small ones."""
    history = (*_history(company, EDGE_HISTORY), *_history(company, EDGE), *_domains(company))
    recent = sorted(
        (*_recent(company), *_mending(company)), key=lambda delivery: (delivery.sent_hour, delivery.name)
    )
    return (
        *history,
        *recent,
        _part(billed_before(company), "found", delay_hours=24 * 40, follows_bills=True),
    )


def _history(company: Company, source: str) -> Iterator[Delivery]:
    """Files of about a quarter each."""
    stem = "edge-history" if source == EDGE_HISTORY else "edge-endpoint-hours"
    edges = [*range(company.first_hour, company.hourly_from, 24 * HISTORY_DAYS_PER_FILE), company.hourly_from]
    for first_hour, end_hour in pairwise(edges):
        yield Delivery(
            source=source,
            name=f"{stem}-{hour_start(first_hour):%Y-%m-%d}.csv",
            first_hour=first_hour,
            end_hour=end_hour,
            complete_to_hour=end_hour,
            sent_hour=end_hour,
        )


def _domains(company: Company) -> Iterator[Delivery]:
    """One file of history and one of the recent weeks: few lines either way."""
    today = today_hour(company)
    for first_hour, end_hour in pairwise((company.first_hour, company.hourly_from, today)):
        yield Delivery(
            source=DOMAINS,
            name=f"custom-domains-{hour_start(first_hour):%Y-%m-%d}.csv",
            first_hour=first_hour,
            end_hour=end_hour,
            complete_to_hour=end_hour,
            sent_hour=end_hour,
        )


def _recent(company: Company) -> Iterator[Delivery]:
    """The live feed: by the week at first, then by the day, in the end every six hours."""
    today = today_hour(company)
    days_until = today - 24 * WEEKLY_FILES_UNTIL_DAYS
    quarters_from = today - 24 * QUARTER_DAY_FILES_FROM_DAYS
    edges = [
        *range(company.hourly_from, days_until, 24 * 7),
        *range(days_until, quarters_from, 24),
        *range(quarters_from, company.end_hour, 6),
        company.end_hour,
    ]
    for first_hour, end_hour in pairwise(edges):
        yield Delivery(
            source=EDGE,
            name=f"edge-{hour_start(first_hour):%Y-%m-%dT%H}.csv",
            first_hour=first_hour,
            end_hour=end_hour,
            complete_to_hour=end_hour,
            sent_hour=end_hour,
        )


def _mending(company: Company) -> Iterator[Delivery]:
    """The files that put mishaps right, a day or so after, and one that comes too late to matter."""
    for mishap in held_back(company):
        yield _part(mishap, "late", delay_hours=30)
    for mishap in misread(company):
        yield _part(mishap, "corrected", delay_hours=42, send_revision=mishap.revision)
        if mishap.revision > 2:
            yield _part(mishap, "outdated", delay_hours=66, send_revision=2, spoilt=True)
    for mishap in sent_twice(company):
        yield _part(mishap, "resent", delay_hours=20)


def _part(
    mishap: Mishap,
    label: str,
    *,
    delay_hours: int,
    send_revision: int = 1,
    spoilt: bool = False,
    follows_bills: bool = False,
) -> Delivery:
    return Delivery(
        source=mishap.source,
        name=f"{mishap.source}-{hour_start(mishap.first_hour):%Y-%m-%dT%H}-{label}.csv",
        first_hour=mishap.first_hour,
        end_hour=mishap.end_hour,
        complete_to_hour=None,
        sent_hour=mishap.end_hour + delay_hours,
        mends=mishap,
        send_revision=send_revision,
        spoilt=spoilt,
        follows_bills=follows_bills,
    )
