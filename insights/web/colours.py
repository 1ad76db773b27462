"""Which of the eight series colours a dimension value has: the same on every page and in every period."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

COLOURS = 8


def series_of(values: Iterable[str | None]) -> dict[str | None, int]:
    """Give each value a colour by its own letters; of two that want the same, the later one moves on.

    With more values than colours some repeat, and words tell them apart.
    """
    given: dict[str | None, int] = {}
    free = set(range(1, COLOURS + 1))
    for value in sorted(set(values), key=lambda value: value or ""):
        wanted = crc32((value or "").encode()) % COLOURS
        order = [(wanted + step) % COLOURS + 1 for step in range(COLOURS)]
        colour = next((one for one in order if one in free), order[0])
        free.discard(colour)
        given[value] = colour
    return given
