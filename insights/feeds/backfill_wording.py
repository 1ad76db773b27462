"""What pages say about a backfill in one sentence, and its preview as files. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from insights.feeds.backfill_facts import BackfillFacts, PreviewFacts
from insights.feeds.facts import LineCounts


def backfill_sentence(backfill: BackfillFacts) -> str:
    """The answer of a backfill's page."""
    held = (
        f"{_number(backfill.held, 'batch', 'batches')} with {_number(backfill.held_lines, 'line', 'lines')}"
    )
    if backfill.state == "closed":
        return f"Closed: everything came into the books at once, at position {backfill.position:,}"
    if backfill.state == "discarded":
        return "Discarded; nothing of it was counted"
    if backfill.state == "closing":
        return f"A worker is writing {held} into the books; all of it will be seen at once"
    if backfill.state == "previewing":
        return f"A worker is counting what {held} would do; nothing has changed yet"
    if not backfill.held:
        return "Open and empty: send files to it, and nobody sees them before it is closed"
    if backfill.state == "failed":
        return f"The last try failed and changed nothing; {held} are held"
    if backfill.state == "ready" and backfill.is_preview_current:
        return f"{held} are held and previewed; nobody sees them before the close"
    return f"{held} are held; preview them to see what closing would do"


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def close_sentence(preview: PreviewFacts) -> str:
    """What the close will do, said before the button."""
    counts = preview.totals
    accounts = _number(preview.accounts_in_all, "account", "accounts")
    days = _number(preview.days_in_all, "day of a meter changes", "days of meters change")
    return (
        f"{_number(counts.new, 'new line comes', 'new lines come')} into the books and "
        f"{_number(counts.replaced, 'line replaces', 'lines replace')} lower revisions, for {accounts}; {days}. "
        f"{counts.duplicate:,} duplicate and {counts.stale:,} stale lines change nothing, "
        f"{counts.rejected:,} are rejected"
    )


_COUNTS = ("received", "new", "replaced", "duplicate", "stale", "rejected")


def preview_rows(preview: PreviewFacts, table: str) -> Iterable[Iterable[str]] | None:
    """Return a table of the preview as the cells of a file with its header, or None where there is no such table."""
    make = _TABLES.get(table)
    return None if make is None else make(preview)


def _day_rows(preview: PreviewFacts) -> Iterable[Iterable[str]]:
    names = ("before", "new", "replaced", "leaves", "after")
    yield ("account", "name", "meter", "day", *(f"records_{name}" for name in names))
    for day in preview.days:
        counts = (str(getattr(day, name)) for name in names)
        yield (day.reference, day.account, day.meter, day.day.isoformat(), *counts)


def _meter_rows(preview: PreviewFacts) -> Iterable[Iterable[str]]:
    names = ("days", "before", "new", "replaced", "leaves", "after")
    yield ("meter", "days", *(f"records_{name}" for name in names[1:]))
    for meter in preview.meters:
        yield (meter.meter, *(str(getattr(meter, name)) for name in names))


def _batch_rows(preview: PreviewFacts) -> Iterable[Iterable[str]]:
    yield ("batch", "name", *_COUNTS)
    for batch in preview.batches:
        yield (batch.public_id, batch.name, *_count_cells(batch.counts))


def _account_rows(preview: PreviewFacts) -> Iterable[Iterable[str]]:
    yield ("account", "name", *_COUNTS)
    for account in preview.accounts:
        yield (account.reference, account.name, *_count_cells(account.counts))


def _reject_rows(preview: PreviewFacts) -> Iterable[Iterable[str]]:
    yield ("batch", "name", "line", "code", "field", "account")
    for reject in preview.rejects:
        yield (reject.public_id, reject.name, str(reject.line), reject.code, reject.field, reject.account)


def _count_cells(counts: LineCounts) -> Iterable[str]:
    return (str(getattr(counts, name)) for name in _COUNTS)


_TABLES: dict[str, Callable[[PreviewFacts], Iterable[Iterable[str]]]] = {
    "days": _day_rows,
    "meters": _meter_rows,
    "batches": _batch_rows,
    "accounts": _account_rows,
    "rejected-lines": _reject_rows,
}
