"""One request as its bytes, however odd, and the answer as it came."""

from __future__ import annotations

import http.client
import socket
import time
from dataclasses import dataclass
from urllib.parse import quote

from tests.bad_inputs.mutations import Request

TIMEOUT_SECONDS = 30.0
# What a request line cannot hold is written as clients write it.
SAFE = "%&=+,:;*'()[]{}|~!$@/?\\^`\"<>"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status 0 where there was none; then the content type names the error."""

    status: int
    content_type: str
    content: bytes
    seconds: float


def ask_raw(port: int, request: Request, key: str) -> Answer:
    """Send it and read all of the answer."""
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as link:
            link.sendall(_bytes_of(request, key))
            answer = http.client.HTTPResponse(link, method=request.method)
            answer.begin()
            content = answer.read()
            return Answer(
                answer.status, answer.headers.get("Content-Type", ""), content, time.monotonic() - began
            )
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, type(error).__name__, b"", time.monotonic() - began)


def _bytes_of(request: Request, key: str) -> bytes:
    target = quote(request.path, safe=SAFE)
    if request.query:
        target += "?" + quote(request.query, safe=SAFE)
    headers = {"Host": "127.0.0.1", "Connection": "close"} | request.headers
    headers |= {"Content-Type": request.content_type, "Content-Length": str(len(request.body))}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body
