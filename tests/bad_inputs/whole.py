"""Deliveries that are refused whole, and odd ones that are taken, with the one answer each gets."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

from tests.bad_inputs.rows import COLUMNS, GOOD

HEADER = ",".join(COLUMNS)
ROW_COUNT = 30
ROWS = [
    ",".join(str((GOOD | {"row_id": f"r{number}"}).get(name, "")) for name in COLUMNS)
    for number in range(ROW_COUNT)
]
GOOD_CSV = "\n".join([HEADER, *ROWS, ""])
EMPTY_DOCUMENT = '{"rows": []}'
DEEP = '{"a":' * 5_000 + "1" + "}" * 5_000
ZIPPED = gzip.compress(GOOD_CSV.encode())
ALL_WAYS = ("api", "command", "browser")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One delivery; `code` '' means that it is taken with so many received lines."""

    number: str
    form: str
    body: bytes
    code: str = ""
    status: int = 400
    received: int = ROW_COUNT
    ways: tuple[str, ...] = ALL_WAYS


def document(number: str, text: str | bytes, code: str, *, status: int = 400) -> Whole:
    body = text.encode() if isinstance(text, str) else text
    return Whole(number=number, form="json", body=body, code=code, status=status)


def table(number: str, text: str | bytes, code: str, *, status: int = 400) -> Whole:
    body = text.encode() if isinstance(text, str) else text
    return Whole(number=number, form="csv", body=body, code=code, status=status)


def first_line(number: str, line: str) -> Whole:
    return table(number, "\n".join([line, *ROWS, ""]), "header")


def taken(number: str, body: str | bytes, *, form: str = "csv", received: int = ROW_COUNT) -> Whole:
    data = body.encode() if isinstance(body, str) else body
    return Whole(number=number, form=form, body=data, received=received)


REFUSED = [
    document("A1", "", "malformed_json"),
    document("A1 spaces", "  \n ", "malformed_json"),
    document("A2", '{"rows":[', "malformed_json"),
    document("A3", EMPTY_DOCUMENT * 2, "malformed_json"),
    document("A5", EMPTY_DOCUMENT.encode("utf-16"), "encoding"),
    document("A6", b'{"rows": [{"account": "caf\xe9"}]}', "encoding"),
    document("A7", "[" * 100_000, "too_deep"),
    document("A8", DEEP, "too_deep"),
    document("A8 in a row", '{"rows":[' + DEEP + "]}", "too_deep"),
    document("A9", '{"rows": [], "rows": []}', "duplicate_key"),
    document("A10", '{"rows":[{"quantity":' + "9" * 5_000 + "}]}", "number_format"),
    document("A11 array", "[]", "shape"),
    document("A11 text", '"rows"', "shape"),
    document("A11 number", "7", "shape"),
    document("A11 null", "null", "shape"),
    document("A11 nothing in it", "{}", "shape"),
    document("A13 null", '{"rows": null}', "shape"),
    document("A13 object", '{"rows": {}}', "shape"),
    document("A14", '{"rows": [], "row": []}', "unknown_field"),
    document("B1", '{"rows": [{"quantity": NaN}]}', "malformed_json"),
    document("B1 infinite", '{"rows": [{"quantity": -Infinity}]}', "malformed_json"),
    table("A25", gzip.compress(HEADER.encode() + b"\n" + b"0" * 20_000_000), "archive_bomb", status=413),
    table("A26", ZIPPED[:-20], "truncated_body"),
    table("A26 last byte", ZIPPED[:-1], "truncated_body"),
    table("A27", ZIPPED + b"junk", "encoding"),
    table("A27 damaged", ZIPPED[:40] + bytes([ZIPPED[40] ^ 255]) + ZIPPED[41:], "encoding"),
    table("A28 zip", b"PK\x03\x04" + b"\0" * 100, "unsupported_media_type", status=415),
    table("A28 spreadsheet", b"\xd0\xcf\x11\xe0" + b"\0" * 100, "unsupported_media_type", status=415),
    table("A28 parquet", b"PAR1" + b"\0" * 100, "unsupported_media_type", status=415),
    table(
        "A28 zip in gzip", gzip.compress(b"PK\x03\x04" + b"\0" * 100), "unsupported_media_type", status=415
    ),
    table("A28 gzip in gzip", gzip.compress(ZIPPED), "unsupported_media_type", status=415),
    table("E2", GOOD_CSV.encode("utf-16"), "encoding", status=415),
    table("E2 big end first", b"\xfe\xff" + GOOD_CSV.encode("utf-16-be"), "encoding", status=415),
    table("E3", GOOD_CSV.replace(",eu", ",caf\u00e9").encode("cp1252"), "encoding"),
    table("F2", GOOD_CSV.encode().replace(b",eu", b",\xed\xa0\x80"), "encoding"),
    first_line("E5 semicolons", HEADER.replace(",", ";")),
    first_line("E5 tabs", HEADER.replace(",", "\t")),
    first_line("E9 missing", HEADER.replace(",quantity", ",unit2")),
    first_line("E9 none", ROWS[0]),
    first_line("E9 twice", HEADER + ",quantity"),
    first_line("E9 unknown", HEADER + ",colour"),
    first_line("D24", HEADER + ",currency"),
    first_line("E15", ",".join(f"column{number}" for number in range(10_000))),
    first_line("E18 comment", "# usage of November"),
    first_line("E18 sep", "sep=;"),
    table("E14", GOOD_CSV + "x" * 3_000_000 + "\n" + ROWS[0], "field_too_long", status=413),
    table("E14 first line", "x" * 3_000_000, "field_too_long", status=413),
    table("E17", "", "header"),
    table("E17 spaces", "   ", "header"),
    table("E17 blank lines", "\n\n  \n", "header"),
]

TAKEN = [
    taken("A4", b"\xef\xbb\xbf" + EMPTY_DOCUMENT.encode(), form="json", received=0),
    taken("A12", EMPTY_DOCUMENT, form="json", received=0),
    taken("E1", b"\xef\xbb\xbf" + GOOD_CSV.encode()),
    taken("E4 CRLF", GOOD_CSV.replace("\n", "\r\n")),
    taken("E4 CR", GOOD_CSV.replace("\n", "\r")),
    taken("E4 mixed", GOOD_CSV.replace("\n", "\r\n", 5).replace("\n", "\r", 3)),
    taken("E9 other order", "\n".join(",".join(reversed(line.split(","))) for line in [HEADER, *ROWS])),
    taken("E11 blank lines", GOOD_CSV.replace("\n", "\n\n  \n")),
    taken("E11 no last end", GOOD_CSV.rstrip("\n")),
    taken("E16", HEADER + "\n", received=0),
    taken("E16 no line end", HEADER, received=0),
    taken("E21", ZIPPED),
    taken("E21 two members", gzip.compress(GOOD_CSV[:700].encode()) + gzip.compress(GOOD_CSV[700:].encode())),
]  # fmt: skip
