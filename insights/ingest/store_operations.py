"""Stores the lines of one chunk: new records in, higher revisions in the place of lower ones, history kept.

Works optimistically. Lines that nobody knows are inserted at once; only those that met something known are looked up
and judged. A concurrent writer shows as a count that does not match and the whole chunk is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from accounts.tenancy import connection
from insights.ingest.archive_operations import judge_moved
from insights.ingest.known_column_operations import has_retracted
from insights.ingest.known_operations import (
    Ledger,
    find_known,
    is_stage_unknown,
    plain_duplicates,
    staged_duplicates,
)
from insights.ingest.stage_operations import (
    NEW,
    REPLACEMENT,
    copy_probe,
    copy_stage,
    copy_taken,
    keep_on_stage,
    open_stage,
)
from insights.ingest.verdicts import Judgement, StagedLine, Verdict, judge

_SERIES_AND_WINDOW = itemgetter(
    StagedLine._fields.index("series_id"), StagedLine._fields.index("window_start")
)
_ACCOUNT_AND_ROW_ID = itemgetter(StagedLine._fields.index("account_id"), StagedLine._fields.index("row_id"))


class ConcurrentChange(Exception):
    """Another transaction changed what this one had read; the chunk is to be tried again."""


def store_lines(ledger: Ledger, lines: Sequence[StagedLine]) -> dict[int, Verdict]:
    """Write the lines and return the verdict of every line that is not new, by line number.

    Verdicts: replaced, duplicate, stale, id_conflict, period_archived. Inside the caller's transaction; raises
    ConcurrentChange.
    """
    open_stage()
    first, repeated = _first_of_each(ledger.key_kind, lines)
    known, duplicates = _insert_new(ledger, first)
    duplicates |= plain_duplicates(known)
    verdicts = dict.fromkeys(duplicates, Verdict.DUPLICATE)
    undecided = repeated + [line for line in known if line.line_no not in duplicates]
    if undecided:
        moved = judge_moved(ledger, undecided)
        verdicts |= moved
        undecided = sorted(line for line in undecided if line.line_no not in moved)
        judgement = judge(undecided, find_known(ledger, undecided), key_kind=ledger.key_kind)
        judged = {line.line_no: verdict for line, verdict in zip(undecided, judgement.verdicts, strict=True)}
        _apply(ledger, judgement, judged)
        verdicts |= {line_no: verdict for line_no, verdict in judged.items() if verdict is not Verdict.NEW}
    return verdicts


def _first_of_each(
    key_kind: str, lines: Sequence[StagedLine]
) -> tuple[Sequence[StagedLine], list[StagedLine]]:
    identity_of = _ACCOUNT_AND_ROW_ID if key_kind == "row_id" else _SERIES_AND_WINDOW
    if len(set(map(identity_of, lines))) == len(lines):
        return lines, []
    seen: set[Any] = set()
    first, repeated = [], []
    for line in lines:
        identity = identity_of(line)
        if identity in seen:
            repeated.append(line)
        else:
            seen.add(identity)
            first.append(line)
    return first, repeated


_RECORD_COLUMNS = (
    "account_id, series_id, window_start, row_id, revision, quantity, entry_id, batch_id, line_no"
)
_INSERT_AS_STAGED = f"""
    INSERT INTO insights_usagerecord ({_RECORD_COLUMNS})
    SELECT account_id, series_id, window_start, row_id, revision, quantity, %(entry)s, %(batch)s, line_no
    FROM ingest_stage WHERE phase = %(phase)s
"""
_INSERT_ALL = f"{_INSERT_AS_STAGED} ORDER BY account_id, series_id, window_start, row_id"
_INSERT_IDENTITIES = """
    INSERT INTO insights_usageidentity (account_id, source_id, row_id, series_id, window_start)
    SELECT account_id, %(source)s, row_id, series_id, window_start FROM ingest_stage WHERE phase = %(phase)s
    ORDER BY account_id, row_id
"""
_INSERT_WINDOW = f"{_INSERT_ALL} ON CONFLICT DO NOTHING RETURNING line_no"
# The identity decides: a row id that is known anywhere is not new, whatever its window now says.
_INSERT_ROW_ID = f"""
    WITH first_seen AS (
        {_INSERT_IDENTITIES} ON CONFLICT DO NOTHING RETURNING account_id, row_id
    )
    INSERT INTO insights_usagerecord ({_RECORD_COLUMNS})
    SELECT account_id, series_id, window_start, row_id, revision, quantity, %(entry)s, %(batch)s, line_no
    FROM ingest_stage JOIN first_seen USING (account_id, row_id) WHERE phase = %(phase)s
    ORDER BY account_id, series_id, window_start, row_id
    RETURNING line_no
"""
# One index look-up for each line, however many facts were ever retracted; OFFSET keeps it from becoming a join.
_RETRACTED = """
    SELECT p.line_no FROM ingest_probe p WHERE EXISTS (
        SELECT 1 FROM insights_usagerevision h
        WHERE h.source_id = %s AND h.account_id = p.account_id AND h.series_id = p.series_id
          AND h.window_start = p.window_start AND h.kind = 'retracted' OFFSET 0
    )
"""


def insert_stage(ledger: Ledger) -> None:
    """Insert every row of the stage, which is in the order of the key, as a new record; a known one breaks the key."""
    with connection().cursor() as cursor:
        if ledger.key_kind == "row_id":
            cursor.execute(_INSERT_IDENTITIES, _parameters(ledger, NEW))
        cursor.execute(_INSERT_AS_STAGED, _parameters(ledger, NEW))


def _insert_new(ledger: Ledger, lines: Sequence[StagedLine]) -> tuple[Sequence[StagedLine], set[int]]:
    """Insert what is new and leave only that on the stage.

    Return the lines whose identity is known, and apart from them the numbers of those found to be duplicates already.
    """
    candidates = _without_retracted(ledger, lines)
    copy_stage(phase=NEW, lines=candidates, meters=ledger.meters)
    duplicates = staged_duplicates()
    if duplicates:
        candidates = [line for line in candidates if line.line_no not in duplicates]
        keep_on_stage([line.line_no for line in candidates])
    inserted = _insert_stage(ledger, candidates)
    if len(inserted) < len(candidates):
        keep_on_stage(inserted)
    settled = inserted | duplicates
    if len(settled) == len(lines):
        return (), duplicates
    return [line for line in lines if line.line_no not in settled], duplicates


def _insert_stage(ledger: Ledger, candidates: Sequence[StagedLine]) -> set[int]:
    """Insert the candidates, which are on the stage, and return the numbers of those that were new."""
    if not candidates:
        return set()
    by_row = ledger.key_kind == "row_id"
    with connection().cursor() as cursor:
        if not by_row and is_stage_unknown():
            # Without ON CONFLICT a row costs half. Another transaction's row in between breaks the key, and the
            # chunk is tried again.
            cursor.execute(_INSERT_ALL, _parameters(ledger, NEW))
            return {line.line_no for line in candidates}
        cursor.execute(_INSERT_ROW_ID if by_row else _INSERT_WINDOW, _parameters(ledger, NEW))
        if cursor.rowcount == len(candidates):
            return {line.line_no for line in candidates}
        return {row[0] for row in cursor.fetchall()}


def _parameters(ledger: Ledger, phase: int) -> dict[str, int]:
    return {"entry": ledger.entry_id, "batch": ledger.batch_id, "source": ledger.source_id, "phase": phase}


def _without_retracted(ledger: Ledger, lines: Sequence[StagedLine]) -> Sequence[StagedLine]:
    """Leave out facts that were retracted: they have no current record, but they are not new either."""
    if ledger.key_kind == "row_id":
        return lines  # usage_identity keeps them known
    if not has_retracted(ledger):
        return lines
    copy_probe(lines)
    with connection().cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(_RETRACTED, [ledger.source_id])
        retracted = {row[0] for row in cursor.fetchall()}
        cursor.execute("SET LOCAL enable_seqscan = on")
    return [line for line in lines if line.line_no not in retracted]


_TAKE_OUT = """
    WITH taken AS (
        DELETE FROM insights_usagerecord r USING ingest_taken t
        WHERE r.account_id = t.account_id AND r.series_id = t.series_id AND r.window_start = t.window_start
          AND r.row_id = t.row_id AND r.revision = t.revision
        RETURNING r.*
    )
    INSERT INTO insights_usagerevision (account_id, source_id, series_id, window_start, row_id, revision, quantity,
        entry_id, batch_id, line_no, kind, ended_by_entry_id, is_further)
    SELECT account_id, %(source)s, series_id, window_start, row_id, revision, quantity, entry_id, batch_id, line_no,
        'superseded', %(entry)s,
        -- What a revert made current again stands in history already.
        EXISTS (SELECT 1 FROM insights_ledgerentry e WHERE e.id = taken.entry_id AND e.kind = 'revert')
    FROM taken
"""
MOVE_IDENTITY = """
    UPDATE insights_usageidentity i SET series_id = s.series_id, window_start = s.window_start
    FROM ingest_stage s
    WHERE s.phase = %(phase)s AND i.account_id = s.account_id AND i.source_id = %(source)s AND i.row_id = s.row_id
"""


def _apply(ledger: Ledger, judgement: Judgement, verdicts: Mapping[int, Verdict]) -> None:
    taken = [
        (change.line.account_id, change.old_content.series_id, change.old_content.window_start, change.line.row_id,
         change.old_revision)
        for change in judgement.changes
        if change.old_content is not None and change.old_revision is not None
    ]  # fmt: skip
    finals = [change.line for change in judgement.changes]
    with connection().cursor() as cursor:
        if taken:
            copy_taken(taken)
            cursor.execute(_TAKE_OUT, _parameters(ledger, REPLACEMENT))
            if cursor.rowcount != len(taken):
                raise ConcurrentChange("a record to be replaced had changed")
        if finals:
            _put_finals(ledger, cursor, finals)
        _append_history(ledger, cursor, judgement.history, verdicts)


def _put_finals(ledger: Ledger, cursor: Any, finals: Sequence[StagedLine]) -> None:
    copy_stage(phase=REPLACEMENT, lines=finals, meters=ledger.meters)
    if ledger.key_kind == "row_id":
        cursor.execute(MOVE_IDENTITY, _parameters(ledger, REPLACEMENT))
    cursor.execute(_INSERT_WINDOW, _parameters(ledger, REPLACEMENT))
    if cursor.rowcount != len(finals):
        raise ConcurrentChange("another record took the place of a replacement")


def _append_history(
    ledger: Ledger, cursor: Any, lines: Sequence[StagedLine], verdicts: Mapping[int, Verdict]
) -> None:
    """Keep the revisions that never became current: stale on arrival, or superseded within the chunk."""
    if not lines:
        return
    cursor.executemany(
        """
        INSERT INTO insights_usagerevision (account_id, source_id, series_id, window_start, row_id, revision, quantity,
            entry_id, batch_id, line_no, kind, ended_by_entry_id, is_further)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, false)
        """,
        [
            (line.account_id, ledger.source_id, line.series_id, line.window_start, line.row_id, line.revision,
             line.quantity, ledger.entry_id, ledger.batch_id, line.line_no,
             "stale" if verdicts.get(line.line_no) is Verdict.STALE else "superseded", ledger.entry_id)
            for line in lines
        ],
    )  # fmt: skip
