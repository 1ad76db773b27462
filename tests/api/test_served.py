"""What only a real server shows: broken streams that are seen to be broken, and clients that stall."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from accounts.tenancy import as_worker
from insights.models import Batch, Download, Meter, Source
from tests.api.conftest import SEND_TO, Caller, line, lines
from tests.api.serving import Server, is_answering, wait_until
from tests.conftest import Cast
from tests.exports.records import make_records

RECORDS = "/api/v1/usage.csv?kind=records&meter=bytes_out&from=2026-10-01&to=2026-10-31"
# Far more than the sockets between server and client can hold.
SERIES, HOURS = 250, 740
LAST_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"

pytestmark = [pytest.mark.slow, pytest.mark.database]


@pytest.fixture
def rows(cast: Cast, meter: Meter, source: Source) -> int:
    return make_records(cast.ours, meter, source, series=SERIES, hours=HOURS)


def curl(server: Server, caller: Caller, path: str, *options: str) -> subprocess.Popen[bytes]:
    command = ["curl", "-sS", "-H", f"Authorization: Bearer {caller.key}", *options, server.url(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def states() -> list[str]:
    with as_worker():
        return list(Download.objects.order_by("id").values_list("state", flat=True))


def proof(server: Server, caller: Caller, headers: str) -> dict[str, Any]:
    [download_id] = re.findall(r"(?im)^download-id: (\S+)", headers)
    body, _errors = curl(server, caller, f"/api/v1/downloads/{download_id}").communicate(timeout=20)
    found: dict[str, Any] = json.loads(body)
    return found


class TestWhole:
    def test_a_download_is_what_its_proof_says(
        self, server: Server, reader: Caller, rows: int, tmp_path: Path
    ) -> None:
        process = curl(server, reader, RECORDS, "-D", str(tmp_path / "head"))
        body, _errors = process.communicate(timeout=60)

        said = proof(server, reader, (tmp_path / "head").read_text())
        assert process.returncode == 0
        assert (said["state"], said["rows"], said["bytes"]) == ("done", rows, len(body))
        assert said["sha256"] == hashlib.sha256(body).hexdigest()

    @pytest.mark.parametrize(
        ("path", "option"), [(RECORDS, "Accept-Encoding: gzip"), (f"{RECORDS}&compress=gzip", "A: b")]
    )
    def test_compressed_it_is_the_same_csv(
        self, server: Server, reader: Caller, rows: int, tmp_path: Path, path: str, option: str
    ) -> None:
        process = curl(server, reader, path, "-H", option, "-D", str(tmp_path / "head"))
        body, _errors = process.communicate(timeout=60)

        said = proof(server, reader, (tmp_path / "head").read_text())
        assert said["sha256"] == hashlib.sha256(gzip.decompress(body)).hexdigest()
        assert len(body) < said["bytes"] / 4


class TestBroken:
    def test_a_killed_server_is_seen_by_curl_and_the_download_reads_as_cut(
        self, server: Server, reader: Caller, rows: int, tmp_path: Path
    ) -> None:
        process = curl(server, reader, RECORDS, "--limit-rate", "500k", "-D", str(tmp_path / "head"))
        assert process.stdout is not None
        process.stdout.read(10_000)

        server.kill_worker()
        process.communicate(timeout=60)

        assert process.returncode == 18
        wait_until(lambda: is_answering(server.port), seconds=20)
        assert proof(server, reader, (tmp_path / "head").read_text())["state"] == "cut"

    def test_a_lost_database_session_is_seen_by_curl(self, server: Server, reader: Caller, rows: int) -> None:
        from django.db import connections

        process = curl(server, reader, RECORDS, "--limit-rate", "500k")
        assert process.stdout is not None
        process.stdout.read(10_000)

        with connections["export"].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND query LIKE 'COPY%'"
            )
        process.communicate(timeout=90)

        assert process.returncode == 18
        assert states() == ["cut"]


class TestStalled:
    def test_a_reader_that_takes_nothing_is_cut_and_frees_its_slot(
        self, server: Server, reader: Caller, rows: int
    ) -> None:
        with _stalled_reader(server, reader), _stalled_reader(server, reader):
            wait_until(lambda: states() == ["running", "running"], seconds=10)
            body, _errors = curl(server, reader, RECORDS, "-i").communicate(timeout=20)
            assert b"429" in body.splitlines()[0]
            assert b"Retry-After: " in body
            wait_until(lambda: states() == ["cut", "cut"], seconds=30)

        process = curl(server, reader, RECORDS, "-o", "/dev/null")
        process.communicate(timeout=60)
        assert process.returncode == 0

    def test_clients_that_do_not_hang_up_keep_nobody_waiting(self, server: Server) -> None:
        with ExitStack() as held:
            for _client in range(8):
                link = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=15))
                link.sendall(LAST_REQUEST)
                assert link.recv(12) == b"HTTP/1.1 200"
            started = time.monotonic()
            assert b"200" in _exchange(server, LAST_REQUEST).splitlines()[0]

        assert time.monotonic() - started < 1.5

    def test_a_client_that_does_not_hang_up_is_hung_up_on(self, server: Server) -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=15) as link:
            link.sendall(LAST_REQUEST)
            assert b"".join(iter(lambda: link.recv(4_096), b"")).startswith(b"HTTP/1.1 200")

            wait_until(lambda: _is_closed(link), seconds=8)

    def test_a_sender_that_trickles_is_answered_408_or_closed(self, server: Server, sender: Caller) -> None:
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(_request_head(sender, "Content-Length: 100000"))
            answer = _answer_while_trickling(connection)

        assert b"408" in answer.splitlines()[0]
        assert b"body_timeout" in answer
        assert time.monotonic() - started < 10
        with as_worker():
            assert not Batch.objects.exists()


class TestBodies:
    def test_a_body_that_ends_early_is_truncated(self, server: Server, sender: Caller) -> None:
        answer = _exchange(server, _request_head(sender, "Content-Length: 1000") + b"account,meter\n")

        assert b"400" in answer.splitlines()[0]
        assert b"truncated_body" in answer

    def test_a_chunked_body_is_taken(self, server: Server, sender: Caller, tmp_path: Path) -> None:
        (tmp_path / "usage.csv").write_text(lines(line()))
        process = curl(
            server, sender, SEND_TO, "-X", "POST", "-H", "Content-Type: text/csv", "-T", str(tmp_path / "usage.csv"),
            "-H", "Transfer-Encoding: chunked",
        )  # fmt: skip
        body, _errors = process.communicate(timeout=20)

        assert json.loads(body)["state"] == "received"

    def test_a_chunked_body_that_breaks_off_is_truncated(self, server: Server, sender: Caller) -> None:
        answer = _exchange(
            server, _request_head(sender, "Transfer-Encoding: chunked") + b"20\r\naccount,meter\n"
        )

        assert b"truncated_body" in answer

    def test_a_body_above_the_limit_is_refused_before_it_comes(self, server: Server, sender: Caller) -> None:
        answer = _exchange(server, _request_head(sender, f"Content-Length: {2**30}"))

        assert b"413" in answer.splitlines()[0]
        assert b"body_too_large" in answer

    @pytest.mark.parametrize(
        "lengths",
        ["Content-Length: -1", "Content-Length: +5", "Content-Length: 5, 5",
         "Content-Length: 5\r\nTransfer-Encoding: chunked"],
    )  # fmt: skip
    def test_doubtful_lengths_are_refused_and_the_connection_closed(
        self, server: Server, sender: Caller, lengths: str
    ) -> None:
        answer = _exchange(server, _request_head(sender, lengths) + b"0\r\n\r\n", half_close=False)

        assert b"400" in answer.splitlines()[0]


def _request_head(caller: Caller, *headers: str) -> bytes:
    head = [
        f"POST {SEND_TO} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {caller.key}",
        "Content-Type: text/csv",
        *headers,
    ]
    return "\r\n".join([*head, "", ""]).encode()


def _exchange(server: Server, request: bytes, *, half_close: bool = True) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _answer_while_trickling(connection: socket.socket) -> bytes:
    connection.settimeout(0.2)
    answer = b""
    while True:
        try:
            connection.sendall(b"x")
            piece = connection.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            return answer
        if not piece:
            return answer
        answer += piece


def _is_closed(link: socket.socket) -> bool:
    try:
        link.sendall(b"x")
    except OSError:
        return True
    return False


def _stalled_reader(server: Server, caller: Caller) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port))
    request = f"GET {RECORDS} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {caller.key}\r\n\r\n"
    connection.sendall(request.encode())
    connection.recv(1000)
    return connection
