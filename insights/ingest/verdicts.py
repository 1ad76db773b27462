"""What each accepted line is to what is known: new, replaced, duplicate, stale or in conflict.

One linear pass over the lines in their physical order. It decides only; whoever stores does what the
judgement says. Arrival order never decides which revision is current.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

Identity = tuple[Any, ...]


class Verdict(StrEnum):
    NEW = "new"
    REPLACED = "replaced"
    DUPLICATE = "duplicate"
    STALE = "stale"
    ID_CONFLICT = "id_conflict"
    PERIOD_ARCHIVED = "period_archived"


class StagedLine(NamedTuple):
    """An accepted line whose account, meter and dimensions are interned as a series."""

    line_no: int
    account_id: int
    series_id: int
    window_start: datetime
    row_id: str
    revision: int
    quantity: Decimal


class Content(NamedTuple):
    """What money depends on beyond the identity. Quantities compare as numbers: 1.0 is 1."""

    series_id: int
    window_start: datetime
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored for one identity before this chunk.

    current_content is None when every revision was retracted. past holds each other stored revision,
    superseded, stale or retracted; a retracted one is still known, so that repeating a reverted
    delivery does not bring it back.
    """

    current_revision: int | None
    current_content: Content | None
    past: Mapping[int, Content] = field(default_factory=dict)


class Change(NamedTuple):
    """The current record of one identity moves from the stored one (or none) to this line."""

    identity: Identity
    old_revision: int | None
    old_content: Content | None
    line: StagedLine


class Conflict(NamedTuple):
    """A refused line and what the same revision already says."""

    line: StagedLine
    existing: Content


@dataclass(frozen=True, slots=True)
class Judgement:
    """verdicts stand beside the lines; history are the lines to keep as revisions that are not current.

    A change's old content, when there is one, becomes history too; it is already stored and so is not
    repeated in history.
    """

    verdicts: list[Verdict]
    changes: list[Change]
    history: list[StagedLine]
    conflicts: list[Conflict]
    counts: Mapping[Verdict, int]


def identity_of(line: StagedLine, *, key_kind: str) -> Identity:
    if key_kind == "window":
        return (line.account_id, line.series_id, line.window_start)
    return (line.account_id, line.row_id)


def content_of(line: StagedLine) -> Content:
    return Content(line.series_id, line.window_start, line.quantity)


def judge(lines: Sequence[StagedLine], known: Mapping[Identity, Known], *, key_kind: str) -> Judgement:
    """The verdict on every line, and what has to change in the books."""
    if key_kind == "window":
        identities: list[Identity] = [(line[1], line[2], line[3]) for line in lines]
    else:
        identities = [(line[1], line[4]) for line in lines]
    distinct = set(identities)
    if len(distinct) == len(lines) and (not known or known.keys().isdisjoint(distinct)):
        return _all_new(lines, identities)
    return _Bench(known).judge(lines, identities)


def _all_new(lines: Sequence[StagedLine], identities: Sequence[Identity]) -> Judgement:
    return Judgement(
        verdicts=[Verdict.NEW] * len(lines),
        changes=[
            Change(identity, None, None, line) for identity, line in zip(identities, lines, strict=True)
        ],
        history=[],
        conflicts=[],
        counts={verdict: len(lines) if verdict is Verdict.NEW else 0 for verdict in Verdict},
    )


class _State:
    """One identity while the chunk is read: every revision seen, the current one, its line."""

    __slots__ = ("contents", "current_revision", "line", "stored")

    def __init__(self, stored: Known | None) -> None:
        self.stored = stored
        self.contents: dict[int, Content] = dict(stored.past) if stored else {}
        self.current_revision: int | None = None
        self.line: StagedLine | None = None
        if stored and stored.current_content is not None and stored.current_revision is not None:
            self.current_revision = stored.current_revision
            self.contents[stored.current_revision] = stored.current_content


class _Bench:
    def __init__(self, known: Mapping[Identity, Known]) -> None:
        self.known = known
        self.states: dict[Identity, _State] = {}
        self.history: list[StagedLine] = []
        self.conflicts: list[Conflict] = []

    def judge(self, lines: Sequence[StagedLine], identities: Sequence[Identity]) -> Judgement:
        verdicts = [self._verdict(line, identity) for line, identity in zip(lines, identities, strict=True)]
        counted = Counter(verdicts)
        return Judgement(
            verdicts=verdicts,
            changes=[
                _change(identity, state.stored, state.line)
                for identity, state in self.states.items()
                if state.line is not None
            ],
            history=self.history,
            conflicts=self.conflicts,
            counts={verdict: counted[verdict] for verdict in Verdict},
        )

    def _verdict(self, line: StagedLine, identity: Identity) -> Verdict:
        state = self.states.get(identity)
        if state is None:
            state = self.states[identity] = _State(self.known.get(identity))
        content = content_of(line)
        seen = state.contents.get(line.revision)
        if seen is not None:
            if seen == content:
                return Verdict.DUPLICATE
            self.conflicts.append(Conflict(line, seen))
            return Verdict.ID_CONFLICT
        state.contents[line.revision] = content
        if state.current_revision is not None and line.revision < state.current_revision:
            self.history.append(line)
            return Verdict.STALE
        verdict = Verdict.NEW if state.current_revision is None else Verdict.REPLACED
        if state.line is not None:
            self.history.append(state.line)
        state.current_revision, state.line = line.revision, line
        return verdict


def _change(identity: Identity, stored: Known | None, line: StagedLine) -> Change:
    if stored is None or stored.current_content is None:
        return Change(identity, None, None, line)
    return Change(identity, stored.current_revision, stored.current_content, line)
