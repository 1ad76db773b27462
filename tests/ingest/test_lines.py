"""Physical lines keep their numbers through any pieces, chunks and resumptions."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from insights.ingest.limits import Limits
from insights.ingest.lines import Chunk, line_blocks, open_delivery
from tests.ingest.deliveries import SOURCE, body, row

texts = st.text(alphabet=st.sampled_from("ab\u00e9\U0001f600\n\r ,"), max_size=60)


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@settings(max_examples=300, deadline=None)
@given(text=texts, piece_bytes=st.integers(1, 9))
def test_lines_are_those_of_the_whole_text(text: str, piece_bytes: int) -> None:
    expected = re.split("\r\n|\r|\n", text)
    if not expected[-1]:
        expected.pop()

    blocks = line_blocks(pieces_of(text.encode(), piece_bytes), limits=Limits())

    assert [line for block in blocks for line in block] == expected


def chunks(form: str, count: int, *, from_line: int = 1) -> list[Chunk]:
    data = body(form, [row(row_id=f"r{number}") for number in range(count)])
    delivery = open_delivery(
        pieces_of(data, 70),
        definition=SOURCE,
        dimension_keys=(),
        form=form,
        limits=Limits(chunk_lines=10),
    )
    return list(delivery.chunks(from_line=from_line))


def test_chunks_are_full_but_the_last() -> None:
    assert [(chunk.first_line_no, chunk.last_line_no) for chunk in chunks("csv", 25)] == [
        (2, 11),
        (12, 21),
        (22, 26),
    ]
    assert [(chunk.first_line_no, chunk.last_line_no) for chunk in chunks("json", 20)] == [(1, 10), (11, 20)]


def test_reading_on_from_a_line_gives_the_same_lines() -> None:
    for form in ("csv", "ndjson", "json"):
        everything = [
            (chunk.first_line_no + place, line)
            for chunk in chunks(form, 35)
            for place, line in enumerate(chunk.lines)
        ]
        for from_line in (1, 2, 12, 21, 36, 99):
            resumed = [
                (chunk.first_line_no + place, line)
                for chunk in chunks(form, 35, from_line=from_line)
                for place, line in enumerate(chunk.lines)
            ]
            assert resumed == [item for item in everything if item[0] >= from_line]


def test_no_lines_make_no_chunk() -> None:
    assert chunks("json", 0) == []
    assert chunks("csv", 5, from_line=7) == []
