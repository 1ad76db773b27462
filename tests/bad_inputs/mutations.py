"""Seeded damage: files that are nearly right, and requests that are nearly sensible."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.bad_inputs.rows import CASES, COLUMNS, GOOD
from tests.ingest.deliveries import FORMS, body

MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "json": "application/json"}
TOKENS = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\n", b"\r\n", b'"', b'""', b",", b";", b"\t", b"[",
    b"{", b"}", b"]", b"null", b"NaN", b"1e999", b"-", b"\\u0000", b"\\ud800", b"'", b"#", b"=", b"\xe2\x80\xae",
    b"9" * 400, b"x" * 300, b'{"rows": [', b"\x1f\x8b", b"PK\x03\x04", b"\xe2\x80\xa8",
)  # fmt: skip
VALUES = tuple(
    (name, value) for case in CASES if case.changes is not None for name, value in case.changes.items()
)
PATHS = (
    "/api/v1/usage/batches", "/api/v1/usage/batches/{id}", "/api/v1/usage/batches/{id}/rejects", "/api/v1/meters",
    "/api/v1/account", "/api/v1/usage", "/api/v1/usage.csv", "/api/v1/downloads/{id}", "/api/v1/", "/api/v1/absent",
)  # fmt: skip
IDS = (
    "00000000-0000-4000-8000-000000000000", "0", "-1", str(2**63), str(2**64), "abc", "%00", "%2e%2e%2f", "x" * 4_000,
    "{12345678-1234-1234-1234-123456789012}", "12345678123412341234123456789012", "%ff", "'--",
)  # fmt: skip
PARAMETERS = (
    "meter", "from", "to", "period", "granularity", "group_by", "dimension.region", "dimension.", "compare", "limit",
    "cursor", "kind", "raw", "compress", "after_line", "account", "form", "clock", "page", "q", "", "\u202e",
)  # fmt: skip
# What an address is usually asked with; a request begins there and is then changed in a place or two.
USUAL = {
    "/api/v1/usage": (
        "meter=bytes_out&from=2026-11-01&to=2026-11-30",
        "kind=records&meter=bytes_out&period=this-month",
    ),
    "/api/v1/usage.csv": ("kind=aggregates&meter=bytes_out", "kind=records&meter=bytes_out&compress=gzip"),
    "/api/v1/usage/batches/{id}/rejects": ("limit=10&after_line=3",),
}
SENDING = ("/api/v1/usage/batches",)
OF_SOURCES = (*SENDING, "/api/v1/usage/batches/{id}", "/api/v1/usage/batches/{id}/rejects")
WORDS = (
    "bytes_out", "2026-11-01", "2026-11-30", "0001-01-01", "9999-12-31", "2026-02-30", "hour", "day", "month",
    "this-month", "last-12-months", "previous", "utc", "region", "records", "aggregates", "gzip", "none", "0", "1",
    "-1", "1e9", "9" * 100, "abc", "NaN", "", " ", "\x00", "\ud7ff", "'; DROP TABLE x--", "%", "*", "eu,us", "../..",
    "<script>", "\u0663", "null", "true", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00+25:00", "Europe/Berlin",
    "Europe/../../etc/passwd",
)  # fmt: skip
HEADERS = (
    "Content-Encoding", "Idempotency-Key", "Usage-Revision", "Usage-Complete-To", "Usage-Rows", "Content-Digest",
    "Accept", "Range", "If-None-Match", "If-Range", "Accept-Encoding", "X-HTTP-Method-Override", "HX-Request",
    "X-Forwarded-For", "Content-Language", "Cookie", "Origin",
)  # fmt: skip
METHODS = (
    "GET",
    "GET",
    "GET",
    "GET",
    "POST",
    "POST",
    "HEAD",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "BREW",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; `key` names whose key it presents."""

    method: str = "POST"
    path: str = PATHS[0]
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "text/csv"
    body: bytes = b""
    key: str = "source"


def damaged_file(chance: random.Random) -> Request:
    """A file of a few rows, some with odd values, then with a few damaged places, perhaps gzipped, perhaps cut."""
    form = chance.choice(FORMS)
    data = body(form, [_row(chance, number) for number in range(chance.randint(1, 12))])
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        data = chance.choice(DAMAGES)(chance, data)
    if chance.random() < 0.1:
        data = gzip.compress(data)
        if chance.random() < 0.5:
            data = chance.choice(DAMAGES)(chance, data)
    content_type = MEDIA_TYPES[form if chance.random() < 0.95 else chance.choice(FORMS)]
    return Request(content_type=content_type, body=data)


def _row(chance: random.Random, number: int) -> dict[str, object]:
    row: dict[str, object] = {name: GOOD.get(name, "") for name in COLUMNS} | {"row_id": f"r{number}"}
    if chance.random() < 0.4:
        name, value = chance.choice(VALUES)
        row[name] = value
    if chance.random() < 0.1:
        row["row_id"] = "r0"
    if chance.random() < 0.1:
        row["revision"] = str(chance.choice((1, 2, 3, 2**31 - 1)))
    if chance.random() < 0.05:
        row.pop(chance.choice(COLUMNS))
    return row


def _put_token(chance: random.Random, data: bytes) -> bytes:
    place = chance.randint(0, len(data))
    return data[:place] + chance.choice(TOKENS) + data[place:]


def _change_byte(chance: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randint(0, len(data))]


def _drop(chance: random.Random, data: bytes) -> bytes:
    start = chance.randint(0, len(data))
    return data[:start] + data[start + chance.randint(0, 40) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    start = chance.randint(0, len(data))
    piece = data[start : start + chance.randint(0, 80)]
    return data[:start] + piece * chance.choice((2, 3, 200)) + data[start:]


def _swap_lines(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _put_token, _put_token, _change_byte, _change_byte, _cut, _drop, _repeat, _swap_lines,
)  # fmt: skip


def odd_request(chance: random.Random) -> Request:
    """A request that an address expects, with its method, key, parameters or headers changed in a place or two."""
    path = chance.choice(PATHS)
    method, key = ("POST" if path in SENDING else "GET"), ("source" if path in OF_SOURCES else "account")
    if chance.random() < 0.2:
        method = chance.choice(METHODS)
    if chance.random() < 0.2:
        key = chance.choice(("source", "account", "none", "broken"))
    headers = {
        name: _header_value(chance) for name in chance.sample(HEADERS, chance.choice((0, 0, 0, 1, 1, 2)))
    }
    content_type = chance.choice(tuple(MEDIA_TYPES.values()))
    if chance.random() < 0.2:
        content_type = chance.choice(
            ("text/plain", "", "multipart/form-data", "text/csv; charset=utf-7", "\u00e9/x")
        )
    return Request(
        method=method,
        path=path.replace("{id}", chance.choice(IDS)),
        query=_query(chance, path),
        headers=headers,
        content_type=content_type,
        body=chance.choice((b"", b"x", b"{}", b'{"rows": []}', b"\xff\xfe", json.dumps([1]).encode())),
        key=key,
    )


def _query(chance: random.Random, path: str) -> str:
    if chance.random() < 0.05:
        return chance.choice(
            ("%", "%ff", "&&&&", "=", "a=%00", "meter", "a" * 5_000, "&".join(["limit=1"] * 300))
        )
    pairs = chance.choice(USUAL.get(path, ("",))).split("&")
    if chance.random() < 0.5:
        name = chance.choice(pairs).partition("=")[0] or chance.choice(PARAMETERS)
        pairs = [pair for pair in pairs if not pair.startswith(name)] + [f"{name}={chance.choice(WORDS)}"]
    if chance.random() < 0.3:
        pairs.append(f"{chance.choice(PARAMETERS)}={chance.choice(WORDS)}")
    return "&".join(pair for pair in pairs if pair)


def _header_value(chance: random.Random) -> str:
    return chance.choice(
        ("gzip", "br", "*/*", "application/xml", "text/csv", "bytes=0-1", "1", "-1", "9" * 300, "true", "caf\u00e9",
         "x" * 256, "a b", "2026-11-02T12:00:00Z", "sha-256=:AAAA:", "null", "*", "q=0", "a=b; sessionid=x", "", ",,,")
    )  # fmt: skip
