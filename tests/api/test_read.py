"""Reading usage: the same figures in every form, strict questions, and nothing of another account."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account, ApiKey
from accounts.tenancy import as_owner
from insights.exports import stream
from insights.models import Meter, Source
from tests import factories
from tests.api.conftest import HEADER, Caller, problem_of
from tests.conftest import Cast

NOVEMBER = "meter=bytes_out&from=2026-11-01&to=2026-11-30"
RECORDS = f"/api/v1/usage?kind=records&{NOVEMBER}"


def body_of(response: Any) -> str:
    content: bytes = b"".join(response.streaming_content)
    response.close()
    return content.decode()


def rows_of(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body_of(response))))


@pytest.fixture
def used(cast: Cast, source: Source) -> Account:
    """Three regions over five hours for us, and as much with a canary for the others."""
    rows = [
        f"{account},bytes_out,2026-11-02T{hour:02}:00:00Z,{hour}.25,{endpoint},{region},https\n"
        for account, endpoint in (("ansel", "api"), ("brook-CANARY", "CANARY"))
        for hour in range(5)
        for region in ("eu-west", "us-east", "=danger()")
    ]
    batch = factories.ingest_now(source, HEADER + "".join(rows))
    assert (batch.new, batch.rejected) == (30, 0)
    return cast.ours


class TestSameFigures:
    def test_totals_of_json_csv_and_records_agree_to_the_last_digit(
        self, used: Account, reader: Caller
    ) -> None:
        whole = reader.get(f"/api/v1/usage?{NOVEMBER}").json()
        grouped = reader.get(f"/api/v1/usage?{NOVEMBER}&group_by=region").json()
        records = reader.get(f"{RECORDS}&limit=1000").json()["records"]
        record_rows = rows_of(reader.get(f"/api/v1/usage.csv?kind=records&{NOVEMBER}"))
        aggregate_rows = rows_of(reader.get(f"/api/v1/usage.csv?kind=aggregates&{NOVEMBER}&group_by=region"))

        totals = [
            Decimal(whole["quantity"]),
            sum(Decimal(point["quantity"]) for point in whole["points"] if point["quantity"]),
            sum(Decimal(group["quantity"]) for group in grouped["groups"]),
            sum(Decimal(record["quantity"]) for record in records),
            sum(Decimal(row["quantity"]) for row in record_rows),
            sum(Decimal(row["quantity"]) for row in aggregate_rows if row["quantity"]),
        ]
        assert totals == [Decimal("33.75")] * 6

    def test_records_of_json_and_csv_are_the_same_in_the_same_order(
        self, used: Account, reader: Caller
    ) -> None:
        records = reader.get(f"{RECORDS}&limit=1000").json()["records"]
        rows = rows_of(reader.get(f"/api/v1/usage.csv?kind=records&raw=1&{NOVEMBER}"))

        assert [(one["window_start"], one["dimensions"]["region"], one["quantity"]) for one in records] == [
            (row["window_start"], row["region"], row["quantity"]) for row in rows
        ]
        assert set(records[0]) == {
            "meter", "window_start", "window", "dimensions", "quantity", "unit", "row_id", "revision", "source",
            "batch", "line",
        }  # fmt: skip

    def test_a_value_narrows_every_form(self, used: Account, reader: Caller) -> None:
        narrowed = f"{NOVEMBER}&dimension.region=eu-west&dimension.region=us-east"

        whole = reader.get(f"/api/v1/usage?{narrowed}").json()
        rows = rows_of(reader.get(f"/api/v1/usage.csv?kind=records&{narrowed}"))

        assert whole["quantity"] == "22.5"
        assert {row["region"] for row in rows} == {"eu-west", "us-east"}


class TestSafeForSpreadsheets:
    def test_a_formula_gets_an_apostrophe_in_both_kinds_of_csv(self, used: Account, reader: Caller) -> None:
        for kind in ("records", "aggregates&group_by=region"):
            rows = rows_of(reader.get(f"/api/v1/usage.csv?{NOVEMBER}&kind={kind}"))
            assert {row["region"] for row in rows} == {"eu-west", "us-east", "'=danger()"}

    def test_raw_leaves_texts_as_they_are(self, used: Account, reader: Caller) -> None:
        for kind in ("records", "aggregates&group_by=region"):
            rows = rows_of(reader.get(f"/api/v1/usage.csv?{NOVEMBER}&raw=1&kind={kind}"))
            assert {row["region"] for row in rows} == {"eu-west", "us-east", "=danger()"}


class TestIsolation:
    def test_nothing_of_the_others_is_anywhere(self, used: Account, reader: Caller) -> None:
        answers = [
            reader.get(path).content.decode()
            for path in (
                "/api/v1/account",
                "/api/v1/meters",
                f"/api/v1/usage?{NOVEMBER}&group_by=endpoint",
                RECORDS,
            )
        ]
        answers += [
            body_of(reader.get(f"/api/v1/usage.csv?{NOVEMBER}&kind={kind}"))
            for kind in ("records", "aggregates&group_by=endpoint")
        ]

        assert not [answer for answer in answers if "CANARY" in answer]

    def test_the_others_download_is_answered_like_an_absent_one(
        self, used: Account, cast: Cast, reader: Caller, caller: Callable[[str], Caller]
    ) -> None:
        theirs = caller(factories.make_api_key(cast.other, created_by=cast.stranger)[1])
        response = theirs.get(f"/api/v1/usage.csv?kind=records&{NOVEMBER}")
        body_of(response)
        path = f"/api/v1/downloads/{response['Download-Id']}"

        assert theirs.get(path).json()["state"] == "done"
        problem_of(reader.get(path), status=404, code="not_found")


class TestPaging:
    def test_pages_put_together_are_the_whole(self, used: Account, reader: Caller) -> None:
        whole = reader.get(f"{RECORDS}&limit=1000").json()

        pages, cursor = [], ""
        while cursor is not None:
            page = reader.get(f"{RECORDS}&limit=4" + (f"&cursor={cursor}" if cursor else "")).json()
            pages.append(page["records"])
            cursor = page["next_cursor"]

        assert [len(page) for page in pages] == [4, 4, 4, 3]
        assert [record for page in pages for record in page] == whole["records"]
        assert whole["next_cursor"] is None

    def test_a_cursor_is_good_for_its_own_question_and_account_only(
        self, used: Account, cast: Cast, reader: Caller, caller: Callable[[str], Caller]
    ) -> None:
        cursor = reader.get(f"{RECORDS}&limit=4").json()["next_cursor"]
        theirs = caller(factories.make_api_key(cast.other, created_by=cast.stranger)[1])

        for who, query in [
            (reader, f"{RECORDS}&dimension.region=eu-west&cursor={cursor}"),
            (reader, f"{RECORDS}&cursor={cursor}x"),
            (reader, f"{RECORDS}&cursor=" + "a" * 5000),
            (reader, f"{RECORDS}&cursor="),
            (theirs, f"{RECORDS}&cursor={cursor}"),
        ]:
            problem_of(who.get(query), status=400, code="cursor")

    def test_aggregates_are_whole(self, used: Account, reader: Caller) -> None:
        problem_of(reader.get(f"/api/v1/usage?{NOVEMBER}&limit=10"), status=400, code="unknown_parameter")

    def test_a_page_of_records_costs_few_statements(
        self, used: Account, reader: Caller, django_assert_max_num_queries: Any
    ) -> None:
        with django_assert_max_num_queries(18):
            reader.get(RECORDS)


REFUSED_QUERIES = [
    ("G1", "meter=bytes_out&from=2026-11-03&to=2026-11-02", "range"),
    ("G2", "meter=bytes_out&from=2000-01-01&to=2099-12-31&granularity=hour", "range_too_large"),
    ("G3 zero", f"{NOVEMBER}&kind=records&limit=0", "limit"),
    ("G3 minus", f"{NOVEMBER}&kind=records&limit=-1", "limit"),
    ("G3 exponent", f"{NOVEMBER}&kind=records&limit=1e9", "limit"),
    ("G3 text", f"{NOVEMBER}&kind=records&limit=abc", "limit"),
    ("G3 above", f"{NOVEMBER}&kind=records&limit=1001", "limit"),
    ("G3 Arabic", f"{NOVEMBER}&kind=records&limit=%D9%A3", "limit"),
    ("G5", f"{NOVEMBER}&meter=bytes_out", "duplicate_parameter"),
    ("G5 own", f"{NOVEMBER}&kind=records&kind=records", "duplicate_parameter"),
    ("G6", f"{NOVEMBER}&form=2026-01-01", "unknown_parameter"),
    ("G7", f"{NOVEMBER}&group_by=planet", "unknown_dimension"),
    ("G7 value", f"{NOVEMBER}&dimension.planet=mars", "unknown_dimension"),
    ("no meter", "from=2026-11-01&to=2026-11-30", "missing_parameter"),
    ("unknown meter", "meter=nope", "unknown_meter"),
    ("date form", "meter=bytes_out&from=2026-11-1&to=2026-11-30", "date_format"),
    ("instant as date", "meter=bytes_out&from=2026-11-01T00:00:00Z&to=2026-11-30", "date_format"),
    ("year 0001", "meter=bytes_out&from=0001-01-01&to=2026-11-30", "date_format"),
    ("granularity", f"{NOVEMBER}&granularity=minute", "unknown_granularity"),
    ("kind", f"{NOVEMBER}&kind=everything", "kind"),
    ("NUL", f"{NOVEMBER}&dimension.region=%00", "control_char"),
    ("not UTF-8", f"{NOVEMBER}&dimension.region=%ff", "encoding"),
    ("override", f"{NOVEMBER}&dimension.region=%E2%80%AE", "control_char"),
    ("empty days", "meter=bytes_out&from=&to=", "parameter"),
    ("empty period", "meter=bytes_out&period=", "parameter"),
    ("empty dimension", f"{NOVEMBER}&dimension.region=", "parameter"),
    ("empty and full", f"{NOVEMBER}&dimension.region=&dimension.region=eu-west", "parameter"),
    ("empty group", f"{NOVEMBER}&group_by=", "parameter"),
    ("empty and unknown", f"{NOVEMBER}&form=", "unknown_parameter"),
    ("many", "&".join(f"a{number}=1" for number in range(300)), "parameter"),
]


@pytest.mark.parametrize(
    ("query", "code"), [case[1:] for case in REFUSED_QUERIES], ids=[case[0] for case in REFUSED_QUERIES]
)
def test_a_question_at_fault_is_refused_and_never_widened(reader: Caller, query: str, code: str) -> None:
    body = problem_of(reader.get(f"/api/v1/usage?{query}"), status=400, code=code)

    assert body.get("field") or code in ("encoding", "parameter")


@pytest.mark.parametrize(
    ("narrowing", "field"),
    [("from=&to=", "from"), ("period=", "period"), ("dimension.region=", "dimension.region")],
)
@pytest.mark.parametrize("path", ["/api/v1/usage?", "/api/v1/usage.csv?kind=records&"])
def test_an_empty_value_is_refused_by_name(reader: Caller, path: str, narrowing: str, field: str) -> None:
    body = problem_of(reader.get(f"{path}meter=bytes_out&{narrowing}"), status=400, code="parameter")

    assert body["field"] == field


def test_every_fault_of_a_question_is_named_at_once(reader: Caller) -> None:
    body = reader.get("/api/v1/usage?meter=nope&granularity=minute&typo=1").json()

    assert {(one["code"], one["field"]) for one in body["errors"]} == {
        ("unknown_parameter", "typo"),
        ("unknown_meter", "meter"),
        ("unknown_granularity", "granularity"),
    }


def test_meters_say_how_to_ask_for_them(used: Account, reader: Caller, meter: Meter) -> None:
    [listed] = reader.get("/api/v1/meters").json()["meters"]

    assert (listed["name"], listed["unit"], listed["has_usage"]) == ("bytes_out", "byte", True)
    assert listed["dimensions"] == ["endpoint", "region", "protocol"]


def test_the_account_says_which_zone_its_days_are_in(cast: Cast, reader: Caller) -> None:
    answer = reader.get("/api/v1/account").json()

    assert answer == {
        "id": str(cast.ours.public_id),
        "reference": "ansel",
        "name": "Ansel Ltd",
        "state": "active",
        "billing_zone": "UTC",
        "currency": "USD",
    }


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (ApiKey, {"revoked_at": datetime(2026, 1, 1, tzinfo=UTC)}),
        (ApiKey, {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}),
        (Account, {"state": "closed", "closed_at": datetime(2026, 1, 1, tzinfo=UTC)}),
    ],
)
def test_a_download_ends_with_its_key(
    used: Account, reader: Caller, monkeypatch: pytest.MonkeyPatch, model: Any, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(stream, "RECHECK_BYTES", 1)
    address = f"/api/v1/usage.csv?kind=records&{NOVEMBER}"
    assert body_of(reader.get(address))

    response = reader.get(address)
    with as_owner():
        model.objects.update(**change)

    with pytest.raises(stream.NoLongerAllowed):
        body_of(response)
