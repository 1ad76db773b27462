"""A wire between a client and the server: passes bytes on, and does something at a chosen byte of an answer."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

PIECE_BYTES = 16 * 1024
# Little is under way at any time, so that what happens at a byte happens to the bytes behind it.
BUFFER_BYTES = 32 * 1024
LINGER_NOT = struct.pack("ii", 1, 0)


class Wire:
    """Listens on a port of its own. One event at a time, for the next connection."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._at: int | None = None
        self._event: Callable[[], None] = lambda: None
        self._is_cut_after = False
        self.has_happened = False
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def at(self, offset: int, event: Callable[[], None], *, is_cut_after: bool) -> None:
        """Once so many bytes of the next answer have passed, do something, and perhaps cut the wire then."""
        self._at, self._event, self._is_cut_after, self.has_happened = offset, event, is_cut_after, False

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        with client, server:
            try:
                server.connect(("127.0.0.1", self._to_port))
            except OSError:
                return
            pump = threading.Thread(target=_pump, args=(client, server), daemon=True)
            pump.start()
            self._pass_on(server, client)
            # Whoever still reads from an end keeps it from being closed.
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RD)
            pump.join()

    def _pass_on(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while piece := server.recv(PIECE_BYTES):
                if self._at is not None and passed + len(piece) >= self._at:
                    client.sendall(piece[: max(0, self._at - passed)])
                    piece = piece[max(0, self._at - passed) :]
                    self._at = None
                    self._event()
                    self.has_happened = True
                    if self._is_cut_after:
                        # Both ends are told by a reset and not by a friendly end.
                        for end in (server, client):
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                        return
                client.sendall(piece)
                passed += len(piece)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)


def _pump(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while piece := client.recv(PIECE_BYTES):
            server.sendall(piece)
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)
