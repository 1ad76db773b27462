"""P18: corrections only add, and many at once never take more of a credit or of a bill than there is."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from functools import partial

import psycopg

from tests.faults.bill_breakages import broken
from tests.faults.bill_crowd import at_once, deliver_rows, gather, periods_of
from tests.faults.site import Outcome, Site

SENTENCE = "Corrections only add, and credits are used once"
COUNT = 200
THREADS = 32
SUBSCRIPTIONS = 4
GRANTED, DUE = 10_000, 6_000
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, 1, tzinfo=UTC)
MAY = datetime(2026, 5, 1, 1, tzinfo=UTC)
CORRECTED_PER_ROUND = 0.4


def run(site: Site) -> Outcome:
    """Let 32 threads take 60 of a credit of 100, then let passes at once correct bills that usage was taken from."""
    rounds = site.count or COUNT
    outcome = Outcome("P18", SENTENCE, site.seed, faults_asked=rounds)
    with broken(site):
        _take_credits(site, outcome, rounds)
        if not site.sabotage:
            _correct(site, outcome, max(8, round(rounds * CORRECTED_PER_ROUND)))
    outcome.check_faults()
    return outcome


def _take_credits(site: Site, outcome: Outcome, rounds: int) -> None:
    """Each round is an account with four invoices of 60.00 due and a credit of 100.00."""
    from accounts.tenancy import as_worker
    from insights.billing.issue_operations import issue_invoice
    from insights.models import CreditGrant
    from tests.billing.scene import fee, make_plan

    plans = [
        make_plan(f"plan-{number}", [fee("base", "60", is_prorated=False)]) for number in range(SUBSCRIPTIONS)
    ]
    subscriptions = gather(rounds, plans, starts_at=MARCH)
    with as_worker():
        CreditGrant.objects.bulk_create(
            CreditGrant(
                account=one.account, kind="promotion", name="Welcome", amount_minor=GRANTED, currency="USD",
                granted_at=MARCH, reason="welcome",
            )
            for one in subscriptions[::SUBSCRIPTIONS]
        )  # fmt: skip
    wanted = periods_of(subscriptions, APRIL)
    # Each is asked for by several, those of one account side by side.
    jobs = [
        to_bill
        for start in range(0, len(wanted), SUBSCRIPTIONS)
        for to_bill in wanted[start : start + SUBSCRIPTIONS] * 2
    ]
    together = [jobs[start : start + THREADS] for start in range(0, len(jobs), THREADS)]
    for many in together:
        answers = at_once([partial(issue_invoice, to_bill, APRIL) for to_bill in many])
        raised = [answer for answer in answers if isinstance(answer, Exception)]
        outcome.require(f"{len(raised)} failed: {raised[:1]}", holds=not raised)
    with psycopg.connect(site.conninfo) as connection:
        used = dict(
            connection.execute(
                "SELECT account_id, sum(amount_minor) FROM insights_credituse GROUP BY 1"
            ).fetchall()
        )
        due = dict(
            connection.execute(
                "SELECT account_id, sum(total_minor) FROM insights_invoice GROUP BY 1"
            ).fetchall()
        )
    wrong = [
        account
        for account in due
        if (used.get(account), due[account]) != (GRANTED, SUBSCRIPTIONS * DUE - GRANTED)
    ]
    outcome.faults, outcome.rows = len(due), len(wanted)
    outcome.differences += len(wrong)
    outcome.require(f"{len(wrong)} of {rounds} accounts used other than 100.00 of 100.00", holds=not wrong)
    outcome.figures.append(
        f"{rounds} credits of 100.00, each wanted by {SUBSCRIPTIONS} invoices of 60.00 at once, {len(jobs)} asked for "
        f"by {THREADS} threads; used {sum(used.values()) / GRANTED:.0f} credits"
    )


def _correct(site: Site, outcome: Outcome, count: int) -> None:
    """Usage of March is taken back or added to after it was billed, while four passes at once bill April."""
    from accounts.tenancy import as_worker
    from insights.billing.run_operations import bill_subscriptions, issue_due
    from insights.rating.charges import PerUnit
    from tests.billing.scene import Decimal, make_plan, meters, usage_price
    from tests.factories import make_source

    chance = random.Random(site.seed)
    meters("requests", "bytes")
    make_source("edge")
    plan = make_plan(
        "units", [usage_price(key, PerUnit(unit_amount=Decimal("0.1"))) for key in ("requests", "bytes")]
    )
    subscriptions = gather(count, [plan], starts_at=MARCH, prefix="corrected")
    names = [one.account.reference for one in subscriptions]
    deliver_rows(
        [[name, key, f"2026-03-{day:02d}T00:00:00Z", "50", "1"] for name in names for key in ("requests", "bytes")
         for day in (3, 9)],
        until=datetime(2027, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    with as_worker():
        issue_due(subscriptions, APRIL)
    for revision in (2, 3):
        deliver_rows(
            [[name, key, f"2026-03-{day:02d}T00:00:00Z", str(chance.choice((0, 0, 20, 80))), str(revision)]
             for name in names for key in ("requests", "bytes") for day in (3, 9)]
        )  # fmt: skip
        at_once(
            [partial(bill_subscriptions, subscriptions, MAY if revision == 2 else MAY.replace(month=6))] * 4
        )
    _check_corrections(site, outcome, count)


_CORRECTIONS = """
SELECT b.id, b.amount_minor, b.metered_quantity, count(c.id), coalesce(sum(c.amount_minor), 0),
    coalesce(sum(c.metered_quantity), 0), count(DISTINCT c.invoice_id),
    bool_and(c.corrects_invoice_id = b.invoice_id),
    (SELECT sum(u.quantity) FROM insights_usagerecord u JOIN insights_series s
        ON s.account_id = u.account_id AND s.id = u.series_id JOIN insights_meter m ON m.id = s.meter_id
        WHERE u.account_id = b.account_id AND m.key = b.meter_key
        AND u.window_start >= i.period_start AND u.window_start < i.period_end)
FROM insights_lineitem b JOIN insights_invoice i ON i.account_id = b.account_id AND i.id = b.invoice_id
LEFT JOIN insights_lineitem c ON c.account_id = b.account_id AND c.corrects_id = b.id
    AND EXISTS (SELECT FROM insights_invoice j
        WHERE j.account_id = c.account_id AND j.id = c.invoice_id AND j.state = 'issued')
WHERE b.kind = 'charge' AND b.meter_key <> '' AND i.state = 'issued' AND i.period_start = '2026-03-01Z'
GROUP BY b.account_id, b.id, i.id
"""


def _check_corrections(site: Site, outcome: Outcome, count: int) -> None:
    """What was billed and all that corrects it is what is known now, each correction once, never below nothing."""
    faults: Counter[str] = Counter()
    corrections = lines = 0
    with psycopg.connect(site.conninfo) as connection:
        for _, billed, metered, number, corrected, units, invoices, names_it, known in connection.execute(
            _CORRECTIONS
        ):
            lines += 1
            corrections += number
            faults["come to other than what is known now"] += metered + units != known
            faults["are not at their price"] += billed + corrected != 10 * known
            faults["are corrected below nothing"] += billed + corrected < 0
            faults["are corrected twice on one invoice"] += number != invoices
            faults["are corrected by lines that name another invoice"] += names_it is False
    outcome.rows += lines
    outcome.differences += faults.total()
    outcome.failures += [f"{number} lines {what}" for what, number in faults.items() if number]
    outcome.require("nothing was corrected", holds=corrections > 0)
    outcome.require(f"{lines} lines of {count} bills", holds=lines == 2 * count)
    outcome.figures.append(
        f"{lines} lines of {count} bills corrected by {corrections} lines while four passes ran at once"
    )
