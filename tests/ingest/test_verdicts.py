"""Verdicts by cases, and the promise that neither order, nor chunks, nor repetition changes the books."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.ingest.verdicts import (
    Content,
    Identity,
    Judgement,
    Known,
    StagedLine,
    Verdict,
    content_of,
    identity_of,
    judge,
)

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


def line(line_no: int, *, revision: int = 1, quantity: str = "5", **changes: object) -> StagedLine:
    staged = StagedLine(line_no, 1, 7, START, "r1", revision, Decimal(quantity))
    return staged._replace(**changes)


def verdicts(lines: list[StagedLine], known: dict[Identity, Known] | None = None) -> list[str]:
    return [str(verdict) for verdict in judge(lines, known or {}, key_kind="row_id").verdicts]


def known(revision: int, quantity: str, **past: str) -> dict[Identity, Known]:
    earlier = {int(name[1:]): Content(7, START, Decimal(text)) for name, text in past.items()}
    return {(1, "r1"): Known(revision, Content(7, START, Decimal(quantity)), earlier)}


@pytest.mark.parametrize(
    ("lines", "stored", "expected"),
    [
        ([line(1)], {}, ["new"]),
        ([line(1), line(2)], {}, ["new", "duplicate"]),
        ([line(1), line(2, quantity="5.000")], {}, ["new", "duplicate"]),
        ([line(1), line(2, quantity="6")], {}, ["new", "id_conflict"]),
        ([line(1), line(2, quantity="6", revision=2)], {}, ["new", "replaced"]),
        ([line(1, revision=3), line(2, revision=2)], {}, ["new", "stale"]),
        ([line(1, revision=3), line(2, revision=2), line(3, revision=2)], {}, ["new", "stale", "duplicate"]),
        ([line(1)], known(1, "5"), ["duplicate"]),
        ([line(1)], known(1, "6"), ["id_conflict"]),
        ([line(1)], known(3, "6", r1="5"), ["duplicate"]),
        ([line(1)], known(3, "6", r1="4"), ["id_conflict"]),
        ([line(1, revision=2)], known(3, "6", r1="5"), ["stale"]),
        ([line(1, revision=4)], known(3, "6", r1="5"), ["replaced"]),
        ([line(1, series_id=8)], known(1, "5"), ["id_conflict"]),
        ([line(1, window_start=START + timedelta(hours=1))], known(1, "5"), ["id_conflict"]),
        ([line(1, series_id=8, revision=2)], known(1, "5"), ["replaced"]),
        ([line(1, account_id=2)], known(1, "5"), ["new"]),
    ],
)
def test_the_verdict_follows_from_identity_revision_and_content(
    lines: list[StagedLine], stored: dict[Identity, Known], expected: list[str]
) -> None:
    assert verdicts(lines, stored) == expected


def test_a_window_source_tells_windows_apart_and_not_rows() -> None:
    lines = [line(1), line(2, window_start=START + timedelta(hours=1)), line(3, row_id="r2", quantity="6")]

    found = judge(lines, {}, key_kind="window")

    assert found.verdicts == [Verdict.NEW, Verdict.NEW, Verdict.ID_CONFLICT]
    assert found.conflicts[0].existing == content_of(lines[0])


def test_a_retracted_revision_is_known_but_not_current() -> None:
    stored = {(1, "r1"): Known(None, None, {1: Content(7, START, Decimal(5))})}

    assert verdicts([line(1)], stored) == ["duplicate"]
    assert verdicts([line(1, quantity="6")], stored) == ["id_conflict"]
    found = judge([line(1, revision=2)], stored, key_kind="row_id")
    assert found.verdicts == [Verdict.NEW]
    assert found.changes[0].old_content is None


def test_a_change_says_what_it_replaces_and_what_stays_behind() -> None:
    lines = [line(1, revision=2), line(2, revision=4, quantity="7"), line(3, revision=3)]

    found = judge(lines, known(1, "9"), key_kind="row_id")

    (change,) = found.changes
    assert (change.old_revision, change.old_content) == (1, Content(7, START, Decimal(9)))
    assert change.line == lines[1]
    assert found.history == [lines[0], lines[2]]


@dataclass
class Books:
    """A store that does what judgements say and nothing else."""

    key_kind: str
    current: dict[Identity, tuple[int, Content]] = field(default_factory=dict)
    past: dict[Identity, dict[int, Content]] = field(default_factory=dict)

    def take(self, lines: list[StagedLine]) -> Judgement:
        identities = {identity_of(item, key_kind=self.key_kind) for item in lines}
        stored = {
            identity: Known(*self.current[identity], dict(self.past.get(identity, {})))
            for identity in identities
            if identity in self.current
        }
        found = judge(lines, stored, key_kind=self.key_kind)
        for change in found.changes:
            if change.old_revision is not None and change.old_content is not None:
                assert self.current[change.identity] == (change.old_revision, change.old_content)
                self.past.setdefault(change.identity, {})[change.old_revision] = change.old_content
            self.current[change.identity] = (change.line.revision, content_of(change.line))
        for item in found.history:
            identity = identity_of(item, key_kind=self.key_kind)
            self.past.setdefault(identity, {})[item.revision] = content_of(item)
        return found

    def stored(self) -> dict[Identity, dict[int, Content]]:
        return {
            identity: {revision: content} | self.past.get(identity, {})
            for identity, (revision, content) in self.current.items()
        }


def consistent_line(account_id: int, series_id: int, hour: int, revision: int) -> StagedLine:
    """Content is a function of identity and revision, as from a sender that never contradicts itself."""
    quantity = Decimal(account_id * 1000 + hour * 10 + revision)
    row_id = f"r{series_id}-{hour}"
    return StagedLine(0, account_id, series_id, START + timedelta(hours=hour), row_id, revision, quantity)


consistent_lines = st.lists(
    st.builds(consistent_line, st.integers(1, 2), st.integers(1, 2), st.integers(0, 3), st.integers(1, 4)),
    min_size=1,
    max_size=40,
)
key_kinds = st.sampled_from(["window", "row_id"])


def deliver(books: Books, lines: list[StagedLine], cuts: list[int]) -> list[Judgement]:
    numbered = [item._replace(line_no=number) for number, item in enumerate(lines, 1)]
    edges = sorted({0, len(numbered), *(cut % (len(numbered) + 1) for cut in cuts)})
    return [books.take(numbered[start:end]) for start, end in pairwise(edges)]


@settings(max_examples=300, deadline=None)
@given(lines=consistent_lines, key_kind=key_kinds, cuts=st.lists(st.integers(0, 40)), data=st.data())
def test_order_and_chunks_do_not_change_the_books(
    lines: list[StagedLine], key_kind: str, cuts: list[int], data: st.DataObject
) -> None:
    in_order, shuffled = Books(key_kind), Books(key_kind)

    deliver(in_order, lines, [])
    deliver(shuffled, data.draw(st.permutations(lines)), cuts)

    assert in_order.current == shuffled.current
    assert in_order.stored() == shuffled.stored()


@settings(max_examples=200, deadline=None)
@given(lines=consistent_lines, key_kind=key_kinds, cuts=st.lists(st.integers(0, 40)), data=st.data())
def test_three_deliveries_are_one(
    lines: list[StagedLine], key_kind: str, cuts: list[int], data: st.DataObject
) -> None:
    once, thrice = Books(key_kind), Books(key_kind)

    deliver(once, lines, [])
    deliver(thrice, lines, cuts)
    for _ in range(2):
        repeats = deliver(thrice, data.draw(st.permutations(lines)), cuts)
        assert all(set(found.verdicts) == {Verdict.DUPLICATE} for found in repeats)

    assert (once.current, once.stored()) == (thrice.current, thrice.stored())


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(
        st.builds(
            lambda hour, revision, quantity: consistent_line(1, 1, hour, revision)._replace(
                quantity=Decimal(quantity)
            ),
            st.integers(0, 2),
            st.integers(1, 3),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=40,
    ),
    key_kind=key_kinds,
    cuts=st.lists(st.integers(0, 40)),
)
def test_every_line_gets_one_verdict_and_contradictions_change_nothing(
    lines: list[StagedLine], key_kind: str, cuts: list[int]
) -> None:
    one_chunk, many_chunks = Books(key_kind), Books(key_kind)

    (whole,) = deliver(one_chunk, lines, [])
    parts = deliver(many_chunks, lines, cuts)

    assert sum(whole.counts.values()) == len(lines) == len(whole.verdicts)
    assert [verdict for part in parts for verdict in part.verdicts] == whole.verdicts
    assert len(whole.conflicts) == whole.counts[Verdict.ID_CONFLICT]
    assert one_chunk.stored() == many_chunks.stored()


def test_a_chunk_of_nothing_known_takes_the_short_way_to_the_same_answer() -> None:
    lines = [consistent_line(1, 1, hour, 1)._replace(line_no=hour + 1) for hour in range(50)]
    unrelated = {(9, 9, START): Known(1, Content(9, START, Decimal(1)))}

    short = judge(lines, unrelated, key_kind="window")
    long = judge([*lines, lines[0]], {}, key_kind="window")

    assert short.verdicts == long.verdicts[:-1] == [Verdict.NEW] * 50
    assert short.changes == long.changes
