"""A delivery's bytes to numbered physical lines, in chunks that can be taken one by one.

Every line end counts (LF, CRLF, CR, mixed), no cell may hold one, and so each line stands alone.
Bytes that are not UTF-8 refuse the delivery; no encoding is guessed. Memory does not grow with the
delivery, except for one JSON document, whose size is limited.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from pathlib import PurePosixPath

from insights.ingest.json_document import document_rows
from insights.ingest.layout import Header, read_header
from insights.ingest.limits import LINE_BYTES_MAX, Limits
from insights.ingest.refusals import RequestRefused
from insights.ingest.source_definition import SourceDefinition
from insights.ingest.unpack import peek, refuse_utf16, unpacked_pieces

_LINE_ENDS = re.compile(rb"\r\n|\r|\n")
_DOCUMENT = re.compile(rb'\s*(?:\{\s*(?:"rows"|\}|\Z)|\[)')
_OBJECT = re.compile(rb"\s*\{")
_PERHAPS_BLANK = re.compile(r"\n[ \t\n]")
_ENDINGS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json"}


class Chunk:
    """Consecutive lines; the line number of a JSON document's row is its place in rows, from 1.

    Held as one text, each line with its end, until somebody asks for the lines one by one.
    """

    __slots__ = ("_lines", "count", "first_line_no", "text")

    def __init__(self, first_line_no: int, lines: list[str]) -> None:
        self.first_line_no = first_line_no
        self.count = len(lines)
        self.text: str | None = None
        self._lines: list[str] | None = lines

    @classmethod
    def of_text(cls, first_line_no: int, text: str, count: int) -> Chunk:
        """The chunk of a text that has so many line ends, the last character being one."""
        chunk = cls(first_line_no, [])
        chunk.text, chunk.count, chunk._lines = text, count, None
        return chunk

    @property
    def lines(self) -> list[str]:
        if self._lines is None:
            self._lines = _lines_of(self.text or "")
        return self._lines

    @property
    def last_line_no(self) -> int:
        return self.first_line_no + self.count - 1


class Delivery:
    """An opened delivery: its header is read and sound; its lines can be taken once, in order."""

    def __init__(self, header: Header, first_line_no: int, blocks: Iterator[str], limits: Limits) -> None:
        self.header = header
        self.first_line_no = first_line_no
        self._blocks = blocks
        self._limits = limits

    def chunks(self, *, from_line: int = 1) -> Iterator[Chunk]:
        """The chunks from the given line on. Where one ends depends on its lines alone, not on how they came."""
        waiting: list[str] = []
        count = size = 0
        line_no = self.first_line_no
        for block, lines in self._counted_blocks():
            skipped = min(lines, max(0, from_line - line_no)) if not count else 0
            line_no += skipped
            waiting.append(block[_end_of_line(block, lines, skipped) :] if skipped else block)
            count += lines - skipped
            size += len(waiting[-1])
            while full := _lines_of_full_chunk(waiting, count, size - count, self._limits):
                text = "".join(waiting)
                end = _end_of_line(text, count, full)
                yield Chunk.of_text(line_no, text[:end], full)
                waiting = [text[end:]]
                line_no, count, size = line_no + full, count - full, len(text) - end
        if count:
            yield Chunk.of_text(line_no, "".join(waiting), count)

    def count(self) -> tuple[int, int]:
        """The number of the last line, and how many lines are not blank; holds none of them."""
        last, rows = self.first_line_no - 1, 0
        for block, lines in self._counted_blocks():
            last += lines
            rows += lines - _blank_lines(block)
        return last, rows

    def _counted_blocks(self) -> Iterator[tuple[str, int]]:
        count = 0
        for block in self._blocks:
            lines = block.count("\n")
            count += lines
            if count > self._limits.lines:
                detail = f"the delivery has more than {self._limits.lines} lines"
                raise RequestRefused("batch_too_many_rows", detail)
            yield block, lines


class DocumentDelivery(Delivery):
    """A JSON document, whose rows are its lines: one may go over several lines of the file."""

    def __init__(self, rows: list[str], limits: Limits) -> None:
        super().__init__(Header("json"), 1, iter(()), limits)
        self._rows = rows

    def chunks(self, *, from_line: int = 1) -> Iterator[Chunk]:
        place = max(0, from_line - 1)
        while place < len(self._rows):
            most = self._rows[place : place + self._limits.chunk_lines]
            full = _fitting_lines(most, self._limits)
            yield Chunk(place + 1, most[:full])
            place += full

    def count(self) -> tuple[int, int]:
        return len(self._rows), sum(1 for row in self._rows if row.strip(" \t"))


def _lines_of(text: str) -> list[str]:
    lines = text.split("\n")
    lines.pop()
    return lines


def _end_of_line(text: str, count: int, line: int) -> int:
    """Where the given line of a text of so many lines ends, behind its end; most often it is one of the last."""
    return len(text.rsplit("\n", count - line + 1)[0]) + 1


def _lines_of_full_chunk(texts: Sequence[str], count: int, characters: int, limits: Limits) -> int:
    """How many lines make the first chunk; 0 while lines still to come may belong to it."""
    if characters <= limits.chunk_characters:
        return limits.chunk_lines if count >= limits.chunk_lines else 0
    return _fitting_lines(_lines_of("".join(texts)), limits)


def _fitting_lines(lines: Sequence[str], limits: Limits) -> int:
    fitting = bisect_right(list(accumulate(map(len, lines))), limits.chunk_characters)
    return max(1, min(fitting, limits.chunk_lines))


def _blank_lines(block: str) -> int:
    # Looked for at once; only where there may be one are the lines taken apart.
    if block[:1] not in (" ", "\t", "\n") and _PERHAPS_BLANK.search(block) is None:
        return 0
    return sum(1 for line in _lines_of(block) if not line.strip(" \t"))


def open_delivery(
    pieces: Iterable[bytes],
    *,
    definition: SourceDefinition,
    dimension_keys: Collection[str],
    form: str | None = None,
    gzip_declared: bool = False,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
) -> Delivery:
    """Take off gzip, find the form, read the header; RequestRefused when any of it is wrong.

    form is what the sender declared (csv, ndjson or json), None when nothing was said.
    """
    plain = unpacked_pieces(pieces, limits=limits, gzip_declared=gzip_declared)
    opening, plain = peek(plain)
    found = form_of(opening, definition.format, form)
    refuse_utf16(opening, status=400 if found == "json" else 415)
    if found == "json":
        return _open_document(plain, limits)
    blocks = text_blocks(plain, limits=limits)
    if found == "ndjson":
        return Delivery(Header("ndjson"), 1, blocks, limits)
    header_line, _, rest = next(blocks, "").partition("\n")
    if bytes_above(header_line, LINE_BYTES_MAX):
        raise RequestRefused("header", f"the first line is above {LINE_BYTES_MAX} bytes", line=1)
    header = read_header(
        header_line,
        definition=definition,
        dimension_keys=dimension_keys,
        columns_max=limits.columns,
    )
    return Delivery(header, 2, chain((rest,), blocks), limits)


def form_named(file_name: str) -> str | None:
    """The form that a file's ending names, gzipped or not; None when it names none."""
    ending = PurePosixPath(file_name.lower().removesuffix(".gz")).suffix
    return _ENDINGS.get(ending)


def form_of(opening: bytes, expected: str, declared: str | None) -> str:
    """The form of a delivery by what its source sends, what its sender said, and last by how it begins."""
    if expected != "any":
        if declared not in (None, expected):
            detail = f"this source sends {expected}, not {declared}"
            raise RequestRefused("unsupported_media_type", detail)
        return expected
    if declared is not None:
        return declared
    text = opening.removeprefix(codecs.BOM_UTF8)
    if _DOCUMENT.match(text):
        return "json"
    return "ndjson" if _OBJECT.match(text) else "csv"


def _open_document(plain: Iterator[bytes], limits: Limits) -> Delivery:
    parts: list[bytes] = []
    total = 0
    for part in plain:
        total += len(part)
        if total > limits.json_bytes:
            detail = f"a JSON document may have {limits.json_bytes} bytes; send NDJSON or CSV"
            raise RequestRefused("body_too_large", detail)
        parts.append(part)
    data = b"".join(parts)
    stripped = data.removeprefix(codecs.BOM_UTF8)
    text = _decoded(stripped, offset=len(data) - len(stripped), line_no=1)
    rows = document_rows(text, rows_max=limits.lines)
    return DocumentDelivery(rows, limits)


def text_blocks(pieces: Iterable[bytes], *, limits: Limits) -> Iterator[str]:
    """The physical lines, each ended by LF whatever ended it, in texts of whatever came at once."""
    waiting, offset, line_no = b"", 0, 1
    for piece in pieces:
        data = waiting + piece
        if not offset and data.startswith(codecs.BOM_UTF8):
            data, offset = data[len(codecs.BOM_UTF8) :], len(codecs.BOM_UTF8)
        # A CR in the last place may be half of a CRLF, so its line waits for the next piece.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
        if cut:
            text = _text(data[:cut], offset, line_no, limits)
            offset += cut
            line_no += text.count("\n")
            yield text
        waiting = data[cut:]
        if len(waiting) > limits.physical_line_bytes:
            raise _line_too_long(line_no, limits)
    if waiting:
        yield _text(waiting, offset, line_no, limits)


def _text(data: bytes, offset: int, line_no: int, limits: Limits) -> str:
    text = _decoded(data, offset=offset, line_no=line_no)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n"):
        text += "\n"
    if len(data) > limits.physical_line_bytes:
        _refuse_long_lines(_lines_of(text), line_no, limits)
    return text


def _refuse_long_lines(lines: list[str], line_no: int, limits: Limits) -> None:
    for place, line in enumerate(lines):
        if bytes_above(line, limits.physical_line_bytes):
            raise _line_too_long(line_no + place, limits)


def bytes_above(text: str, bytes_max: int) -> bool:
    # A character has at most four bytes, so most texts need no encoding to be measured.
    return len(text) * 4 > bytes_max and len(text.encode()) > bytes_max


def _line_too_long(line_no: int, limits: Limits) -> RequestRefused:
    detail = f"line {line_no} is above {limits.physical_line_bytes} bytes"
    return RequestRefused("field_too_long", detail, line=line_no)


def _decoded(data: bytes, *, offset: int, line_no: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = line_no + len(_LINE_ENDS.findall(data, 0, error.start))
        detail = (
            f"the body is not UTF-8: byte {offset + error.start + 1} is "
            f"0x{data[error.start]:02x}; save it as UTF-8"
        )
        raise RequestRefused("encoding", detail, line=line) from None
