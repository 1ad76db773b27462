"""A download is counted and hashed as it goes, and ends whole or as cut, exactly once."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.exports import stream as stream_module
from insights.exports.stream import (
    PIECE_BYTES,
    RECHECK_BYTES,
    RECHECK_SECONDS,
    CsvStream,
    NoLongerAllowed,
    Proof,
    RightToRead,
    gather_lines,
    wants_gzip,
)

HEADER = b"a,b\n"


class Ends:
    """Remembers how a download ended."""

    def __init__(self) -> None:
        self.proofs: list[Proof] = []

    def __call__(self, proof: Proof) -> None:
        self.proofs.append(proof)


def stream_of(lines: list[bytes], *, compress: bool = False) -> tuple[CsvStream, Ends]:
    ends = Ends()
    return CsvStream(
        gather_lines(lines), compress=compress, on_end=ends, right=RightToRead(lambda: True)
    ), ends


@given(st.lists(st.binary(max_size=200), max_size=50), st.booleans())
def test_the_bytes_are_those_of_the_lines_and_the_proof_is_of_the_plain_csv(
    rows: list[bytes], compress: bool
) -> None:
    stream, ends = stream_of([HEADER, *rows], compress=compress)

    sent = b"".join(stream)

    plain = gzip.decompress(sent) if compress else sent
    assert plain == b"".join([HEADER, *rows])
    assert ends.proofs == [Proof(True, len(rows), len(plain), hashlib.sha256(plain).hexdigest())]


def test_pieces_are_gathered_and_none_is_large() -> None:
    stream, _ends = stream_of([b"x" * 100] * 10_000)

    sizes = [len(piece) for piece in stream]

    assert max(sizes) < PIECE_BYTES + 100
    assert len(sizes) == -(-1_000_000 // (PIECE_BYTES + 36))


def test_the_proof_is_stored_before_the_iteration_ends() -> None:
    stream, ends = stream_of([HEADER])
    next(stream)
    assert ends.proofs == []

    with pytest.raises(StopIteration):
        next(stream)

    assert [proof.is_whole for proof in ends.proofs] == [True]


def test_an_error_goes_through_and_the_download_is_cut() -> None:
    def failing() -> Iterator[bytes]:
        yield b"x" * PIECE_BYTES
        raise ConnectionError

    ends = Ends()
    stream = CsvStream(gather_lines(failing()), compress=False, on_end=ends, right=RightToRead(lambda: True))
    next(stream)

    with pytest.raises(ConnectionError):
        next(stream)
    stream.close()

    assert [proof.is_whole for proof in ends.proofs] == [False]


def test_a_proof_that_cannot_be_stored_breaks_the_stream() -> None:
    def failing(proof: Proof) -> None:
        raise ConnectionError

    stream = CsvStream(
        gather_lines([HEADER]), compress=False, on_end=failing, right=RightToRead(lambda: True)
    )
    next(stream)

    with pytest.raises(ConnectionError):
        next(stream)


@pytest.mark.parametrize("pieces_taken", [0, 1])
def test_closing_early_cuts_even_before_the_first_piece(pieces_taken: int) -> None:
    stream, ends = stream_of([b"x" * PIECE_BYTES] * 3)
    for _number in range(pieces_taken):
        next(stream)

    stream.close()
    stream.close()

    assert [proof.is_whole for proof in ends.proofs] == [False]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.1", True),
        ("identity", False),
        ("br", False),
    ],
)
def test_gzip_is_sent_only_where_it_is_asked_for(header: str, wanted: bool) -> None:
    assert wants_gzip(header) is wanted


def test_the_right_is_asked_for_again_after_so_many_bytes() -> None:
    asked: list[int] = []
    right = RightToRead(lambda: not asked.append(1))

    for _piece in range(20):
        right.check(RECHECK_BYTES // 4)

    assert len(asked) == 5


def test_the_right_is_asked_for_again_after_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(stream_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    right = RightToRead(lambda: False)

    right.check(1)
    now[0] = RECHECK_SECONDS
    with pytest.raises(NoLongerAllowed):
        right.check(1)
