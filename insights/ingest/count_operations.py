"""What a chunk did, counted per account: batch parts, runs of lines with one verdict, refused lines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter

from accounts.tenancy import connection
from insights.ingest.outcomes import RejectedLine
from insights.ingest.reject_operations import keep_rejects
from insights.ingest.verdicts import StagedLine
from insights.models import Batch

_COUNTED = ("new", "replaced", "duplicate", "stale", "rejected")
_LINE_NO = itemgetter(0)
_ACCOUNT = itemgetter(StagedLine._fields.index("account_id"))
_ACCOUNT_AND_WINDOW = itemgetter(
    StagedLine._fields.index("account_id"), StagedLine._fields.index("window_start")
)


@dataclass(slots=True)
class Part:
    """What a chunk did for one account, and the windows that it touched."""

    counts: Counter[str] = field(default_factory=Counter)
    first_window: datetime | None = None
    last_window: datetime | None = None


def count_chunk(
    *,
    batch: Batch,
    window_end: Callable[[datetime], datetime],
    parts: Mapping[int, Part],
    runs: Sequence[VerdictRun],
    rejected: Sequence[RejectedLine],
) -> None:
    """Add a chunk to the parts of its accounts and keep its verdicts and refusals."""
    _add_to_parts(batch, window_end, parts)
    _keep_verdicts(batch, runs)
    keep_rejects(batch_id=batch.pk, rejected=rejected)


def parts_of(
    lines: Sequence[StagedLine], verdicts: Mapping[int, str], rejected: Sequence[RejectedLine]
) -> dict[int, Part]:
    """Return what a chunk's lines come to, account by account; verdicts name the lines that are not new."""
    parts: dict[int, Part] = defaultdict(Part)
    # Each account's windows are few beside its lines.
    for account_id, window in set(map(_ACCOUNT_AND_WINDOW, lines)):
        part = parts[account_id]
        if part.first_window is None or window < part.first_window:
            part.first_window = window
        if part.last_window is None or window > part.last_window:
            part.last_window = window
    for account_id, number in Counter(map(_ACCOUNT, lines)).items():
        parts[account_id].counts["new"] = number
    not_new = (
        Counter((line[1], verdicts[line[0]]) for line in lines if line[0] in verdicts) if verdicts else {}
    )
    for (account_id, verdict), number in not_new.items():
        parts[account_id].counts[verdict] = number
        parts[account_id].counts["new"] -= number
    for reject in rejected:
        if reject.account_id is not None:
            parts[reject.account_id].counts["rejected"] += 1
    return parts


def _add_to_parts(
    batch: Batch, window_end: Callable[[datetime], datetime], parts: Mapping[int, Part]
) -> None:
    rows = [
        (account_id, sum(part.counts.values()), *(part.counts[name] for name in _COUNTED), part.first_window,
         None if part.last_window is None else window_end(part.last_window))
        for account_id, part in sorted(parts.items())
    ]  # fmt: skip
    if not rows:
        return
    with connection().cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO insights_batchpart AS p (account_id, batch_id, batch_public_id, source_slug, source_name,
                batch_name, via, received_at, received, new, replaced, duplicate, stale, rejected, first_window,
                last_window_end)
            SELECT c.account_id, b.id, b.public_id, s.slug, s.name, b.name, b.via, b.received_at, c.received, c.new,
                c.replaced, c.duplicate, c.stale, c.rejected, c.first_window, c.last_window_end
            FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[],
                %s::timestamptz[], %s::timestamptz[]) AS c (account_id, received, new, replaced, duplicate, stale,
                rejected, first_window, last_window_end)
            JOIN insights_batch b ON b.id = %s JOIN insights_source s ON s.id = b.source_id
            ORDER BY c.account_id
            ON CONFLICT (account_id, batch_id) DO UPDATE SET
                received = p.received + excluded.received, new = p.new + excluded.new,
                replaced = p.replaced + excluded.replaced, duplicate = p.duplicate + excluded.duplicate,
                stale = p.stale + excluded.stale, rejected = p.rejected + excluded.rejected,
                first_window = least(p.first_window, excluded.first_window),
                last_window_end = greatest(p.last_window_end, excluded.last_window_end)
            """,
            [*(list(column) for column in zip(*rows, strict=True)), batch.pk],
        )


@dataclass(slots=True)
class VerdictRun:
    """Lines of one account, one after the other among that account's lines, with one verdict that is not new."""

    account_id: int
    verdict: str
    first_line: int
    last_line: int
    lines: int


def verdict_runs(
    lines: Iterable[StagedLine], verdicts: Mapping[int, str], rejected: Iterable[RejectedLine]
) -> list[VerdictRun]:
    """Return the runs; a new or refused line of the same account ends a run, other accounts' lines do not."""
    if not verdicts:
        return []
    outcomes = [(line[0], line[1], verdicts.get(line[0])) for line in lines]
    outcomes += [
        (reject.line_no, reject.account_id, None) for reject in rejected if reject.account_id is not None
    ]
    outcomes.sort(key=_LINE_NO)
    open_runs: dict[int, VerdictRun] = {}
    runs: list[VerdictRun] = []
    for line_no, account_id, verdict in outcomes:
        run = open_runs.get(account_id)
        if run is not None and run.verdict == verdict:
            run.last_line = line_no
            run.lines += 1
        elif verdict is None:
            open_runs.pop(account_id, None)
        else:
            open_runs[account_id] = run = VerdictRun(account_id, verdict, line_no, line_no, 1)
            runs.append(run)
    return runs


def _keep_verdicts(batch: Batch, runs: Sequence[VerdictRun]) -> None:
    # Corrections spread over a file make as many runs as lines, too many for objects of Django.
    if not runs:
        return
    columns: list[list[int] | list[str]] = [
        [run.account_id for run in runs],
        [run.first_line for run in runs],
        [run.last_line for run in runs],
        [run.lines for run in runs],
        [str(run.verdict) for run in runs],
    ]
    with connection().cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO insights_lineverdict (account_id, first_line, last_line, lines, verdict, batch_id)
            SELECT r.*, %s
            FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::text[]) AS r
            """,
            [batch.pk, *columns],
        )
