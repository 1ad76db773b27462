"""Every way usage can be refused: one table of stable codes, and the two exceptions that carry them.

A request-level refusal stores nothing but itself; a row-level refusal concerns one line only. The
table is what the API answers with and what docs/ingest_errors.md explains; a code outside it cannot
be raised.
"""

from __future__ import annotations

from dataclasses import dataclass

VALUE_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class CodeFact:
    """Where a code may stand: the HTTP status when it refuses a request, and whether it may pass later."""

    code: str
    status: int | None = None
    row: bool = False
    retryable: bool = False


CODES: dict[str, CodeFact] = {
    fact.code: fact
    for fact in (
        CodeFact("account_closed", row=True),
        CodeFact("archive_bomb", 413),
        CodeFact("backfill_full", 413),
        CodeFact("backfill_not_open", 409),
        CodeFact("bad_unit", row=True, retryable=True),
        CodeFact("batch_too_many_rows", 413),
        CodeFact("body_too_large", 413),
        CodeFact("checksum", 422),
        CodeFact("column_count", row=True),
        CodeFact("control_char", row=True),
        CodeFact("csv_quote", row=True),
        CodeFact("dimension_limit", row=True, retryable=True),
        CodeFact("duplicate_key", 400, row=True),
        CodeFact("encoding", 400, row=True),
        CodeFact("field_format", 400, row=True),
        CodeFact("field_too_long", 413, row=True),
        CodeFact("forbidden_account", row=True),
        CodeFact("header", 400),
        CodeFact("id_conflict", row=True),
        CodeFact("idempotency_key", 400),
        CodeFact("idempotency_mismatch", 422),
        CodeFact("in_progress", 409),
        CodeFact("malformed_json", 400, row=True),
        CodeFact("meter_retired", row=True),
        CodeFact("missing_field", row=True),
        CodeFact("negative_not_allowed", row=True),
        CodeFact("number_format", 400, row=True),
        CodeFact("number_not_finite", row=True),
        CodeFact("period_archived", 400, row=True),
        CodeFact("precision_exceeded", row=True),
        CodeFact("scale_exceeded", row=True),
        CodeFact("shape", 400, row=True),
        CodeFact("source_disabled", 403),
        CodeFact("timestamp_ambiguous", row=True),
        CodeFact("timestamp_format", row=True),
        CodeFact("timestamp_future", row=True, retryable=True),
        CodeFact("timestamp_naive", row=True),
        CodeFact("timestamp_nonexistent", row=True),
        CodeFact("timestamp_too_old", row=True, retryable=True),
        CodeFact("too_deep", 400, row=True),
        CodeFact("too_many_batches", 429),
        CodeFact("truncated_body", 400),
        CodeFact("unknown_account", row=True, retryable=True),
        CodeFact("unknown_backfill", 422),
        CodeFact("unknown_field", 400, row=True, retryable=True),
        CodeFact("unknown_meter", row=True, retryable=True),
        CodeFact("unsupported_encoding", 415),
        CodeFact("unsupported_media_type", 415),
        CodeFact("window_inverted", row=True),
        CodeFact("window_misaligned", row=True),
    )
}


class Refusal(Exception):
    """One line cannot be taken: which code, which field, in words, and the value that was sent."""

    def __init__(self, code: str, field: str, message: str, value: object = "") -> None:
        if not CODES[code].row:
            raise ValueError(f"{code} does not refuse a row")
        super().__init__(code, field, message)
        self.code = code
        self.field = field
        self.message = message
        self.value = value


class RequestRefused(Exception):
    """The whole request cannot be taken: what to answer, and where in the body it went wrong."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        usual_status = CODES[code].status
        if usual_status is None:
            raise ValueError(f"{code} does not refuse a request")
        super().__init__(code, detail)
        self.status = status or usual_status
        self.code = code
        # Both may quote what was sent, and are kept and shown: a key of a document may hold any character.
        self.detail = "".join(map(_escaped, detail))
        self.line = line
        self.field = None if field is None else shown(field)


def shown(value: object) -> str:
    """The value as harmless printable text of at most 200 characters, for people to look at."""
    text = value if isinstance(value, str) else repr(value)
    # Cutting before escaping keeps a value of many megabytes cheap, cutting after keeps the promise.
    escaped = "".join(map(_escaped, text[:VALUE_CHARACTERS_MAX]))
    return escaped[:VALUE_CHARACTERS_MAX]


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
