"""The rows of a run: who sends what, and files of it in any order, without ever holding all of them.

A row follows from its number alone. Rows come as a metering system writes them: window by window, and in each window
every series of every account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import gcd
from pathlib import Path

LARGEST = "largest"
# Of all records, one account has this share: the one whose pages are timed.
LARGEST_SHARE = 0.3
SERIES_PER_OTHER_ACCOUNT = 4
# Three series of four belong to the meter that the usage page is asked for.
METERS = ("requests", "requests", "requests", "bytes_out")
ENDPOINTS = 25
DIMENSIONS = ("endpoint", "region")
ONE_HOUR = timedelta(hours=1)
CORRECTED_EVERY = 10
_SCATTER = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Plan:
    """How many records, from when, and the series they belong to."""

    records: int
    start: datetime
    series: tuple[tuple[str, str, str, str], ...]

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one[0] for one in self.series))

    @property
    def hours(self) -> int:
        return -(-self.records // len(self.series))

    def in_order(self) -> Iterable[int]:
        return range(self.records)

    def shuffled(self) -> Iterator[int]:
        """Every row once, neighbours far apart."""
        step = int(self.records * 0.6180339887) | 1
        while gcd(step, self.records) != 1:
            step += 2
        return (number * step % self.records for number in range(self.records))


def make_plan(*, records: int, now: datetime) -> Plan:
    """Spread the records over the hours of the last twelve calendar months, up to now."""
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first = datetime(end.year - 1, end.month, 1, tzinfo=UTC) + timedelta(days=32)
    hours = (end - first.replace(day=1)) // ONE_HOUR
    count = max(2, -(-records // hours))
    large = max(1, round(count * LARGEST_SHARE))
    series = tuple(_series(number, large) for number in range(count))
    return Plan(records, end - -(-records // count) * ONE_HOUR, series)


def _series(number: int, large: int) -> tuple[str, str, str, str]:
    if number < large:
        reference, own = LARGEST, number
    else:
        reference, own = divmod(number - large, SERIES_PER_OTHER_ACCOUNT)
        reference = f"account-{reference:05d}"
    return reference, METERS[own % 4], f"e{own % ENDPOINTS}", f"r{own // ENDPOINTS}"


def line_maker(plan: Plan, *, key_kind: str, is_corrected: bool) -> tuple[str, Callable[[int], str]]:
    """Return the header and what makes the line of a row; corrected, every tenth row is its second revision."""
    header = "account,meter,window_start,quantity,endpoint,region"
    header += ",row_id" if key_kind == "row_id" else ""
    header += ",revision" if is_corrected else ""
    starts = [f"{reference},{meter}," for reference, meter, _endpoint, _region in plan.series]
    ends = [f",{endpoint},{region}" for _reference, _meter, endpoint, region in plan.series]
    hours = [f"{plan.start + number * ONE_HOUR:%Y-%m-%dT%H:%M:%SZ}," for number in range(plan.hours)]
    count = len(plan.series)
    has_row_id = key_kind == "row_id"

    def line(number: int) -> str:
        hour, one = divmod(number, count)
        text = f"{starts[one]}{hours[hour]}{number * 7919 % 1_000_003}.{number % 4 * 25}{ends[one]}"
        if has_row_id:
            text += f",{(number + 1) * _SCATTER % 2**64:016x}"
        if not is_corrected:
            return text
        return f"{text},1" if number % CORRECTED_EVERY else _corrected(text, number)

    return header, line


def _corrected(text: str, number: int) -> str:
    cells = text.split(",")
    cells[3] = str(number % 999_983 + 1_000_003)
    return ",".join([*cells, "2"])


def write_files(
    directory: Path,
    plan: Plan,
    *,
    numbers: Iterable[int],
    key_kind: str,
    files: int,
    is_corrected: bool = False,
) -> tuple[Path, ...]:
    """Write the rows of these numbers into files of equal length."""
    header, line = line_maker(plan, key_kind=key_kind, is_corrected=is_corrected)
    per_file = -(-plan.records // files)
    waiting = iter(numbers)
    paths = []
    for file in range(files):
        path = directory / f"file-{file:04d}.csv"
        with path.open("w") as out:
            out.write(f"{header}\n")
            out.writelines(
                f"{line(next(waiting))}\n" for _ in range(min(per_file, plan.records - file * per_file))
            )
        paths.append(path)
    return tuple(paths)
