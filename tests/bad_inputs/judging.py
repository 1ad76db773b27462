"""What an answer of the API must never be, whatever was asked."""

from __future__ import annotations

import json
import re

from insights.api.errors import API_CODES
from insights.ingest.refusals import CODES

SECRETS = re.compile(
    rb'Traceback|File "/|/home/|site-packages|SELECT |INSERT |insights_|psycopg|CANARY|up_live_[a-z0-9]{10}_',
)


def fault_in(*, method: str, status: int, content_type: str, content: bytes) -> str | None:
    """Say what is wrong with an answer; None when nothing is."""
    if status >= 500:
        return f"status {status}"
    if found := SECRETS.search(content):
        return f"tells {found[0]!r}"
    if status >= 400 and method != "HEAD":
        if content_type != "application/problem+json":
            return f"{status} as {content_type}"
        code = json.loads(content)["code"]
        if code not in CODES and code not in API_CODES:
            return f"unknown code {code}"
    return None
