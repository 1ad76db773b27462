"""Cuts a long file at line ends into parts that each carry the header, and are batches of their own.

Holds one part at a time. What is wrong with the bytes is raised by the part in which it is met, so that it is kept as
that part's refusal, like one that came by HTTP.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from insights.ingest.limits import MEBIBYTE, Limits
from insights.ingest.lines import form_of
from insights.ingest.refusals import RequestRefused
from insights.ingest.unpack import peek, unpacked_pieces

PART_LINES = 250_000
PART_BYTES = 32 * MEBIBYTE
# A file may be of any length since it is cut; a bomb is known by what its bytes unpack to.
_LIMITS = Limits(unpacked_bytes=sys.maxsize)


@dataclass(frozen=True, slots=True)
class Part:
    """One batch's worth of a file: its form (csv, ndjson, json, or any when it could not be seen) and its bytes."""

    form: str
    pieces: Iterable[bytes]


def parts_of(pieces: Iterable[bytes], *, expected: str, declared: str | None = None) -> Iterator[Part]:
    """Take off gzip, find the form as open_delivery does, and yield parts; a JSON document is a single one."""
    form = "any"
    try:
        opening, plain = peek(unpacked_pieces(pieces, limits=_LIMITS))
        form = form_of(opening, expected, declared)
        if form == "json":
            yield Part(form, plain)
            return
        for part in split_lines(_lines(plain), has_header=form == "csv"):
            yield Part(form, [part])
    except RequestRefused as refusal:
        yield Part(form, _refusing(refusal))


def split_lines(lines: Iterable[bytes], *, has_header: bool) -> Iterator[bytes]:
    """Yield parts of at most PART_LINES data lines; with has_header the first line stands on top of each.

    `lines` keep their line ends.
    """
    iterator = iter(lines)
    header = next(iterator, b"") if has_header else b""
    waiting: list[bytes] = []
    size, made = 0, False
    for line in iterator:
        waiting.append(line)
        size += len(line)
        if len(waiting) == PART_LINES or size > PART_BYTES:
            yield b"".join((header, *waiting))
            waiting, size, made = [], 0, True
    if waiting or not made:
        yield b"".join((header, *waiting))


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting, line_no = b"", 1
    for piece in pieces:
        lines = (waiting + piece).splitlines(keepends=True)
        # The last line may go on in the next piece, and a CR at its end may be half of a CRLF.
        waiting = b"" if lines[-1].endswith(b"\n") else lines.pop()
        yield from lines
        line_no += len(lines)
        if len(waiting) > _LIMITS.physical_line_bytes:
            detail = f"line {line_no} is above {_LIMITS.physical_line_bytes} bytes"
            raise RequestRefused("field_too_long", detail, line=line_no)
    if waiting:
        yield waiting


def _refusing(refusal: RequestRefused) -> Iterator[bytes]:
    yield from ()
    raise refusal
