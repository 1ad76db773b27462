"""The usage page: answers in words first, one set of numbers everywhere, and errors at their field."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client

from tests.conftest import Cast
from tests.factories import make_meter, make_source, open_support_access
from tests.metering.facts import deliver, hour, hours_from

pytestmark = pytest.mark.database
NOW = hour("2026-11-05T12")
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def used(cast: Cast) -> Cast:
    """Ansel uses two regions in both months; Brook's rows carry the canary."""
    make_meter("requests", unit="requests", dimensions=["endpoint", "region"])
    source = make_source()
    starts = [hour("2026-10-01T10") + timedelta(days=day) for day in range(36)]
    for reference, endpoint in (("ansel", "api"), ("brook-CANARY", "CANARY-endpoint")):
        rows = [
            {"at": at, "quantity": 1000 + number, "endpoint": endpoint, "region": region}
            for at in starts
            for number, region in enumerate(("eu", "us"))
        ]
        deliver(source, rows, account=reference, meter="requests", complete_to=hour("2026-11-05T11"))
    return cast


def page(client: Client, cast: Cast, query: str = "", **options: Any) -> Any:
    return client.get(f"/a/{cast.ours.public_id}/usage/{query}", **options)


def figure_in(html: str) -> dict[str, Any]:
    found = re.search(r'<script id="usage-figure" type="application/json">(.*?)</script>', html)
    assert found
    figure: dict[str, Any] = json.loads(found[1])
    return figure


class TestUsageExplorer:
    def test_the_first_line_answers(self, used: Cast, signed_in: Any) -> None:
        html = page(signed_in(used.owner), used).content.decode()

        answer = re.sub(r"<[^>]+>|\s+", " ", re.search(r'class="answer">(.*?)</p>', html, re.S)[1])  # type: ignore[index]
        assert "Requests" in answer
        assert "so far, 1 to 5 Nov 2026" in " ".join(answer.split())
        assert "its 4 complete days are level with 1 to 4 Oct 2026" in " ".join(answer.split())

    def test_page_chart_and_csv_say_the_same(self, used: Cast, signed_in: Any) -> None:
        client = signed_in(used.viewer)
        query = "?period=this-month&granularity=day&group_by=region"

        html = page(client, used, query).content.decode()
        [link] = re.findall(r'href="([^"]+/aggregates\.csv[^"]+)"', html)
        text = client.get(unescape(link)).getvalue().decode()

        rows = list(csv.DictReader(io.StringIO(text)))
        total = sum((Decimal(row["quantity"]) for row in rows if row["quantity"]), Decimal(0))
        assert total == 5 * 2001
        bars = [trace for trace in figure_in(html)["data"] if trace["type"] == "bar"]
        assert sum(Decimal(text) for trace in bars for text in trace["quantities"]) == total
        in_table = re.findall(r'<tr[^>]*><th scope="row" class="nowrap">.*?<data value="(\d+)"', html)
        assert sum(map(int, in_table)) == total
        assert f'<data value="{total}"' in html

    def test_htmx_gets_the_part_and_the_canonical_address(self, used: Cast, signed_in: Any) -> None:
        response = page(signed_in(used.owner), used, "?group_by=region&dimension.endpoint=", headers=HTMX)

        html = response.content.decode()
        assert html.lstrip().startswith('<div id="usage-explorer"')
        assert "<html" not in html
        pushed = response["HX-Push-Url"]
        assert pushed.endswith("?meter=requests&period=this-month&granularity=day&group_by=region")
        assert "HX-Request" in response["Vary"]

    def test_a_history_restore_gets_the_whole_page(self, used: Cast, signed_in: Any) -> None:
        headers = {**HTMX, "HX-History-Restore-Request": "true"}

        assert "<html" in page(signed_in(used.owner), used, headers=headers).content.decode()

    def test_nothing_of_the_other_account_is_in_it(self, used: Cast, signed_in: Any) -> None:
        for query in ("", "?group_by=endpoint", "?dimension.endpoint=CANARY-endpoint&group_by=endpoint"):
            html = page(signed_in(used.owner), used, query).content.decode()
            assert "CANARY" not in html.replace(query.removeprefix("?"), "").replace(
                "endpoint CANARY-endpoint", ""
            ) or ("No requests recorded" in html)

    def test_a_stranger_gets_what_an_absent_id_gets(self, used: Cast, signed_in: Any) -> None:
        client = signed_in(used.stranger)

        strange = page(client, used)
        absent = client.get("/a/00000000-0000-4000-8000-000000000000/usage/")

        assert (strange.status_code, absent.status_code) == (404, 404)
        assert strange.content == absent.content

    def test_support_sees_the_same_and_is_announced(self, used: Cast, signed_in: Any) -> None:
        open_support_access(used.ours, used.staff, started_at=NOW)

        response = page(signed_in(used.staff), used)

        assert response.status_code == 200
        assert response["Support-Access"].startswith("active; expires=")

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("?from=2026-11-03&to=2026-11-01", "The first day is after the last day."),
            ("?form=2026-01-01", "There is no parameter “form”."),
            ("?meter=requests&meter=requests", "was given twice"),
            ("?group_by=colour", "has no dimension “colour”"),
            ("?from=1926-01-01&to=2026-01-01", "2000 or later"),
            ("?from=2000-01-01&to=2026-01-01&granularity=hour", "Choose month, or fewer days."),
            ("?from=9998-01-01&to=9998-12-31&granularity=month", "the year must be 2100 or earlier."),
            ("?from=2026-01-01&to=9998-12-31", "the year must be 2100 or earlier."),
            ("?page=0", "A page is a whole number from 1."),
            ("?page=abc", "A page is a whole number from 1."),
            ("?page=99999999999999999999", "A page is a whole number from 1."),
            ("?dimension.region=%00", "cannot be seen"),
            ("?meter=%3Cscript%3Ealert(1)%3C/script%3E", "There is no meter “&lt;script&gt;"),
        ],
    )
    def test_errors_are_said_on_the_page(self, used: Cast, signed_in: Any, query: str, said: str) -> None:
        client = signed_in(used.owner)

        response = page(client, used, query)

        assert response.status_code == 400
        assert said in response.content.decode()
        assert page(client, used, query, headers=HTMX).status_code == 422

    def test_what_was_typed_stays(self, used: Cast, signed_in: Any) -> None:
        html = page(signed_in(used.owner), used, "?from=2026-11-03&to=2026-11-01").content.decode()

        assert 'value="2026-11-03"' in html
        assert 'value="2026-11-01"' in html

    def test_a_page_beyond_the_last_is_not_found(self, used: Cast, signed_in: Any) -> None:
        assert page(signed_in(used.owner), used, "?page=2").status_code == 404

    def test_long_tables_are_paged_by_a_hundred(self, used: Cast, signed_in: Any) -> None:
        client = signed_in(used.owner)
        query = "?from=2026-10-01&to=2026-10-10&granularity=hour"

        first = page(client, used, query).content.decode()
        last = page(client, used, f"{query}&page=3").content.decode()

        assert "Rows 1 to 100 of 240" in first
        assert "Rows 201 to 240 of 240" in last
        assert len(figure_in(last)["points"]["x"]) == len(figure_in(last)["data"][0]["quantities"]) == 240

    def test_names_from_files_are_text(self, used: Cast, signed_in: Any) -> None:
        evil = '"><img src=x onerror=alert(1)>{{7*7}}</script><script>alert(1)</script>'
        rows = [{"at": hour("2026-11-02T10"), "quantity": 9**9, "endpoint": evil, "region": "eu"}]
        deliver(make_source("evil"), rows, account="ansel", meter="requests", complete_to=NOW)

        html = page(signed_in(used.owner), used, "?group_by=endpoint").content.decode()

        assert "<img src=x" not in html
        assert "</script><script>alert" not in html
        assert "&lt;img src=x" in html

    def test_an_account_without_usage_says_what_happens_next(self, cast: Cast, signed_in: Any) -> None:
        make_meter("requests")

        html = page(signed_in(cast.owner), cast).content.decode()

        assert "No usage has arrived for Ansel Ltd yet." in html

    def test_only_reads(self, used: Cast, signed_in: Any) -> None:
        assert signed_in(used.owner).post(f"/a/{used.ours.public_id}/usage/").status_code == 405

    def test_hours_can_be_read_in_utc(self, cast: Cast, signed_in: Any) -> None:
        make_meter("requests", dimensions=["endpoint"])
        rows = [{"at": at, "quantity": 1, "endpoint": "a"} for at in hours_from(hour("2026-11-04T00"), 24)]
        deliver(make_source(), rows, account="ansel", meter="requests", complete_to=NOW)

        html = page(signed_in(cast.owner), cast, "?from=2026-11-04&to=2026-11-04").content.decode()

        assert "4 Nov, 00:00" in html
        assert "Hours in" not in html  # The account's own clock is UTC already.
