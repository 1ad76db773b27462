"""Whole bodies that cannot be taken: broken JSON, broken gzip, other files, too much of anything."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator

import pytest

from insights.ingest.limits import Limits
from insights.ingest.lines import open_delivery
from insights.ingest.refusals import RequestRefused
from insights.ingest.unpack import unpacked_pieces
from tests.ingest.deliveries import SOURCE, body, parse, row, source

ONE_ROW = json.dumps(row())
DEEP = '{"a":' * 5000 + "1" + "}" * 5000


def refusal(data: bytes, **options: object) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        parse(data, **options)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "malformed_json"),
        ("  ", "malformed_json"),
        ('{"rows":[', "malformed_json"),
        ('{"rows":[]}{"rows":[]}', "malformed_json"),
        ('{"rows":[],}', "malformed_json"),
        ('{"rows" []}', "malformed_json"),
        ("{rows:[]}", "malformed_json"),
        ('{"rows":[{"quantity":NaN}]}', "malformed_json"),
        ('{"rows":[{"quantity":-Infinity}]}', "malformed_json"),
        ('{"rows":[{"quantity":01}]}', "malformed_json"),
        ('{"rows":[{"quantity":1}', "malformed_json"),
        ("[" * 100_000, "too_deep"),
        (DEEP, "too_deep"),
        ('{"rows":[' + DEEP + "]}", "too_deep"),
        ('{"rows":[],"rows":[]}', "duplicate_key"),
        ('{"rows":[{"quantity":' + "9" * 5000 + "}]}", "number_format"),
        ("[]", "shape"),
        ('"rows"', "shape"),
        ("5", "shape"),
        ("null", "shape"),
        ("{}", "shape"),
        ('{"rows":null}', "shape"),
        ('{"rows":{}}', "shape"),
        ('{"rows":[],"note":"x"}', "unknown_field"),
        ('{"note":1}', "unknown_field"),
    ],
)
def test_a_broken_document_is_refused_whole(text: str, code: str) -> None:
    found = refusal(text.encode(), form="json")

    assert (found.status, found.code) == (400, code)


def test_a_cut_document_says_where() -> None:
    found = refusal(b'{"rows":[\n', form="json")

    assert "character 11" in found.detail
    assert found.line == 2


def test_a_document_without_rows_to_count_is_taken() -> None:
    assert parse(b'{"rows": []}', form="json").received == 0


def test_a_documents_byte_order_mark_is_taken_off() -> None:
    assert len(parse(b"\xef\xbb\xbf" + body("json", [row()]), form="json").accepted) == 1


@pytest.mark.parametrize("data", [b'\xff\xfe{\x00"\x00', b'\xfe\xff\x00{\x00"', b'{"rows":["caf\xe9"]}'])
def test_a_document_is_utf8(data: bytes) -> None:
    found = refusal(data, form="json")

    assert (found.status, found.code) == (400, "encoding")


@pytest.mark.parametrize("form", ["ndjson", "json"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"quantity":1,"quantity":1000}', "duplicate_key"),
        ('{"region":{"a":1,"a":2}}', "duplicate_key"),
        ("[]", "shape"),
        ("5", "shape"),
        ("null", "shape"),
        ('"row"', "shape"),
    ],
)
def test_a_broken_row_is_refused_alone(form: str, text: str, code: str) -> None:
    separator = "\n" if form == "ndjson" else ","
    rows = separator.join([ONE_ROW, text, ONE_ROW])
    data = rows if form == "ndjson" else f'{{"rows":[{rows}]}}'

    parsed = parse(data.encode(), form=form)

    assert [(line.line_no, line.code) for line in parsed.rejected] == [(2, code)]
    assert [line.line_no for line in parsed.accepted] == [1, 3]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "malformed_json"),
        ("{}{}", "malformed_json"),
        ('{"quantity":NaN}', "malformed_json"),
        (DEEP, "too_deep"),
        ("[" * 10_000, "too_deep"),
        ('{"x":"' + "[" * 50, "malformed_json"),
        ("plain words", "malformed_json"),
    ],
)
def test_a_broken_line_of_ndjson_is_refused_alone(text: str, code: str) -> None:
    parsed = parse("\n".join([ONE_ROW, text, ONE_ROW]).encode(), form="ndjson")

    assert [(line.line_no, line.code) for line in parsed.rejected] == [(2, code)]


def test_the_form_is_seen_when_nobody_says_it() -> None:
    for form in ("csv", "ndjson", "json"):
        assert len(parse(body(form, [row()])).accepted) == 1


def test_a_source_of_one_form_takes_no_other() -> None:
    found = refusal(body("csv", [row()]), definition=source(format="json"), form="csv")

    assert (found.status, found.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0", b"\xfd7zXZ\x00", b"%PDF-1.7"])
@pytest.mark.parametrize("is_gzipped", [True, False])
def test_other_files_are_known_by_their_first_bytes(magic: bytes, is_gzipped: bool) -> None:
    data = magic + b"\x00" * 100

    found = refusal(gzip.compress(data) if is_gzipped else data)

    assert (found.status, found.code) == (415, "unsupported_media_type")


def test_gzip_inside_gzip_is_refused() -> None:
    assert refusal(gzip.compress(gzip.compress(b"account"))).code == "unsupported_media_type"


def test_a_body_declared_as_gzip_must_be_gzip() -> None:
    with pytest.raises(RequestRefused) as caught:
        open_delivery([body("csv", [row()])], definition=SOURCE, dimension_keys=(), gzip_declared=True)

    assert (caught.value.status, caught.value.code) == (400, "encoding")


@pytest.mark.parametrize("piece_bytes", [1, 10, 1000])
def test_broken_gzip_is_the_senders_fault(piece_bytes: int) -> None:
    packed = gzip.compress(body("csv", [row(row_id=f"r{number}") for number in range(100)]))
    damaged = packed[:60] + bytes([packed[60] ^ 0xFF]) + packed[61:]

    assert refusal(packed[:-20], piece_bytes=piece_bytes).code == "truncated_body"
    assert refusal(packed[:-1], piece_bytes=piece_bytes).code == "truncated_body"
    assert refusal(packed + b"junk", piece_bytes=piece_bytes).code == "encoding"
    assert refusal(packed + b"\x00" * 8, piece_bytes=piece_bytes).code == "encoding"
    assert refusal(damaged, piece_bytes=piece_bytes).code == "encoding"
    wrong_sum = packed[:-8] + b"\x00\x00\x00\x00" + packed[-4:]
    assert refusal(wrong_sum, piece_bytes=piece_bytes).code == "encoding"


@pytest.mark.parametrize("piece_bytes", [1, 10, 1000])
def test_each_member_of_a_gzip_file_is_read(piece_bytes: int) -> None:
    data = body("csv", [row(row_id=f"r{number}") for number in range(100)])
    packed = gzip.compress(data[:700]) + gzip.compress(b"") + gzip.compress(data[700:])

    assert len(parse(packed, piece_bytes=piece_bytes).accepted) == 100
    assert refusal(packed[:-3], piece_bytes=piece_bytes).code == "truncated_body"


def test_a_gzip_bomb_stops_at_the_limit() -> None:
    packed = gzip.compress(b"\x00" * (200 * 1024 * 1024), compresslevel=9)

    tracemalloc.start()
    found = refusal(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (found.status, found.code) == (413, "archive_bomb")
    assert peak < 8 * 1024 * 1024


def test_the_unpacked_size_is_limited() -> None:
    limits = Limits(unpacked_bytes=1000, ratio=10_000)
    data = b"x" * 2000

    for sent, code in ((gzip.compress(data), "archive_bomb"), (data, "body_too_large")):
        with pytest.raises(RequestRefused) as caught:
            list(unpacked_pieces([sent], limits=limits))
        assert (caught.value.status, caught.value.code) == (413, code)


def test_a_document_has_a_limit_of_its_own() -> None:
    found = refusal(body("json", [row()]), form="json", limits=Limits(json_bytes=50))

    assert (found.status, found.code) == (413, "body_too_large")


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_lines_are_limited(form: str) -> None:
    data = body(form, [row(row_id=f"r{number}") for number in range(11)])

    assert parse(data, form=form, limits=Limits(lines=11)).received == 11
    found = refusal(data, form=form, limits=Limits(lines=10))
    assert (found.status, found.code) == (413, "batch_too_many_rows")


def test_a_line_without_end_is_never_held_whole() -> None:
    def endless() -> Iterator[bytes]:
        yield body("csv", [row()])
        for _ in range(800):
            yield b"x" * 65_536

    tracemalloc.start()
    with pytest.raises(RequestRefused) as caught:
        for _ in open_delivery(endless(), definition=SOURCE, dimension_keys=()).chunks():
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (caught.value.status, caught.value.code) == (413, "field_too_long")
    assert peak < 8 * 1024 * 1024
