"""What mends each refusal, in words for the staff who look at a batch; pure.

Every code that can refuse a row has a sentence here. `is_replay` says that our side can mend it, after which
the kept lines are read again; everything else only the sender can mend.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mend:
    """What to do, and whether a replay helps afterwards."""

    words: str
    is_replay: bool = False


_SEND_AGAIN = " The sender corrects the line and sends it again; the identity is not used up."

MENDS: dict[str, Mend] = {
    "account_closed": Mend("The window starts after the account was closed." + _SEND_AGAIN),
    "bad_unit": Mend("State the unit under the source's conversions, then replay.", is_replay=True),
    "column_count": Mend("The line has more or fewer cells than the header." + _SEND_AGAIN),
    "control_char": Mend("A text holds a character that cannot be seen." + _SEND_AGAIN),
    "csv_quote": Mend("Quotes do not close, or stand in the middle of a cell." + _SEND_AGAIN),
    "dimension_limit": Mend(
        "The dimension has too many different values; raise the limit, then replay.", is_replay=True
    ),
    "duplicate_key": Mend("A JSON object names one key twice." + _SEND_AGAIN),
    "encoding": Mend("The line is not UTF-8." + _SEND_AGAIN),
    "field_format": Mend("A text begins or ends with a space." + _SEND_AGAIN),
    "field_too_long": Mend("A text is longer than is kept." + _SEND_AGAIN),
    "forbidden_account": Mend("The source may not write for the account that the line names." + _SEND_AGAIN),
    "id_conflict": Mend(
        "The same fact came before with other content, and the earlier one stays. "
        "A correction needs a higher revision."
    ),
    "malformed_json": Mend("The line is not one JSON object." + _SEND_AGAIN),
    "meter_retired": Mend(
        "The window starts after the meter was retired. Add a new version, then replay.", is_replay=True
    ),
    "missing_field": Mend("A needed value is empty." + _SEND_AGAIN),
    "negative_not_allowed": Mend("The meter takes no negative quantities." + _SEND_AGAIN),
    "number_format": Mend("A number is not a plain decimal such as 1234.5." + _SEND_AGAIN),
    "number_not_finite": Mend("A number is not finite." + _SEND_AGAIN),
    "period_archived": Mend(
        "The usage of that month is archived and sealed; agree on a correction with the sender."
    ),
    "precision_exceeded": Mend("A number has more digits than are kept exactly." + _SEND_AGAIN),
    "scale_exceeded": Mend("A number has more decimals than are kept exactly." + _SEND_AGAIN),
    "shape": Mend("A value has the wrong type." + _SEND_AGAIN),
    "timestamp_ambiguous": Mend("The local time comes twice on that clock; the sender gives an offset."),
    "timestamp_format": Mend("A time is not written like 2026-01-31T12:00:00Z." + _SEND_AGAIN),
    "timestamp_future": Mend(
        "The window ends too far ahead; replay it once that time has come.", is_replay=True
    ),
    "timestamp_naive": Mend(
        "A time has no offset. State the source's clock zone, then replay.", is_replay=True
    ),
    "timestamp_nonexistent": Mend("The local time is skipped by that clock; the sender gives an offset."),
    "timestamp_too_old": Mend(
        "The window is older than the source's age limit. Raise it, then replay.", is_replay=True
    ),
    "too_deep": Mend("The JSON is nested too deep." + _SEND_AGAIN),
    "unknown_account": Mend(
        "Make an account with the reference that the lines name, then replay.", is_replay=True
    ),
    "unknown_field": Mend(
        "A dimension or column is not known. Add it to a new meter version or the source's columns, "
        "then replay.",
        is_replay=True,
    ),
    "unknown_meter": Mend("Add the meter to the catalogue, then replay.", is_replay=True),
    "window_inverted": Mend("The window ends before it starts." + _SEND_AGAIN),
    "window_misaligned": Mend(
        "The window does not fit the source's window length or the meter's grain. "
        "If the source's setting is wrong, mend it, then replay.",
        is_replay=True,
    ),
}


def mend_of(code: str) -> Mend:
    """What mends lines refused with this code."""
    return MENDS.get(code, Mend("Look the code up in docs/ingest_errors.md."))
