"""P22: the numbers of a legal entity are 1, 2, 3 and so on, through rollbacks and kills."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg

from tests.faults.bill_crowd import gather
from tests.faults.bill_hands import Hands
from tests.faults.site import Outcome, Site

SENTENCE = "Invoice numbers have no gap"
COUNT = 1_600
PROCESSES, THREADS = 4, 8
SMALL = 200
ENTITIES = 2
ROLLBACKS = 0.2
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, 1, tzinfo=UTC)


def run(site: Site) -> Outcome:
    """Issue with 32 threads of four processes; every fifth fails behind its number, and the processes are killed."""
    from tests.billing.scene import fee, make_plan

    count = site.count or COUNT
    kills = 20 if count > SMALL else 3
    outcome = Outcome("P22", SENTENCE, site.seed, faults_asked=kills, mid_batch=0)
    if site.sabotage:
        _make_sequence(site)
    subscriptions = gather(
        count, [make_plan("plain", [fee("base", "60")])], starts_at=MARCH, entities=ENTITIES
    )
    ids = [one.pk for one in subscriptions]
    hands = Hands(
        site=site, shares=[ids[number::PROCESSES] for number in range(PROCESSES)], now=APRIL,
        threads=THREADS if count > SMALL else 2, rollbacks=ROLLBACKS,
    )  # fmt: skip
    hands.run(at_any_moment=kills)
    outcome.faults, outcome.mid_batch, outcome.mid_transaction = (
        len(hands.deaths),
        len(hands.deaths),
        hands.mid_transaction,
    )
    _check(site, outcome, count)
    outcome.check_faults()
    return outcome


def _make_sequence(site: Site) -> None:
    """What the sabotage takes numbers from."""
    with psycopg.connect(site.env["MIGRATE_DATABASE_URL"]) as owner:
        owner.execute("SET ROLE portal_owner")
        owner.execute("CREATE SEQUENCE numbers")
        owner.execute("GRANT USAGE ON SEQUENCE numbers TO portal_worker")


def _check(site: Site, outcome: Outcome, count: int) -> None:
    """Each entity's numbers are those up to how many there are, in the register and on the invoices alike."""
    with psycopg.connect(site.conninfo) as connection:
        rows = connection.execute(
            "SELECT coalesce(n.legal_entity_id, i.legal_entity_id), n.number_in_series, i.number_in_series "
            "FROM insights_invoicenumber n FULL JOIN (SELECT * FROM insights_invoice WHERE state = 'issued') i "
            "ON i.id = n.invoice_id AND i.legal_entity_id = n.legal_entity_id ORDER BY 1, 2, 3"
        ).fetchall()
    of_entity: dict[int, list[tuple[int | None, int | None]]] = {}
    for entity, registered, printed in rows:
        of_entity.setdefault(entity, []).append((registered, printed))
    for numbers in of_entity.values():
        wrong = sum(found != (number, number) for number, found in enumerate(numbers, 1))
        outcome.differences += wrong
        outcome.require(f"{wrong} of {len(numbers)} numbers have gaps or differ", holds=not wrong)
    outcome.rows += len(rows)
    outcome.require(f"{len(rows)} of {count} were issued", holds=len(rows) == count)
    outcome.figures.append(
        f"{len(rows)} invoices of {len(of_entity)} legal entities, every fifth issue rolled back behind its number"
    )
