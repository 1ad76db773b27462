"""What a refused line means for the customer whose usage it was, and who can mend it; pure.

Staff read other words for the same codes in mends.py: they can change what refuses a line, customers cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

SENDER_MENDS = "The sender corrects the line and sends it again; nothing was lost by the first try."
WE_MEND = "Ask support: the cause is mended on our side, and the kept line is then read again."


@dataclass(frozen=True, slots=True)
class RejectWords:
    """Why a line was refused, and what happens next."""

    meaning: str
    next_step: str


_BY_SENDER = {
    "account_closed": "Its window starts after the account was closed.",
    "column_count": "It has more or fewer cells than the header names.",
    "control_char": "It holds a character that cannot be seen.",
    "csv_quote": "Its quotes do not close, or stand in the middle of a cell.",
    "duplicate_key": "It names one field twice.",
    "encoding": "It is not UTF-8 text.",
    "field_format": "A text begins or ends with a space.",
    "field_too_long": "A text is longer than 200 characters.",
    "forbidden_account": "It names an account that this source may not write for.",
    "malformed_json": "It is not one JSON object.",
    "missing_field": "A value that every line needs is empty.",
    "negative_not_allowed": "Its quantity is below zero, which this meter does not take.",
    "number_format": "A number is not written as a plain decimal such as 1234.5.",
    "number_not_finite": "A number is not finite.",
    "period_archived": "Its month is archived and sealed.",
    "precision_exceeded": "A number has more digits than are kept exactly.",
    "scale_exceeded": "A number has more decimals than are kept exactly.",
    "shape": "A value is of the wrong kind, such as a list where a text belongs.",
    "timestamp_ambiguous": "Its local time comes twice on that clock and names no offset.",
    "timestamp_format": "A time is not written like 2026-01-31T12:00:00Z.",
    "timestamp_nonexistent": "Its local time is skipped by that clock.",
    "too_deep": "It is nested too deep.",
    "window_inverted": "Its window ends before it starts.",
}
_BY_US = {
    "bad_unit": "Its unit is not the meter's, and no conversion is agreed.",
    "dimension_limit": "A dimension has too many different values.",
    "meter_retired": "Its window starts after the meter was retired.",
    "timestamp_naive": "Its time has no offset, and no clock is agreed for the source.",
    "timestamp_too_old": "Its window is older than the source may send.",
    "unknown_account": "It names an account that is not known.",
    "unknown_field": "It has a field or dimension that is not known.",
    "unknown_meter": "It names a meter that is not known.",
    "window_misaligned": "Its window does not fit the length agreed for the source.",
}
_OF_ITS_OWN = {
    "id_conflict": RejectWords(
        "The same fact came before with other content.",
        "The earlier line stays. A correction is sent with a higher revision.",
    ),
    "timestamp_future": RejectWords(
        "Its window ends too far in the future.",
        "It can be sent again once that time has come.",
    ),
}

REJECT_WORDS: dict[str, RejectWords] = {
    **{code: RejectWords(meaning, SENDER_MENDS) for code, meaning in _BY_SENDER.items()},
    **{code: RejectWords(meaning, WE_MEND) for code, meaning in _BY_US.items()},
    **_OF_ITS_OWN,
}


def words_for(code: str) -> RejectWords:
    """Return the words for a code that refused a line."""
    return REJECT_WORDS.get(code, RejectWords("It could not be taken.", WE_MEND))
