"""One number everywhere: whatever shows a bill or a line of it, in whichever form, shows the very same figures.

Made-up companies are billed as in `./portal faults`: every charge model, plan changes, add-ons, late rows, credits and
tax. Each place is read by a reader of its own, and compared with what the database has.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.billing.file_operations import file_invoice
from insights.models import Invoice, LineItem, Meter
from tests.factories import make_api_key, make_membership, make_user
from tests.faults.bill_books import follow, open_companies
from tests.faults.bill_load import BillSize, make_bills
from tests.faults.bill_places import (
    DECIMALS,
    Reading,
    minor_of_number,
    minor_of_words,
    read_csv,
    read_document,
    read_page,
    read_pdf,
)

pytestmark = [pytest.mark.database, pytest.mark.slow]

SEED = 20261126
SIZE = BillSize(accounts=10, months=2, rows=16, cells=12)
INVOICES = 12
LINES_OF_EACH = 3
_HEADING = re.compile(r"<h1>[^<]*: ([^<:]+)</h1>")


@dataclass(frozen=True, slots=True)
class Looker:
    """Somebody of an account in a browser, and a program with a key."""

    home: str
    browser: Client
    key: str

    def page(self, path: str) -> bytes:
        return _content(self.browser.get(f"{self.home}{path}"))

    def api(self, path: str) -> bytes:
        return _content(self.browser.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {self.key}"}))


def _content(answer: Any) -> bytes:
    assert answer.status_code == 200, answer
    return answer.getvalue()  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Told:
    """An issued invoice as the database has it."""

    row: Invoice
    lines: tuple[LineItem, ...]

    @property
    def currency(self) -> str:
        return str(self.row.currency)

    @property
    def reading(self) -> Reading:
        return Reading(Counter(int(line.amount_minor) for line in self.lines), int(self.row.total_minor))

    def usage_lines(self) -> list[LineItem]:
        """Some lines for usage, from the first to the last."""
        wanted = [line for line in self.lines if line.meter_key and line.kind == "charge"]
        return wanted[:: max(1, len(wanted) // LINES_OF_EACH)]


@pytest.fixture(scope="module")
def billed(migrated_database: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[list[Told]]:
    from tests.conftest import _empty_tables

    directory: Path = tmp_path_factory.mktemp("bills")
    with django_db_blocker.unblock():
        make_bills(directory, seed=SEED, size=SIZE)
        follow(directory, open_companies(directory))
        with as_worker():
            issued = list(Invoice.objects.filter(state="issued").select_related("account").order_by("pk"))
            chosen = issued[:: max(1, len(issued) // INVOICES)]
            for row in chosen:
                file_invoice(row.pk, now=row.issued_at)
            told = [Told(row, tuple(row.lines.order_by("position"))) for row in chosen]
        yield told
        _empty_tables()


@pytest.fixture(scope="module")
def lookers(billed: list[Told]) -> dict[int, Looker]:
    return {account.pk: _let_in(account) for account in {told.row.account for told in billed}}


def _let_in(account: Account) -> Looker:
    user = make_user(f"{account.reference}@example.com")
    make_membership(account, user)
    _, key = make_api_key(account, created_by=user, scopes=["bills:read", "usage:read"])
    browser = Client()
    browser.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return Looker(f"/a/{account.public_id}/", browser, key)


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_a_bill(billed: list[Told], lookers: dict[int, Looker]) -> None:
    assert len(billed) >= INVOICES
    for told in billed:
        looker, currency = lookers[told.row.account_id], told.currency
        own, api = f"bills/{told.row.public_id}/", f"invoices/{told.row.public_id}"

        assert read_page(looker.page(own).decode(), currency) == told.reading
        for content in (looker.api(api), looker.page(f"{own}bill.json")):
            assert read_document(json.loads(content), currency) == told.reading
        for content in (looker.api(f"{api}.csv"), looker.page(f"{own}lines.csv")):
            assert read_csv(content.decode(), currency).lines == told.reading.lines
        printed = read_pdf(looker.page(f"{own}bill.pdf"), currency).lines
        assert not told.reading.lines - printed
        assert printed[told.reading.total or 0]
        _assert_the_proof_says_the_same(looker.page(f"{own}proof.zip"), told)


def _assert_the_proof_says_the_same(content: bytes, told: Told) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        document = json.loads(opened.read("invoice.json"))
        lines = rows(opened.read("lines.csv"))
    assert int(document["invoice"]["total_minor"]) == told.reading.total
    for line, stored, said in zip(document["lines"], told.lines, lines, strict=True):
        minor = int(stored.amount_minor)
        assert int(line["amount_minor"]) == minor_of_number(said["amount"], told.currency) == minor
        assert [_number(line["metered_quantity"]), _number(said["metered_quantity"])] == [
            stored.metered_quantity
        ] * 2


def _number(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def test_a_line(billed: list[Told], lookers: dict[int, Looker]) -> None:
    tried: Counter[str] = Counter()
    with as_worker():
        aggregations = {(one.key, one.version): one.aggregation for one in Meter.objects.all()}
    for told in billed:
        looker = lookers[told.row.account_id]
        for line in told.usage_lines():
            aggregation = aggregations[line.meter_key, line.meter_version]
            path = f"{told.row.public_id}/lines/{line.position}"
            _assert_it_is_headed(looker.page(f"bills/{path}/"), line, told.currency)
            document = json.loads(looker.api(f"invoices/{path}"))
            _assert_the_api_adds_up(document, line, told.currency)
            _assert_files_add_up(looker, f"bills/{path}/", line, told.currency, aggregation)
            tried[aggregation] += 1

    assert tried["sum"] >= INVOICES


def _assert_it_is_headed(content: bytes, line: LineItem, currency: str) -> None:
    [amount] = _HEADING.findall(content.decode())
    assert minor_of_words(amount, currency) == line.amount_minor


def _assert_the_api_adds_up(document: dict[str, Any], line: LineItem, currency: str) -> None:
    said = document["line"]
    assert minor_of_number(said["amount"], currency) == line.amount_minor
    assert document["recheck"]["verdict"] == "equal"
    assert minor_of_number(document["recheck"]["amount"], currency) == line.amount_minor
    assert Decimal(document["recheck"]["quantity"]) == line.metered_quantity


def _assert_files_add_up(looker: Looker, path: str, line: LineItem, currency: str, aggregation: str) -> None:
    days = rows(looker.page(f"{path}days.csv"))
    if days and all(day["amount"] for day in days):
        assert sum(minor_of_number(day["amount"], currency) for day in days) == line.amount_minor
        assert days[-1]["running_amount"] == _plain(line, currency)
    by_dimension: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows(looker.page(f"{path}values.csv")):
        by_dimension[row["dimension"]].append(row)
    for values in by_dimension.values():
        if all(value["amount"] for value in values):
            assert sum(minor_of_number(value["amount"], currency) for value in values) == line.amount_minor
    if aggregation == "sum":
        assert sum(Decimal(day["quantity"] or 0) for day in days) == line.metered_quantity
        for values in by_dimension.values():
            assert sum(Decimal(value["quantity"]) for value in values) == line.metered_quantity
        records = rows(looker.page(f"{path}records.csv"))
        assert sum(Decimal(record["quantity"]) for record in records) == line.metered_quantity
        assert len(records) == sum(int(day["records"]) for day in days)


def _plain(line: LineItem, currency: str) -> str:
    return f"{Decimal(line.amount_minor).scaleb(-DECIMALS[currency]):f}"
