"""Small deliveries for the tests of ingest: one good row, changed in one place, in all three forms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from insights.ingest.catalogue import AccountFact, Catalogue, MeterFact
from insights.ingest.limits import Limits
from insights.ingest.lines import open_delivery
from insights.ingest.outcomes import AcceptedLine, ParsedChunk, RejectedLine
from insights.ingest.parse import parse_chunk
from insights.ingest.source_definition import SourceDefinition

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FORMS = ("csv", "ndjson", "json")
ROW: Mapping[str, object] = {
    "account": "ansel",
    "meter": "bytes_out",
    "window_start": "2026-11-23T10:00:00Z",
    "quantity": "5",
    "row_id": "r1",
}
CATALOGUE = Catalogue(
    accounts={
        "ansel": AccountFact(1),
        "brook": AccountFact(2),
        "closed": AccountFact(3, "closed", datetime(2026, 11, 10, tzinfo=UTC)),
        "caf\u00e9": AccountFact(4),
    },
    meters={
        "bytes_out": MeterFact(10, "bytes_out", "B", 3600, ("region", "protocol")),
        "corrections": MeterFact(11, "corrections", "B", 3600, allows_negative=True),
        "retired": MeterFact(12, "retired", "B", 3600, retired_at=datetime(2026, 11, 10, tzinfo=UTC)),
        "daily": MeterFact(13, "daily", "B", 86400),
        "renewed": MeterFact(
            16,
            "renewed",
            "B",
            3600,
            ("region", "zone"),
            earlier=MeterFact(
                15, "renewed", "B", 3600, ("region", "site"), retired_at=datetime(2026, 11, 10, tzinfo=UTC)
            ),
        ),
        "electricity": MeterFact(14, "electricity", "kWh", 1800),
    },
)
SOURCE = SourceDefinition(slug="edge", name="Edge", key_kind="row_id", window="hour")


class Bare(str):
    """A value that stands in JSON exactly as written, without quotes."""

    __slots__ = ()


def source(**changes: object) -> SourceDefinition:
    return replace(SOURCE, **changes)  # type: ignore[arg-type]


def row(**changes: object) -> dict[str, object]:
    """The good row with changes; a change to None leaves the field out."""
    return {name: value for name, value in (ROW | changes).items() if value is not None}


def body(form: str, rows: Iterable[Mapping[str, object]]) -> bytes:
    rows = list(rows)
    if form == "csv":
        names = list(dict.fromkeys(name for item in rows for name in item))
        lines = [names, *([str(item.get(name, "")) for name in names] for item in rows)]
        return "\n".join(",".join(map(_cell, line)) for line in lines).encode() + b"\n"
    objects = [_json(item) for item in rows]
    if form == "ndjson":
        return "\n".join(objects).encode() + b"\n"
    return ('{"rows": [' + ", ".join(objects) + "]}").encode()


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


def _json(item: Mapping[str, object]) -> str:
    members = (
        f"{json.dumps(name)}: {value if isinstance(value, Bare) else json.dumps(value)}"
        for name, value in item.items()
    )
    return "{" + ", ".join(members) + "}"


def parse(
    data: bytes,
    *,
    definition: SourceDefinition = SOURCE,
    form: str | None = None,
    catalogue: Catalogue = CATALOGUE,
    now: datetime = NOW,
    limits: Limits | None = None,
    batch_revision: int | None = None,
    piece_bytes: int = 1_000_000,
) -> ParsedChunk:
    """The whole delivery as one parsed chunk, however many it took."""
    pieces = (data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes))
    delivery = open_delivery(
        pieces,
        definition=definition,
        dimension_keys=catalogue.dimension_keys,
        form=form,
        limits=limits or Limits(),
    )
    parts = [
        parse_chunk(
            chunk,
            header=delivery.header,
            definition=definition,
            catalogue=catalogue,
            now=now,
            batch_revision=batch_revision,
        )
        for chunk in delivery.chunks()
    ]
    return ParsedChunk(
        accepted=[line for part in parts for line in part.accepted],
        rejected=[line for part in parts for line in part.rejected],
        doubtful=[line for part in parts for line in part.doubtful],
        blank=sum(part.blank for part in parts),
        replacement_characters=sum(part.replacement_characters for part in parts),
    )


def outcome(
    form: str, definition: SourceDefinition = SOURCE, **changes: object
) -> AcceptedLine | RejectedLine:
    """What becomes of the one row with these changes; a doubtful one counts as its rejection."""
    parsed = parse(body(form, [row(**changes)]), definition=definition, form=form)
    assert parsed.received == 1
    return (*parsed.accepted, *parsed.rejected, *(rejected for _, rejected in parsed.doubtful))[0]


def accepted(form: str, definition: SourceDefinition = SOURCE, **changes: object) -> AcceptedLine:
    found = outcome(form, definition, **changes)
    assert isinstance(found, AcceptedLine), found
    return found


def refused(form: str, definition: SourceDefinition = SOURCE, **changes: object) -> str:
    """The code that refuses the row."""
    found = outcome(form, definition, **changes)
    assert isinstance(found, RejectedLine), found
    return found.code
