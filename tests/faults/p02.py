"""P2: quantity is conserved. Records and rollups add up to the same after deaths, and a rebuild changes nothing."""

from __future__ import annotations

import psycopg

from tests.faults import books
from tests.faults.load import Size, make_load
from tests.faults.p01 import KILLS_PER_FILE, kill_and_compare, lines_for
from tests.faults.site import Outcome, Site

SENTENCE = "Quantity is conserved"
COUNT = 40
_BUCKETS = """
    WITH records AS (
        SELECT u.account_id, s.meter_id, (u.window_start AT TIME ZONE a.billing_zone)::date AS day,
            sum(u.quantity) AS quantity, count(*) AS records
        FROM insights_usagerecord u JOIN insights_series s ON s.account_id = u.account_id AND s.id = u.series_id
        JOIN accounts_account a ON a.id = u.account_id GROUP BY 1, 2, 3
    ), rollups AS (
        SELECT account_id, meter_id, day, sum(quantity) AS quantity, sum(records) AS records
        FROM insights_usagerollup GROUP BY 1, 2, 3
    )
    SELECT count(*),
        count(*) FILTER (WHERE (r.quantity, r.records) IS DISTINCT FROM (l.quantity, l.records)),
        count(*) FILTER (WHERE r.quantity = 'NaN' OR l.quantity = 'NaN')
    FROM records r FULL JOIN rollups l USING (account_id, meter_id, day)
"""
_LARGEST = """
    SELECT count(*) FROM insights_usagerecord WHERE quantity > 1e18 AND quantity <> trunc(quantity, 8)
"""


def run(site: Site) -> Outcome:
    """Send a load under kills, then add the books up by SQL and again by a rebuild."""
    kills = site.count or COUNT
    outcome = Outcome("P2", SENTENCE, site.seed, faults_asked=kills)
    files = max(6, -(-kills // KILLS_PER_FILE))
    size = Size(files=files, lines=lines_for(kills))
    load = make_load(site.directory / "load", seed=site.seed, size=size)
    kill_and_compare(site, load, kills=kills, outcome=outcome)
    with psycopg.connect(site.conninfo) as connection:
        row = connection.execute(_BUCKETS).fetchone()
        largest = connection.execute(_LARGEST).fetchone()
    assert row is not None
    assert largest is not None
    outcome.rows += row[0]
    outcome.differences += row[1]
    outcome.require(
        f"{row[1]} of {row[0]} buckets differ, {row[2]} hold NaN", holds=not row[1] and not row[2]
    )
    outcome.require("no quantity above 10^18 with nine decimals came through", holds=largest[0] > 0)
    outcome.figures.append(
        f"{row[0]} buckets of account, meter and day; {largest[0]} quantities above 10^18 with nine decimals"
    )
    before = books.digest(site.conninfo)
    _rebuild()
    outcome.require("rebuilding the rollups changed them", holds=books.digest(site.conninfo) == before)
    return outcome


def _rebuild() -> None:
    from django.db import transaction

    from accounts.models import Account
    from accounts.tenancy import as_worker
    from insights.metering.operations import rebuild_rollups

    with as_worker():
        for account_id in Account.objects.values_list("id", flat=True):
            with transaction.atomic(using="worker"):
                rebuild_rollups(account_id=account_id)
