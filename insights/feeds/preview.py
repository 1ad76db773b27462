"""What the first lines of a file would become, read as ingest reads them; pure, and stores nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from insights.ingest.catalogue import Catalogue, MeterFact, dimension_keys_of
from insights.ingest.cells import read_object
from insights.ingest.grammar import scan_text
from insights.ingest.layout import Header, Layout, layout_of
from insights.ingest.limits import Limits
from insights.ingest.lines import Chunk, open_delivery
from insights.ingest.outcomes import AcceptedLine, RejectedLine
from insights.ingest.parse import parse_chunk
from insights.ingest.refusals import Refusal
from insights.ingest.source_definition import SourceDefinition
from insights.values.period import local_day, start_of_day

PREVIEW_LINES_MAX = 20


@dataclass(frozen=True, slots=True)
class Opening:
    """The first lines of a file, its header understood."""

    header: Header
    chunk: Chunk
    references: frozenset[str]


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """One line and what it would become: a record, or the code and the words of its refusal."""

    line_no: int
    account: str = ""
    meter: str = ""
    unit: str = ""
    window_start: datetime | None = None
    window_end: datetime | None = None
    dimensions: tuple[tuple[str, str], ...] = ()
    row_id: str = ""
    revision: int | None = None
    quantity: Decimal | None = None
    code: str = ""
    field: str = ""
    value: str = ""
    message: str = ""
    is_known_only: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """The lines in order, and how many would be taken, refused and passed over."""

    form: str
    lines: tuple[PreviewLine, ...]
    accepted: int
    refused: int
    blank: int


def open_preview(
    pieces: Iterable[bytes], *, definition: SourceDefinition, meters: Mapping[str, MeterFact]
) -> Opening:
    """Read the header and the first lines, or raise RequestRefused as an upload would."""
    dimension_keys = dimension_keys_of(meters.values())
    delivery = open_delivery(
        pieces,
        definition=definition,
        dimension_keys=dimension_keys,
        limits=Limits(chunk_lines=PREVIEW_LINES_MAX),
    )
    chunk = next(delivery.chunks(), Chunk(delivery.first_line_no, []))
    # A JSON document comes as one chunk, whatever its length.
    chunk = Chunk(chunk.first_line_no, chunk.lines[:PREVIEW_LINES_MAX])
    layout = layout_of(delivery.header, definition, dimension_keys)
    return Opening(
        header=delivery.header,
        chunk=chunk,
        references=_references(chunk, layout, definition),
    )


def _references(chunk: Chunk, layout: Layout, definition: SourceDefinition) -> frozenset[str]:
    """The accounts that the lines could name, so that only those are looked up."""
    found = set()
    if constant := definition.constants.get("account"):
        found.add(constant)
    for line in chunk.lines:
        try:
            if layout.form == "csv":
                values = layout.values_of_cells(line)
            else:
                values = layout.values_of_object(read_object(line))
            found.add(scan_text(values.get("account"), "account"))
        except Refusal:
            continue
    return frozenset(found)


def preview_lines(
    opening: Opening,
    *,
    definition: SourceDefinition,
    catalogue: Catalogue,
    now: datetime,
    batch_revision: int | None = None,
) -> Preview:
    """What each of the first lines would become if the file were sent now."""
    parsed = parse_chunk(
        opening.chunk,
        header=opening.header,
        definition=definition,
        catalogue=catalogue,
        now=now,
        batch_revision=batch_revision,
    )
    references = {fact.id: reference for reference, fact in catalogue.accounts.items()}
    meters = {version.id: version for fact in catalogue.meters.values() for version in fact.versions()}
    lines = [_record(line, definition, references, meters) for line in parsed.accepted]
    lines += [_refusal(line) for line in parsed.rejected]
    lines += [_refusal(refusal, is_known_only=True) for _, refusal in parsed.doubtful]
    return Preview(
        form=opening.header.form,
        lines=tuple(sorted(lines, key=lambda line: line.line_no)),
        accepted=len(parsed.accepted),
        refused=len(parsed.rejected) + len(parsed.doubtful),
        blank=parsed.blank,
    )


def _record(
    line: AcceptedLine,
    definition: SourceDefinition,
    references: Mapping[int, str],
    meters: Mapping[int, MeterFact],
) -> PreviewLine:
    meter = meters[line.meter_id]
    return PreviewLine(
        line_no=line.line_no,
        account=references[line.account_id],
        meter=meter.key,
        unit=meter.unit,
        window_start=line.window_start,
        window_end=_window_end(line.window_start, definition),
        dimensions=line.dimensions,
        row_id=line.row_id,
        revision=line.revision,
        quantity=line.quantity,
    )


def _refusal(line: RejectedLine, *, is_known_only: bool = False) -> PreviewLine:
    return PreviewLine(
        line_no=line.line_no,
        account=line.account_reference or "",
        code=line.code,
        field=line.field,
        value=line.value,
        message=line.message,
        is_known_only=is_known_only,
    )


def _window_end(window_start: datetime, definition: SourceDefinition) -> datetime:
    if definition.window != "day":
        return window_start + timedelta(seconds=definition.window_seconds)
    # A local day has 23 to 25 hours.
    zone = ZoneInfo(definition.clock_zone) if definition.clock_zone else UTC
    return start_of_day(local_day(window_start, zone) + timedelta(days=1), zone)
