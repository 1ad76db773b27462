"""Sending usage: what is taken, what is refused as a whole and how, and that a repeat is harmless."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import threading
import time
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from accounts.tenancy import as_worker
from insights import tasks
from insights.api import batches
from insights.ingest import queries
from insights.models import Batch, BatchState, Source
from tests import factories
from tests.api.conftest import HEADER, SEND_TO, Caller, line, lines, make_source_key, problem_of

JSON = "application/json"
NDJSON = "application/x-ndjson"
EMPTY = '{"rows": []}'
GOOD_JSON = (
    '{"rows": [{"account": "ansel", "meter": "bytes_out", "window_start": "2026-11-02T10:00:00Z", "quantity": 1.5,'
    ' "endpoint": "a", "region": "eu-west", "protocol": "https"}]}'
)


def counts_of(response: Any) -> dict[str, int]:
    return {name: count for name, count in response.json()["counts"].items() if count}


class TestTaken:
    def test_a_small_csv_is_finished_at_once_and_its_counts_add_up(self, sender: Caller) -> None:
        response = sender.send(lines(line(), line("2026-11-02T11:00:00Z", "x"), line(account="nobody"), ""))

        receipt = response.json()
        assert response.status_code == 200
        assert receipt["state"] == "done"
        assert receipt["counts"] == {
            "received": 3, "new": 1, "replaced": 0, "duplicate": 0, "stale": 0, "rejected": 2, "blank": 1,
        }  # fmt: skip
        assert [(one["line"], one["code"], one["field"]) for one in receipt["rejected_lines"]] == [
            (3, "number_format", "quantity"),
            (4, "unknown_account", "account"),
        ]
        assert response.headers["Location"] == receipt["url"]

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            (JSON, GOOD_JSON),
            ("application/json; charset=UTF-8", GOOD_JSON),
            (JSON, "\ufeff" + GOOD_JSON),
            (NDJSON, GOOD_JSON[10:-2] + "\n"),
            ("text/csv;header=present", lines(line())),
        ],
    )
    def test_every_form_is_the_same_fact(self, sender: Caller, content_type: str, body: str) -> None:
        response = sender.send(body, content_type=content_type)

        assert counts_of(response) == {"received": 1, "new": 1}

    def test_no_rows_are_a_batch_too(self, sender: Caller) -> None:
        response = sender.send(EMPTY, content_type=JSON)

        assert (response.status_code, counts_of(response)) == (200, {})

    @pytest.mark.parametrize("coding", ["gzip", "identity"])
    def test_gzip_is_unpacked_whether_declared_or_not(self, sender: Caller, coding: str) -> None:
        response = sender.send(gzip.compress(lines(line()).encode()), Content_Encoding=coding)

        assert counts_of(response) == {"received": 1, "new": 1}

    def test_the_same_rows_again_are_duplicates_and_point_at_the_first_batch(self, sender: Caller) -> None:
        first = sender.send(lines(line()))

        second = sender.send(lines(line()))

        assert counts_of(second) == {"received": 1, "duplicate": 1}
        assert second.json()["duplicate_of"] == first.json()["id"]

    def test_a_revision_in_the_header_replaces(self, sender: Caller) -> None:
        sender.send(lines(line(quantity="1")))

        response = sender.send(lines(line(quantity="2")), Usage_Revision="2")

        assert counts_of(response) == {"received": 1, "replaced": 1}

    def test_complete_to_is_kept_on_the_receipt(self, sender: Caller) -> None:
        response = sender.send(lines(line()), Usage_Complete_To="2026-11-02T12:00:00+01:00")

        assert response.json()["complete_to"] == "2026-11-02T11:00:00Z"

    def test_a_declared_digest_and_row_count_that_are_right_are_taken(self, sender: Caller) -> None:
        body = lines(line()).encode()

        response = sender.send(body, Content_Digest=digest_of(body), Usage_Rows="1")

        assert response.status_code == 200

    def test_a_batch_that_no_worker_takes_in_time_is_answered_202(
        self, sender: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "ring", lambda batch_id: None)
        settings.UPLOAD_WAIT_SECONDS = 0.05

        response = sender.send(lines(line()))

        assert (response.status_code, response.json()["state"]) == (202, "received")
        assert sender.get(response.json()["url"]).json()["state"] == "received"

    def test_only_so_many_requests_of_a_process_wait(
        self, sender: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "ring", lambda batch_id: None)
        monkeypatch.setattr(batches, "_waiters", threading.BoundedSemaphore(1))
        settings.UPLOAD_WAIT_SECONDS = 30
        with batches._waiters:
            began = time.monotonic()
            response = sender.send(lines(line()))

        assert response.status_code == 202
        assert time.monotonic() - began < 15

    def test_who_waited_makes_room_for_the_next(
        self, sender: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[float] = []

        def fail_after_noting(*, public_id: uuid.UUID, seconds: float) -> None:
            asked.append(seconds)
            raise LookupError(public_id)

        monkeypatch.setattr(batches, "wait_for_batch", fail_after_noting)
        for _again in range(batches.WAITERS_MAX + 1):
            sender.send(lines(line()))

        assert asked == [settings.UPLOAD_WAIT_SECONDS] * (batches.WAITERS_MAX + 1)

    def test_the_pauses_grow_and_end_with_the_wait(
        self, sender: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "ring", lambda batch_id: None)
        pauses: list[float] = []
        clock = SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append)
        monkeypatch.setattr(queries, "time", clock)
        settings.UPLOAD_WAIT_SECONDS = 1.0

        sender.send(lines(line()))

        assert pauses == pytest.approx([0.03, 0.06, 0.12, 0.24, 0.3, 0.25])

    def test_a_batch_set_aside_is_answered_200_with_its_state_and_code(
        self, sender: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def set_aside(batch_id: int) -> None:
            with as_worker():
                Batch.objects.filter(pk=batch_id).update(
                    state=BatchState.QUARANTINED, error_code="quarantined", error_detail="It was set aside."
                )

        monkeypatch.setattr(tasks, "ring", set_aside)

        response = sender.send(lines(line()), Idempotency_Key="monday")
        again = sender.send(lines(line()), Idempotency_Key="monday")

        assert (response.status_code, again.status_code) == (200, 200)
        assert response.json()["state"] == "quarantined"
        assert response.json()["error"]["code"] == "quarantined"


def digest_of(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


REFUSED_BODIES = [
    ("A1", JSON, "", 400, "malformed_json"),
    ("A2", JSON, '{"rows":[', 400, "malformed_json"),
    ("A3", JSON, EMPTY + EMPTY, 400, "malformed_json"),
    ("A5", JSON, EMPTY.encode("utf-16"), 400, "encoding"),
    ("A6", JSON, b'{"rows": [{"account": "caf\xe9"}]}', 400, "encoding"),
    ("A7", JSON, "[" * 100_000, 400, "too_deep"),
    ("A8", JSON, '{"a":' * 5_000 + "1" + "}" * 5_000, 400, "too_deep"),
    ("A9", JSON, '{"rows": [], "rows": []}', 400, "duplicate_key"),
    ("A11 array", JSON, "[]", 400, "shape"),
    ("A11 string", JSON, '"rows"', 400, "shape"),
    ("A11 number", JSON, "7", 400, "shape"),
    ("A11 null", JSON, "null", 400, "shape"),
    ("A13 null", JSON, '{"rows": null}', 400, "shape"),
    ("A13 object", JSON, '{"rows": {}}', 400, "shape"),
    ("A14", JSON, '{"rows": [], "row": []}', 400, "unknown_field"),
    ("A15", "text/plain", EMPTY, 415, "unsupported_media_type"),
    ("A16", "", EMPTY, 415, "unsupported_media_type"),
    ("A17", "application/json; charset=utf-7", EMPTY, 415, "encoding"),
    ("A28 zip", "text/csv", b"PK\x03\x04 and more", 415, "unsupported_media_type"),
    ("A28 parquet", "text/csv", b"PAR1 and more", 415, "unsupported_media_type"),
    ("A34", "multipart/form-data; boundary=x", "--x--", 415, "unsupported_media_type"),
    ("B1", JSON, '{"rows": [{"quantity": NaN}]}', 400, "malformed_json"),
    ("E5", "text/csv", HEADER.replace(",", ";"), 400, "header"),
    ("E17", "text/csv", "", 400, "header"),
]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [case[1:] for case in REFUSED_BODIES],
    ids=[case[0] for case in REFUSED_BODIES],
)
def test_a_body_at_fault_refuses_the_request_and_keeps_nothing_but_the_refusal(
    sender: Caller, content_type: str, body: str | bytes, status: int, code: str
) -> None:
    response = sender.send(body, content_type=content_type)

    problem_of(response, status=status, code=code)
    with as_worker():
        assert set(Batch.objects.values_list("state", flat=True)) <= {BatchState.REFUSED}


REFUSED_HEADERS = [
    ("A23", {"Content_Encoding": "br"}, 415, "unsupported_encoding"),
    ("A24", {"Content_Encoding": "gzip"}, 400, "encoding"),
    ("A30 long", {"Idempotency_Key": "k" * 256}, 400, "idempotency_key"),
    ("A30 newline", {"Idempotency_Key": "a\nb"}, 400, "idempotency_key"),
    ("A30 empty", {"Idempotency_Key": ""}, 400, "idempotency_key"),
    ("A30 not ASCII", {"Idempotency_Key": "caf\u00e9"}, 400, "idempotency_key"),
    ("digest form", {"Content_Digest": "sha-256=abc"}, 400, "field_format"),
    ("E23 digest", {"Content_Digest": digest_of(b"other")}, 422, "checksum"),
    ("E23 rows", {"Usage_Rows": "2"}, 422, "checksum"),
    ("rows form", {"Usage_Rows": "1.0"}, 400, "number_format"),
    ("revision zero", {"Usage_Revision": "0"}, 400, "number_format"),
    ("revision text", {"Usage_Revision": "two"}, 400, "number_format"),
    ("revision big", {"Usage_Revision": str(2**31)}, 400, "number_format"),
    ("complete naive", {"Usage_Complete_To": "2026-11-02T12:00:00"}, 400, "timestamp_naive"),
    ("complete form", {"Usage_Complete_To": "2 Nov 2026"}, 400, "timestamp_format"),
    ("complete ahead", {"Usage_Complete_To": "2062-01-01T00:00:00Z"}, 400, "timestamp_future"),
]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [case[1:] for case in REFUSED_HEADERS],
    ids=[case[0] for case in REFUSED_HEADERS],
)
def test_a_header_at_fault_is_named(sender: Caller, headers: dict[str, str], status: int, code: str) -> None:
    response = sender.send(lines(line()), **headers)

    problem_of(response, status=status, code=code)


class TestLimits:
    def test_a_body_above_the_limit_is_refused_before_it_is_read(self, sender: Caller, settings: Any) -> None:
        settings.UPLOAD_MAX_SENT_BYTES = 100

        problem_of(sender.send(lines(*[line()] * 50)), status=413, code="body_too_large")

    def test_a_bomb_is_refused_while_it_unpacks(self, sender: Caller) -> None:
        bomb = gzip.compress(HEADER.encode() + b"0" * 20_000_000)

        problem_of(sender.send(bomb, Content_Encoding="gzip"), status=413, code="archive_bomb")

    def test_too_many_rows_are_refused(self, sender: Caller, settings: Any) -> None:
        settings.UPLOAD_MAX_LINES = 10

        problem_of(sender.send(lines(*[line()] * 11)), status=413, code="batch_too_many_rows")

    def test_a_cut_gzip_is_truncated(self, sender: Caller) -> None:
        packed = gzip.compress(lines(*[line()] * 50).encode())

        problem_of(sender.send(packed[:-20], Content_Encoding="gzip"), status=400, code="truncated_body")

    def test_junk_behind_a_gzip_is_refused(self, sender: Caller) -> None:
        packed = gzip.compress(lines(line()).encode())

        problem_of(sender.send(packed + b"junk", Content_Encoding="gzip"), status=400, code="encoding")

    def test_a_body_shorter_than_announced_is_truncated(self, sender: Caller) -> None:
        body = lines(line()).encode()
        environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body) + 10)}

        response = Client().generic(
            "POST",
            SEND_TO,
            headers={"Authorization": f"Bearer {sender.key}"},
            CONTENT_TYPE="text/csv",
            **environ,
        )

        problem_of(response, status=400, code="truncated_body")


class TestIdempotency:
    def test_the_same_key_and_body_answer_with_the_first_receipt(self, sender: Caller) -> None:
        first = sender.send(lines(line()), Idempotency_Key="monday")

        second = sender.send(lines(line()), Idempotency_Key="monday")

        assert second.json() == first.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers

    def test_the_same_key_with_another_body_is_a_mismatch(self, sender: Caller) -> None:
        sender.send(lines(line()), Idempotency_Key="monday")

        response = sender.send(lines(line(quantity="2")), Idempotency_Key="monday")

        problem_of(response, status=422, code="idempotency_mismatch")

    def test_the_same_key_while_the_first_is_worked_on_says_when_to_ask_again(
        self, sender: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "ring", lambda batch_id: None)
        settings.UPLOAD_WAIT_SECONDS = 0
        sender.send(lines(line()), Idempotency_Key="monday")

        response = sender.send(lines(line()), Idempotency_Key="monday")

        problem_of(response, status=409, code="in_progress")
        assert int(response.headers["Retry-After"]) >= 1

    def test_keys_of_two_sources_never_meet(self, sender: Caller, caller: Callable[[str], Caller]) -> None:
        sender.send(lines(line()), Idempotency_Key="monday")
        other = caller(make_source_key(factories.make_source("other")))

        response = other.send(lines(line(quantity="2")), Idempotency_Key="monday")

        assert counts_of(response) == {"received": 1, "new": 1}


class TestReceipts:
    def test_rejected_lines_come_page_by_page(self, sender: Caller) -> None:
        sent = sender.send(lines(*[line(quantity="x")] * 5)).json()

        first = sender.get(f"{sent['rejected_lines_url']}?limit=2").json()
        rest = sender.get(
            f"{sent['rejected_lines_url']}?limit=3&after_line={first['next_after_line']}"
        ).json()
        end = sender.get(f"{sent['rejected_lines_url']}?after_line=6").json()

        assert [one["line"] for one in first["rejected_lines"] + rest["rejected_lines"]] == [2, 3, 4, 5, 6]
        assert end == {"rejected_lines": [], "next_after_line": None}

    def test_another_sources_batch_is_answered_exactly_like_an_absent_one(
        self, sender: Caller, caller: Callable[[str], Caller]
    ) -> None:
        url = sender.send(lines(line(quantity="x"))).json()["url"]
        other = caller(make_source_key(factories.make_source("other")))

        for ending in ("", "/rejects"):
            theirs = other.get(url + ending)
            absent = other.get(f"{SEND_TO}/{uuid.uuid4()}{ending}")
            assert (theirs.status_code, theirs.content) == (absent.status_code, absent.content)
            problem_of(theirs, status=404, code="not_found")

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=-1", "limit=abc", "limit=1001", "limit=" + "9" * 100]
    )
    def test_a_limit_is_refused_and_never_clamped(self, sender: Caller, query: str) -> None:
        url = sender.send(lines(line())).json()["rejected_lines_url"]

        assert problem_of(sender.get(f"{url}?{query}"), status=400, code="limit")["field"] == "limit"

    def test_receipts_cost_few_statements(self, sender: Caller, django_assert_max_num_queries: Any) -> None:
        url = sender.send(lines(line(quantity="x"))).json()["url"]

        # The receipt, its refused lines, and that the key was used.
        with django_assert_max_num_queries(3, using="intake"):
            sender.get(url)


class TestWhoMaySend:
    def test_a_reading_key_may_not(self, reader: Caller, source: Source) -> None:
        problem_of(reader.send(lines(line())), status=403, code="permission_denied")

    def test_nobody_may_not(self, source: Source) -> None:
        response = Client().post(SEND_TO, lines(line()), content_type="text/csv")

        problem_of(response, status=401, code="not_authenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    def test_a_disabled_source_takes_nothing(self, sender: Caller, source: Source) -> None:
        factories.change_source(source, enabled=False)

        assert sender.send(lines(line())).status_code in (401, 403)

    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_only_post_is_a_method(self, sender: Caller, method: str) -> None:
        response = sender.ask(method, SEND_TO, X_HTTP_Method_Override="POST")

        problem_of(response, status=405, code="method_not_allowed")
        assert response.headers["Allow"] == "POST"

    def test_a_misspelt_parameter_is_refused(self, sender: Caller) -> None:
        response = sender.ask("POST", f"{SEND_TO}?revison=2")

        problem_of(response, status=400, code="unknown_parameter")
