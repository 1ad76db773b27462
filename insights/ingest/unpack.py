"""Sent bytes to plain bytes: gzip is taken off while it streams, known binary files are refused.

Never holds more than one piece, and stops as soon as a limit is crossed, not after.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from insights.ingest.limits import MEBIBYTE, Limits
from insights.ingest.refusals import RequestRefused

_PIECE_BYTES = MEBIBYTE // 4
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BINARY_FILES = (
    (b"PK\x03\x04", "a zip archive or spreadsheet"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"%PDF", "a PDF document"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
)


def unpacked_pieces(
    pieces: Iterable[bytes], *, limits: Limits, gzip_declared: bool = False
) -> Iterator[bytes]:
    """The plain bytes of a delivery, in pieces of at most 256 KiB."""
    opening, rest = peek(_reblocked(pieces))
    if opening.startswith(_GZIP):
        plain_opening, plain = peek(_inflated(rest, limits))
        if plain_opening.startswith(_GZIP):
            raise RequestRefused("unsupported_media_type", "the body is gzip inside gzip")
        _refuse_binary(plain_opening)
        return plain
    if gzip_declared:
        raise RequestRefused("encoding", "the body is declared as gzip and is not gzip")
    _refuse_binary(opening)
    return _bounded(rest, limits)


def peek(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first piece, and all pieces with it."""
    first = next(pieces, b"")
    return first, chain((first,), pieces) if first else pieces


def _refuse_binary(opening: bytes) -> None:
    for magic, name in _BINARY_FILES:
        if opening.startswith(magic):
            detail = f"the body is {name}; send CSV or JSON, plain or gzipped"
            raise RequestRefused("unsupported_media_type", detail)


def refuse_utf16(opening: bytes, *, status: int) -> None:
    if opening.startswith(_UTF16):
        detail = "the body is UTF-16; save it as UTF-8"
        raise RequestRefused("encoding", detail, status=status)


def _reblocked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # Senders choose the piece sizes; work per piece must not depend on their choice.
    waiting: list[bytes] = []
    waiting_bytes = 0
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _PIECE_BYTES):
            part = bytes(view[start : start + _PIECE_BYTES])
            waiting.append(part)
            waiting_bytes += len(part)
            if waiting_bytes >= _PIECE_BYTES:
                yield b"".join(waiting)
                waiting, waiting_bytes = [], 0
    if waiting:
        yield b"".join(waiting)


def _bounded(pieces: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limits.unpacked_bytes:
            detail = f"the body is above {limits.unpacked_bytes} bytes"
            raise RequestRefused("body_too_large", detail)
        yield piece


def _inflated(pieces: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    sent = unpacked = 0
    member = zlib.decompressobj(wbits=31)
    for piece in pieces:
        sent += len(piece)
        waiting = piece
        while True:
            if member.eof:
                if not waiting:
                    break
                # Each further member is checked as fully as the first; junk has no gzip header.
                member = zlib.decompressobj(wbits=31)
            plain = _inflate(member, waiting)
            waiting = member.unused_data if member.eof else member.unconsumed_tail
            unpacked += len(plain)
            _refuse_bomb(sent - len(waiting), unpacked, limits)
            if plain:
                yield plain
            elif not waiting:
                break
    if not member.eof:
        raise RequestRefused("truncated_body", "the gzip data ends before its end mark")


def _inflate(member: zlib._Decompress, waiting: bytes) -> bytes:
    try:
        return member.decompress(waiting, _PIECE_BYTES)
    except zlib.error as error:
        detail = f"the gzip data is damaged or followed by other bytes: {error}"
        raise RequestRefused("encoding", detail) from None


def _refuse_bomb(sent: int, unpacked: int, limits: Limits) -> None:
    too_dense = unpacked > limits.ratio_floor_bytes and unpacked > limits.ratio * sent
    if too_dense or unpacked > limits.unpacked_bytes:
        detail = (
            f"the body unpacks to more than {limits.ratio} times its size or {limits.unpacked_bytes} bytes"
        )
        raise RequestRefused("archive_bomb", detail)
