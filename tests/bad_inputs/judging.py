"""What an answer of the API must never be, whatever was asked."""

from __future__ import annotations

import json
import re
import zlib
from contextlib import suppress

from insights.api.errors import API_CODES
from insights.ingest.refusals import CODES

GZIP = b"\x1f\x8b"
SECRETS = re.compile(
    rb'Traceback|File "/|/home/|site-packages|SELECT |INSERT |insights_|psycopg|CANARY|up_live_[a-z0-9]{10}_',
)


def fault_in(*, method: str, status: int, content_type: str, content: bytes, sent: bytes = b"") -> str | None:
    """Say what is wrong with an answer; None when nothing is. What a sender wrote may be shown to it again."""
    if status >= 500:
        return f"status {status}"
    said = _unpacked(sent)
    for found in SECRETS.finditer(content):
        if found[0] not in said:
            return f"tells {found[0]!r}"
    if status >= 400 and method != "HEAD":
        if content_type != "application/problem+json":
            return f"{status} as {content_type}"
        code = json.loads(content)["code"]
        if code not in CODES and code not in API_CODES:
            return f"unknown code {code}"
    return None


def _unpacked(sent: bytes) -> bytes:
    """A body as its sender meant it, as far as it can be read."""
    if not sent.startswith(GZIP):
        return sent
    with suppress(zlib.error):
        return zlib.decompressobj(wbits=31).decompress(sent)
    return sent
