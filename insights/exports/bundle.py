"""The proof of a bill as a zip, written in pieces: nothing of it is held but the piece that is being made. Pure.

The same bill gives the same bytes whenever it is asked for: times of the members are the bill's, and only what was
issued goes in, never what became of the bill since.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from insights.billing.bill_document import instant_text
from insights.exports.formatting import csv_lines, safe_text
from insights.exports.stream import Lines
from insights.values.exact import decimal_of
from insights.values.money import currency_decimals

FORMAT = 1
PROOF = "proof"
VERIFIER = Path(__file__).with_name("verify_bill.py")
_README = Path(__file__).with_name("proof_readme.txt")
_LINE_COLUMNS = (
    "position", "key", "kind", "name", "meter", "service_start", "service_end", "metered_quantity", "quantity", "unit",
    "amount", "currency",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedText:
    """An issued bill as the text that its hash is of."""

    number: str
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterOfProof:
    """One version of a meter, as far as lines follow from it; retired only if it was when the bill was issued."""

    key: str
    version: int
    unit: str
    aggregation: str
    dimensions: tuple[str, ...]
    unique_dimensions: tuple[str, ...]
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The records of one meter in one bill's period. `source` is what the reader of records makes lines of."""

    meter: MeterOfProof
    number: str
    is_corrected: bool
    source: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedMonth:
    """A month whose records are archived, and the hash of each table of sums that stays of it."""

    month: str
    sums: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything of a proof but the records themselves.

    `earlier` are other bills that its lines refer to, `corrected` the numbers of those it corrects in their order,
    `named` the meters that lines of all of them name with their other versions, `not_contained` by number the months
    without records.
    """

    bill: IssuedText
    sha256: str
    account: str
    position: int
    issued_at: datetime
    earlier: tuple[IssuedText, ...]
    corrected: tuple[str, ...]
    named: tuple[MeterOfProof, ...]
    tables: tuple[Table, ...]
    not_contained: tuple[tuple[str, tuple[ArchivedMonth, ...]], ...] = ()

    @property
    def file_name(self) -> str:
        """A plain name of the zip."""
        return f"bill-{_plain(self.bill.number)}.zip"


# Opens one table: its heading first, then records, as pieces of CSV.
ReadTable = Callable[[Any], Iterator[Lines]]


def zip_pieces(bundle: Bundle, read_table: ReadTable) -> Iterator[Lines]:
    """Yield the zip in pieces; the number of each is how many records went in, one more for the first."""
    sink = _Sink()
    writer = _Writer(sink, bundle.issued_at)
    for name, content in _documents(bundle):
        writer.add(name, content)
    yield sink.take(1)
    meters = dict.fromkeys(bundle.named)
    for table in bundle.tables:
        lines = read_table(table.source)
        heading = next(lines, None)
        # One line is the heading: without records there is no such file.
        if heading is not None and heading.number > 1:
            meters[table.meter] = None
            yield from writer.add_table(_table_name(table), _table_facts(table), heading, lines)
    writer.add("meters.json", _json({"meters": [_meter(meter) for meter in sorted(meters, key=_order)]}))
    writer.add("manifest.json", _json(_manifest(bundle, writer.members)))
    writer.close()
    yield sink.take(0)


class _Sink:
    """What a zip is written to: bytes that the next piece takes away. Cannot seek, so sizes follow the content."""

    def __init__(self) -> None:
        self._gathered = bytearray()

    def write(self, content: bytes) -> int:
        self._gathered += content
        return len(content)

    def flush(self) -> None:
        """Nothing to do; zipfile asks for it."""

    def take(self, number: int) -> Lines:
        piece = bytes(self._gathered)
        self._gathered.clear()
        return Lines(piece, number)


class _Writer:
    """Writes members with one fixed time, and notes the hash and size of each."""

    def __init__(self, sink: _Sink, at: datetime) -> None:
        self._sink = sink
        self._zip = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED)  # type: ignore[call-overload]
        self._at = at
        self.members: list[dict[str, Any]] = []

    def add(self, name: str, content: bytes) -> None:
        """Write a small member at once."""
        self._zip.writestr(self._info(name), content)
        self.members.append(
            {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        )

    def add_table(
        self, name: str, facts: dict[str, Any], heading: Lines, lines: Iterator[Lines]
    ) -> Iterator[Lines]:
        """Write a member piece by piece, yielding what is ready of the zip."""
        digest, size, records = hashlib.sha256(), 0, -1
        with self._zip.open(self._info(name), "w", force_zip64=True) as member:
            for piece in chain([heading], lines):
                digest.update(piece.text)
                size += len(piece.text)
                member.write(piece.text)
                # The first line is the heading and no record.
                new = piece.number - (records < 0)
                records += piece.number
                yield self._sink.take(new)
        self.members.append(
            {"name": name, "sha256": digest.hexdigest(), "bytes": size, **facts, "records": records}
        )

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, date_time=self._at.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3
        info.external_attr = 0o644 << 16
        return info

    def close(self) -> None:
        """Write the list of members at the end of the zip."""
        self._zip.close()


def _documents(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    yield "README.txt", _README.read_bytes()
    yield "verify_bill.py", VERIFIER.read_bytes()
    yield "invoice.json", bundle.bill.text
    yield "lines.csv", b"".join(csv_lines(_line_rows(bundle.bill)))
    for position, earlier in enumerate(bundle.earlier, 1):
        yield f"earlier/{position:03}-{_plain(earlier.number)}.json", earlier.text


def _line_rows(bill: IssuedText) -> Iterator[Sequence[str]]:
    yield _LINE_COLUMNS
    document = json.loads(bill.text)
    currency = document["invoice"]["currency"]
    decimals = currency_decimals(currency)
    for line in document["lines"]:
        yield (
            str(line["position"]),
            line["key"],
            line["kind"],
            safe_text(line["name"]),
            line["meter_key"],
            line["service_start"],
            line["service_end"],
            line["metered_quantity"] or "",
            line["billed_quantity"],
            safe_text(line["unit"]),
            f"{decimal_of(int(line['amount_minor']), decimals):f}",
            currency,
        )


def _table_name(table: Table) -> str:
    of = f"{_plain(table.number)}." if table.is_corrected else ""
    return f"records/{of}{table.meter.key}-v{table.meter.version}.csv"


def _table_facts(table: Table) -> dict[str, Any]:
    return {
        "records_of": table.number,
        "meter": table.meter.key,
        "meter_version": table.meter.version,
    }


def _plain(number: str) -> str:
    return "".join(char for char in number if char.isascii() and (char.isalnum() or char in "-_"))[:60]


def _order(meter: MeterOfProof) -> tuple[str, int]:
    return meter.key, meter.version


def _meter(meter: MeterOfProof) -> dict[str, Any]:
    return {
        "key": meter.key,
        "version": meter.version,
        "unit": meter.unit,
        "aggregation": meter.aggregation,
        "dimensions": list(meter.dimensions),
        "unique_dimensions": list(meter.unique_dimensions),
        "retired_at": meter.retired_at and meter.retired_at.isoformat(),
    }


def _manifest(bundle: Bundle, members: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "invoice": {"number": bundle.bill.number, "sha256": bundle.sha256},
        "account": bundle.account,
        "ledger_position": bundle.position,
        "made_at": instant_text(bundle.issued_at),
        "corrected": list(bundle.corrected),
        "not_contained": [
            {"bill": number, "months": [_archived(month) for month in months]}
            for number, months in bundle.not_contained
        ],
        "members": list(members),
    }


def _archived(month: ArchivedMonth) -> dict[str, Any]:
    return {
        "month": month.month,
        "sums": [{"table": table, "rows": rows, "sha256": digest} for table, rows, digest in month.sums],
    }


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
