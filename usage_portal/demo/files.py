"""The files a source would send, as CSV bytes; rendered one at a time, so that loading overlaps with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from usage_portal.demo.broken import BrokenLine, list_broken_lines
from usage_portal.demo.company import Company, hour_start
from usage_portal.demo.deliveries import (
    Delivery,
    Mishap,
    billed_before,
    held_back,
    list_deliveries,
    misread,
)
from usage_portal.demo.meters import METERS_BY_KEY
from usage_portal.demo.traffic import (
    DOMAINS,
    EDGE,
    EDGE_HISTORY,
    Run,
    iter_daily_runs,
    iter_domain_runs,
    iter_hourly_runs,
)

EDGE_HEADER = "account,meter,window_start,quantity,unit,revision,endpoint,region,protocol\n"
DOMAINS_HEADER = "record,customer,domain,day,hours,version\n"
DIMENSION_COLUMNS = ("endpoint", "region", "protocol")
RUNS_BY_SOURCE = {EDGE: iter_hourly_runs, EDGE_HISTORY: iter_daily_runs, DOMAINS: iter_domain_runs}


@dataclass(frozen=True, slots=True)
class DemoBatch:
    """One file as it is received; `complete_to` is what the sender says about it, if anything."""

    source_slug: str
    name: str
    body: bytes
    complete_to: datetime | None
    received_order: int
    follows_bills: bool


def iter_batches(company: Company, *, without: Collection[str] = ()) -> Iterator[DemoBatch]:
    """Render the files in the order they are received, each only when asked for, `without` those named."""
    writer = _Writer(company)
    for order, delivery in enumerate(list_deliveries(company), start=1):
        if delivery.name in without:
            continue
        body = writer.render(delivery)
        if body:
            yield DemoBatch(
                source_slug=delivery.source,
                name=delivery.name,
                body=body,
                complete_to=None
                if delivery.complete_to_hour is None
                else hour_start(delivery.complete_to_hour),
                received_order=order,
                follows_bills=delivery.follows_bills,
            )


class _Writer:
    """Renders deliveries of one company; keeps the written form of every hour and the mishaps at hand."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.stamps = {
            hour: f"{hour_start(hour):%Y-%m-%dT%H:%M:%SZ}"
            for hour in range(company.first_hour, company.end_hour)
        }
        self.mishaps = (*held_back(company), billed_before(company), *misread(company))
        self.broken = list_broken_lines(company)

    def render(self, delivery: Delivery) -> bytes:
        """Write one file, or nothing where none of the cast has anything to say in it."""
        lines: list[str] = []
        for account in self.company.accounts:
            if delivery.mends is not None and account.reference not in delivery.mends.accounts:
                continue
            runs = RUNS_BY_SOURCE[delivery.source](
                self.company, account, first_hour=delivery.first_hour, end_hour=delivery.end_hour
            )
            for run in runs:
                self._write_run(lines, run, delivery)
        if delivery.source == EDGE and delivery.mends is None:
            in_reach = range(delivery.first_hour, delivery.end_hour)
            _scatter(lines, [line for line in self.broken if line.hour in in_reach])
        if not lines:
            return b""
        header = DOMAINS_HEADER if delivery.source == DOMAINS else EDGE_HEADER
        return (header + "".join(lines)).encode()

    def _write_run(self, lines: list[str], run: Run, delivery: Delivery) -> None:
        """Write one series: whole where nothing went wrong, hour by hour where something did."""
        if delivery.source == DOMAINS:
            lines.extend(self._domain_lines(run))
        elif delivery.mends is not None:
            if delivery.mends.concerns(run):
                lines.extend(self._edge_lines(_as_mended(run, delivery), revision=delivery.send_revision))
        else:
            mishaps = [
                mishap for mishap in self.mishaps if _overlaps(mishap, delivery) and mishap.concerns(run)
            ]
            lines.extend(self._edge_lines(_as_first_sent(run, mishaps) if mishaps else run, revision=1))

    def _edge_lines(self, run: Run, *, revision: int) -> list[str]:
        values = dict(run.dimensions)
        place = ",".join(values.get(column, "") for column in DIMENSION_COLUMNS)
        head = f"{run.account},{run.meter},"
        tail = f",{METERS_BY_KEY[run.meter].unit},{revision},{place}\n"
        stamps = self.stamps
        return [
            f"{head}{stamps[hour]},{quantity}{tail}"
            for hour, quantity in zip(run.hours, run.quantities, strict=True)
        ]

    def _domain_lines(self, run: Run) -> list[str]:
        domain = dict(run.dimensions)["domain"]
        stamps = self.stamps
        return [
            f"{domain}-{stamps[hour][:10]},{run.account},{domain},{stamps[hour]},{quantity},1\n"
            for hour, quantity in zip(run.hours, run.quantities, strict=True)
        ]


def _overlaps(mishap: Mishap, delivery: Delivery) -> bool:
    return (
        mishap.source == delivery.source
        and mishap.first_hour < delivery.end_hour
        and delivery.first_hour < mishap.end_hour
    )


def _as_first_sent(run: Run, mishaps: list[Mishap]) -> Run:
    """Return the run without the hours held back, and with the wrong quantity where it was misread."""
    hours: list[int] = []
    quantities: list[int] = []
    for hour, quantity in zip(run.hours, run.quantities, strict=True):
        hit = [mishap for mishap in mishaps if mishap.first_hour <= hour < mishap.end_hour]
        if any(mishap.factor is None for mishap in hit):
            continue
        hours.append(hour)
        quantities.append(_misread(quantity, hit[0]) if hit else quantity)
    return Run(run.source, run.account, run.meter, run.dimensions, hours, quantities)


def _as_mended(run: Run, delivery: Delivery) -> Run:
    """Return the run as the later file has it: right, unless that file is itself the outdated one."""
    if delivery.spoilt and delivery.mends is not None:
        spoilt = [_misread(quantity, delivery.mends) + 1 for quantity in run.quantities]
        return Run(run.source, run.account, run.meter, run.dimensions, run.hours, spoilt)
    return run


def _misread(quantity: int, mishap: Mishap) -> int:
    numerator, denominator = mishap.factor or (1, 1)
    return quantity * numerator // denominator


def _scatter(lines: list[str], broken: list[BrokenLine]) -> None:
    """Put refused lines among the good ones, spread evenly."""
    step = len(lines) // (len(broken) + 1)
    for index, line in enumerate(broken, start=1):
        lines.insert(index * step + index - 1, line.text)
