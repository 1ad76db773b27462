"""P13: every line of every invoice is what its usage, prices and settings come to, by another calculation."""

from __future__ import annotations

from tests.faults.bill_books import compare_bills, follow, open_companies
from tests.faults.bill_breakages import broken
from tests.faults.bill_load import BillSize, make_bills
from tests.faults.site import Outcome, Site

SENTENCE = "Every cent is explained"
COUNT = 2_000
MONTHS, MONTHS_SMALL = 12, 3
SMALL = 200


def size_of(count: int) -> BillSize:
    """So many accounts and months that about this many invoices come of them."""
    months = MONTHS if count > SMALL else MONTHS_SMALL
    if count > SMALL:
        return BillSize(accounts=-(-count // months), months=months)
    return BillSize(accounts=max(8, -(-count // months)), months=months, rows=16, cells=24)


def run(site: Site) -> Outcome:
    """Bill made-up companies for some months, and hold every line to the oracle's."""
    count = site.count or COUNT
    outcome = Outcome("P13", SENTENCE, site.seed, faults_asked=count)
    directory = site.directory / "load"
    make_bills(directory, seed=site.seed, size=size_of(count))
    world = open_companies(directory)
    with broken(site):
        follow(directory, world)
    invoices, lines, differences = compare_bills(directory, site.conninfo)
    outcome.faults, outcome.rows, outcome.differences = invoices, lines, len(differences)
    outcome.failures += differences
    outcome.figures.append(
        f"{invoices} invoices of {len(world['accounts'])} accounts with {lines} lines worked out by another calculation"
    )
    outcome.check_faults()
    return outcome
