"""Geometry of the small drawings in pages, in whole pixels: sparkline, share bar and bars in table cells.

Refuses to use floats: a drawing may be off by half a pixel, but quantities are rounded in one way only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

SPARKLINE_WIDTH = 240
SPARKLINE_HEIGHT = 36
SHARE_WIDTH = 1000
SHARE_GAP = 4
_SLOT_WIDTH_MAX = 12
_MARK_HEIGHT = 2
_GAP_HEIGHT = 8
# Above the bars, where the drawing may reach over its own edge.
_NOTE_Y = -5
_NOTE_HEIGHT = 3


@dataclass(frozen=True, slots=True)
class Rectangle:
    """One drawn part: where it is, what kind or series it stands for, and its text for a pointer."""

    x: int
    y: int
    width: int
    height: int
    kind: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Sparkline:
    """All bars of one sparkline and the line they stand on."""

    width: int
    height: int
    axis_y: int
    bars: tuple[Rectangle, ...]


def whole_parts(weights: Sequence[Decimal], total: int) -> tuple[int, ...]:
    """Split `total` by the weights by largest remainder, so that the parts add up to it exactly."""
    usable = [max(Decimal(0), weight) for weight in weights]
    weight_sum = sum(usable, Decimal(0))
    if not weight_sum:
        return tuple(0 for _ in usable)
    exact = [weight * total / weight_sum for weight in usable]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: (parts[index] - exact[index], index))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return tuple(parts)


def sparkline_of(points: Sequence[Mapping[str, Any]]) -> Sparkline:
    """Place one bar for each point; a zero, a gap, an incomplete value and a note get marks of their own."""
    slot = max(2, min(_SLOT_WIDTH_MAX, SPARKLINE_WIDTH // max(1, len(points))))
    width = max(SPARKLINE_WIDTH - slot, slot * len(points))
    numbers = [Decimal(point["y"]) if point.get("y") is not None else Decimal(0) for point in points]
    highest = max([Decimal(0), *numbers])
    lowest = min([Decimal(0), *numbers])
    axis_y = _pixels(highest, highest - lowest) if highest != lowest else SPARKLINE_HEIGHT
    bars = tuple(
        _sparkline_bar(
            point,
            x=index * slot,
            width=max(1, slot - max(1, slot // 4)),
            axis_y=axis_y,
            height=_pixels(abs(number), highest - lowest),
            below=number < 0,
        )
        for index, (point, number) in enumerate(zip(points, numbers, strict=True))
    )
    notes = tuple(
        Rectangle(
            x=bar.x,
            y=_NOTE_Y,
            width=bar.width,
            height=_NOTE_HEIGHT,
            kind="note",
            title=f"{bar.title}; {point['note']}" if bar.title else str(point["note"]),
        )
        for bar, point in zip(bars, points, strict=True)
        if point.get("note")
    )
    return Sparkline(width=width, height=SPARKLINE_HEIGHT, axis_y=axis_y, bars=(*bars, *notes))


def _sparkline_bar(
    point: Mapping[str, Any], *, x: int, width: int, axis_y: int, height: int, below: bool
) -> Rectangle:
    kind = str(point.get("kind", "value"))
    if kind == "gap":
        height = _GAP_HEIGHT
    elif kind == "zero":
        height = _MARK_HEIGHT
    else:
        # A value too small for a pixel is still a value, and must not look like nothing.
        height = max(1, height)
    y = axis_y if below else max(0, axis_y - height)
    return Rectangle(x=x, y=y, width=width, height=height, kind=kind, title=str(point.get("title", "")))


def _pixels(part: Decimal, extent: Decimal) -> int:
    if not extent:
        return 0
    return int((part * SPARKLINE_HEIGHT / extent).to_integral_value())


def share_segments(parts: Sequence[Mapping[str, Any]]) -> tuple[Rectangle, ...]:
    """Lay the parts beside each other over the whole width, with a small gap between two."""
    widths = whole_parts([Decimal(part["weight"]) for part in parts], SHARE_WIDTH)
    segments = []
    x = 0
    for part, width in zip(parts, widths, strict=True):
        if width:
            segments.append(_segment(part, x=x, width=width))
        x += width
    return tuple(segments)


def _segment(part: Mapping[str, Any], *, x: int, width: int) -> Rectangle:
    gap = SHARE_GAP if x + width < SHARE_WIDTH else 0
    words = [str(part["label"]), str(part.get("value") or ""), str(part.get("share") or "")]
    return Rectangle(
        x=x,
        y=0,
        width=max(1, width - gap),
        height=8,
        kind=series_class(part["series"]),
        title=", ".join(word for word in words if word),
    )


def width_of(value: Decimal, maximum: Decimal, total: int = SHARE_WIDTH) -> int:
    """How many of `total` pixels a value fills; more than the maximum fills them all."""
    if maximum <= 0 or value <= 0:
        return 0
    return max(1, min(total, int(value * total / maximum)))


def series_class(series: int | str) -> str:
    """The class that gives a series its colour; whatever is not one of the eight is grey."""
    return f"series-{series}" if str(series) in {"1", "2", "3", "4", "5", "6", "7", "8"} else "series-other"
