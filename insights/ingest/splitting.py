"""Splits a long file at line ends into parts that each carry the header; holds one part at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PART_LINES = 250_000


def split_lines(lines: Iterable[bytes], *, has_header: bool) -> Iterator[bytes]:
    """Yield parts of at most PART_LINES data lines; with has_header the first line stands on top of each.

    `lines` keep their line ends, as a file opened in binary mode gives them.
    """
    iterator = iter(lines)
    header = next(iterator, b"") if has_header else b""
    waiting: list[bytes] = []
    made = False
    for line in iterator:
        waiting.append(line)
        if len(waiting) == PART_LINES:
            yield b"".join((header, *waiting))
            waiting, made = [], True
    if waiting or not made:
        yield b"".join((header, *waiting))
