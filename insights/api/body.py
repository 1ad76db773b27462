"""Reads the body of an upload from the socket, piece by piece, within its limit and in bounded time.

Never holds more than one piece, and never asks Django or DRF for the body, which would keep it whole in
memory.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.http import HttpRequest

from insights.api.errors import Problem
from insights.ingest.refusals import RequestRefused

PIECE_BYTES = 64 * 1024
# A sender that does not deliver one piece in this time (about 5 kB/s) would otherwise hold a thread for
# hours.
PIECE_SECONDS_MAX = 12.0


def read_body(request: HttpRequest, *, limit_bytes: int) -> Iterator[bytes]:
    """Yield the bytes as sent; refuse what is longer than the limit, shorter than announced, or too slow."""
    announced = _announced_bytes(request)
    if announced is not None and announced > limit_bytes:
        raise _too_large(limit_bytes)
    stream, clock = _stream_of(request), _Clock(request)
    received = 0
    with clock.running():
        while piece := _read_piece(stream, clock):
            received += len(piece)
            if received > limit_bytes:
                raise _too_large(limit_bytes)
            yield piece
    if announced is not None and received < announced:
        raise RequestRefused(
            "truncated_body", f"the body ended after {received} of {announced} announced bytes"
        )


def _announced_bytes(request: HttpRequest) -> int | None:
    """Return Content-Length, or None for a chunked body, which carries its own end."""
    if _is_chunked(request):
        return None
    text = request.META.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Problem("malformed_request", "Content-Length is not a number.", field="Content-Length")
    return int(text)


def _is_chunked(request: HttpRequest) -> bool:
    return bool(request.META.get("HTTP_TRANSFER_ENCODING")) and bool(
        request.META.get("wsgi.input_terminated")
    )


def _stream_of(request: HttpRequest) -> Any:
    # Django takes a body without Content-Length for empty, so a chunked one is read from the server itself.
    return request.META["wsgi.input"] if _is_chunked(request) else request


def _read_piece(stream: Any, clock: _Clock) -> bytes:
    clock.expect_piece()
    try:
        piece: bytes = stream.read(PIECE_BYTES)
    except Exception as error:
        # The server and Django name a broken body in many ways; the sender always hears the same.
        raise clock.problem() or RequestRefused(
            "truncated_body", "the body broke off before its end"
        ) from error
    if problem := clock.problem():
        raise problem
    return piece


def _too_large(limit_bytes: int) -> RequestRefused:
    detail = (
        f"the body is larger than {limit_bytes} bytes as sent; split it at line ends, or send it with gzip"
    )
    return RequestRefused("body_too_large", detail)


class _Clock:
    """Ends the reading of a socket from outside when a piece does not come in time."""

    def __init__(self, request: HttpRequest) -> None:
        self._socket: socket.socket | None = request.META.get("gunicorn.socket")
        self._deadline = 0.0
        self._done = threading.Event()
        self._overdue = False

    def expect_piece(self) -> None:
        self._deadline = time.monotonic() + PIECE_SECONDS_MAX

    def problem(self) -> Problem | None:
        if not self._overdue:
            return None
        return Problem(
            "body_timeout", f"No {PIECE_BYTES} bytes of the body came within {PIECE_SECONDS_MAX:.0f} s."
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch while the body is read. Without a socket to watch (tests) this does nothing."""
        if self._socket is None:
            yield
            return
        self.expect_piece()
        watcher = threading.Thread(target=self._watch, args=[self._socket], daemon=True, name="upload clock")
        watcher.start()
        try:
            yield
        finally:
            self._done.set()
            watcher.join()

    def _watch(self, connection: socket.socket) -> None:
        while not self._done.wait(0.5):
            if time.monotonic() > self._deadline:
                # A timeout on the socket would start anew with each byte of a sender that trickles.
                self._overdue = True
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
                return
