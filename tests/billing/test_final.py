"""An issued invoice never changes, whoever tries and whatever comes later, and is rated again to the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import DatabaseError, connections, transaction

from accounts.tenancy import as_worker
from insights.billing.invoice_mapping import invoice_hash
from insights.models import Invoice, LineItem
from insights.rating.charges import PerUnit
from tests.billing.rerating import lines_text, rated_again
from tests.billing.scene import (
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    instant,
    lines_of,
    make_plan,
    make_profile,
    meters,
    publish,
    subscribe,
    usage_price,
)
from tests.factories import make_account, make_source

pytestmark = pytest.mark.database
TEN_CENTS = PerUnit(unit_amount=Decimal("0.10"))
LINE_COLUMNS = (
    "name", "amount_minor", "metered_quantity", "billed_quantity", "steps", "terms", "values", "service_start",
    "service_end", "position", "key", "kind", "taxes", "allotted", "price_key", "corrects_id",
)  # fmt: skip
INVOICE_COLUMNS = (
    "total_minor", "number", "number_in_series", "issued_at", "due_at", "details", "usage_as_of", "period_start",
    "period_end", "state", "currency", "sha256", "legal_entity_id", "released", "parked_for", "complete_to",
)  # fmt: skip
STATEMENTS = (
    *(f"UPDATE insights_invoice SET {column} = {column}" for column in INVOICE_COLUMNS),
    *(f"UPDATE insights_lineitem SET {column} = {column}" for column in LINE_COLUMNS),
    "DELETE FROM insights_invoice",
    "DELETE FROM insights_lineitem",
    "TRUNCATE insights_invoice CASCADE",
    "TRUNCATE insights_lineitem CASCADE",
    "UPDATE insights_invoicenumber SET invoice_id = 0",
    "DELETE FROM insights_invoicenumber",
    "TRUNCATE insights_invoicenumber",
    "INSERT INTO insights_lineitem SELECT (l).* FROM insights_lineitem l",
    "INSERT INTO insights_invoice SELECT (i).* FROM insights_invoice i ON CONFLICT (id) DO UPDATE SET total_minor = 0",
    "ALTER TABLE insights_invoice DISABLE TRIGGER ALL",
    "ALTER TABLE insights_lineitem DISABLE TRIGGER ALL",
    "DROP TRIGGER invoice_stays ON insights_invoice",
    "SET session_replication_role = replica",
)


@pytest.fixture
def march(portal_db: None) -> Invoice:
    meters("requests")
    account = make_account("halyard", currency="USD")
    make_profile(account, tax_name="VAT", tax_percent=Decimal(19))
    small = make_plan("small", [usage_price("requests", TEN_CENTS), fee("base", "31")])
    large = make_plan(
        "large", [usage_price("requests", PerUnit(unit_amount=Decimal("0.013"))), fee("base", "62")]
    )
    subscription = subscribe(account, small, "2026-03-01")
    change_plan(subscription, large, "2026-03-11", policy="continue")
    change_plan(subscription, small, "2026-03-21T06")
    deliver(
        make_source(), account,
        [("requests", "2026-03-05", "33.3"), ("requests", "2026-03-12", "77.7"), ("requests", "2026-03-22", "5")],
    )  # fmt: skip
    complete(account, "2026-04-01")
    return bill(subscription, "2026-04-01T01")[0]


@pytest.mark.parametrize("alias", ["worker", "default", "staff"])
def test_no_statement_of_any_role_changes_it(march: Invoice, alias: str) -> None:
    refused = 0
    for statement in STATEMENTS:
        # Roles that see no rows of it must not be let past the refusal by that.
        before = _text(march)
        try:
            with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                cursor.execute(statement)
        except DatabaseError:
            refused += 1
        assert _text(march) == before, statement
    assert len(STATEMENTS) >= 45
    assert refused == len(STATEMENTS) or alias != "worker"


def test_the_orm_changes_nothing_of_it_in_bulk(march: Invoice) -> None:
    lines = lines_of(march)
    for line in lines:
        line.pk = None
        line.position += 100
        line.key += " again"
    with as_worker():
        for attempt in (
            lambda: Invoice.objects.filter(pk=march.pk).update(total_minor=1),
            lambda: Invoice.objects.filter(pk=march.pk).delete(),
            lambda: Invoice.objects.bulk_update([march], ["due_at"]),
            lambda: LineItem.objects.filter(invoice=march).update(amount_minor=1),
            lambda: LineItem.objects.filter(invoice=march).delete(),
            lambda: LineItem.objects.bulk_create(lines),
            march.save,
            march.delete,
        ):
            with pytest.raises(Exception, match=r"never change|referenced through protected"):
                attempt()


def _text(invoice: Invoice) -> str:
    with as_worker():
        row = Invoice.objects.get(pk=invoice.pk)
        lines = list(LineItem.objects.filter(invoice=invoice).order_by("position"))
        assert invoice_hash(row, lines) == bytes(row.sha256 or b"")
        return repr([row.total_minor, row.state, row.number, len(lines), bytes(row.sha256 or b"")])


RATE_AGAIN = """
import os, sys
import django
django.setup()
from tests.billing.rerating import rated_again
sys.stdout.write(rated_again(int(sys.argv[1])))
"""


def test_it_is_rated_again_to_the_same_bytes_after_changes_and_in_another_process(march: Invoice) -> None:
    stored = lines_text(lines_of(march))
    assert rated_again(march.pk) == stored
    assert rated_again(march.pk, by_own_quantities=True) == stored

    # The catalogue, prices and other accounts change; none of it is March's.
    meters("bytes", "calls")
    other = make_account("other", currency="USD")
    make_profile(other, tax_name="GST", tax_percent=Decimal(3))
    for number in range(9):
        another = make_plan(f"plan-{number}", [usage_price("bytes", TEN_CENTS)])
        subscribe(other, another, f"2026-0{number + 1}-01")
        publish(
            another, [usage_price("bytes", PerUnit(unit_amount=Decimal(9)))], number=2,
            effective_from=instant("2026-02-01"),
        )  # fmt: skip
    assert rated_again(march.pk) == stored

    for hash_seed, zone, locale in (("1", "Asia/Kathmandu", "C"), ("77", "America/New_York", "C.UTF-8")):
        done = subprocess.run(
            [sys.executable, "-c", RATE_AGAIN, str(march.pk)], cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": zone, "LC_ALL": locale},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-1000:]
        assert done.stdout == stored
