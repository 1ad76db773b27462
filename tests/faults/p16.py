"""P16: one bill for each operation, whoever asks for it how often, dies over it or voids it meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg

from tests.faults.bill_breakages import broken
from tests.faults.bill_crowd import at_once, gather, periods_of
from tests.faults.bill_hands import AFTER_THE_COMMIT, POINTS, Hands
from tests.faults.site import Outcome, Site

SENTENCE = "One bill for each operation"
COUNT = 100
THREADS = 32
SMALL = 20
BEATS = 3
WAIT_SECONDS_MAX = 5.0
VOIDERS = ISSUERS = 4
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, 1, tzinfo=UTC)


def run(site: Site) -> Outcome:
    """Issue from many threads at once, by tasks at once, through kills, and against voids; count what there is."""
    count = site.count or COUNT
    threads = THREADS if count > SMALL else THREADS // 2
    kills = [point for point in POINTS if point != "committed"] * max(1, count // 30) + ["number taken"] * (
        count // 5
    )
    outcome = Outcome("P16", SENTENCE, site.seed, mid_batch=0, mid_transaction=0)
    plan = _make_plan()
    with broken(site):
        _issue_at_once(site, outcome, plan, count, threads)
        if not site.sabotage:
            _fire_beats(site, outcome, plan, max(6, count // 4))
            _void_and_issue(site, outcome, plan, max(4, count // 4))
            _die(site, outcome, plan, kills)
    _check_books(site, outcome)
    outcome.check_faults()
    return outcome


def _make_plan() -> Any:
    from tests.billing.scene import fee, make_plan

    return make_plan("plain", [fee("base", "60")])


def _issue_at_once(site: Site, outcome: Outcome, plan: Any, count: int, threads: int) -> None:
    """Every thread asks for every invoice, in an order of its own; all get the same ones."""
    from insights.billing.issue_operations import issue_invoice

    wanted = periods_of(gather(count, [plan], starts_at=MARCH, prefix="once"), APRIL)
    waits: list[float] = []

    def finalise(number: int) -> dict[int, tuple[int, str | None]]:
        answers = {}
        for to_bill in random.Random(f"{site.seed} {number // 2}").sample(wanted, len(wanted)):
            began = time.monotonic()
            invoice = issue_invoice(to_bill, APRIL).invoice
            waits.append(time.monotonic() - began)
            answers[to_bill.subscription.pk] = (invoice.pk, invoice.number)
        return answers

    answers = at_once([partial(finalise, number) for number in range(threads)])
    raised = [answer for answer in answers if isinstance(answer, Exception)]
    outcome.require(f"{len(raised)} threads failed: {raised[:2]}", holds=not raised)
    equal = sum(answer == answers[0] for answer in answers)
    outcome.rows += count * threads
    outcome.differences += (threads - equal) * count
    outcome.require(f"{threads - equal} threads got other invoices", holds=equal == threads)
    outcome.require_in_time(
        f"one waited {max(waits, default=0):.1f} s", holds=max(waits, default=0) < WAIT_SECONDS_MAX
    )
    outcome.figures.append(
        f"{count} invoices asked for by {threads} threads: {equal * count} equal answers, the slowest "
        f"{max(waits, default=0):.1f} s"
    )


def _fire_beats(site: Site, outcome: Outcome, plan: Any, count: int) -> None:
    """The task that issues what is due, started three times at once."""
    from insights.invoicing import issue_invoices

    last_month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last_month = last_month.replace(
        year=last_month.year - (last_month.month == 1), month=(last_month.month - 2) % 12 + 1
    )
    gather(count, [plan], starts_at=last_month, prefix="beat")
    answers = at_once([issue_invoices] * BEATS)
    raised = [answer for answer in answers if isinstance(answer, Exception)]
    outcome.require(f"tasks failed: {raised[:2]}", holds=not raised)
    issued = _count(site, "beat-%")
    outcome.rows += count
    outcome.differences += issued != count
    outcome.require(f"{BEATS} tasks at once issued {issued} invoices, not {count}", holds=issued == count)


def _void_and_issue(site: Site, outcome: Outcome, plan: Any, rounds: int) -> None:
    """Some void an invoice while others bill its subscription anew: one is void, one counts."""
    from accounts.tenancy import as_worker
    from insights.billing.run_operations import bill_subscription
    from insights.billing.settlement_operations import UnableToSettle, void_invoice
    from insights.models import Invoice
    from tests.factories import make_user

    staff = make_user("books@tidegate.example", is_staff=True)
    subscriptions = gather(rounds, [plan], starts_at=MARCH, prefix="void")
    voided = 0
    for one in subscriptions:
        with as_worker():
            bill_subscription(one, APRIL)
            [first] = Invoice.objects.filter(subscription=one, state="issued")
        works: list[Callable[[], Any]] = [
            partial(void_invoice, first.public_id, reason="made twice", by=staff, now=APRIL)
        ] * VOIDERS + [partial(bill_subscription, one, APRIL)] * ISSUERS
        answers = at_once(works)
        succeeded = sum(not isinstance(answer, Exception) for answer in answers[:VOIDERS])
        voided += succeeded
        outcome.require(f"an invoice was voided {succeeded} times", holds=succeeded == 1)
        odd = [
            answer
            for answer in answers
            if isinstance(answer, Exception) and not isinstance(answer, UnableToSettle)
        ]
        odd += [answer for answer in answers[VOIDERS:] if getattr(answer, "failed", 0)]
        outcome.require(f"voiding and issuing at once: {odd[:2]}", holds=not odd)
        with as_worker():
            bill_subscription(one, APRIL)
            found = Invoice.objects.filter(subscription=one, state="issued", period_start=MARCH).order_by(
                "pk"
            )
            states = [(row.operation, row.settlements.get().state) for row in found]
        wanted = [("", "void"), ("after 1 voided", "open")]
        outcome.rows += len(states)
        outcome.differences += states != wanted
        outcome.require(f"after a void there are {states}", holds=states == wanted)
    outcome.figures.append(
        f"{rounds} races of {VOIDERS} voids and {ISSUERS} issues, {voided} invoices voided and made anew"
    )


def _die(site: Site, outcome: Outcome, plan: Any, points: list[str]) -> None:
    """Processes die at named points of an issue, most of them right after a number was taken, and at any moment."""
    from insights.models import Subscription

    moments = max(2, len(points) // 3)
    subscriptions: list[Subscription] = gather(
        4 * (len(points) + moments), [plan], starts_at=MARCH, prefix="dead"
    )
    ids = [one.pk for one in subscriptions]
    hands = Hands(site=site, shares=[ids[0::2], ids[1::2]], now=APRIL)
    hands.run(points=points, at_any_moment=moments)
    outcome.faults_asked = len(points) + moments
    outcome.faults = len(hands.deaths)
    inside = [point for point in hands.deaths if point not in AFTER_THE_COMMIT]
    outcome.mid_batch, outcome.mid_transaction = len(inside), len(inside)
    issued = _count(site, "dead-%")
    outcome.rows += len(ids)
    outcome.differences += issued != len(ids)
    outcome.require(f"{issued} of {len(ids)} invoices after the kills", holds=issued == len(ids))
    outcome.figures.append(
        f"{len(hands.deaths)} kills -9, {hands.deaths.count('number taken')} of them right after a number was taken, "
        f"{hands.deaths.count('any moment')} at any moment"
    )


def _count(site: Site, reference: str) -> int:
    with psycopg.connect(site.conninfo) as connection:
        row = connection.execute(
            "SELECT count(*) FROM insights_invoice i JOIN accounts_account a ON a.id = i.account_id "
            "WHERE i.state = 'issued' AND a.reference LIKE %s",
            [reference],
        ).fetchone()
    return int(row[0]) if row else 0


def _check_books(site: Site, outcome: Outcome) -> None:
    """No period has two invoices that count, and numbers have no gap."""
    with psycopg.connect(site.conninfo) as connection:
        twice = connection.execute(
            "SELECT i.subscription_id, i.period_start FROM insights_invoice i JOIN insights_settlement s "
            "ON s.account_id = i.account_id AND s.invoice_id = i.id AND s.state <> 'void' "
            "WHERE i.state = 'issued' GROUP BY 1, 2 HAVING count(*) > 1"
        ).fetchall()
        numbers = [row[0] for row in connection.execute(
            "SELECT number_in_series FROM insights_invoicenumber ORDER BY 1"
        )]  # fmt: skip
        issued = [row[0] for row in connection.execute(
            "SELECT number_in_series FROM insights_invoice WHERE state = 'issued' ORDER BY 1"
        )]  # fmt: skip
    outcome.differences += len(twice)
    outcome.require(f"{len(twice)} periods were billed twice", holds=not twice)
    has_no_gap = numbers == issued == list(range(1, len(numbers) + 1))
    outcome.require(
        f"numbers have gaps or are given twice: {len(numbers)} of {len(issued)}", holds=has_no_gap
    )
    outcome.figures.append(f"numbers 1 to {len(numbers)} without a gap: {'yes' if has_no_gap else 'no'}")
