"""Reads the usage behind both sides of a match by dimension value, each as known when its bill was made."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from accounts.models import Account
from insights.billing.bill import Bill
from insights.explain.line_queries import read_line_values
from insights.explain.line_reading_queries import find_line
from insights.scenarios.facts import BilledLine
from insights.values.exact import EXACT

# Quantities by value, by the name of the dimension.
Values = dict[str, dict[str, Decimal]]


def read_values(account: Account, bill: Bill, lines: Iterable[BilledLine]) -> Values:
    """The quantities of some lines of a bill by the values of each dimension; the lines' quantities are added."""
    found: Values = {}
    for line in lines:
        read = find_line(account, bill, position=line.position)
        for name, values in (read_line_values(read) if read else {}).items():
            known = found.setdefault(name, {})
            for value, (quantity, _) in values.items():
                known[value] = EXACT.add(known.get(value, Decimal(0)), quantity)
    return found
