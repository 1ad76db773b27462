"""What eight bytes say of a record once its month is archived: enough to tell a repeat from anything else; SQL only.

A line is known if revision, quantity and row id are those of a record of its series and window. By chance that is so
for one in 18 million million million other lines, and then a line that would be refused counts as a duplicate.
"""

from __future__ import annotations


def digest_of(alias: str) -> str:
    """The first eight bytes of a SHA-256 as a bigint; the quantity is numeric(28, 9) on every side."""
    text = (
        f"concat_ws(' ', extract(epoch FROM {alias}.window_start)::bigint, {alias}.revision, {alias}.quantity, "
        f"{alias}.row_id)"
    )
    return f"('x' || left(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), 16))::bit(64)::bigint"


def month_of(alias: str) -> str:
    """The first day of the ledger's month in which a window begins."""
    return f"date_trunc('month', {alias}.window_start AT TIME ZONE 'UTC')::date"
