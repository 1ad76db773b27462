"""Usage as known at an earlier moment: page, chart, CSV and JSON say the same, and say which moment."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from accounts.tenancy import as_worker
from insights.models import LedgerEntry, Source
from tests import factories
from tests.api.conftest import Caller
from tests.billing.bills import make_invoice
from tests.conftest import Cast
from tests.metering.facts import hour

pytestmark = pytest.mark.database
HEADER = "account,meter,window_start,quantity,region,revision\n"
NOVEMBER = "meter=bytes_out&from=2026-11-01&to=2026-11-30&granularity=day"


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    """A clock after the ledger's, which is the database server's own."""
    with time_machine.travel(datetime(2036, 11, 5, 12, tzinfo=hour("2026-11-05T12").tzinfo), tick=False):
        yield


@pytest.fixture
def used(cast: Cast, source: Source) -> Cast:
    """Ansel's bytes come in two batches, of which the second corrects the first; Brook's carry the canary."""
    for rows in (
        ("ansel,02,1.5,eu,1", "ansel,03,2,us,1"),
        ("brook-CANARY,02,7777,CANARY,1",),
        ("ansel,03,20,us,2", "ansel,04,300,=eu(),1"),
        ("brook-CANARY,03,7777,CANARY,1",),
    ):
        lines = [row.split(",") for row in rows]
        body = "".join(
            f"{account},bytes_out,2026-11-{day}T05:00:00Z,{rest}\n"
            for account, day, rest in ((one[0], one[1], ",".join(one[2:])) for one in lines)
        )
        assert factories.ingest_now(source, HEADER + body).rejected == 0
    return cast


def committed_at(position: int) -> datetime:
    """When a position was given."""
    with as_worker():
        instant = LedgerEntry.objects.get(position=position).committed_at
    assert instant is not None
    return instant


def page(client: Client, cast: Cast, query: str) -> Any:
    return client.get(f"{reverse('usage-explorer', args=[cast.ours.public_id])}?{query}")


def rows_of(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200, response
    text = b"".join(response.streaming_content).decode()
    response.close()
    return list(csv.DictReader(io.StringIO(text)))


def link_to(html: str, name: str) -> str:
    [link] = set(re.findall(rf'href="([^"]+/{name}\.csv[^"]+)"', html))
    return unescape(link)


def added(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["quantity"]) for row in rows if row["quantity"]), Decimal(0))


def test_page_chart_csv_and_json_say_the_same_of_then(used: Cast, signed_in: Any, reader: Caller) -> None:
    client, query = signed_in(used.viewer), f"{NOVEMBER}&group_by=region&position=2"
    response = page(client, used, query)
    html = response.content.decode()
    figure = json.loads(re.search(r'id="usage-figure" type="application/json">(.*?)</script>', html)[1])  # type: ignore[index]
    asked = reader.get(f"/api/v1/usage?{query}").json()
    records = reader.get(f"/api/v1/usage?{query}&kind=records").json()["records"]

    totals = [
        response.context["answer"].total,
        sum(Decimal(text) for bars in figure["data"] if "name" in bars for text in bars["quantities"] if text),
        added(rows_of(client.get(link_to(html, "aggregates")))),
        added(rows_of(client.get(link_to(html, "records")))),
        Decimal(asked["quantity"]),
        added(asked["groups"]),
        added(asked["points"]),
        added(records),
        added(rows_of(reader.get(f"/api/v1/usage.csv?kind=records&{query}"))),
        added(rows_of(reader.get(f"/api/v1/usage.csv?kind=aggregates&{query}"))),
    ]  # fmt: skip
    assert totals == [Decimal("3.5")] * len(totals)
    assert asked["known_at"]["position"] == 1  # the account's own last one, not Brook's
    assert asked["complete_to"] is None
    assert {point["state"] for point in asked["points"] if point["quantity"]} == {"unknown"}


def test_every_output_says_which_moment(used: Cast, signed_in: Any, reader: Caller) -> None:
    client, query = signed_in(used.viewer), f"{NOVEMBER}&position=1"
    html = page(client, used, query).content.decode()
    download = client.get(link_to(html, "records"))

    assert "as known at position 1" in re.search(r'class="answer">(.*?)</p>', html, re.S)[1]  # type: ignore[index]
    assert "as known at position 1" in re.search(r"<figcaption>(.*?)</figcaption>", html)[1]  # type: ignore[index]
    assert "-as-known-at-position-1.csv" in download["Content-Disposition"]
    assert {row["known_at_position"] for row in rows_of(download)} == {"1"}
    assert {row["known_at_position"] for row in rows_of(client.get(link_to(html, "aggregates")))} == {"1"}
    assert "Complete to" not in html
    assert 'aria-current="true">' in html
    [permalink] = re.findall(r'id="permalink" href="([^"]+)"', html)
    assert "position=1" in permalink


def test_then_and_now_in_words_records_and_batches(used: Cast, signed_in: Any) -> None:
    client = signed_in(used.viewer)
    html = page(client, used, f"{NOVEMBER}&position=1").content.decode()
    then_and_now = re.search(r'id="then-and-now">(.*?)</p>', html, re.S)[1]  # type: ignore[index]
    words = " ".join(re.sub(r"<[^>]+>", " ", then_and_now).split()).replace("\u202f", " ")
    changes = rows_of(client.get(link_to(html, "changes")))

    assert "Then 3.5 B, now 321.5 B: 318 B more now." in words
    assert "2 records came and 1 record went since." in words
    assert [(row["change"], row["quantity"], row["revision"]) for row in changes] == [
        ("went", "2", "1"),
        ("came", "20", "2"),
        ("came", "300", "1"),
    ]
    assert changes[2]["region"] == "'=eu()"
    assert "CANARY" not in html
    [now] = re.findall(r'id="known-now" href="([^"]+)"', html)
    assert page(client, used, unescape(now)[1:]).context["answer"].total == Decimal("321.5")
    [batch] = re.findall(r'href="([^"]+/batches/[^"]+/)"', html)
    assert client.get(batch).status_code == 200


def test_an_instant_means_the_last_position_by_then(used: Cast, reader: Caller) -> None:
    for position, quantity in ((1, "3.5"), (2, "3.5"), (3, "321.5"), (4, "321.5")):
        instant = committed_at(position).isoformat().replace("+", "%2B")
        answer = reader.get(f"/api/v1/usage?{NOVEMBER}&known_at={instant}").json()
        assert answer["quantity"] == quantity
        assert answer["known_at"]["position"] == (1 if position < 3 else 3)


def test_before_the_first_entry_nothing_was_known(used: Cast, signed_in: Any, reader: Caller) -> None:
    html = page(signed_in(used.viewer), used, f"{NOVEMBER}&known_at=2020-01-01T00:00").content.decode()
    answer = reader.get(f"/api/v1/usage?{NOVEMBER}&position=0").json()

    assert "Nothing was known yet" in html
    assert (answer["quantity"], answer["known_at"]) == (
        None,
        {"instant": None, "position": 0, "changed_at": None},
    )


BAD = {
    "known_at=2036-11-05T12:00:01Z": ("timestamp_future", "known_at"),
    "known_at=2036-11-05T12:01": ("timestamp_future", "known_at"),
    "known_at=yesterday": ("timestamp_format", "known_at"),
    "known_at=2026-11-05": ("timestamp_format", "known_at"),
    "known_at=2026-11-31T10:00": ("timestamp_format", "known_at"),
    "known_at=2026-11-05T12:00:00+01:00": ("timestamp_format", "known_at"),  # a bare plus is a blank
    "known_at=2026-11-05T12:00%2B01:00": ("timestamp_format", "known_at"),
    "known_at=1762300800": ("timestamp_format", "known_at"),
    "known_at=1999-12-31T23:59": ("timestamp_too_old", "known_at"),
    "known_at=2026-11-05T12:00:00Z%00": ("control_char", "known_at"),
    "known_at=2026-11-0%EF%BC%95T12:00": ("timestamp_format", "known_at"),
    "position=-1": ("position", "position"),
    "position=01": ("position", "position"),
    "position=1.0": ("position", "position"),
    "position=%D9%A3": ("position", "position"),
    "position=99999999999999999999": ("position", "position"),
    "position=999999999999999999": ("position_future", "position"),
    "position=4": ("position_future", "position"),  # Brook's, and so none of ours
    "position=1&position=1": ("duplicate_parameter", "position"),
    "position=1&known_at=2026-11-05T12:00": ("parameter", "position"),
}


@pytest.mark.parametrize("query", BAD)
def test_a_bad_moment_is_refused_with_code_and_field(
    used: Cast, signed_in: Any, reader: Caller, query: str
) -> None:
    client = signed_in(used.viewer)
    for path in ("/api/v1/usage?", "/api/v1/usage.csv?kind=records&", "/api/v1/usage.csv?kind=changes&"):
        answer = reader.get(f"{path}{NOVEMBER}&{query}")
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, *BAD[query])
    for name in ("usage-explorer", "usage-aggregates-csv", "usage-records-csv", "usage-changes-csv"):
        path = reverse(name, args=[used.ours.public_id])
        assert client.get(f"{path}?{NOVEMBER}&{query}").status_code == 400


@pytest.mark.parametrize(
    ("local", "code"), [("2026-03-29T02:30", "timestamp_nonexistent"), ("2025-10-26T02:30", "timestamp_ambiguous")]
)  # fmt: skip
def test_a_local_time_that_the_clock_skips_or_repeats_is_not_guessed(
    portal_db: None, signed_in: Any, local: str, code: str
) -> None:
    account = factories.make_account("ansel", billing_zone="Europe/Berlin")
    person = factories.make_user("owner@example.com")
    factories.make_membership(account, person)
    factories.make_meter()
    factories.ingest_now(
        factories.make_source("edge", clock_zone=""),
        "account,meter,window_start,quantity\nansel,bytes_out,2026-11-02T05:00:00Z,1\n",
    )
    path = reverse("usage-explorer", args=[account.public_id])

    response = signed_in(person).get(f"{path}?meter=bytes_out&known_at={local}")

    html = response.content.decode()
    assert response.status_code == 400
    assert f'value="{local}"' in html
    assert "clock of Europe/Berlin" in re.search(r'id="known-error".*?</div>', html, re.S)[0]  # type: ignore[index]
    assert code == "timestamp_nonexistent" or "comes twice" in html


def test_changes_need_a_moment(used: Cast, signed_in: Any, reader: Caller) -> None:
    answer = reader.get(f"/api/v1/usage.csv?kind=changes&{NOVEMBER}")
    path = reverse("usage-changes-csv", args=[used.ours.public_id])

    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        400,
        "missing_parameter",
        "known_at",
    )
    assert signed_in(used.viewer).get(f"{path}?{NOVEMBER}").status_code == 400


def test_the_position_of_a_bill_may_be_asked_for_though_its_change_was_of_another_account(
    used: Cast, signed_in: Any, reader: Caller
) -> None:
    """A bill is made at a position of the whole ledger, and its page leads to the usage behind it by that."""
    make_invoice(used.ours, usage_as_of=4)  # Brook's

    ours, brooks = (reader.get(f"/api/v1/usage?{NOVEMBER}&position={one}").json() for one in (3, 4))

    assert ours["points"] == brooks["points"]
    assert page(signed_in(used.viewer), used, f"{NOVEMBER}&position=4").status_code == 200
    assert reader.get(f"/api/v1/usage?{NOVEMBER}&position=5").json()["code"] == "position_future"
