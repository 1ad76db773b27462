"""Gunicorn's worker of threads, whose main thread waits for no client.

That thread accepts connections for all others. As gunicorn ships it, it also hangs up itself, and waits up to two
seconds for a client to hang up first: five clients that take their time keep everybody out for ten.
"""

from __future__ import annotations

import selectors
import socket
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

# As long and as much as gunicorn's own; after that the connection is closed whatever the client has not read.
LINGER_SECONDS = 2.0
LINGER_BYTES_MAX = 65_536
_PIECE_BYTES = 4_096


@dataclass(slots=True, eq=False)
class _Farewell:
    """A connection that was told that nothing more comes, and when and after how many bytes it is closed."""

    connection: Any
    until: float
    bytes_left: int = LINGER_BYTES_MAX


class PortalWorker(ThreadWorker):
    """Serves as gunicorn's own does, and hangs up beside its other work."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._farewells: set[_Farewell] = set()

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Keep the connection as gunicorn does, or begin to hang up."""
        if fs.cancelled() or fs.exception() is not None or fs.result():
            super().finish_request(conn, fs)
        else:
            self._say_farewell(conn)

    def murder_pending(self) -> None:
        """Close what has waited long enough, of connections without a request and of those being hung up on."""
        super().murder_pending()
        now = time.monotonic()
        for farewell in [one for one in self._farewells if one.until <= now]:
            self._hang_up(farewell)

    def _say_farewell(self, connection: TConn) -> None:
        """Send the end, and read on: to close while there is something unread would take back what was sent."""
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            # The client is gone, or a cut answer was closed by the thread that wrote it.
            self.nr_conns -= 1
            connection.close()
            return
        farewell = _Farewell(connection, time.monotonic() + LINGER_SECONDS)
        self._farewells.add(farewell)
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._read_on, farewell))

    def _read_on(self, farewell: _Farewell, sock: socket.socket) -> None:
        try:
            size = len(sock.recv(_PIECE_BYTES))
        except BlockingIOError:
            return
        except OSError:
            size = 0
        farewell.bytes_left -= size
        if size == 0 or farewell.bytes_left <= 0:
            self._hang_up(farewell)

    def _hang_up(self, farewell: _Farewell) -> None:
        self._farewells.discard(farewell)
        self.poller.unregister(farewell.connection.sock)
        self.nr_conns -= 1
        farewell.connection.close()
