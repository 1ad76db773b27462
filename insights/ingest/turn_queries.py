"""Whose turn it is on the work list. A bell only says that there is work; which, is read here from the rows.

Senders take turns, and a sender is a source. Of those who wait, the next is whose sender has fewest workers at work,
then the fewest lines lately, then who waits longest. Within a sender the fewest lines left go first, so that small
files pass large ones; but whoever has waited `PATIENCE_SECONDS` goes before all that have not, longest first, so that
a large file moves on however many small ones come. First of all within a sender goes a batch whose worker died: it had
its turn already, and a dead worker must not cost it a second wait. After three deaths it is set aside.
"""

from __future__ import annotations

from accounts.tenancy import connection

# After so long a large batch goes before small ones of its sender that came later. Longer than a few chunks take.
PATIENCE_SECONDS = 30.0
# What a sender had lately: its lines in the newest entries of the ledger, none of them older than this.
LATELY_SECONDS = 60.0
LATELY_ENTRIES = 200
# More than there are workers, so that each finds a batch although others choose at the same moment.
TURNS_MAX = 50

# A lease that ran out waits since then. The batch in hand is compared as if it had just begun to wait.
_TURNS = """
WITH waiting AS (
    SELECT b.id AS batch_id, b.source_id,
        CASE WHEN b.id = %(mine)s THEN clock_timestamp()
             WHEN w.state = 'waiting' THEN w.created_at ELSE w.leased_until END AS since,
        w.state = 'leased' AND b.id <> %(mine)s AS had_its_turn,
        CASE WHEN b.lines_done < b.lines_total THEN b.lines_total - b.lines_done
             ELSE coalesce(b.lines_total, 0) END AS lines_left
    FROM insights_workitem w JOIN insights_batch b ON b.id = w.batch_id
    WHERE w.state IN ('waiting', 'leased')
      AND (w.state = 'waiting' OR w.leased_until < clock_timestamp() OR b.id = %(mine)s)
), busy AS (
    SELECT b.source_id, count(*) AS workers FROM insights_workitem w JOIN insights_batch b ON b.id = w.batch_id
    WHERE w.state = 'leased' AND w.leased_until >= clock_timestamp() AND b.id <> %(mine)s GROUP BY b.source_id
), newest AS (
    SELECT batch_id, last_line - first_line + 1 AS lines, committed_at FROM insights_ledgerentry
    ORDER BY id DESC LIMIT %(entries)s
), lately AS (
    SELECT b.source_id, sum(n.lines) AS lines FROM newest n JOIN insights_batch b ON b.id = n.batch_id
    WHERE n.committed_at > clock_timestamp() - make_interval(secs => %(lately)s) GROUP BY b.source_id
), queues AS (
    SELECT batch_id, source_id, since, row_number() OVER (
        PARTITION BY source_id
        ORDER BY had_its_turn DESC,
                 CASE WHEN since < clock_timestamp() - make_interval(secs => %(patience)s) THEN since END NULLS LAST,
                 lines_left, batch_id
    ) AS place
    FROM waiting
)
SELECT q.batch_id FROM queues q LEFT JOIN busy USING (source_id) LEFT JOIN lately USING (source_id)
ORDER BY q.place + coalesce(busy.workers, 0), coalesce(lately.lines, 0), q.since, q.batch_id LIMIT %(most)s
"""


def list_turns(*, mine: int = 0, limit: int = TURNS_MAX) -> tuple[int, ...]:
    """Return the batches that wait, the next one first.

    The batch in hand, where there is one, is ranked among them as if it waited too, and its own worker not counted.
    """
    with connection().cursor() as cursor:
        cursor.execute(
            _TURNS,
            {
                "mine": mine,
                "most": limit,
                "patience": PATIENCE_SECONDS,
                "lately": LATELY_SECONDS,
                "entries": LATELY_ENTRIES,
            },
        )
        return tuple(row[0] for row in cursor.fetchall())


def is_others_turn(*, mine: int) -> bool:
    """Tell whether the batch in hand is to step back between two of its chunks."""
    return list_turns(mine=mine, limit=1) not in ((), (mine,))
