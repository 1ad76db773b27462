"""Clients that are slow on purpose: they stall in the header, in the body, or while they read."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.faults.downloads import PATH

BYTES_PER_SECOND = 1_024
CONNECT_SECONDS_MAX = 10.0


def read_slowly(
    port: int, key: str, ended: threading.Event, *, path: str = PATH, address: str = "127.0.0.1"
) -> int:
    """Ask for a download and take 1 kB of it a second; return how often it was begun anew after being cut."""
    begun = 0
    while not ended.is_set():
        begun += 1
        with suppress(OSError), _connect(port, address) as link:
            link.sendall(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            while not ended.wait(1.0):
                if not link.recv(BYTES_PER_SECOND):
                    break
    return begun


def stall(port: int, key: str, ended: threading.Event, *, is_header: bool, address: str = "127.0.0.1") -> int:
    """Begin an upload and stop in the middle of its header or of its body; again whenever one is hung up on."""
    begun = 0
    while not ended.is_set():
        begun += 1
        with suppress(OSError), _connect(port, address) as link:
            head = (
                f"POST /api/v1/usage/batches HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
                "Content-Type: text/csv\r\n"
            )
            link.sendall((head if is_header else f"{head}Content-Length: 100000\r\n\r\naccount,").encode())
            link.settimeout(1.0)
            while not ended.is_set():
                with suppress(TimeoutError):
                    if not link.recv(1_024):
                        break
        ended.wait(0.2)
    return begun


def _connect(port: int, address: str) -> socket.socket:
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    link.settimeout(CONNECT_SECONDS_MAX)
    # Another address of loopback is another client to whoever counts connections by address.
    link.bind((address, 0))
    link.connect(("127.0.0.1", port))
    return link
