"""How much one delivery may be. Every limit is applied before the work it protects."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024
LINE_BYTES_MAX = 64 * 1024
JSON_DEPTH_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The usual limits of a delivery by HTTP or browser; the command line may set other lines.

    A line above LINE_BYTES_MAX is refused alone; one above physical_line_bytes refuses the delivery,
    since a reader would have to hold it whole. A chunk is as many lines as both its limits allow: with long lines,
    the number of lines alone would bound no memory.
    """

    lines: int = 1_000_000
    chunk_lines: int = 50_000
    chunk_characters: int = 8 * MEBIBYTE
    columns: int = 200
    physical_line_bytes: int = MEBIBYTE
    json_bytes: int = 8 * MEBIBYTE
    unpacked_bytes: int = 512 * MEBIBYTE
    ratio: int = 200
    ratio_floor_bytes: int = MEBIBYTE
