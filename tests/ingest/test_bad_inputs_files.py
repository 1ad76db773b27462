"""CSV files as people and programs really make them."""

from __future__ import annotations

import gzip

import pytest

from insights.ingest.outcomes import ParsedChunk
from insights.ingest.refusals import RequestRefused
from tests.ingest.deliveries import parse, source

HEADER = "account,meter,window_start,quantity,row_id"
GOOD = "ansel,bytes_out,2026-11-23T10:00:00Z,5,{}"


def lines(*rows: str, end: str = "\n") -> bytes:
    return end.join([HEADER, *rows, ""]).encode()


def codes(parsed: ParsedChunk) -> dict[int, str]:
    return {line.line_no: line.code for line in parsed.rejected}


def refusal(data: bytes, **options: object) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        parse(data, **options)  # type: ignore[arg-type]
    return caught.value


def test_a_byte_order_mark_is_accepted() -> None:
    assert len(parse(b"\xef\xbb\xbf" + lines(GOOD.format(1))).accepted) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_refused(encoding: str) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")

    found = refusal(mark + lines(GOOD.format(1)).decode().encode(encoding))

    assert (found.status, found.code) == (415, "encoding")
    assert "UTF-8" in found.detail


def test_windows_1252_is_refused_with_its_place() -> None:
    data = lines(GOOD.format(1)) + b"caf\xe9,bytes_out,2026-11-23T10:00:00Z,5,2\n"

    found = refusal(data)

    assert (found.status, found.code, found.line) == (400, "encoding", 3)
    assert f"byte {data.index(0xE9) + 1} " in found.detail


def test_the_place_of_a_bad_byte_counts_the_byte_order_mark() -> None:
    data = b"\xef\xbb\xbf" + lines(GOOD.format(1)) + b"\xff\n"

    for piece_bytes in (1, 7, 1000):
        found = refusal(data, piece_bytes=piece_bytes)
        assert f"byte {data.index(0xFF) + 1} " in found.detail


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_one(end: str) -> None:
    parsed = parse(lines(GOOD.format(1), "", "short", GOOD.format(2), end=end))

    assert [line.line_no for line in parsed.accepted] == [2, 5]
    assert codes(parsed) == {4: "column_count"}
    assert parsed.blank == 1


def test_mixed_line_ends_keep_physical_numbers() -> None:
    data = f"{HEADER}\r\n{GOOD.format(1)}\r{GOOD.format(2)}\n\r\n\r{GOOD.format(3)}".encode()

    for piece_bytes in (1, 2, 3, 1000):
        parsed = parse(data, piece_bytes=piece_bytes)
        assert [line.line_no for line in parsed.accepted] == [2, 3, 6]
        assert parsed.blank == 2


@pytest.mark.parametrize(
    ("first_line", "hint"),
    [
        (HEADER.replace(",", ";"), "semicolon"),
        (HEADER.replace(",", "\t"), "tab"),
        (HEADER.replace(",", "|"), "vertical bar"),
        ("sep=;", "sep="),
        ("sep=,", "sep="),
        ("# usage of November", "comment"),
        (HEADER + ",quantity", "twice"),
        (HEADER + ",currency", "unknown"),
        (HEADER.replace("quantity", "Quantity"), "unknown"),
        (HEADER.replace(",quantity", ""), "missing"),
        (GOOD.format(1), "unknown"),
        (",".join(f"c{number}" for number in range(10_000)), "more than"),
        (",".join(f"column_{number:06}" for number in range(10_000)), "above"),
        ('"account,meter', "quotes"),
        ("account\x00," + HEADER, "unknown"),
        ("", "empty"),
        ("   ", "empty"),
    ],
)
def test_a_doubtful_header_refuses_the_file(first_line: str, hint: str) -> None:
    found = refusal(f"{first_line}\n{GOOD.format(1)}\n".encode())

    assert (found.status, found.code, found.line) == (400, "header", 1)
    assert hint in found.detail


def test_an_empty_file_has_no_header() -> None:
    for data in (b"", b" ", b"\n\n", b"   \n  "):
        assert refusal(data).code == "header"


def test_columns_may_stand_in_any_order_and_be_quoted() -> None:
    data = b'row_id,"quantity",meter,window_start,account\n"r,1","5",bytes_out,2026-11-23T10:00:00Z,ansel\n'

    assert parse(data).accepted[0].row_id == "r,1"


def test_a_header_alone_is_a_delivery_of_nothing() -> None:
    assert parse(lines()).received == 0
    assert parse(HEADER.encode()).received == 0


@pytest.mark.parametrize(
    "line",
    [
        '"ansel,bytes_out,2026-11-23T10:00:00Z,5,1',
        'an"sel,bytes_out,2026-11-23T10:00:00Z,5,1',
        '"ansel"x,bytes_out,2026-11-23T10:00:00Z,5,1',
        ' "ansel",bytes_out,2026-11-23T10:00:00Z,5,1',
        'ansel,bytes_out,2026-11-23T10:00:00Z,5,"1',
        'ansel,bytes_out,2026-11-23T10:00:00Z,5,1"',
        'ansel,bytes_out,2026-11-23T10:00:00Z,5,"1""',
    ],
)
def test_a_stray_quote_costs_its_line_and_no_other(line: str) -> None:
    rows = [line, *(GOOD.format(number) for number in range(1000))]

    parsed = parse(lines(*rows))

    assert codes(parsed) == {2: "csv_quote"}
    assert len(parsed.accepted) == 1000


def test_a_line_break_in_a_cell_is_refused_on_both_lines() -> None:
    parsed = parse(lines('"ansel', '",bytes_out,2026-11-23T10:00:00Z,5,1', GOOD.format(2)))

    assert codes(parsed) == {2: "csv_quote", 3: "csv_quote"}
    assert len(parsed.accepted) == 1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ansel,bytes_out", "column_count"),
        (GOOD.format(1) + ",", "column_count"),
        (",,,,", "missing_field"),
        ("an\x00sel,bytes_out,2026-11-23T10:00:00Z,5,1", "control_char"),
        (GOOD.format("x" * 200_000), "field_too_long"),
        (GOOD.format("x" * 70_000), "field_too_long"),
        (GOOD.format("x" * 300), "field_too_long"),
        ("ansel,bytes_out,2026-11-23T10:00:00Z,######,1", "number_format"),
        ("ansel,bytes_out,45292,5,1", "timestamp_format"),
        ("ansel,byt\ufeffes_out,2026-11-23T10:00:00Z,5,1", "control_char"),
    ],
)
def test_a_bad_line_is_refused_alone(line: str, code: str) -> None:
    parsed = parse(lines(GOOD.format(0), line, GOOD.format(2)))

    assert codes(parsed) == {3: code}
    assert [found.line_no for found in parsed.accepted] == [2, 4]


def test_the_bytes_of_a_refused_line_are_kept_up_to_64_kib() -> None:
    parsed = parse(lines("short", GOOD.format("x" * 70_000)))

    assert [line.raw for line in parsed.rejected] == [b"short", None]


def test_an_ignored_cell_cannot_be_huge_either() -> None:
    data = f"{HEADER},note\n{GOOD.format(1)},{'x' * 70_000}\n".encode()

    assert codes(parse(data, definition=source(ignored=("note",)))) == {2: "field_too_long"}


@pytest.mark.parametrize("piece_bytes", [1000, 100_000, 100_000_000])
def test_a_line_above_a_mebibyte_refuses_the_file(piece_bytes: int) -> None:
    data = lines(GOOD.format(1)) + b"x" * 1_100_000 + b"\n" + GOOD.format(2).encode()

    found = refusal(data, piece_bytes=piece_bytes)

    assert (found.status, found.code, found.line) == (413, "field_too_long", 3)


def test_a_missing_last_line_end_is_no_fault() -> None:
    assert len(parse(lines(GOOD.format(1)).rstrip(b"\n")).accepted) == 1


def test_a_file_cut_in_a_line_shows_it() -> None:
    assert codes(parse(lines(GOOD.format(1))[:-20])) == {2: "column_count"}


def test_a_gzipped_file_is_known_by_its_first_bytes() -> None:
    assert len(parse(gzip.compress(lines(GOOD.format(1)))).accepted) == 1


def test_lines_of_spaces_are_blank() -> None:
    parsed = parse(lines("", "  ", "\t", GOOD.format(1)))

    assert (parsed.blank, parsed.received) == (3, 1)
