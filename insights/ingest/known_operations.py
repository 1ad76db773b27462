"""What the ledger knows of a chunk's lines: looked up identity by identity, written by nobody here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.tenancy import connection
from insights.ingest.digests import digest_of, month_of
from insights.ingest.stage_operations import copy_probe, open_stage
from insights.ingest.verdicts import Content, Identity, Known, StagedLine, content_of, identity_of

SAMPLE_LINES = 100


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where and as what rows are written: source, how it names facts, batch and ledger entry."""

    source_id: int
    key_kind: str
    batch_id: int
    entry_id: int
    meters: Mapping[int, int]


def duplicates_among(ledger: Ledger, lines: Sequence[StagedLine]) -> set[int]:
    """Return the line numbers whose identity, revision and content the ledger already holds; writes nothing.

    Compared with the ledger alone and never with each other: these lines are not to be stored.
    """
    if not lines:
        return set()
    open_stage()
    known = find_known(ledger, lines)
    return _archived_lines() | {
        line.line_no
        for line in lines
        if (held := known.get(identity_of(line, key_kind=ledger.key_kind))) is not None
        and _revisions_of(held).get(line.revision) == content_of(line)
    }


# Of each series and month the digests are read once, and then met by all its lines.
_ARCHIVED = f"""
    WITH lines AS MATERIALIZED (
        SELECT p.line_no, p.account_id, p.series_id, {month_of("p")} AS month, {digest_of("p")} AS digest
        FROM ingest_probe p
    ), kept AS MATERIALIZED (
        SELECT s.account_id, s.series_id, s.month, unnest(k.digests) AS digest
        FROM (SELECT DISTINCT account_id, series_id, month FROM lines) s CROSS JOIN LATERAL (
            SELECT k.digests FROM insights_archivedseries k
            WHERE k.account_id = s.account_id AND k.series_id = s.series_id AND k.month = s.month LIMIT 1
        ) k
    )
    SELECT line_no FROM lines JOIN kept USING (account_id, series_id, month, digest)
"""


def _archived_lines() -> set[int]:
    """Return the lines of the probe that say what an archived record says."""
    with connection().cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM insights_archivedseries)")
        if not cursor.fetchone()[0]:
            return set()
        # Nothing is known about how many there are, so a loop over all of them for each line looks cheap.
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute(_ARCHIVED)
        found = {row[0] for row in cursor.fetchall()}
        cursor.execute("SET LOCAL enable_mergejoin = on")
    return found


def _revisions_of(held: Known) -> dict[int, Content]:
    revisions = dict(held.past)
    if held.current_revision is not None and held.current_content is not None:
        revisions[held.current_revision] = held.current_content
    return revisions


# Each probe is one index look-up. LIMIT and OFFSET keep the planner from turning them into a join: right after a
# large load it knows nothing about the new rows, and has been seen to read a whole account for every line.
_KNOWN_WINDOW = """
    SELECT p.account_id, p.series_id, p.window_start, '' AS row_id, r.revision, r.quantity
    FROM (SELECT DISTINCT account_id, series_id, window_start FROM ingest_probe) p
    CROSS JOIN LATERAL (
        SELECT r.revision, r.quantity FROM insights_usagerecord r
        WHERE r.account_id = p.account_id AND r.series_id = p.series_id AND r.window_start = p.window_start
          AND r.row_id = '' LIMIT 1
    ) r
"""
_KNOWN_ROW_ID = """
    SELECT p.account_id, i.series_id, i.window_start, p.row_id, r.revision, r.quantity
    FROM (SELECT DISTINCT account_id, row_id FROM ingest_probe) p
    CROSS JOIN LATERAL (
        SELECT i.series_id, i.window_start FROM insights_usageidentity i
        WHERE i.account_id = p.account_id AND i.source_id = %(source)s AND i.row_id = p.row_id LIMIT 1
    ) i
    CROSS JOIN LATERAL (
        SELECT r.revision, r.quantity FROM insights_usagerecord r
        WHERE r.account_id = p.account_id AND r.series_id = i.series_id AND r.window_start = i.window_start
          AND r.row_id = p.row_id LIMIT 1
    ) r
"""
_PAST_WINDOW = """
    SELECT h.account_id, h.series_id, h.window_start, h.row_id, h.revision, h.quantity
    FROM (SELECT DISTINCT account_id, series_id, window_start FROM ingest_probe) p
    CROSS JOIN LATERAL (
        SELECT * FROM insights_usagerevision h
        WHERE h.account_id = p.account_id AND h.series_id = p.series_id AND h.window_start = p.window_start
          AND h.row_id = '' AND NOT h.is_further OFFSET 0
    ) h
"""
_PAST_ROW_ID = """
    SELECT h.account_id, h.series_id, h.window_start, h.row_id, h.revision, h.quantity
    FROM (SELECT DISTINCT account_id, row_id FROM ingest_probe) p
    CROSS JOIN LATERAL (
        SELECT * FROM insights_usagerevision h
        WHERE h.account_id = p.account_id AND h.source_id = %(source)s AND h.row_id = p.row_id
          AND h.row_id <> '' AND NOT h.is_further OFFSET 0
    ) h
"""


# A line that says what the current record says needs no judgement; most repeats are of this kind.
_SAME = """
    SELECT p.line_no FROM {lines} p CROSS JOIN LATERAL (
        SELECT 1 FROM insights_usagerecord r
        WHERE r.account_id = p.account_id AND r.series_id = p.series_id AND r.window_start = p.window_start
          AND r.row_id = p.row_id AND r.revision = p.revision AND r.quantity = p.quantity LIMIT 1
    ) same
"""
_SAME_AS_PROBE = _SAME.format(lines="ingest_probe")
_SAME_AS_FIRST = _SAME.format(lines=f"(SELECT * FROM ingest_stage LIMIT {SAMPLE_LINES})")
# In the order of the key, so that one look-up finds the pages that the one before has read.
SAME_AS_STAGE = _SAME.format(
    lines="(SELECT * FROM ingest_stage ORDER BY account_id, series_id, window_start, row_id OFFSET 0)"
)


def plain_duplicates(lines: Sequence[StagedLine]) -> set[int]:
    """Return the lines that equal the current record of the same identity and revision."""
    if not lines:
        return set()
    copy_probe(lines)
    return _line_numbers(_SAME_AS_PROBE)


def staged_duplicates() -> set[int]:
    """Return the lines on the stage that equal the current record, if its first lines promise that most do.

    A delivery that comes again is told from a new one by a look at few lines, and never tried as new.
    """
    if len(_line_numbers(_SAME_AS_FIRST)) < SAMPLE_LINES / 2:
        return set()
    return _line_numbers(SAME_AS_STAGE)


def _line_numbers(statement: str) -> set[int]:
    with connection().cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(statement)
        found = {row[0] for row in cursor.fetchall()}
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found


# Of each series one look-up between its first and last window on the stage, instead of one for each line.
_ANY_KNOWN = """
    SELECT EXISTS (
        SELECT 1 FROM (
            SELECT account_id, series_id, min(window_start) AS first, max(window_start) AS last
            FROM ingest_stage GROUP BY account_id, series_id OFFSET 0
        ) p CROSS JOIN LATERAL (
            SELECT 1 FROM insights_usagerecord r
            WHERE r.account_id = p.account_id AND r.series_id = p.series_id
              AND r.window_start >= p.first AND r.window_start <= p.last LIMIT 1
        ) known
    )
"""


def is_stage_unknown() -> bool:
    """Tell whether no record lies between the windows on the stage, series by series: then all of it is new."""
    with connection().cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(_ANY_KNOWN)
        (any_known,) = cursor.fetchone()
        cursor.execute("SET LOCAL enable_seqscan = on")
    return not any_known


def find_known(ledger: Ledger, lines: Sequence[StagedLine]) -> dict[Identity, Known]:
    """Return what the ledger knows of the lines' identities: the current revision, and all past ones."""
    copy_probe(lines)
    by_row = ledger.key_kind == "row_id"
    source = {"source": ledger.source_id}
    with connection().cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(_KNOWN_ROW_ID if by_row else _KNOWN_WINDOW, source)
        current = cursor.fetchall()
        cursor.execute(_PAST_ROW_ID if by_row else _PAST_WINDOW, source)
        past = cursor.fetchall()
        cursor.execute("SET LOCAL enable_seqscan = on")
    return _known_from_rows(by_row, current, past)


def _known_from_rows(by_row: bool, current: Sequence[Any], past: Sequence[Any]) -> dict[Identity, Known]:
    revisions: dict[Identity, dict[int, Content]] = {}
    for account_id, series_id, window, row_id, revision, quantity in past:
        identity = (account_id, row_id) if by_row else (account_id, series_id, window)
        revisions.setdefault(identity, {})[revision] = Content(series_id, window, quantity)
    known = {identity: Known(None, None, found) for identity, found in revisions.items()}
    for account_id, series_id, window, row_id, revision, quantity in current:
        identity = (account_id, row_id) if by_row else (account_id, series_id, window)
        content = Content(series_id, window, quantity)
        known[identity] = Known(revision, content, revisions.get(identity, {}))
    return known
