"""A source's definition and a batch's progress as plain sentences; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from insights.feeds.facts import BatchFacts, LineCounts
from insights.feeds.lag import every_words, span_words
from insights.ingest.source_definition import SourceDefinition
from insights.ingest.source_faults import FIELDS
from insights.values.quantity import exact_text

_FORMATS = {
    "any": "CSV, NDJSON or JSON, recognised by its first characters",
    "csv": "CSV with a header line",
    "ndjson": "NDJSON, one object a line",
    "json": 'JSON, one object with "rows"',
}
_WINDOWS = {
    "5min": "5 minutes",
    "15min": "15 minutes",
    "30min": "30 minutes",
    "hour": "one hour",
    "day": "one local day",
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One setting in words."""

    label: str
    words: str


def definition_in_words(definition: SourceDefinition) -> tuple[Sentence, ...]:
    """What a file of this source looks like and how it is read."""
    return (
        Sentence("Files", _FORMATS[definition.format]),
        Sentence("Same fact", _identity_words(definition)),
        Sentence("Windows", _window_words(definition)),
        Sentence("Columns", _column_words(definition)),
        *_optional_sentences(definition),
        Sentence("Accepted windows", _age_words(definition)),
        Sentence("Expected", _cadence_words(definition)),
    )


def _identity_words(definition: SourceDefinition) -> str:
    if definition.key_kind == "row_id":
        return "two lines of an account are the same fact if their row id is equal"
    return "two lines of an account are the same fact if meter, dimensions and window start are equal"


def _window_words(definition: SourceDefinition) -> str:
    length = _WINDOWS[definition.window]
    if definition.clock_zone is None:
        return f"{length} long; every time carries its offset"
    return f"{length} long; a time without offset is on the clock of {definition.clock_zone}"


def _column_words(definition: SourceDefinition) -> str:
    if not definition.columns:
        return "our own names: account, meter, window_start, quantity and so on, dimensions by their keys"
    return ", ".join(f"{name} from “{column}”" for name, column in in_field_order(definition.columns))


def in_field_order(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Our fields in the order people write them, dimensions last; the database keeps no order."""
    places = {name: place for place, name in enumerate(FIELDS)}
    return sorted(values.items(), key=lambda item: (places.get(item[0], len(places)), item[0]))


def _optional_sentences(definition: SourceDefinition) -> list[Sentence]:
    sentences = []
    if definition.constants:
        words = ", ".join(f"{name} is “{value}”" for name, value in definition.constants.items())
        sentences.append(Sentence("On every line", words))
    if definition.ignored:
        sentences.append(Sentence("Not used", ", ".join(definition.ignored)))
    if definition.conversions:
        words = ", ".join(
            f"{meter} comes in {conversion.unit} and is multiplied by {exact_text(conversion.factor)}"
            for meter, conversion in definition.conversions.items()
        )
        sentences.append(Sentence("Units", words))
    if definition.default_revision != 1:
        sentences.append(
            Sentence("Revision", f"{definition.default_revision}, unless the file says otherwise")
        )
    return sentences


def _age_words(definition: SourceDefinition) -> str:
    if definition.max_age_days is None:
        behind = "any age"
    else:
        behind = f"up to {span_words(definition.max_age_days * 86_400)} back"
    return f"{behind}, up to {span_words(definition.max_ahead_seconds)} ahead"


def _cadence_words(definition: SourceDefinition) -> str:
    if definition.ended_at is not None:
        return f"nothing of windows from {definition.ended_at:%-d %b %Y, %H:%M} UTC on"
    batch = f"a batch {every_words(definition.cadence_seconds)}"
    if not definition.lateness_seconds:
        return f"{batch}, complete to the end of its last window"
    return f"{batch}, complete to {span_words(definition.lateness_seconds)} before the end of its last window"


def batch_sentence(batch: BatchFacts) -> str:
    """The answer of the batch page."""
    counts = batch.counts
    if batch.duplicate_of is not None and batch.state == "done" and not counts.new + counts.replaced:
        return "The same file came before, so nothing was counted a second time"
    if batch.state == "done":
        return _done_sentence(counts)
    if batch.state == "reverted":
        return f"Taken out of the books: {counts.new + counts.replaced + counts.stale:,} revisions of it are retracted"
    if batch.state == "held":
        return "Held for a backfill: kept and checked, and in nobody's usage before the backfill is closed"
    if batch.state == "discarded":
        return "Discarded with its backfill; nothing of it was counted"
    if batch.state == "refused":
        return "Refused as a whole; nothing of it was counted"
    if batch.state == "quarantined":
        return f"Set aside after failing three times; {counts.received:,} lines were counted before"
    if batch.state == "processing":
        return f"Being read: {batch.lines_done:,} lines so far"
    return "Stored safely, waiting for a worker"


def _done_sentence(counts: LineCounts) -> str:
    if not counts.received:
        return "Done; the file held no usage lines"
    received = f"{counts.received:,} {'line' if counts.received == 1 else 'lines'} received"
    if not counts.rejected:
        return f"{received}, all accounted for, none rejected"
    return f"{received}, {counts.rejected:,} of them rejected"


def equation_of(counts: LineCounts) -> str:
    """The five verdicts against what was received, in numbers and words."""
    return (
        f"{counts.received:,} received = {counts.new:,} new + {counts.replaced:,} replaced + "
        f"{counts.duplicate:,} duplicate + {counts.stale:,} stale + {counts.rejected:,} rejected"
    )
