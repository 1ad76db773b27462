"""Lines whose day is sealed: duplicates if they are known, refused as `period_archived` if not.

Runs inside the chunk's transaction, which holds off archiving until it commits: what is found here cannot change
under it, and no record is committed into a month between its last look and its detaching.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from accounts.tenancy import connection
from insights.ingest.known_operations import Ledger, duplicates_among
from insights.ingest.layout import columns_of
from insights.ingest.outcomes import RejectedLine
from insights.ingest.read_operations import BatchRun, ReadChunk
from insights.ingest.stage_operations import copy_probe
from insights.ingest.verdicts import StagedLine, Verdict
from insights.models import MonthState, UsageMonth
from insights.values.months import end_of_month, month_of, month_text, sealed_days
from insights.values.period import local_day

_ONE_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
# From the first of a month to that of a month beside it.
_NEXT_MONTH = timedelta(days=31)
HOLD_OFF = "SELECT pg_advisory_xact_lock_shared(hashtext('portal usage months'), 0)"


@dataclass(frozen=True, slots=True)
class SealedDays:
    """The local days of some accounts that archived months touch."""

    months: tuple[date, ...]
    zones: dict[int, ZoneInfo]
    # Windows repeat from account to account, while their calendars are few.
    found: dict[tuple[str, datetime], date | None] = field(default_factory=dict)

    def month_over(self, account_id: int, instant: datetime) -> date | None:
        """The archived month that seals the account's day of an instant, if one does."""
        zone = self.zones[account_id]
        asked = (zone.key, instant)
        if asked not in self.found:
            day = local_day(instant, zone)
            near = [month for month in self.months if abs(month_of(instant) - month) <= _NEXT_MONTH]
            spans = ((month, sealed_days(month, zone)) for month in near)
            self.found[asked] = next((month for month, (first, last) in spans if first <= day <= last), None)
        return self.found[asked]


def hold_off_archiving() -> None:
    """Keep months where they are until the caller's transaction ends; others may hold it too."""
    with connection().cursor() as cursor:
        cursor.execute(HOLD_OFF)


def list_archived_months() -> tuple[date, ...]:
    """The months whose records are not in the ledger, oldest first."""
    months = UsageMonth.objects.filter(state=MonthState.ARCHIVED).order_by("month")
    return tuple(months.values_list("month", flat=True))


def set_sealed_apart(run: BatchRun, read: ReadChunk) -> ReadChunk:
    """Return the chunk with every line of a sealed day among the doubtful ones: duplicates if known, else refused.

    A line that was doubtful for its age is then refused for its month, which no higher age limit mends.
    """
    hold_off_archiving()
    months = list_archived_months()
    if not months:
        return read
    if read.columns is not None:
        if not any(_is_near(months, start) for start in read.columns.starts):
            return read
        # Some line may be of a sealed day, so each has to be judged by itself.
        read = replace(read, lines=read.columns.lines(), columns=None)
    doubtful = [line for line, _reject in read.doubtful]
    over = _sealed_lines(months, [*read.lines, *doubtful])
    if not over:
        return read
    column = columns_of(run.definition, ()).get("window_start", "window_start")

    def refusal(line: StagedLine) -> RejectedLine:
        raw = read.chunk.lines[line.line_no - read.chunk.first_line_no].encode()
        return refused_for_month(line, over[line.line_no], field=column, raw=raw)

    stays = [(line, reject) for line, reject in read.doubtful if line.line_no not in over]
    sealed = [line for line in [*read.lines, *doubtful] if line.line_no in over]
    return replace(
        read,
        lines=[line for line in read.lines if line.line_no not in over],
        doubtful=stays + [(line, refusal(line)) for line in sealed],
    )


def _sealed_lines(months: tuple[date, ...], lines: Sequence[StagedLine]) -> dict[int, date]:
    """The archived month over each line that has one, by line number."""
    near = [line for line in lines if _is_near(months, line.window_start)]
    if not near:
        return {}
    sealed = _sealed_days_of(months, {line.account_id for line in near})
    found = {line.line_no: sealed.month_over(line.account_id, line.window_start) for line in near}
    return {line_no: month for line_no, month in found.items() if month is not None}


def _is_near(months: tuple[date, ...], instant: datetime) -> bool:
    """Whether a window is close enough to an archived month to be looked at by its account's clock."""
    first = datetime(months[0].year, months[0].month, 1, tzinfo=UTC)
    return first - _ONE_DAY <= instant < end_of_month(months[-1]) + _ONE_DAY


def _sealed_days_of(months: tuple[date, ...], account_ids: Iterable[int]) -> SealedDays:
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT id, billing_zone FROM accounts_account WHERE id = ANY(%s)", [list(account_ids)]
        )
        return SealedDays(months, {account_id: ZoneInfo(zone) for account_id, zone in cursor.fetchall()})


def refused_for_month(line: StagedLine, month: date, *, field: str, raw: bytes) -> RejectedLine:
    """The refusal of a line that would change an archived month."""
    return RejectedLine(
        line_no=line.line_no,
        code="period_archived",
        field=field,
        value=f"{line.window_start:%Y-%m-%dT%H:%M:%SZ}",
        message=f"the usage of {month_text(month)} is archived and no longer changes",
        account_id=line.account_id,
        account_reference=None,
        raw=raw,
        retryable=False,
    )


_SPANS = """
    SELECT p.account_id, p.first_window, p.last_window_end FROM insights_batchpart p
    WHERE p.batch_id = %s AND p.first_window IS NOT NULL
"""


def months_sealing_batch(batch_id: int, *, returns_on: Iterable[date]) -> tuple[date, ...]:
    """The archived months that a revert of a batch would change, oldest first.

    Goes by the span of each account's part, known lines among it, and by the days on which earlier revisions would be
    current again, which are taken a day wider than they are: rather one revert too few than a seal broken.
    """
    months = list_archived_months()
    if not months:
        return ()
    with connection().cursor() as cursor:
        cursor.execute(_SPANS, [batch_id])
        spans = cursor.fetchall()
    zones = _sealed_days_of(months, {account_id for account_id, _first, _end in spans}).zones
    days: list[tuple[date, date, tzinfo]] = [
        (local_day(first, zones[account_id]), local_day(end - _INSTANT, zones[account_id]), zones[account_id])
        for account_id, first, end in spans
    ]
    days += [(day - _ONE_DAY, day + _ONE_DAY, UTC) for day in returns_on]
    return tuple(month for month in months if any(_touches(month, *span) for span in days))


def _touches(month: date, first: date, last: date, zone: tzinfo) -> bool:
    sealed_first, sealed_last = sealed_days(month, zone)
    return first <= sealed_last and sealed_first <= last


_PLACES = """
    SELECT p.line_no, p.account_id, i.window_start FROM ingest_probe p CROSS JOIN LATERAL (
        SELECT i.window_start FROM insights_usageidentity i
        WHERE i.account_id = p.account_id AND i.source_id = %s AND i.row_id = p.row_id LIMIT 1
    ) i
"""


def judge_moved(ledger: Ledger, lines: Sequence[StagedLine]) -> dict[int, Verdict]:
    """Judge the lines whose row id is kept in a sealed day, from where it cannot be moved: by line number.

    Only a sender's row ids can be known under another window than the line's own.
    """
    if ledger.key_kind != "row_id" or not (months := list_archived_months()):
        return {}
    copy_probe(lines)
    with connection().cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(_PLACES, [ledger.source_id])
        kept = [row for row in cursor.fetchall() if _is_near(months, row[2])]
        cursor.execute("SET LOCAL enable_seqscan = on")
    if not kept:
        return {}
    sealed = _sealed_days_of(months, {account_id for _no, account_id, _start in kept})
    held = {line_no for line_no, account_id, start in kept if sealed.month_over(account_id, start)}
    known = duplicates_among(ledger, [line for line in lines if line.line_no in held])
    return {line_no: Verdict.DUPLICATE if line_no in known else Verdict.PERIOD_ARCHIVED for line_no in held}
