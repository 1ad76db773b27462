"""Bills over the API: the stored figures, page by page, for keys that may read them and for nobody else."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from accounts.tenancy import as_worker
from insights.api import bill_serializers as shapes
from insights.api import explain_serializers
from insights.billing.file_operations import NotIssued, file_invoice
from insights.models import Invoice, InvoiceFile, Settlement
from tests import factories
from tests.api.conftest import Caller, problem_of
from tests.billing.bills import NOVEMBER, OCTOBER, make_grant, make_invoice, usual_lines
from tests.conftest import Cast

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def bill_reader(cast: Cast, caller: Callable[[str], Caller]) -> Caller:
    key = factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read", "bills:read"])
    return caller(key[1])


def assert_shape(serializer: Any, document: Any) -> None:
    """Every field that the schema names, no other, all the way down."""
    assert set(document) == set(serializer.fields)
    for name, field in serializer.fields.items():
        child = getattr(field, "child", None)
        if child is not None and hasattr(child, "fields"):
            for each in document[name]:
                assert_shape(child, each)
        elif hasattr(field, "fields") and document[name] is not None:
            assert_shape(field, document[name])


class TestInvoices:
    def test_pages_through_all_of_them(self, cast: Cast, bill_reader: Caller) -> None:
        made = [make_invoice(cast.ours, operation=str(number)) for number in range(5)]
        make_invoice(cast.other)
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            more = f"&cursor={cursor}" if cursor else ""
            document = bill_reader.get(f"/api/v1/invoices?limit=2{more}").json()
            assert_shape(shapes.InvoicesSerializer(), document)
            seen += [one["id"] for one in document["invoices"]]
            cursor = document["next_cursor"]

        assert seen == [str(invoice.public_id) for invoice in reversed(made)]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("status=paid", ["paid"]),
            ("status=draft", ["draft"]),
            ("status=overdue", []),
            ("from=2026-11-01", ["draft"]),
            ("to=2026-10-31", ["open", "paid"]),
            ("from=2026-10-01&to=2026-10-01", ["open", "paid"]),
            ("from=2026-10-02&to=2026-10-31", []),
        ],
    )
    def test_filters(self, cast: Cast, bill_reader: Caller, query: str, expected: list[str]) -> None:
        make_invoice(cast.ours)
        make_invoice(cast.ours, settlement="paid", operation="2")
        make_invoice(cast.ours, state="draft", period=NOVEMBER)

        found = bill_reader.get(f"/api/v1/invoices?{query}").json()["invoices"]

        assert sorted(one["status"] for one in found) == expected

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("status=parked", "status"),
            ("status=", "status"),
            ("from=2026-W01-1", "date_format"),
            ("from=20261001", "date_format"),
            ("to=9999-12-31", "date_format"),
            ("from=2026-11-02&to=2026-11-01", "range"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("cursor=x", "cursor"),
            ("page=2", "unknown_parameter"),
            ("status=open&status=paid", "duplicate_parameter"),
        ],
    )
    def test_refuses_what_is_not_well_formed(self, bill_reader: Caller, query: str, code: str) -> None:
        problem_of(bill_reader.get(f"/api/v1/invoices?{query}"), status=400, code=code)

    def test_a_cursor_is_for_its_question_and_account(
        self, cast: Cast, bill_reader: Caller, caller: Callable[[str], Caller]
    ) -> None:
        for number in range(2):
            make_invoice(cast.ours, operation=str(number))
        cursor = bill_reader.get("/api/v1/invoices?limit=1").json()["next_cursor"]
        theirs = caller(
            factories.make_api_key(cast.other, created_by=cast.stranger, scopes=["bills:read"])[1]
        )

        problem_of(
            bill_reader.get(f"/api/v1/invoices?status=open&cursor={cursor}"), status=400, code="cursor"
        )
        problem_of(theirs.get(f"/api/v1/invoices?cursor={cursor}"), status=400, code="cursor")


class TestOne:
    def test_has_every_line_with_steps_and_terms(self, cast: Cast, bill_reader: Caller) -> None:
        invoice = make_invoice(cast.ours)

        document = bill_reader.get(f"/api/v1/invoices/{invoice.public_id}").json()

        assert_shape(shapes.InvoiceSerializer(), document)
        assert document["total"] == "134.17"
        assert sum(Decimal(line["amount"]) for line in document["lines"]) == Decimal("134.17")
        data = document["lines"][1]
        assert data["steps"][1]["words"] == "57.5 GB at 0.10 EUR"
        assert sum(step["amount_minor"] for step in data["steps"]) == 575
        assert data["terms"]["charge"] == {"model": "per_unit", "unit_amount": "0.1"}

    def test_an_issued_one_is_sent_once(self, cast: Cast, bill_reader: Caller) -> None:
        invoice = make_invoice(cast.ours)
        path = f"/api/v1/invoices/{invoice.public_id}"
        tag = bill_reader.get(path).headers["ETag"]

        same = bill_reader.get(path, If_None_Match=tag)
        with as_worker():
            Settlement.objects.filter(invoice=invoice).update(state="paid")
        changed = bill_reader.get(path, If_None_Match=tag)

        assert (same.status_code, same.content) == (304, b"")
        assert (changed.status_code, changed.json()["status"]) == (200, "paid")

    def test_a_draft_has_no_tag(self, cast: Cast, bill_reader: Caller) -> None:
        invoice = make_invoice(cast.ours, state="draft")

        assert "ETag" not in bill_reader.get(f"/api/v1/invoices/{invoice.public_id}").headers

    def test_csv_has_the_lines(self, cast: Cast, bill_reader: Caller) -> None:
        invoice = make_invoice(cast.ours)

        answer = bill_reader.get(f"/api/v1/invoices/{invoice.public_id}.csv", Accept="text/csv")

        rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
        assert [row["amount"] for row in rows] == ["20.00", "5.75", "87.00", "21.42"]

    def test_the_pdf_is_there_once_it_is_made(self, cast: Cast, bill_reader: Caller) -> None:
        invoice = make_invoice(cast.ours)
        path = f"/api/v1/invoices/{invoice.public_id}.pdf"
        problem = bill_reader.get(path)

        assert file_invoice(invoice.pk, now=NOW)
        first = bill_reader.get(path)

        problem_of(problem, status=404, code="not_filed")
        assert problem.headers["Retry-After"] == "60"
        assert first.headers["Content-Type"] == "application/pdf"
        assert first.content.startswith(b"%PDF")
        assert not file_invoice(invoice.pk, now=NOW + timedelta(days=30))
        assert bill_reader.get(path).content == first.content
        with as_worker():
            assert InvoiceFile.objects.count() == 1

    def test_a_draft_is_not_filed(self, cast: Cast, bill_reader: Caller) -> None:
        draft = make_invoice(cast.ours, state="draft")

        with pytest.raises(NotIssued):
            file_invoice(draft.pk, now=NOW)

        assert bill_reader.get(f"/api/v1/invoices/{draft.public_id}.pdf").status_code == 200

    def test_reasons_for_checking_stay_inside(self, cast: Cast, bill_reader: Caller) -> None:
        invoice = make_invoice(cast.ours, state="parked")

        text = bill_reader.get(f"/api/v1/invoices/{invoice.public_id}").content.decode()

        assert '"status":"checking"' in text
        assert "median" not in text


class TestRights:
    PATHS = ("invoices", "invoices/{id}", "invoices/{id}.csv", "invoices/{id}.pdf", "credits", "prices")

    @pytest.mark.parametrize("path", PATHS)
    def test_a_key_for_usage_alone_does_not_read_bills(self, cast: Cast, reader: Caller, path: str) -> None:
        invoice = make_invoice(cast.ours)

        answer = reader.get(f"/api/v1/{path.format(id=invoice.public_id)}")

        problem_of(answer, status=403, code="permission_denied")

    @pytest.mark.parametrize("path", PATHS[1:4])
    def test_anothers_answers_like_an_absent_one(self, cast: Cast, bill_reader: Caller, path: str) -> None:
        theirs = make_invoice(cast.other)

        answers = [bill_reader.get(f"/api/v1/{path.format(id=one)}") for one in (theirs.public_id, uuid4())]

        assert answers[0].content == answers[1].content
        problem_of(answers[0], status=404, code="not_found")


def test_credits_say_what_is_left(cast: Cast, bill_reader: Caller) -> None:
    grant = make_grant(cast.ours, minor=5000)
    invoice: Invoice = make_invoice(cast.ours, granted=[grant], lines=usual_lines()[:1], period=OCTOBER)

    document = bill_reader.get("/api/v1/credits").json()

    assert_shape(shapes.CreditsSerializer(), document)
    assert document["balances"] == [{"currency": "EUR", "amount": "30.00"}]
    assert document["credits"][0]["uses"][0]["number"] == invoice.number


def test_prices_are_terms_and_words(cast: Cast, bill_reader: Caller) -> None:
    make_invoice(cast.ours, state="draft", period=NOVEMBER)

    document = bill_reader.get("/api/v1/prices").json()

    assert_shape(shapes.PricesSerializer(), document)
    [plan] = document["subscriptions"][0]["plans"]
    assert plan["sheet"]["plan_name"] == "Pay as you go"
    assert plan["words"][1]["words"] == "0.10 EUR per GB, 5 GB included"


class TestLine:
    def test_has_the_shape_of_the_schema(self, cast: Cast, bill_reader: Caller) -> None:
        invoice = make_invoice(cast.ours)

        document = bill_reader.get(f"/api/v1/invoices/{invoice.public_id}/lines/1").json()

        assert_shape(explain_serializers.LineProofSerializer(), document)
        assert document["line"]["position"] == 1
        assert document["invoice"] == str(invoice.public_id)
        assert document["usage_as_of"] == invoice.usage_as_of
        head = bill_reader.get(f"/api/v1/invoices/{invoice.public_id}").json()
        assert document["complete_to"] == head["complete_to"] is not None

    @pytest.mark.parametrize("position", ["0", "99", "999999999999999999999"])
    def test_a_line_there_is_not_is_not_found(self, cast: Cast, bill_reader: Caller, position: str) -> None:
        invoice = make_invoice(cast.ours)

        problem_of(
            bill_reader.get(f"/api/v1/invoices/{invoice.public_id}/lines/{position}"),
            status=404,
            code="not_found",
        )

    def test_a_bill_of_another_account_is_not_found(self, cast: Cast, bill_reader: Caller) -> None:
        other = make_invoice(cast.other)

        problem_of(
            bill_reader.get(f"/api/v1/invoices/{other.public_id}/lines/1"), status=404, code="not_found"
        )

    def test_takes_a_key_for_bills(self, cast: Cast, caller: Callable[[str], Caller]) -> None:
        invoice = make_invoice(cast.ours)
        reader = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read"])[1])

        assert reader.get(f"/api/v1/invoices/{invoice.public_id}/lines/1").status_code == 403

    def test_where_usage_went_has_the_shape_of_the_schema(self, cast: Cast, bill_reader: Caller) -> None:
        invoice = make_invoice(cast.ours)

        document = bill_reader.get(f"/api/v1/invoices/{invoice.public_id}/where-usage-went").json()

        assert_shape(explain_serializers.ConservationSerializer(), document)
        problem_of(
            bill_reader.get(f"/api/v1/invoices/{make_invoice(cast.other).public_id}/where-usage-went"),
            status=404,
            code="not_found",
        )
