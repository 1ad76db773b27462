"""The customer's batches: every line accounted for in words, and nothing of anybody else."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse

from accounts.tenancy import as_worker
from insights.feeds.reject_words import REJECT_WORDS
from insights.ingest.refusals import CODES
from insights.models import Batch, BatchPart, Source
from insights.web import batches
from tests import factories
from tests.conftest import Cast

pytestmark = pytest.mark.database

HEADER = "account,meter,window_start,quantity,endpoint\n"
NASTY = '=HYPERLINK("http://x")<script>'


def line(hour: int, quantity: str = "1", account: str = "ansel", day: int = 3) -> str:
    return f"{account},bytes_out,2026-11-{day:02}T{hour:02}:00:00Z,{quantity},api\n"


@pytest.fixture
def edge(cast: Cast) -> Source:
    factories.make_meter()
    return factories.make_source("edge", clock_zone="")


@pytest.fixture
def mixed(edge: Source) -> Batch:
    """Two new lines of ours, then a duplicate and two refused ones, among lines of the others."""
    factories.ingest_now(edge, HEADER + line(1))
    body = HEADER + line(1) + line(2) + line(3) + line(4, "x") + line(5, "1e3")
    return factories.ingest_now(edge, body + line(1, account="brook-CANARY"), name="monday.csv")


def list_url(cast: Cast) -> str:
    return reverse("batch-list", args=[cast.ours.public_id])


def detail_url(cast: Cast, batch: Batch) -> str:
    return reverse("batch-detail", args=[cast.ours.public_id, batch.public_id])


class TestList:
    def test_answers_first_and_counts_each_verdict(self, cast: Cast, mixed: Batch, signed_in: Any) -> None:
        html = signed_in(cast.viewer).get(list_url(cast)).content.decode()

        assert (
            "2 batches came in the last 30 days, with 6 lines for you; <strong>2</strong> were rejected."
            in html
        )
        assert "monday.csv" in html
        assert "Rejected lines" in html
        assert "CANARY" not in html

    def test_an_account_without_batches_is_told_so(self, cast: Cast, signed_in: Any) -> None:
        html = signed_in(cast.viewer).get(list_url(cast)).content.decode()

        assert "No batch yet" in html
        assert "Nothing came in the last 30 days." in html

    def test_filters_by_source_and_by_rejects(self, cast: Cast, mixed: Batch, signed_in: Any) -> None:
        other = factories.make_source("other", name="Other feed")
        factories.ingest_now(other, HEADER + line(1), name="other.csv")
        client = signed_in(cast.viewer)

        by_source = client.get(list_url(cast), {"source": "other"}).content.decode()
        with_rejects = client.get(list_url(cast), {"rejects": "with"}).content.decode()
        neither = client.get(list_url(cast), {"source": "other", "rejects": "with"}).content.decode()

        assert ("other.csv" in by_source, "monday.csv" in by_source) == (True, False)
        assert ("other.csv" in with_rejects, "monday.csv" in with_rejects) == (False, True)
        assert "No batch matches" in neither

    @pytest.mark.parametrize("slug", ["\0", "absent", "theirs", "edge\0"])
    def test_a_source_that_never_sent_for_the_account_is_refused(
        self, cast: Cast, mixed: Batch, signed_in: Any, slug: str
    ) -> None:
        theirs = factories.make_source("theirs")
        factories.ingest_now(theirs, HEADER + line(1, account="brook-CANARY"))

        answer = signed_in(cast.viewer).get(list_url(cast), {"source": slug})

        assert answer.status_code == 400

    def test_pages_lead_there_and_back(
        self, cast: Cast, edge: Source, signed_in: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batches, "BATCHES_PER_PAGE", 2)
        made = [factories.ingest_now(edge, HEADER + line(hour)) for hour in range(5)]
        client = signed_in(cast.viewer)

        seen: list[list[str]] = []
        url: str | None = ""
        while url is not None:
            context = client.get(list_url(cast) + url).context
            seen.append([str(part.public_id) for part in context["parts"]])
            url = context["page"]["next_url"]
        back = client.get(list_url(cast) + str(context["page"]["previous_url"])).context

        assert [one for page in seen for one in page] == [str(batch.public_id) for batch in reversed(made)]
        assert [str(part.public_id) for part in back["parts"]] == seen[1]
        assert back["page"]["previous_url"] is not None

    def test_a_fragment_is_the_table_alone(self, cast: Cast, mixed: Batch, signed_in: Any) -> None:
        response = signed_in(cast.viewer).get(list_url(cast), headers={"HX-Request": "true"})

        html = response.content.decode()
        assert html.lstrip().startswith('<div id="batch-table"')
        assert "HX-Request" in response.headers["Vary"]

    def test_costs_few_statements(
        self, cast: Cast, mixed: Batch, signed_in: Any, django_assert_max_num_queries: Any
    ) -> None:
        client = signed_in(cast.viewer)
        client.get(list_url(cast))

        with django_assert_max_num_queries(20):
            client.get(list_url(cast))


class TestDetail:
    def test_says_where_every_line_went(self, cast: Cast, mixed: Batch, signed_in: Any) -> None:
        html = signed_in(cast.viewer).get(detail_url(cast, mixed)).content.decode()

        assert "5 received = 2 new + 0 replaced + 1 duplicate + 0 stale + 2 rejected." in html
        assert "5 lines were for you, <strong>2</strong> of them rejected." in " ".join(html.split())
        assert REJECT_WORDS["number_format"].meaning in html
        assert "Duplicate: the same fact was known already" in html
        assert "1e3" in html
        assert "CANARY" not in html

    def test_says_what_it_changed_by_meter_and_day(
        self, cast: Cast, edge: Source, mixed: Batch, signed_in: Any
    ) -> None:
        browser = signed_in(cast.viewer)
        higher = (
            HEADER.replace("\n", ",revision\n")
            + line(1, "41").replace("\n", ",2\n")
            + line(9).replace("\n", ",1\n")
        )
        batch = factories.ingest_now(
            edge, higher + line(1, "977", account="brook-CANARY").replace("\n", ",2\n")
        )

        html = " ".join(browser.get(detail_url(cast, batch)).content.decode().split())

        assert "2 records of yours came in with it, 1 of earlier batches gave way." in html
        changed = [html.split('<data value="')[place].split('"')[0] for place in (1, 2, 3)]
        assert changed == ["1", "42", "41"]
        assert "977" not in html
        known = factories.ingest_now(edge, HEADER + line(2))
        assert (
            "Nothing: its lines were known already" in browser.get(detail_url(cast, known)).content.decode()
        )

    def test_says_that_it_was_taken_back(self, cast: Cast, mixed: Batch, signed_in: Any) -> None:
        with as_worker():
            BatchPart.objects.filter(batch=mixed).update(reverted_at=datetime(2026, 11, 20, 9, tzinfo=UTC))

        html = signed_in(cast.viewer).get(detail_url(cast, mixed)).content.decode()

        assert "Taken back on" in html
        assert "20 Nov 2026" in html
        assert "All of it was taken back since" in html

    def test_shows_what_was_sent_as_text(self, cast: Cast, edge: Source, signed_in: Any) -> None:
        quoted = '"' + NASTY.replace('"', '""') + '"'
        batch = factories.ingest_now(edge, HEADER + line(1, quoted))

        html = signed_in(cast.viewer).get(detail_url(cast, batch)).content.decode()

        assert "<script>" not in html.partition("<main")[2]
        assert "&lt;script&gt;" in html

    def test_lines_come_page_by_page(
        self, cast: Cast, edge: Source, signed_in: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batches, "LINES_PER_PAGE", 2)
        batch = factories.ingest_now(edge, HEADER + "".join(line(hour, "x") for hour in range(5)))
        client = signed_in(cast.viewer)

        first = client.get(detail_url(cast, batch)).context
        second = client.get(detail_url(cast, batch), {"after": "3"}).context
        odd = client.get(detail_url(cast, batch), {"after": "9" * 30}).context

        assert [cell.line_no for cell in first["cells"]] == [2, 3]
        assert first["page"]["next_url"] == "?after=3#refused"
        assert [cell.line_no for cell in second["cells"]] == [4, 5]
        assert [cell.line_no for cell in odd["cells"]] == [2, 3]

    def test_a_batch_of_others_is_answered_like_an_absent_one(
        self, cast: Cast, edge: Source, signed_in: Any
    ) -> None:
        theirs = factories.ingest_now(edge, HEADER + line(1, account="brook-CANARY"))
        client = signed_in(cast.viewer)

        for name in ("batch-detail", "batch-rejects-csv"):
            found = client.get(reverse(name, args=[cast.ours.public_id, theirs.public_id]))
            absent = client.get(reverse(name, args=[cast.ours.public_id, uuid.uuid4()]))
            assert (found.status_code, absent.status_code) == (404, 404)
            assert found.content == absent.content

    def test_rejects_come_as_csv_that_is_safe_to_open(self, cast: Cast, edge: Source, signed_in: Any) -> None:
        quoted = '"' + NASTY.replace('"', '""') + '"'
        batch = factories.ingest_now(edge, HEADER + line(1, quoted) + line(2, "x"))

        response = signed_in(cast.viewer).get(
            reverse("batch-rejects-csv", args=[cast.ours.public_id, batch.public_id])
        )
        rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
        response.close()

        assert [(row["line"], row["code"], row["value"]) for row in rows] == [
            ("2", "number_format", f"'{NASTY}"),
            ("3", "number_format", "x"),
        ]


def test_every_code_that_refuses_a_line_has_words_for_customers() -> None:
    assert set(REJECT_WORDS) == {fact.code for fact in CODES.values() if fact.row}
