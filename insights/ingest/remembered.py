"""What makes a line plain, and what the parts of plain lines that repeat mean, asked of the strict reader once each.

Both quick ways use this, line by line and by columns, so that neither has a meaning of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from insights.ingest.limits import LINE_BYTES_MAX
from insights.ingest.line_reader import LineReader
from insights.ingest.refusals import Refusal
from insights.ingest.source_faults import DIMENSION
from insights.ingest.windows import remembered_window_start

PLAIN_QUANTITY = r"(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,9})?"
PLAIN_ROW_ID = r"[!-~](?:[ -~]{0,198}[!-~])?"
PLAIN_CHARACTERS = LINE_BYTES_MAX // 4
# What never repeats is not worth remembering.
REMEMBERED_MAX = 65_536


class Memory(dict[Any, Any]):
    """Remembers what a few cells mean; None when only the strict reader can tell, as where something is invisible.

    The key is the cell itself where there is one, else the cells in the order of `fields`.
    """

    def __init__(self, fields: Sequence[str], meaning: Callable[[dict[str, object]], Any]) -> None:
        super().__init__()
        self.fields = tuple(fields)
        self.meaning = meaning

    def __missing__(self, key: Any) -> Any:
        cells = (key,) if len(self.fields) == 1 else key
        found = None
        if "".join(cells).isprintable():
            with suppress(Refusal):
                found = self.meaning(dict(zip(self.fields, cells, strict=True)))
        if len(self) >= REMEMBERED_MAX:
            self.clear()
        self[key] = found
        return found


@dataclass(frozen=True, slots=True)
class Memories:
    """Subjects by account, meter, unit and dimensions; recent window starts; revisions."""

    subjects: Memory
    starts: Memory
    revisions: Memory


def memories_of(reader: LineReader) -> Memories:
    """Empty memories that ask the reader."""
    fields = reader.layout.fields

    def recent_start(values: dict[str, object]) -> datetime | None:
        sent, sent_end = values.get("window_start", ""), values.get("window_end", "")
        start = remembered_window_start(reader.clock, sent, sent_end)
        return start if reader.oldest <= start <= reader.latest else None

    return Memories(
        subjects=Memory([field for field in fields if _names_subject(field)], reader.subject_of),
        starts=Memory([field for field in fields if field in ("window_start", "window_end")], recent_start),
        revisions=Memory([field for field in fields if field == "revision"], reader.revision),
    )


def _names_subject(field: str) -> bool:
    return field in ("account", "meter", "unit") or field.startswith(DIMENSION)
