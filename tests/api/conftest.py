"""Keys, a source and a worker at hand, for tests that call the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts import keys
from accounts.tenancy import as_worker
from insights import tasks
from insights.models import Meter, Source, SourceKey
from tests import factories
from tests.api.serving import server
from tests.conftest import Cast

__all__ = ["server"]

SEND_TO = "/api/v1/usage/batches"
HEADER = "account,meter,window_start,quantity,endpoint,region,protocol\n"


@dataclass(frozen=True, slots=True)
class Caller:
    """A client that presents one key with every request."""

    key: str
    client: Client

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers={"Authorization": f"Bearer {self.key}", **_named(headers)})

    def head(self, path: str) -> Any:
        return self.client.head(path, headers={"Authorization": f"Bearer {self.key}"})

    def ask(self, method: str, path: str, **headers: str) -> Any:
        return self.client.generic(
            method, path, headers={"Authorization": f"Bearer {self.key}", **_named(headers)}
        )

    def send(self, body: str | bytes, *, content_type: str = "text/csv", **headers: str) -> Any:
        return self.client.generic(
            "POST",
            SEND_TO,
            body.encode() if isinstance(body, str) else body,
            headers={"Authorization": f"Bearer {self.key}", **_named(headers)},
            # Django's client says no type for an empty body unless it is told to.
            CONTENT_TYPE=content_type,
        )


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def lines(*rows: str) -> str:
    """Return a CSV with the usual header."""
    return HEADER + "".join(f"{row}\n" for row in rows)


def line(window_start: str = "2026-11-02T10:00:00Z", quantity: str = "1.5", account: str = "ansel") -> str:
    """Return one CSV line of the usual source."""
    return f"{account},bytes_out,{window_start},{quantity},api.example.com,eu-west,https"


def problem_of(response: HttpResponse, *, status: int, code: str) -> dict[str, Any]:
    """Assert that a response is a problem document with a status and a code, and return it."""
    assert response.headers["Content-Type"] == "application/problem+json", response.content[:300]
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert body["status"] == status
    assert body["detail"]
    return body


def make_source_key(source: Source, **fields: Any) -> str:
    """Make a key that writes to one source."""
    plain, prefix, sha256 = keys.make_key()
    with as_worker():
        SourceKey.objects.create(source=source, name="feed", prefix=prefix, secret_sha256=sha256, **fields)
    return plain


@pytest.fixture
def meter(portal_db: None) -> Meter:
    return factories.make_meter("bytes_out")


@pytest.fixture
def source(cast: Cast, meter: Meter) -> Source:
    return factories.make_source("edge")


@pytest.fixture
def caller() -> Callable[[str], Caller]:
    return lambda key: Caller(key, Client(raise_request_exception=False))


@pytest.fixture
def sender(source: Source, caller: Callable[[str], Caller], monkeypatch: pytest.MonkeyPatch) -> Caller:
    """A feed's key, with a worker that answers the bell at once."""
    monkeypatch.setattr(tasks, "ring", tasks.ingest_batch)
    return caller(make_source_key(source))


@pytest.fixture
def reader(cast: Cast, source: Source, caller: Callable[[str], Caller]) -> Caller:
    """A key of our account."""
    return caller(factories.make_api_key(cast.ours, created_by=cast.owner)[1])
