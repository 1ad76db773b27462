"""A source and a batch in plain sentences."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from insights.feeds.facts import BatchFacts, LineCounts
from insights.feeds.lag import every_words, span_words
from insights.feeds.wording import batch_sentence, definition_in_words, equation_of
from insights.ingest.source_definition import SourceDefinition, UnitConversion

NOTHING = LineCounts(received=0, new=0, replaced=0, duplicate=0, stale=0, rejected=0)
COUNTS = LineCounts(received=1000, new=950, replaced=10, duplicate=20, stale=5, rejected=15)


def batch(**fields: Any) -> BatchFacts:
    values: dict[str, Any] = dict.fromkeys(BatchFacts.__dataclass_fields__)
    values |= {
        "id": 1,
        "public_id": uuid.uuid4(),
        "state": "done",
        "counts": COUNTS,
        "lines_done": 400,
        "received_at": datetime(2026, 11, 3, tzinfo=UTC),
    }
    return BatchFacts(**{**values, **fields})


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (batch(), "1,000 lines received, 15 of them rejected"),
        (batch(counts=NOTHING), "Done; the file held no usage lines"),
        (batch(state="received"), "Stored safely, waiting for a worker"),
        (batch(state="processing"), "Being read: 400 lines so far"),
        (batch(state="refused"), "Refused as a whole; nothing of it was counted"),
        (
            batch(state="quarantined"),
            "Set aside after failing three times; 1,000 lines were counted before",
        ),
        (
            batch(
                duplicate_of=uuid.uuid4(),
                counts=LineCounts(received=9, new=0, replaced=0, duplicate=9, stale=0, rejected=0),
            ),
            "The same file came before, so nothing was counted a second time",
        ),
        (batch(duplicate_of=uuid.uuid4()), "1,000 lines received, 15 of them rejected"),
    ],
)
def test_the_first_line_of_a_batch(facts: BatchFacts, sentence: str) -> None:
    assert batch_sentence(facts) == sentence


def test_the_equation_names_every_verdict() -> None:
    assert equation_of(COUNTS) == (
        "1,000 received = 950 new + 10 replaced + 20 duplicate + 5 stale + 15 rejected"
    )
    assert COUNTS.adds_up


@pytest.mark.parametrize(
    ("seconds", "words", "every"),
    [
        (0, "0 seconds", "every 0 seconds"),
        (60, "1 minute", "every minute"),
        (3600, "1 hour", "every hour"),
        (5400, "1 hour 30 minutes", "every 1 hour 30 minutes"),
        (172800, "2 days", "every 2 days"),
    ],
)
def test_spans_in_words(seconds: int, words: str, every: str) -> None:
    assert (span_words(seconds), every_words(seconds)) == (words, every)


def test_a_definition_says_everything_it_settles() -> None:
    definition = SourceDefinition(
        slug="meters",
        name="Meters",
        key_kind="row_id",
        window="30min",
        format="csv",
        columns={
            "quantity": "kwh",
            "row_id": "key",
            "window_start": "at",
            "account": "customer",
            "dimension.site": "site",
        },
        ignored=("event",),
        constants={"meter": "electricity"},
        clock_zone="Australia/Sydney",
        conversions={"electricity": UnitConversion("Wh", Decimal("0.001"))},
        max_age_days=None,
        lateness_seconds=7200,
        cadence_seconds=86400,
        default_revision=2,
    )

    words = {sentence.label: sentence.words for sentence in definition_in_words(definition)}

    assert words == {
        "Files": "CSV with a header line",
        "Same fact": "two lines of an account are the same fact if their row id is equal",
        "Windows": "30 minutes long; a time without offset is on the clock of Australia/Sydney",
        "Columns": (
            "account from “customer”, window_start from “at”, quantity from “kwh”, row_id from “key”, "
            "dimension.site from “site”"
        ),
        "On every line": "meter is “electricity”",
        "Not used": "event",
        "Units": "electricity comes in Wh and is multiplied by 0.001",
        "Revision": "2, unless the file says otherwise",
        "Accepted windows": "any age, up to 5 minutes ahead",
        "Expected": "a batch every day, complete to 2 hours before the end of its last window",
    }
