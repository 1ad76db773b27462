"""One check of the books: how many rows it compares, and which of them differ, as SQL.

Every difference is one text that names a kind of row and ids, never a quantity, so that people without a right to an
account's usage may read it. Parameters: `account` (NULL for all) and `kept_since`, before which refused lines have been
dropped.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about the books; platform-wide ones cannot be asked of a single account."""

    name: str
    rows: str
    differences: str
    is_platform_wide: bool = False


def of_account(alias: str) -> str:
    return f"(%(account)s::bigint IS NULL OR {alias}.account_id = %(account)s)"


def count_rows(table: str, *, where: str = "true") -> str:
    return f"SELECT count(*) FROM {table} t WHERE {of_account('t')} AND {where}"
