"""Every way to be told no is a problem document with a code, and tells nothing else."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory

from insights.api import usage
from insights.api.errors import API_CODES, Problem
from insights.api.routes import ENDPOINTS
from insights.ingest.refusals import CODES
from tests.api.conftest import Caller, problem_of

# Fixed, so that every process that collects these tests names them alike.
ABSENT = "7b1c3c59-6a0e-4a5b-9a0f-2f9d5f0c8e11"
READS = [
    "/api/v1/meters",
    "/api/v1/account",
    "/api/v1/usage?meter=bytes_out",
    f"/api/v1/downloads/{ABSENT}",
]


class TestUnknown:
    @pytest.mark.parametrize(
        "path",
        [
            "/api/",
            "/api/v1",
            "/api/v1/",
            "/api/v2/meters",
            "/api/v1/meters/",
            "/api/v1/%00",
            "/api/v1/%0a",
            "/api/v1/" + "x" * 4000,
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
    def test_paths_are_answered_with_a_problem(self, portal_db: None, path: str, method: str) -> None:
        problem_of(Client().generic(method, path), status=404, code="not_found")

    @pytest.mark.parametrize(
        "wrong",
        [
            "0",
            "-1",
            str(2**63),
            str(2**64),
            "abc",
            "%00",
            "x" * 4096,
            ABSENT.replace("-", ""),
            f"{{{ABSENT}}}",
        ],
    )
    def test_ids_in_any_other_form_are_answered_like_absent_ones(self, reader: Caller, wrong: str) -> None:
        absent = reader.get(f"/api/v1/downloads/{uuid.uuid4()}")

        response = reader.get(f"/api/v1/downloads/{wrong}")

        assert (response.status_code, response.content) == (absent.status_code, absent.content)


class TestKeys:
    @pytest.mark.parametrize("path", READS)
    @pytest.mark.parametrize(
        "authorization",
        ["", "Bearer", "Bearer x", "Bearer a b", "Basic dXA6bGl2ZQ==", "Bearer up_live_caf\u00e9"],
    )
    def test_without_a_known_key_nothing_is_read(
        self, portal_db: None, path: str, authorization: str
    ) -> None:
        headers = {"Authorization": authorization} if authorization else {}

        response = Client().get(path, headers=headers)

        problem_of(response, status=401, code="not_authenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("path", READS)
    def test_a_sending_key_reads_nothing(self, sender: Caller, path: str) -> None:
        problem_of(sender.get(path), status=403, code="permission_denied")


class TestNegotiation:
    @pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json", "application/*;q=0.1", ""])
    def test_json_is_what_there_is(self, reader: Caller, accept: str) -> None:
        response = reader.get("/api/v1/account", Accept=accept)

        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")

    @pytest.mark.parametrize("accept", ["application/xml", "image/png", "application/json;q=0", "text/csv"])
    def test_other_forms_are_refused(self, reader: Caller, accept: str) -> None:
        problem_of(reader.get("/api/v1/account", Accept=accept), status=406, code="not_acceptable")

    def test_what_is_there_as_csv_too_is_named(self, reader: Caller) -> None:
        path = "/api/v1/usage"

        refused = reader.get(path, Accept="text/csv")
        without = reader.get("/api/v1/account", Accept="text/csv")

        assert (
            refused.json()["detail"]
            == f"This address answers with application/json. As CSV it is at {path}.csv."
        )
        assert without.json()["detail"] == "This address answers with application/json."

    def test_there_is_no_format_parameter(self, reader: Caller) -> None:
        problem_of(reader.get("/api/v1/account?format=json"), status=400, code="unknown_parameter")


class TestMethods:
    @pytest.mark.parametrize("path", READS)
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_reading_addresses_only_read(self, reader: Caller, path: str, method: str) -> None:
        problem_of(reader.ask(method, path), status=405, code="method_not_allowed")

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
    def test_addresses_that_are_none_answer_every_method_like_a_program(
        self, portal_db: None, method: str
    ) -> None:
        client = Client(enforce_csrf_checks=True)

        problem_of(client.generic(method, "/api/v1/absent"), status=404, code="not_found")
        assert client.generic(method, "/api/v1/openapi.json").status_code == 405

    @pytest.mark.parametrize("path", READS[:3])
    def test_head_has_headers_and_no_body(self, reader: Caller, path: str) -> None:
        response = reader.head(path)

        assert (response.status_code, response.content) == (200, b"")


class TestOurFaults:
    @pytest.mark.parametrize(
        ("fault", "status", "code"),
        [
            (RuntimeError("secret path /srv"), 500, "internal"),
            (OperationalError("host=db"), 503, "unavailable"),
        ],
    )
    def test_are_told_without_a_word_of_how(
        self, reader: Caller, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int, code: str
    ) -> None:
        def fail(*_arguments: Any) -> None:
            raise fault

        monkeypatch.setattr(usage, "list_meters", fail)

        response = reader.get("/api/v1/meters")

        body = problem_of(response, status=status, code=code)
        assert str(fault) not in str(body)
        assert ("Retry-After" in response.headers) == (status == 503)


def test_a_code_has_one_status_in_one_table() -> None:
    assert not set(API_CODES) & set(CODES)
    assert {Problem(code, "words").status_code for code in API_CODES} <= {
        400,
        401,
        403,
        404,
        405,
        406,
        408,
        429,
        500,
        503,
    }


def test_every_endpoint_names_the_scope_and_the_kind_of_key_it_opens_to() -> None:
    for pattern in ENDPOINTS:
        view = pattern.callback.view_class
        for method in view.http_method_names:
            asked = view()
            asked.request = RequestFactory().generic(method.upper(), "/")
            scopes = {"usage:write"} if view.key_kind == "source" else {"usage:read", "bills:read"}
            # What an account's key may change is notes alone.
            may_write = view.key_kind == "account" and view.__name__.startswith("Note")
            assert asked.required_scope in scopes | ({"notes:write"} if may_write else set())
            assert view.key_kind in {"account", "source"}
