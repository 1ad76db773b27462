"""A client that pours a body into the server and listens meanwhile, as senders of far too much do."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

ANSWER_SECONDS_MAX = 60.0
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, how many bytes were sent by then, and the seconds from the limit until it came."""

    status: int
    code: str
    sent: int
    seconds: float


@dataclass(slots=True)
class _Pour:
    """One request under way; the clock starts when the limit is crossed."""

    link: socket.socket
    limit_bytes: int
    sent: int = 0
    crossed_at: float = 0.0
    heard: bytearray = field(default_factory=bytearray)
    is_over: bool = False

    def write(self, data: bytes, *, counts: bool) -> None:
        view = memoryview(data)
        while view and not self.is_over:
            readable, writable, _ = select.select([self.link], [self.link], [], 1.0)
            if readable:
                self.listen()
            elif writable:
                try:
                    done = self.link.send(view)
                except (BrokenPipeError, ConnectionResetError):
                    # What the server had said before it hung up may still be here.
                    self.listen()
                    self.is_over = True
                    return
                view = view[done:]
                self.sent += done if counts else 0
                if not self.crossed_at and self.sent >= self.limit_bytes:
                    self.crossed_at = time.monotonic()

    def listen(self) -> None:
        with suppress(ConnectionResetError, BlockingIOError):
            piece = self.link.recv(65_536)
            self.heard += piece
            self.is_over = not piece or b"\r\n\r\n" in self.heard
            return
        self.is_over = True


def pour(
    port: int, key: str, media_type: str, pieces: Iterable[bytes], *, announced: int | None, limit_bytes: int
) -> Answered:
    """POST a body in chunks, or with an announced length, until it is over or the server has answered."""
    head = (
        f"POST /api/v1/usage/batches HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {media_type}\r\nConnection: close\r\n"
    )
    head += (
        "Transfer-Encoding: chunked\r\n\r\n" if announced is None else f"Content-Length: {announced}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX) as link:
        link.setblocking(False)
        under_way = _Pour(link, limit_bytes, crossed_at=0.0 if limit_bytes else time.monotonic())
        under_way.write(head.encode(), counts=False)
        for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                part = piece[start : start + PIECE_BYTES]
                if under_way.is_over:
                    break
                _write_part(under_way, part, is_chunked=announced is None)
            if under_way.is_over:
                break
        if announced is None and not under_way.is_over:
            under_way.write(b"0\r\n\r\n", counts=False)
        ended_at = time.monotonic()
        return _answer(under_way, since=under_way.crossed_at or ended_at)


def _write_part(under_way: _Pour, part: bytes, *, is_chunked: bool) -> None:
    if is_chunked:
        under_way.write(f"{len(part):x}\r\n".encode(), counts=False)
    under_way.write(part, counts=True)
    if is_chunked:
        under_way.write(b"\r\n", counts=False)


def _answer(under_way: _Pour, *, since: float) -> Answered:
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while b"\r\n\r\n" not in under_way.heard and time.monotonic() < deadline:
        if not select.select([under_way.link], [], [], 1.0)[0]:
            continue
        before = len(under_way.heard)
        under_way.listen()
        if len(under_way.heard) == before:
            break
    seconds = time.monotonic() - since
    while time.monotonic() < deadline and not _is_whole(bytes(under_way.heard)):
        before = len(under_way.heard)
        select.select([under_way.link], [], [], 1.0)
        under_way.listen()
        if len(under_way.heard) == before:
            break
    head, _, body = bytes(under_way.heard).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return Answered(0, "", under_way.sent, seconds)
    try:
        code = json.loads(body[: body.rfind(b"}") + 1].lstrip(b"0123456789abcdef\r\n")).get("code", "")
    except ValueError:
        code = ""
    return Answered(int(head[9:12]), code, under_way.sent, seconds)


def _is_whole(heard: bytes) -> bool:
    head, _, body = heard.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return False
