"""No input makes a 5xx: random requests from a printed seed, built of the odd pieces that break parsers."""

from __future__ import annotations

import os
import random
from urllib.parse import quote

import pytest

from tests.api.conftest import HEADER, Caller, line

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "250"))
ODD = [
    "", "0", "-1", "1e9", "9" * 40, "\u0663", "\x00", "\r\n", "\ud800", "\u202e", "\U0001f600", "NaN", "null", "'",
    '"', "%", "a" * 300, "=1+1", "{", "[", "]", "}", ",", ":", "2026-02-30", "2026-11-01", "0001-01-01", "9999-12-31",
    "T", "Z", "+25:00", "bytes_out", "bytes_out:1", "bytes_out:", "this-month", "hour", "month", "region", "gzip",
]  # fmt: skip
NAMES = [
    "meter", "period", "from", "to", "granularity", "group_by", "compare", "clock", "kind", "limit", "cursor", "raw",
    "compress", "dimension.region", "dimension.", "after_line", "typo",
]  # fmt: skip
PATHS = ["/api/v1/usage", "/api/v1/usage.csv", "/api/v1/meters", "/api/v1/account", "/api/v1/downloads/"]
HEADERS = [
    "Idempotency_Key", "Content_Digest", "Usage_Rows", "Usage_Revision", "Usage_Complete_To", "Content_Encoding",
    "Accept", "Accept_Encoding",
]  # fmt: skip
TYPES = [
    "text/csv",
    "application/json",
    "application/x-ndjson",
    "text/plain",
    "application/json; charset=x",
    "\ud800",
]


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("SEED", str(random.randrange(10**6))))
    print(f"SEED={seed}")
    return random.Random(seed)


def odd_text(dice: random.Random) -> str:
    return "".join(dice.choices(ODD, k=dice.randint(1, 3)))


def query(dice: random.Random) -> str:
    pairs = [("meter", "bytes_out"), ("from", "2026-11-01"), ("to", "2026-11-30"), ("kind", "records")]
    pairs = [pair for pair in pairs if dice.random() < 0.8]
    pairs += [(dice.choice(NAMES), odd_text(dice)) for _number in range(dice.randint(0, 2))]
    return "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in pairs)


def test_reading_is_answered_or_refused(reader: Caller, dice: random.Random) -> None:
    for _round in range(ROUNDS):
        path = dice.choice(PATHS)
        if path.endswith("/"):
            path += quote(odd_text(dice), errors="surrogatepass")
        address = f"{path}?{query(dice)}"

        response = reader.ask(dice.choice(["GET", "GET", "HEAD", "POST", "OPTIONS"]), address)

        assert response.status_code < 500, address
        response.close()


def body(dice: random.Random) -> bytes:
    text = HEADER + line() + "\n" + odd_text(dice) if dice.random() < 0.5 else '{"rows": [{"meter": "x"}]}'
    data = bytearray(text.encode(errors="surrogatepass"))
    for _change in range(dice.randint(0, 4)):
        at = dice.randrange(len(data) + 1)
        data[at : at + dice.randint(0, 3)] = odd_text(dice).encode(errors="surrogatepass")
    return bytes(data)


def test_sending_is_answered_or_refused(sender: Caller, dice: random.Random) -> None:
    for _round in range(ROUNDS):
        headers = {dice.choice(HEADERS): odd_text(dice).replace("\ud800", "")} if dice.random() < 0.3 else {}
        sent, content_type = body(dice), dice.choice(TYPES)

        response = sender.send(sent, content_type=content_type, **headers)

        assert response.status_code < 500, (sent, content_type, headers)
        if response.status_code >= 400:
            assert response.headers["Content-Type"] == "application/problem+json"


def test_a_key_that_no_text_column_takes_is_named_in_the_refusal(sender: Caller) -> None:
    response = sender.send(b'{"rows\x00": [{"meter": "x"}]}', content_type="application/json")

    assert response.status_code == 400
    assert response.json()["field"] == "rows\\x00"
    assert "rows\\x00" in response.json()["detail"]
