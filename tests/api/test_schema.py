"""The published description is valid, names every address, and says what the answers really are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.validation import validate_schema

from insights.api.parameters import LIMIT_MAX
from insights.api.routes import ENDPOINTS
from insights.api.schema import api_schema


@pytest.fixture
def schema() -> dict[str, Any]:
    return json.loads(json.dumps(api_schema()))  # type: ignore[no-any-return]


def test_is_valid_and_public(portal_db: None, schema: dict[str, Any]) -> None:
    response = Client().get("/api/v1/openapi.json")

    assert response.status_code == 200
    assert response.json() == schema
    validate_schema(schema)


def test_names_every_address_and_no_other(schema: dict[str, Any]) -> None:
    addresses = {
        "/api/" + str(pattern.pattern).replace("<uuid:", "{").replace("<int:", "{").replace(">", "}")
        for pattern in ENDPOINTS
    }

    assert set(schema["paths"]) == addresses


def test_every_operation_says_how_it_refuses_and_needs_a_key(schema: dict[str, Any]) -> None:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert {"400", "401", "403", "406", "503"} <= set(answers), (path, method)
            for status, answer in answers.items():
                is_problem = int(status) >= 400
                assert ("application/problem+json" in answer["content"]) == is_problem
            assert operation["security"] == [{"apiKey": []}]
            assert operation["description"]


def test_names_the_bodies_and_headers_of_an_upload(schema: dict[str, Any]) -> None:
    operation = schema["paths"]["/api/v1/usage/batches"]["post"]

    assert set(operation["requestBody"]["content"]) == {
        "text/csv",
        "application/x-ndjson",
        "application/json",
    }
    assert {one["name"] for one in operation["parameters"] if one["in"] == "header"} == {
        "Idempotency-Key",
        "Content-Encoding",
        "Content-Digest",
        "Usage-Backfill",
        "Usage-Rows",
        "Usage-Revision",
        "Usage-Complete-To",
    }


def test_says_the_limits_that_hold(schema: dict[str, Any]) -> None:
    parameters = schema["paths"]["/api/v1/usage"]["get"]["parameters"]

    [limit] = [one for one in parameters if one["name"] == "limit"]
    assert str(LIMIT_MAX) in limit["description"]
