"""Clients that send files over HTTP and remember exactly what they were told."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.faults.load import FilePlan, Load

TIMEOUT_SECONDS = 30.0
MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "json": "application/json"}


@dataclass(frozen=True, slots=True)
class Told:
    """An answer; status 0 when the connection broke and nobody knows."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def is_accepted(self) -> bool:
        return self.status in (200, 202)


def ask(
    port: int, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None
) -> Told:
    """Make one request; never raises for a broken connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body=body or None, headers=headers or {})
        answer = connection.getresponse()
        text = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
    except (OSError, http.client.HTTPException) as error:
        return Told(0, {}, type(error).__name__)
    finally:
        connection.close()
    try:
        return Told(answer.status, found, json.loads(text))
    except ValueError:
        return Told(answer.status, found, text.decode(errors="replace"))


def send(
    port: int,
    key: str,
    load: Load,
    file: FilePlan,
    *,
    idempotency_key: str | None = None,
    is_gzip: bool = False,
) -> Told:
    """Send one file as a feed does."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": MEDIA_TYPES[file.form]}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    body = load.body(file)
    if is_gzip:
        body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
    return ask(port, "POST", "/api/v1/usage/batches", body=body, headers=headers)


def make_source_keys(load: Load) -> dict[str, str]:
    """Make a key that writes to each source of the load."""
    return {plan.slug: key_of(plan.slug) for plan in load.sources}


def key_of(slug: str) -> str:
    """Make a key that writes to a source."""
    from accounts import keys
    from accounts.tenancy import as_worker
    from insights.models import Source, SourceKey

    plain, prefix, sha256 = keys.make_key()
    with as_worker():
        source = Source.objects.get(slug=slug)
        SourceKey.objects.create(source=source, name="faults", prefix=prefix, secret_sha256=sha256)
    return plain


def at_once(jobs: Sequence[Callable[[], Any]], *, clients: int) -> list[Any]:
    """Do the jobs with so many clients at a time and return their results in order."""
    with ThreadPoolExecutor(clients) as pool:
        return [future.result() for future in [pool.submit(_closing(job)) for job in jobs]]


def _closing(job: Callable[[], Any]) -> Callable[[], Any]:
    from django.db import connections

    def run() -> Any:
        try:
            return job()
        finally:
            connections.close_all()

    return run
