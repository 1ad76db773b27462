"""The pages about bills say what the stored bills say, in words, and nothing of what is internal."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tenancy import as_owner, as_worker
from insights.models import BillingProfile, Invoice, Plan, PriceOverride
from insights.rating.charges import Tier, Volume
from insights.rating.terms import PriceTerms
from insights.rating.terms_json import terms_document
from insights.values.quantity import MINUS
from tests import factories
from tests.billing.bills import (
    NOVEMBER,
    LineSpec,
    details,
    gigabytes,
    line_named,
    make_grant,
    make_invoice,
    make_profile,
    monthly_fee,
    segment,
    usual_lines,
)
from tests.conftest import Cast

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def page(client: Any, cast: Cast, name: str, *arguments: Any) -> str:
    response = client.get(reverse(name, args=[cast.ours.public_id, *arguments]))
    assert response.status_code == 200, response.content[:500]
    text = " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())
    return re.sub(r" ([.,])", r"\1", text)


def bill_page(client: Any, cast: Cast, invoice: Invoice) -> str:
    return page(client, cast, "bill-detail", invoice.public_id)


def agree_on_a_price(invoice: Invoice, *, starts_at: datetime) -> None:
    """A price of the account's own for the second one of the bill's plan."""
    own = invoice.details["segments"][0]["sheet"]["prices"][1]
    with as_owner():
        plan = Plan.objects.create(key="payg", name="Pay as you go", currency="EUR")
        PriceOverride.objects.create(
            account=invoice.account,
            plan=plan,
            price_key=own["key"],
            terms=terms_document(gigabytes()),
            starts_at=starts_at,
            reason="agreed",
        )


def table(client: Any, cast: Cast, name: str, *arguments: Any) -> list[dict[str, str]]:
    response = client.get(reverse(name, args=[cast.ours.public_id, *arguments]))
    assert response.status_code == 200
    content = response.getvalue()
    return list(csv.DictReader(io.StringIO(content.decode())))


class TestList:
    def test_says_what_to_pay_and_what_runs(self, cast: Cast, signed_in: Any) -> None:
        make_invoice(cast.ours)
        make_invoice(cast.ours, state="draft", period=NOVEMBER)

        text = page(signed_in(cast.viewer), cast, "bill-list")

        assert "You have 134.17 EUR to pay, by 18 Nov 2026." in text
        assert "The running period comes to 134.17 EUR so far." in text
        assert text.rindex("November 2026") < text.rindex("October 2026")

    def test_bars_of_one_month_are_told_apart(self, cast: Cast, signed_in: Any) -> None:
        """Bars of one label would be drawn over each other, and a long one is cut off."""
        first, second = (make_invoice(cast.ours, operation=name) for name in ("", "2"))
        make_invoice(cast.ours, state="draft", operation="3")

        response = signed_in(cast.viewer).get(reverse("bill-list", args=[cast.ours.public_id]))

        [bars] = response.context["figure"]["data"]
        assert bars["x"] == ["Oct 2026", "Oct 2026 (2)", "Oct 2026 (3)"]
        said = [words for _, _, words in bars["customdata"]]
        assert said == [f"{first.number}, open", f"{second.number}, open", "so far"]

    def test_counts_what_is_late(self, cast: Cast, signed_in: Any) -> None:
        september = (datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
        make_invoice(cast.ours, period=september)
        make_invoice(cast.ours)
        make_invoice(cast.ours, settlement="paid", operation="2")
        make_invoice(cast.ours, settlement="void", operation="3")

        text = page(signed_in(cast.viewer), cast, "bill-list")

        assert "You have 268.34 EUR to pay on 2 bills, the first since 18 Oct 2026." in text
        assert "1 bill is overdue." in text

    def test_an_account_without_bills_is_told_so(self, cast: Cast, signed_in: Any) -> None:
        assert "There is no bill yet." in page(signed_in(cast.viewer), cast, "bill-list")

    def test_csv_has_every_bill(self, cast: Cast, signed_in: Any) -> None:
        invoice = make_invoice(cast.ours)
        make_invoice(cast.ours, state="draft", period=NOVEMBER)
        make_invoice(cast.other)

        rows = table(signed_in(cast.viewer), cast, "bill-list-csv")

        assert [(row["number"], row["status"], row["total"]) for row in rows] == [
            ("", "draft", "134.17"),
            (invoice.number, "open", "134.17"),
        ]

    def test_csv_is_read_bit_by_bit_and_whole(
        self, cast: Cast, signed_in: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insights.web.bills.ROWS_AT_ONCE", 2)
        made = [make_invoice(cast.ours, operation=str(number)).number for number in range(5)]

        rows = table(signed_in(cast.viewer), cast, "bill-list-csv")
        head = signed_in(cast.viewer).head(reverse("bill-list-csv", args=[cast.ours.public_id]))

        assert [row["number"] for row in rows] == made[::-1]
        assert head.headers["Content-Type"].startswith("text/csv")

    def test_costs_few_statements(
        self, cast: Cast, signed_in: Any, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(12):
            make_invoice(cast.ours, operation=str(number))
        client = signed_in(cast.viewer)

        with django_assert_max_num_queries(22):
            client.get(reverse("bill-list", args=[cast.ours.public_id]))


class TestBill:
    def test_answers_first_and_explains_every_line(self, cast: Cast, signed_in: Any) -> None:
        text = bill_page(signed_in(cast.viewer), cast, make_invoice(cast.ours))

        assert "You pay 134.17 EUR by 18 Nov 2026." in text
        assert "You used 62.5 GB, 5 GB were included, 57.5 GB were charged at 0.10 EUR." in text
        assert "Tier 2, above 100,000 up to 1,000,000: 900,000 requests at 0.000075 EUR" in text
        assert "up to position 42 of the ledger" in text
        assert "PO-4711" in text
        assert "Hauptstr. 1" in text

    def test_a_line_of_nothing_leads_to_why(self, cast: Cast, signed_in: Any) -> None:
        invoice = make_invoice(
            cast.ours, lines=[LineSpec(name="Data out", terms=gigabytes(), meter_key="data_out")]
        )

        client = signed_in(cast.viewer)

        assert "You used nothing. Why exactly: days, records, recheck." in bill_page(client, cast, invoice)
        why = reverse("bill-line", args=[cast.ours.public_id, invoice.public_id, 1])
        detail = reverse("bill-detail", args=[cast.ours.public_id, invoice.public_id])
        assert f'href="{why}"' in client.get(detail).content.decode()
        back = client.get(why).content.decode()
        assert f'href="{detail}#line-1"' in back
        assert 'id="line-1"' in client.get(detail).content.decode()

    def test_a_bill_for_nothing_has_a_total_and_leads_to_the_usage(self, cast: Cast, signed_in: Any) -> None:
        invoice = make_invoice(cast.ours, lines=[])

        text = bill_page(signed_in(cast.viewer), cast, invoice)

        assert "Nothing is charged for this period: it has no fee, and no usage that costs anything." in text
        assert "Total 0.00 EUR" in text
        assert "What was not billed, and why" in text
        assert "No lines yet" not in text

    def test_a_price_for_everything_is_told_with_its_tier(self, cast: Cast, signed_in: Any) -> None:
        tiers = (
            Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal("0.10")),
            Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.06")),
        )
        terms = PriceTerms(currency="EUR", unit="requests", charge=Volume(tiers=tiers))
        line = LineSpec(name="Requests", terms=terms, quantity=Decimal(150), meter_key="requests")

        text = bill_page(signed_in(cast.viewer), cast, make_invoice(cast.ours, lines=[line]))

        assert "150 requests were charged at 0.06 EUR, the price of tier 2." in text

    def test_what_is_no_usage_leads_to_no_records(self, cast: Cast, signed_in: Any) -> None:
        line = LineSpec(name="Base fee", terms=monthly_fee())

        text = bill_page(signed_in(cast.viewer), cast, make_invoice(cast.ours, lines=[line]))

        assert "This line on a page of its own" in text
        assert "days, records, recheck" not in text

    def test_a_draft_says_what_if_it_ended_now(self, cast: Cast, signed_in: Any) -> None:
        text = bill_page(
            signed_in(cast.viewer), cast, make_invoice(cast.ours, state="draft", period=NOVEMBER)
        )

        assert "If the period ended now you would pay 134.17 EUR." in text

    def test_a_bill_being_checked_says_so_and_not_why(self, cast: Cast, signed_in: Any) -> None:
        invoice = make_invoice(cast.ours, state="parked")
        client = signed_in(cast.viewer)
        answer = client.get(reverse("bill-json", args=[cast.ours.public_id, invoice.public_id]))

        texts = (bill_page(client, cast, invoice), page(client, cast, "bill-list"), answer.content.decode())

        assert "This bill is being checked before it is sent." in texts[0]
        for text in texts:
            assert "median" not in text
            assert "jump" not in text
            assert "parked" not in text

    def test_a_correction_leads_to_the_bill_it_corrects(self, cast: Cast, signed_in: Any) -> None:
        first = make_invoice(cast.ours)
        less = LineSpec(
            name="Data out",
            terms=gigabytes(),
            quantity=Decimal(52_500_000_000),
            meter_key="bytes_out",
            corrects=line_named(first, "Data out"),
        )
        second = make_invoice(cast.ours, lines=[*usual_lines(), less], period=NOVEMBER)
        client = signed_in(cast.viewer)

        text = bill_page(client, cast, second)

        assert f"Corrects “Data out” of bill {first.number}: 62.5 GB before, 52.5 GB now." in text
        assert "What the line comes to now, less what was billed for it. Both are rounded once" in text
        assert f"{MINUS}1.00 EUR" in text
        assert str(second.number) in bill_page(client, cast, first)

    def test_usage_without_a_price_is_named_as_its_meter(self, cast: Cast, signed_in: Any) -> None:
        meter = factories.make_meter("bytes_out", name="Data transfer out")
        lines = [line for line in usual_lines() if line.meter_key != meter.key]
        invoice = make_invoice(cast.ours, lines=lines, state="parked")
        without = {"meter_key": meter.key, "quantity": "202516", "unit": "B"}
        with as_owner():
            Invoice.objects.filter(pk=invoice.pk).update(details={**invoice.details, "unpriced": [without]})

        text = bill_page(signed_in(cast.viewer), cast, invoice)

        shown = text.partition("Usage that no price of the plan is for")[2]
        assert "Data transfer out 202,516 B " in shown[:120]
        assert "bytes_out" not in shown

    def test_shows_both_plans_of_a_change(self, cast: Cast, signed_in: Any) -> None:
        start, end = NOVEMBER
        middle = datetime(2026, 11, 16, tzinfo=UTC)
        stored = details(cast.ours, usual_lines(), period=NOVEMBER, currency="EUR")
        stored["segments"] = [
            segment(usual_lines(), start=start, end=middle, currency="EUR"),
            segment(usual_lines(), start=middle, end=end, currency="EUR", name="Team", version=3),
        ]
        invoice = make_invoice(cast.ours, state="draft", period=NOVEMBER, details=stored)

        text = bill_page(signed_in(cast.viewer), cast, invoice)

        assert "Team version 3 16 to 30 Nov 2026" in text
        assert "begin anew" in text

    def test_a_bill_without_its_file_says_that_it_is_being_made(self, cast: Cast, signed_in: Any) -> None:
        invoice = make_invoice(cast.ours)

        response = signed_in(cast.viewer).get(
            reverse("bill-pdf", args=[cast.ours.public_id, invoice.public_id])
        )

        assert response.status_code == 404
        assert "It is being made" in response.content.decode()

    def test_a_draft_has_a_file_that_says_draft(self, cast: Cast, signed_in: Any) -> None:
        invoice = make_invoice(cast.ours, state="draft")

        response = signed_in(cast.viewer).get(
            reverse("bill-pdf", args=[cast.ours.public_id, invoice.public_id])
        )

        assert response.status_code == 200
        assert response.content.startswith(b"%PDF")

    def test_texts_of_others_are_shown_harmlessly(self, cast: Cast, signed_in: Any) -> None:
        nasty = LineSpec(name="=1+1<script>", terms=gigabytes(), quantity=Decimal(10**10), meter_key="m")
        invoice = make_invoice(cast.ours, lines=[nasty])
        client = signed_in(cast.viewer)

        html = client.get(reverse("bill-detail", args=[cast.ours.public_id, invoice.public_id])).content

        assert b"<script>=1" not in html
        assert b"=1+1<script>" not in html
        assert table(client, cast, "bill-csv", invoice.public_id)[0]["name"] == "'=1+1<script>"


class TestPrices:
    def test_says_prices_in_words_with_tiers(self, cast: Cast, signed_in: Any) -> None:
        make_invoice(cast.ours, state="draft", period=NOVEMBER)

        text = page(signed_in(cast.viewer), cast, "price-list")

        assert "You are on Pay as you go." in text
        assert "0.10 EUR per GB, 5 GB included" in text
        assert "above 1,000,000 0.00005 EUR per request and 2.00 EUR once" in text
        assert "Your own price" not in text

    def test_marks_a_price_of_ones_own(self, cast: Cast, signed_in: Any) -> None:
        invoice = make_invoice(cast.ours, state="draft", period=NOVEMBER)
        agree_on_a_price(invoice, starts_at=datetime(2026, 1, 1, tzinfo=UTC))
        client = signed_in(cast.viewer)

        assert page(client, cast, "price-list").count("Your own price") == 1
        rows = table(client, cast, "prices-csv")
        assert [row["own_price"] for row in rows] == ["no", "yes", "no"]
        assert bill_page(client, cast, invoice).count("Your own price") == 1
        of_line = {
            position: page(client, cast, "bill-line", invoice.public_id, position) for position in (1, 2)
        }
        assert "your own price, agreed instead of the plan's" in of_line[2]
        assert "own price" not in of_line[1]

    def test_a_price_of_ones_own_of_another_time_is_not_marked(self, cast: Cast, signed_in: Any) -> None:
        invoice = make_invoice(cast.ours, period=NOVEMBER)
        agree_on_a_price(invoice, starts_at=NOVEMBER[1])

        assert "Your own price" not in bill_page(signed_in(cast.viewer), cast, invoice)

    def test_nothing_yet(self, cast: Cast, signed_in: Any) -> None:
        assert "You have no prices yet." in page(signed_in(cast.viewer), cast, "price-list")


class TestCredits:
    def test_says_what_is_left_and_which_bill_used_it(self, cast: Cast, signed_in: Any) -> None:
        grant = make_grant(cast.ours, minor=5000)
        make_grant(cast.ours, minor=700, name="Old", expires_at=datetime(2026, 10, 1, tzinfo=UTC))
        make_grant(cast.other, minor=100_000)
        invoice = make_invoice(cast.ours, granted=[grant], lines=usual_lines()[:1])
        client = signed_in(cast.viewer)

        text = page(client, cast, "credit-list")

        assert "You have 30.00 EUR of credit left." in text
        assert "first those before tax, then those after it" in text
        assert "before tax" in text.partition("Where it came from")[2]
        assert str(invoice.number) in text
        assert "Expired" in text
        rows = table(client, cast, "credits-csv")
        assert [(row["credit"], row["event"], row["amount"]) for row in rows] == [
            ("Old", "granted", "7.00"),
            ("Welcome credit", "granted", "50.00"),
            ("Welcome credit", "used", "-20.00"),
        ]
        assert {(row["priority"], row["used"]) for row in rows} == {("100", "before tax")}

    def test_nothing_yet(self, cast: Cast, signed_in: Any) -> None:
        assert "You have no credits." in page(signed_in(cast.viewer), cast, "credit-list")


class TestBillingDetails:
    FORM = {
        "company_name": "Ansel & Sons",
        "address": "Weg 1\r\n1010 Wien",
        "tax_id": "ATU1",
        "purchase_order": "",
        "recipients": "a@example.com\nb@example.com\n",
    }

    def send(self, client: Any, cast: Cast, **changes: str) -> Any:
        return client.post(
            reverse("billing-details", args=[cast.ours.public_id]), {**self.FORM, **changes}, follow=True
        )

    def profile(self, cast: Cast) -> BillingProfile:
        with as_worker():
            return BillingProfile.objects.get(account=cast.ours)

    @pytest.mark.parametrize(
        ("role", "status"), [("owner", 200), ("admin", 200), ("billing", 200), ("viewer", 403)]
    )
    def test_who_may(self, cast: Cast, signed_in: Any, role: str, status: int) -> None:
        make_profile(cast.ours)
        person = factories.make_user(f"{role}2@example.com")
        factories.make_membership(cast.ours, person, role=role)

        assert self.send(signed_in(person), cast).status_code == status
        assert (self.profile(cast).company_name == "Ansel & Sons") == (status == 200)

    def test_keeps_and_audits_what_changed(self, cast: Cast, signed_in: Any) -> None:
        make_profile(cast.ours, tax_id="ATU1")

        self.send(signed_in(cast.owner), cast)

        profile = self.profile(cast)
        assert profile.recipients == ["a@example.com", "b@example.com"]
        assert profile.address == "Weg 1\n1010 Wien"
        with as_worker():
            entry = AuditEntry.objects.get(act="billing.change_details")
        assert entry.subject == "company_name, address, purchase_order, recipients"
        assert entry.details["from"]["purchase_order"] == "PO-4711"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("recipients", "not an address"),
            ("recipients", "\n".join(f"p{number}@example.com" for number in range(11))),
            ("recipients", "a@example.com\nA@example.com"),
            ("recipients", "a@example.com, b@example.com"),
            ("recipients", "Bcc: x@example.com\r\nevil"),
            ("address", "\n".join(["line"] * 11)),
            ("company_name", "x" * 201),
            ("tax_id", "a\u202eb"),
            ("purchase_order", "x" * 61),
        ],
    )
    def test_refuses_by_field_and_changes_nothing(
        self, cast: Cast, signed_in: Any, field: str, value: str
    ) -> None:
        make_profile(cast.ours)

        response = self.send(signed_in(cast.owner), cast, **{field: value})

        assert response.status_code == 422
        assert field in response.context["form"].errors
        assert self.profile(cast).company_name == "Ansel Ltd Holding"

    def test_a_form_with_a_field_missing_empties_nothing(self, cast: Cast, signed_in: Any) -> None:
        make_profile(cast.ours)

        response = signed_in(cast.owner).post(
            reverse("billing-details", args=[cast.ours.public_id]), {"company_name": "x"}
        )

        assert response.status_code == 422
        assert self.profile(cast).purchase_order == "PO-4711"


def test_json_is_the_bill(cast: Cast, signed_in: Any) -> None:
    invoice = make_invoice(cast.ours)

    answer = signed_in(cast.viewer).get(reverse("bill-json", args=[cast.ours.public_id, invoice.public_id]))

    document = json.loads(answer.content)
    assert document["total"] == "134.17"
    assert sum(Decimal(line["amount"]) for line in document["lines"]) == Decimal("134.17")
