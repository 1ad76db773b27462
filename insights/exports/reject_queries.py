"""The refused lines of one batch as CSV, for the account that they name."""

from __future__ import annotations

from psycopg import sql

from insights.exports.cell_queries import safe_cell
from insights.exports.queries import CopyStatement

REJECTS = "rejects"
_COLUMNS = ("line", "code", "field", "value", "message", "replayed_at")


def rejects_copy(*, account_id: int, batch_id: int) -> CopyStatement:
    """Return the statement that writes an account's refused lines of a batch, in line order."""
    cells = (
        sql.SQL("line_no"),
        sql.SQL("code"),
        safe_cell(sql.SQL("field"), raw=False),
        safe_cell(sql.SQL("value"), raw=False),
        safe_cell(sql.SQL("message"), raw=False),
        sql.SQL("""to_char(replayed_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""),
    )
    named = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(cell, sql.Identifier(name))
        for cell, name in zip(cells, _COLUMNS, strict=True)
    )
    statement = sql.SQL(
        "COPY (SELECT {} FROM insights_rejectedline WHERE account_id = %(account_id)s"
        " AND batch_id = %(batch_id)s ORDER BY line_no) TO STDOUT (FORMAT csv, HEADER true)"
    ).format(named)
    return CopyStatement(statement, {"account_id": account_id, "batch_id": batch_id})
