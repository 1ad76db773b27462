"""Far too much of everything, made while it is sent."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator
from functools import cache

MEBIBYTE = 1024 * 1024
HEADER = b"account,meter,window_start,quantity,row_id\n"
LINE = b"ansel,bytes_out,2026-11-23T10:00:00Z,5,%08d\n"
SENT_MAX = 64 * MEBIBYTE
# Status, code, and how many bytes may have been read by then.
EXPECTED = {
    "1 GiB": (413, "body_too_large", SENT_MAX),
    "1 GiB announced": (413, "body_too_large", 0),
    "bomb": (413, "archive_bomb", SENT_MAX),
    "deep": (400, "too_deep", SENT_MAX),
    "columns": (400, "header", SENT_MAX),
    "field": (413, "field_too_long", SENT_MAX),
    "document": (413, "body_too_large", SENT_MAX),
    "rows": (413, "batch_too_many_rows", SENT_MAX),
    "as many as may be": (202, "", SENT_MAX),
}


def repeated(piece: bytes, *, size_bytes: int) -> Iterator[bytes]:
    for _ in range(size_bytes // len(piece)):
        yield piece


@cache
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
