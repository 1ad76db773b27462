"""A process of its own that is sent far too much, so that its memory can be measured; prints one line per case.

Run as a module with a source key and a directory for files. Speaks WSGI to the application as a server does, since a
test client would hold the whole body itself.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command

from tests.bad_inputs.too_much import MEBIBYTE, bomb, cases
from usage_portal.wsgi import application


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
