"""Physical lines keep their numbers through any pieces, chunks and resumptions."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from insights.ingest.limits import Limits
from insights.ingest.lines import Chunk, open_delivery, text_blocks
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

    blocks = text_blocks(pieces_of(text.encode(), piece_bytes), limits=Limits())

    assert [line for block in blocks for line in block.split("\n")[:-1]] == expected


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


def long_line_chunks(
    lengths: list[int], *, piece_bytes: int, from_line: int = 1
) -> list[tuple[int, list[int]]]:
    """The chunks of at most 4 lines and 100 characters: the number of the first line, the length of each."""
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    delivery = open_delivery(
        pieces_of(data, piece_bytes),
        definition=SOURCE,
        dimension_keys=(),
        form="ndjson",
        limits=Limits(chunk_lines=4, chunk_characters=100),
    )
    return [
        (chunk.first_line_no, [len(line) for line in chunk.lines])
        for chunk in delivery.chunks(from_line=from_line)
    ]


def test_a_chunk_ends_before_the_line_that_is_too_much() -> None:
    assert long_line_chunks([60, 40, 1, 99, 1, 250, 1, 2, 3, 4, 5], piece_bytes=70) == [
        (1, [60, 40]),
        (3, [1, 99]),
        (5, [1]),
        (6, [250]),
        (7, [1, 2, 3, 4]),
        (11, [5]),
    ]
    assert long_line_chunks([1] * 6 + [100], piece_bytes=5_000) == [(1, [1] * 4), (5, [1] * 2), (7, [100])]


@settings(max_examples=300, deadline=None)
@given(lengths=st.lists(st.integers(0, 150), max_size=30), piece_bytes=st.integers(1, 400), data=st.data())
def test_chunks_by_length_end_alike_in_any_pieces_and_after_any_chunk(
    lengths: list[int], piece_bytes: int, data: st.DataObject
) -> None:
    whole = long_line_chunks(lengths, piece_bytes=5_000)
    assert long_line_chunks(lengths, piece_bytes=piece_bytes) == whole
    assert [length for _, chunk in whole for length in chunk] == lengths

    done = data.draw(st.integers(0, len(whole)))
    from_line = 1 + sum(len(chunk) for _, chunk in whole[:done])
    assert long_line_chunks(lengths, piece_bytes=piece_bytes, from_line=from_line) == whole[done:]


def test_no_lines_make_no_chunk() -> None:
    assert chunks("json", 0) == []
    assert chunks("csv", 5, from_line=7) == []
