"""A process of its own that is sent far too much, so that its memory can be measured; prints one line per case.

Run as a module with a source key and a directory for files. Speaks WSGI to the application as a server does, since a
test client would hold the whole body itself.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command

from usage_portal.wsgi import application

MEBIBYTE = 1024 * 1024
HEADER = b"account,meter,window_start,quantity,row_id\n"
LINE = b"ansel,bytes_out,2026-11-23T10:00:00Z,5,%08d\n"


class Body(io.RawIOBase):
    """A body that is made while it is read, and counts how much was."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._waiting = b""
        self.bytes_read = 0

    def read(self, size: int = -1) -> bytes:
        while len(self._waiting) < size and (piece := next(self._pieces, b"")):
            self._waiting += piece
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        self.bytes_read += len(taken)
        return taken


def repeated(piece: bytes, *, size_bytes: int) -> Iterator[bytes]:
    for _ in range(size_bytes // len(piece)):
        yield piece


def bomb() -> bytes:
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=9) as stream:
        for piece in repeated(b"\0" * MEBIBYTE, size_bytes=200 * MEBIBYTE):
            stream.write(piece)
    return packed.getvalue()


def numbered_lines(count: int) -> Iterator[bytes]:
    yield HEADER
    for start in range(0, count, 1000):
        yield b"".join(LINE % number for number in range(start, min(start + 1000, count)))


def cases() -> Iterator[tuple[str, str, Iterable[bytes], int | None]]:
    """Name, media type, body, and the announced length where there is one."""
    gibibyte = 1024 * MEBIBYTE
    yield "1 GiB", "text/csv", repeated(LINE * 1000, size_bytes=gibibyte), None
    yield "1 GiB announced", "text/csv", repeated(LINE * 1000, size_bytes=gibibyte), gibibyte
    yield "bomb", "text/csv", [bomb()], None
    yield "deep", "application/json", [b"[" * 100_000], None
    yield "columns", "text/csv", [b",".join(b"column%d" % number for number in range(10_000))], None
    yield "field", "text/csv", _long_field(), None
    yield "document", "application/json", _long_document(), None
    yield "rows", "text/csv", [HEADER, *repeated(b"x\n" * 1000, size_bytes=2_000_000), b"x\n"], None
    yield "as many as may be", "text/csv", numbered_lines(999_000), None


def _long_field() -> Iterator[bytes]:
    yield HEADER + b'ansel,bytes_out,2026-11-23T10:00:00Z,5,"'
    yield from repeated(b"x" * 65_536, size_bytes=50_000_000)


def _long_document() -> Iterator[bytes]:
    yield b'{"rows": ['
    yield from repeated(b'{"account": "ansel"},' * 1000, size_bytes=60 * MEBIBYTE)


def environ_of(key: str, media_type: str, body: Body, announced: int | None) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/v1/usage/batches",
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": media_type,
        "HTTP_HOST": "testserver",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if announced is None:
        environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    else:
        environ["CONTENT_LENGTH"] = str(announced)
    return environ


def post(key: str, media_type: str, body: Body, announced: int | None) -> tuple[int, str]:
    statuses: list[str] = []
    response = application(
        environ_of(key, media_type, body, announced), lambda status, headers: statuses.append(status)
    )
    document = json.loads(b"".join(response))
    return int(statuses[0][:3]), document.get("code", "")


def command_codes(directory: Path) -> Iterator[tuple[str, str]]:
    """What the command says to a bomb and to a file of 1 GiB without a line end."""
    bomb_path, endless_path = directory / "bomb.csv.gz", directory / "endless.csv"
    bomb_path.write_bytes(bomb())
    with endless_path.open("wb") as stream:
        stream.truncate(1024 * MEBIBYTE)
    for path in (bomb_path, endless_path):
        try:
            call_command("ingest", "edge", str(path), no_wait=True)
        except CommandError as error:
            found = re.search(r": ([a-z_]+): ", str(error))
            yield path.name, found[1] if found else str(error)


def peak_mebibytes() -> int:
    """The most memory this process ever had. What getrusage tells includes the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) // 1024 if found else 0


def main(key: str, directory: str) -> None:
    for name, media_type, pieces, announced in cases():
        body = Body(pieces)
        status, code = post(key, media_type, body, announced)
        report = {"status": status, "code": code, "bytes_read": body.bytes_read}
        print(json.dumps({"name": name, **report, "peak_mebibytes": peak_mebibytes()}), flush=True)
    for name, code in command_codes(Path(directory)):
        print(json.dumps({"name": name, "code": code, "peak_mebibytes": peak_mebibytes()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
