"""Lines that deserve to be refused, with the code each should get: what a Batches page has to explain.

About sixty of them, most on the largest account; none ever counts, so the totals do not know them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from usage_portal.demo.company import Company, DemoAccount, hour_start
from usage_portal.demo.deliveries import today_hour


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """One line of the live feed, the hour whose file carries it, and the code it should be refused with."""

    hour: int
    text: str
    code: str
    account: str


def list_broken_lines(company: Company) -> tuple[BrokenLine, ...]:
    """List the lines to be refused; accounts that are left out of the cast send none."""
    present = {account.reference: account for account in company.accounts}
    lines: list[BrokenLine] = []
    for reference, makers in _TROUBLES:
        account = present.get(reference)
        if account is not None:
            for maker in makers:
                lines.extend(maker(company, account))
    return tuple(lines)


def _line(
    company: Company,
    account: DemoAccount,
    /,
    *,
    days_ago: int,
    hour: int,
    code: str,
    endpoint_no: int = 0,
    **changed: str,
) -> BrokenLine:
    """Write a line as the feed would, with some cells changed for the worse."""
    at = today_hour(company) - 24 * days_ago + hour
    endpoint = account.endpoints[endpoint_no % len(account.endpoints)]
    cells = {
        "account": account.reference,
        "meter": "requests",
        "window_start": f"{hour_start(at):%Y-%m-%dT%H:%M:%SZ}",
        "quantity": str(1_200 + 37 * hour),
        "unit": "requests",
        "revision": "1",
        "endpoint": endpoint.name,
        "region": endpoint.regions[0],
        "protocol": endpoint.protocol,
    } | changed
    return BrokenLine(hour=at, text=",".join(cells.values()) + "\n", code=code, account=cells["account"])


def _wrong_unit(company: Company, account: DemoAccount) -> Iterator[BrokenLine]:
    """One edge node reported gigabytes for half a day."""
    for hour in range(4, 12):
        yield _line(company, account, days_ago=4, hour=hour, code="bad_unit", meter="bytes_out", unit="GB",
                    quantity=f"{hour}.{hour}25", endpoint_no=hour)  # fmt: skip


def _written_numbers(company: Company, account: DemoAccount) -> Iterator[BrokenLine]:
    """A spreadsheet had its way with the numbers."""
    written = ("1.23E+10", '"1,204"', "n/a", "12e3", "######", '"84,20"', "1_000", "+5", "0x1F", "07")
    for index, quantity in enumerate(written):
        yield _line(
            company, account, days_ago=1 + index % 3, hour=2 + index, code="number_format", quantity=quantity
        )


def _crooked_windows(company: Company, account: DemoAccount) -> Iterator[BrokenLine]:
    """A clock that was seven minutes off."""
    for hour in range(9):
        at = hour_start(today_hour(company) - 24 * 6 + hour)
        yield _line(company, account, days_ago=6, hour=hour, code="window_misaligned", endpoint_no=hour,
                    window_start=f"{at:%Y-%m-%dT%H}:07:00Z")  # fmt: skip


def _unheard_meters(company: Company, account: DemoAccount) -> Iterator[BrokenLine]:
    """A meter that is being built but is not in the catalogue yet."""
    for hour in range(6, 13):
        yield _line(company, account, days_ago=2, hour=hour, code="unknown_meter", meter="websocket_minutes",
                    unit="minutes", endpoint_no=hour)  # fmt: skip


def _odds_and_ends(company: Company, account: DemoAccount) -> Iterator[BrokenLine]:
    """Single lines, each wrong in a way of its own."""
    at = hour_start(today_hour(company) - 24 * 3 + 5)
    yield _line(company, account, days_ago=3, hour=3, code="negative_not_allowed", quantity="-40")
    yield _line(company, account, days_ago=3, hour=4, code="missing_field", quantity="")
    yield _line(
        company, account, days_ago=3, hour=5, code="timestamp_naive", window_start=f"{at:%Y-%m-%dT%H:%M:%S}"
    )
    yield _line(company, account, days_ago=3, hour=5, code="timestamp_format", window_start=f"{at:%Y-%m-%d}")
    yield _line(company, account, days_ago=1, hour=8, code="scale_exceeded", quantity="3.0000000000001")
    yield _line(
        company, account, days_ago=1, hour=9, code="timestamp_future", window_start="2062-11-03T09:00:00Z"
    )


def _changed_facts(company: Company, account: DemoAccount) -> Iterator[BrokenLine]:
    """The same window a second time with another quantity and no higher revision: the first one stays."""
    for hour in (1, 2):
        earlier = hour_start(today_hour(company) - 24 * 8 + hour)
        yield _line(
            company,
            account,
            days_ago=5,
            hour=hour,
            code="id_conflict",
            meter="endpoint_hours",
            unit="hours",
            window_start=f"{earlier:%Y-%m-%dT%H:%M:%SZ}",
            quantity="2",
            region="",
            protocol="",
        )


def _strangers(company: Company, account: DemoAccount) -> Iterator[BrokenLine]:
    """Traffic of accounts nobody has created."""
    for index in range(12):
        name = ("lantern-yard", "acct-0417", "halyard-comerce")[index % 3]
        yield _line(
            company, account, days_ago=1 + index % 5, hour=1 + index, code="unknown_account", account=name
        )


def _after_closing(company: Company, account: DemoAccount) -> Iterator[BrokenLine]:
    """An endpoint that kept sending after its account was closed."""
    for hour in (3, 4, 5):
        yield _line(company, account, days_ago=9, hour=hour, code="account_closed")


_TROUBLES = (
    ("halyard-commerce", (_wrong_unit, _written_numbers, _odds_and_ends, _changed_facts, _strangers)),
    ("skeldhavn-logistics", (_crooked_windows,)),
    ("quillfern-media", (_unheard_meters,)),
    ("marrow-lane-press", (_after_closing,)),
)
