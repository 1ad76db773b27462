"""P12: the lines of an invoice sum to it in the database, on the page, by the API, as CSV, in print and in the mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.faults.bill_books import follow, open_companies
from tests.faults.bill_load import make_bills
from tests.faults.bill_places import Reading, read_csv, read_document, read_mail, read_page, read_pdf
from tests.faults.p13 import size_of
from tests.faults.people import Visitor, member_of
from tests.faults.senders import ask
from tests.faults.site import Outcome, Site

SENTENCE = "Lines sum to the invoice in all six places"
COUNT = 2_000
READERS = 4
_INVOICES = """
SELECT i.id, i.account_id, i.public_id, i.number, i.currency, i.total_minor,
    array_agg(l.amount_minor ORDER BY l.position) FILTER (WHERE l.id IS NOT NULL),
    (SELECT f.content FROM insights_invoicefile f WHERE f.account_id = i.account_id AND f.invoice_id = i.id)
FROM insights_invoice i LEFT JOIN insights_lineitem l ON l.account_id = i.account_id AND l.invoice_id = i.id
WHERE i.state = 'issued' GROUP BY i.account_id, i.id ORDER BY i.id
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An issued invoice as the database has it, and the file made of it."""

    id: int
    account_id: int
    public_id: str
    number: str
    currency: str
    reading: Reading
    pdf: bytes


def run(site: Site) -> Outcome:
    """Bill made-up companies, send the invoices, and read every one of them in every place."""
    count = site.count or COUNT
    outcome = Outcome("P12", SENTENCE, site.seed, faults_asked=count)
    directory = site.directory / "load"
    make_bills(directory, seed=site.seed, size=size_of(count))
    follow(directory, open_companies(directory))
    mails = _send_all()
    stored = _read_database(site)
    people = _let_people_in(stored)
    cluster = site.servers()
    cluster.start_web(FAULTS_SABOTAGE=site.sabotage, API_REQUESTS_PER_MINUTE="100000")
    try:
        with ThreadPoolExecutor(READERS) as pool:
            found = pool.map(
                lambda one: list(_faults(cluster.port, one, people[one.account_id], mails)), stored
            )
            for faults in found:
                outcome.differences += len(faults)
                outcome.failures += faults
    finally:
        cluster.stop_web()
    lines = [sum(one.reading.lines.values()) for one in stored]
    outcome.faults, outcome.rows = len(stored), 6 * len(stored)
    currencies = Counter(one.currency for one in stored)
    outcome.figures.append(
        f"{len(stored)} invoices of {min(lines)} to {max(lines)} lines, {sum(lines)} in all, in six places; "
        + ", ".join(f"{number} in {currency}" for currency, number in sorted(currencies.items()))
    )
    outcome.check_faults()
    return outcome


def _send_all() -> dict[str, Any]:
    """Make every file and send every mail into a box in memory; returns the mails by the number they are for."""
    from django.core import mail
    from django.test.utils import override_settings

    from insights import invoicing

    mail.outbox = []
    with override_settings(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend"):
        from accounts.tenancy import as_worker
        from insights.models import Invoice

        with as_worker():
            issued = list(
                Invoice.objects.filter(state="issued").order_by("pk").values_list("pk", "issued_at")
            )
            for invoice_id, issued_at in issued:
                invoicing.send_invoice_mail(invoice_id, now=issued_at)
    return {message.body.split(" ")[1]: message for message in mail.outbox}


def _read_database(site: Site) -> list[Stored]:
    with psycopg.connect(site.conninfo) as connection:
        rows = connection.execute(_INVOICES).fetchall()
        return [
            Stored(
                invoice_id, account_id, str(public_id), number, currency,
                Reading(Counter(int(minor) for minor in minors or ()), int(total)), bytes(content or b""),
            )
            for invoice_id, account_id, public_id, number, currency, total, minors, content in rows
        ]  # fmt: skip


def _let_people_in(stored: list[Stored]) -> dict[int, tuple[Visitor, str]]:
    """Somebody signed in, and a key, for each account."""
    from accounts.models import Account
    from accounts.tenancy import as_worker
    from tests.factories import make_api_key, make_user

    people = {}
    for account_id in {one.account_id for one in stored}:
        with as_worker():
            account = Account.objects.get(pk=account_id)
        maker = make_user(f"maker-{account_id}@example.com")
        _, key = make_api_key(account, created_by=maker, scopes=["bills:read"])
        people[account_id] = (member_of(account, name=f"looker-{account_id}"), key)
    return people


def _faults(port: int, one: Stored, people: tuple[Visitor, str], mails: Mapping[str, Any]) -> Iterator[str]:
    """Every place in which the invoice does not come to what its lines in the database add to."""
    total = one.reading.sum
    if one.reading.total != total:
        yield f"{one.number}: its lines add to {total} in the database, its total is {one.reading.total}"
    try:
        readings = dict(_readings(port, one, people, mails))
    except (ValueError, ArithmeticError, TypeError) as error:
        yield f"{one.number}: cannot be read, {error}"
        return
    for place in ("page", "API", "CSV"):
        if (readings[place].lines, readings[place].total) != (one.reading.lines, total):
            yield f"{one.number}: {readings[place].sum} and {readings[place].total} by {place}, not {total}"
    printed = readings["PDF"].lines
    if one.reading.lines - printed or not printed[total]:
        yield f"{one.number}: not every amount is printed: {list(one.reading.lines - printed)[:3]}"
    if readings["mail"].total != total:
        yield f"{one.number}: the mail says {readings['mail'].total}, not {total}"


def _readings(
    port: int, one: Stored, people: tuple[Visitor, str], mails: Mapping[str, Any]
) -> Iterator[tuple[str, Reading]]:
    visitor, key = people
    page = ask(port, "GET", f"{visitor.home}bills/{one.public_id}/", headers={"Cookie": visitor.cookie})
    yield "page", read_page(str(page.body), one.currency)
    headers = {"Authorization": f"Bearer {key}"}
    document = ask(port, "GET", f"/api/v1/invoices/{one.public_id}", headers=headers)
    if not isinstance(document.body, dict):
        raise ValueError(f"the API answered {document.status}")
    yield "API", read_document(document.body, one.currency)
    rows = ask(port, "GET", f"/api/v1/invoices/{one.public_id}.csv", headers=headers)
    yield "CSV", read_csv(str(rows.body), one.currency)
    yield "PDF", read_pdf(one.pdf, one.currency)
    message = mails.get(one.number)
    if message is None or message.attachments[0][1] != one.pdf:
        raise ValueError("no mail brings its file")
    yield "mail", read_mail(message.body, one.currency)
