"""The page of what changed says what the two stored bills say, adds up, and gives nothing of other accounts away."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.urls import reverse

from insights.exports.difference_rows import DIFFERENCE_COLUMNS
from insights.models import Invoice
from insights.values.quantity import MINUS
from tests.billing.bills import (
    NOVEMBER,
    OCTOBER,
    LineSpec,
    gigabytes,
    line_named,
    make_grant,
    make_invoice,
    monthly_fee,
    requests_in_tiers,
)
from tests.conftest import Cast

pytestmark = pytest.mark.database
NOW = datetime(2026, 12, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def lines(gigabytes_out: int, requests: int, *, unit_amount: str = "0.10") -> list[LineSpec]:
    return [
        LineSpec(name="Platform fee", terms=monthly_fee()),
        LineSpec(
            name="Data out",
            terms=gigabytes(unit_amount=unit_amount),
            quantity=Decimal(gigabytes_out) * 10**9,
            meter_key="bytes_out",
        ),
        LineSpec(
            name="Requests", terms=requests_in_tiers(), quantity=Decimal(requests), meter_key="requests"
        ),
    ]


def two_bills(cast: Cast) -> tuple[Invoice, Invoice]:
    """More data at a lower price, more requests in another tier, late usage of the first bill, and a credit."""
    first = make_invoice(cast.ours, lines=lines(62, 500_000))
    late = LineSpec(
        name="Data out",
        terms=gigabytes(),
        quantity=Decimal(52_000_000_000),
        meter_key="bytes_out",
        corrects=line_named(first, "Data out"),
    )
    grant = make_grant(cast.ours, minor=500)
    second = make_invoice(
        cast.ours,
        lines=[*lines(100, 1_500_000, unit_amount="0.08"), late],
        period=NOVEMBER,
        granted=[grant],
    )
    return first, second


def address(cast: Cast, invoice: Invoice, other: object = "", name: str = "bill-difference") -> str:
    path = reverse(name, args=[cast.ours.public_id, invoice.public_id])
    return f"{path}?with={other}" if other else path


def text_of(response: Any) -> str:
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())
    return re.sub(r" ([.,:])", r"\1", text)


class TestPage:
    def test_answers_in_one_sentence_and_every_row_says_why(self, cast: Cast, signed_in: Any) -> None:
        first, second = two_bills(cast)

        text = text_of(signed_in(cast.viewer).get(address(cast, second)))

        change = int(second.total_minor) - int(first.total_minor)
        assert (
            f"{Decimal(abs(change)) / 100:.2f} EUR {'more' if change > 0 else 'less'} than October 2026"
            in text
        )
        assert "62 GB before, 100 GB now: 38 GB more at 0.10 EUR per GB." in text
        assert "Before: 0.10 EUR per GB, 5 GB included. Now: 0.08 EUR per GB, 5 GB included." in text
        assert "At the old prices it was 0.00006 EUR per request on average before" in text
        assert f"{MINUS}1.90" in text, "95 GB at 0.02 less"
        assert "+3.80" in text, "38 GB at 0.10"

    def test_the_rows_add_to_the_change(self, cast: Cast, signed_in: Any) -> None:
        first, second = two_bills(cast)

        answer = signed_in(cast.viewer).get(address(cast, second, name="bill-difference-csv"))
        rows = list(csv.DictReader(io.StringIO(answer.content.decode())))

        change = int(second.total_minor) - int(first.total_minor)
        assert sum(Decimal(row["amount"]) for row in rows) * 100 == change
        assert {row["effect"] for row in rows} >= {
            "usage",
            "price",
            "tier_mix",
            "corrections",
            "credits",
            "tax",
        }
        assert all(row["in_words"] for row in rows if row["effect"] != "rounding")

    def test_leads_to_the_lines_and_the_usage_of_both(self, cast: Cast, signed_in: Any) -> None:
        first, second = two_bills(cast)
        client = signed_in(cast.viewer)

        html = unescape(client.get(address(cast, second)).content.decode())

        found = set(re.findall(r'href="([^"]+/lines/[0-9]+/)"', html))
        bills = {reverse("bill-detail", args=[cast.ours.public_id, one.public_id]) for one in (first, second)}
        assert {path.partition("lines/")[0] for path in found} == bills
        assert all(client.get(path).status_code == 200 for path in found)
        usage = reverse("usage-explorer", args=[cast.ours.public_id])
        for days in ("from=2026-10-01&to=2026-10-31", "from=2026-11-01&to=2026-11-30"):
            assert f'href="{usage}?meter=bytes_out&{days}"' in html

    def test_each_correction_names_the_line_of_the_bill_that_it_corrects(
        self, cast: Cast, signed_in: Any
    ) -> None:
        september = (datetime(2026, 9, 1, tzinfo=UTC), OCTOBER[0])
        earlier = [
            make_invoice(cast.ours, lines=lines(62, 500_000), period=period)
            for period in (september, OCTOBER)
        ]
        late = [
            LineSpec(
                name="Data out",
                terms=gigabytes(),
                quantity=Decimal(gigabytes_now * 10**9),
                meter_key="bytes_out",
                corrects=line_named(one, "Data out"),
            )
            for gigabytes_now, one in zip((7, 9), earlier, strict=True)
        ]
        last = make_invoice(cast.ours, lines=[*lines(62, 500_000), *late], period=NOVEMBER)
        client = signed_in(cast.viewer)

        html = unescape(client.get(address(cast, last)).content.decode())
        answer = client.get(address(cast, last, name="bill-difference-csv")).content.decode()

        [row] = [one for one in csv.DictReader(io.StringIO(answer)) if one["effect"] == "corrections"]
        for one in earlier:
            corrected = line_named(one, "Data out")
            path = reverse("bill-line", args=[cast.ours.public_id, one.public_id, corrected.position])
            assert f'href="{path}">“Data out” of bill {one.number}</a>' in html
            assert client.get(path).status_code == 200
            assert f"now, for “Data out” of bill {one.number}" in row["in_words"]

    def test_a_draft_says_how_much_of_its_period_is_in(self, cast: Cast, signed_in: Any) -> None:
        make_invoice(cast.ours, lines=lines(62, 500_000))
        until = datetime(2026, 11, 10, tzinfo=UTC)
        draft = make_invoice(
            cast.ours, lines=lines(20, 500_000), period=NOVEMBER, state="draft", complete_to=until
        )

        text = text_of(signed_in(cast.viewer).get(address(cast, draft)))

        assert "What changed in November 2026 so far" in text
        assert "So far, after 9 of 30 days of its period, " in text
        assert (
            "October 2026 is whole. Usage of November 2026 is complete to 10 Nov 2026, 00:00, which is 9 of 30 days."
            in text
        )

    def test_a_bill_that_waits_for_a_person_is_not_called_one_so_far(
        self, cast: Cast, signed_in: Any
    ) -> None:
        make_invoice(cast.ours, lines=lines(62, 500_000))
        parked = make_invoice(cast.ours, lines=lines(70, 500_000), period=NOVEMBER, state="parked")

        text = text_of(signed_in(cast.viewer).get(address(cast, parked)))

        assert "What changed in November 2026, being checked" in text
        assert "so far" not in text.lower()

    def test_the_first_bill_has_nothing_to_be_compared_with(self, cast: Cast, signed_in: Any) -> None:
        first = make_invoice(cast.ours)

        text = text_of(signed_in(cast.viewer).get(address(cast, first)))

        assert "There is no bill before this one to compare it with." in text

    def test_a_void_bill_is_passed_over_unless_it_is_chosen(self, cast: Cast, signed_in: Any) -> None:
        first = make_invoice(cast.ours, lines=lines(62, 500_000))
        between = make_invoice(cast.ours, period=NOVEMBER, settlement="void")
        december = (NOVEMBER[1], datetime(2027, 1, 1, tzinfo=UTC))
        last = make_invoice(cast.ours, lines=lines(62, 500_000), period=december, state="draft")
        client = signed_in(cast.viewer)

        assert "as much as October 2026, and nothing in it differs." in text_of(
            client.get(address(cast, last))
        ).lower().replace("october", "October")
        assert "than November 2026" in text_of(client.get(address(cast, last, between.public_id)))
        assert first.period_start == OCTOBER[0]

    def test_two_bills_of_the_same_days_are_told_apart(self, cast: Cast, signed_in: Any) -> None:
        first = make_invoice(cast.ours, lines=lines(62, 500_000))
        second = make_invoice(cast.ours, lines=lines(63, 500_000), operation="2")

        text = text_of(signed_in(cast.viewer).get(address(cast, second, first.public_id)))

        assert f"more than October 2026, {first.number}." in text


class TestHostile:
    def test_what_is_not_there_or_not_ours_is_not_found(self, cast: Cast, signed_in: Any) -> None:
        ours, theirs = make_invoice(cast.ours), make_invoice(cast.other)
        client = signed_in(cast.viewer)
        gone = reverse("bill-difference", args=[cast.ours.public_id, uuid4()])
        not_ours = reverse("bill-difference", args=[cast.ours.public_id, theirs.public_id])

        for path in (gone, not_ours, address(cast, ours, uuid4()), address(cast, ours, theirs.public_id)):
            assert client.get(path).status_code == 404
            assert client.get(path.replace("difference/", "difference.csv")).status_code == 404

    def test_a_file_of_nothing_has_its_heading(self, cast: Cast, signed_in: Any) -> None:
        first = make_invoice(cast.ours)
        client = signed_in(cast.viewer)

        alone = client.get(address(cast, first, name="bill-difference-csv"))
        itself = client.get(address(cast, first, first.public_id, name="bill-difference-csv"))

        assert alone.content.decode().splitlines() == [",".join(DIFFERENCE_COLUMNS)]
        assert (itself.status_code, itself["Content-Type"]) == (400, "text/plain; charset=utf-8")

    @pytest.mark.parametrize("wrong", ["x", "0", "' OR 1=1", "%00", "{}" * 300, "-" * 36])
    def test_what_is_no_id_is_said_at_the_field(self, cast: Cast, signed_in: Any, wrong: str) -> None:
        invoice = make_invoice(cast.ours)

        response = signed_in(cast.viewer).get(address(cast, invoice), {"with": wrong})

        assert response.status_code == 400
        assert "That is not the id of a bill." in text_of(response)

    def test_itself_and_another_currency_are_refused(self, cast: Cast, signed_in: Any) -> None:
        euros, dollars = make_invoice(cast.ours), make_invoice(cast.ours, currency="USD", operation="2")
        client = signed_in(cast.viewer)

        same = client.get(address(cast, euros, euros.public_id))
        mixed = client.get(address(cast, euros, dollars.public_id))

        assert (same.status_code, mixed.status_code) == (400, 400)
        assert "A bill does not differ from itself." in text_of(same)
        assert "Bills in USD and EUR cannot be compared." in text_of(mixed)

    def test_names_of_others_are_shown_harmlessly(self, cast: Cast, signed_in: Any) -> None:
        make_invoice(cast.ours)
        nasty = LineSpec(
            name="=1+1<script>", terms=gigabytes(), quantity=Decimal(10**11), meter_key="bytes_out"
        )
        second = make_invoice(cast.ours, lines=[nasty], period=NOVEMBER)
        client = signed_in(cast.viewer)

        html = client.get(address(cast, second)).content.decode()
        file = client.get(address(cast, second, name="bill-difference-csv")).content.decode()

        assert "1<script>" not in html
        assert "'=1+1<script>" in file


def test_costs_as_few_statements_as_two_bills(
    cast: Cast, signed_in: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        make_invoice(cast.ours, operation=str(number))
    _, second = two_bills(cast)
    client = signed_in(cast.viewer)

    with django_assert_max_num_queries(36):
        client.get(address(cast, second))
