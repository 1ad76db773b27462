"""What the headers of an upload say about its body, each in exactly one written form."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from insights.api.errors import Problem
from insights.ingest.grammar import REVISION_END
from insights.ingest.instants import scan_instant

MEDIA_TYPES = {"text/csv": "csv", "application/x-ndjson": "ndjson", "application/json": "json"}
ROWS_MAX = 10**9
# A promise about the future would call hours complete that have not happened. Clocks may differ by so much.
COMPLETE_TO_AHEAD_MAX = timedelta(minutes=5)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


@dataclass(frozen=True, slots=True)
class UploadHeaders:
    """Everything a sender may say besides the bytes."""

    form: str
    is_gzip: bool
    idempotency_key: str | None
    revision: int | None
    complete_to: datetime | None
    rows: int | None
    sha256: str | None
    backfill: uuid.UUID | None


def read_upload_headers(headers: Mapping[str, str], *, now: datetime) -> UploadHeaders:
    """Return what the headers say, or raise Problem with the header's name in `field`."""
    return UploadHeaders(
        form=_form(headers.get("Content-Type", "")),
        is_gzip=_is_gzip(headers.get("Content-Encoding", "identity")),
        idempotency_key=_idempotency_key(headers.get("Idempotency-Key")),
        revision=_number(headers, "Usage-Revision", least=1, most=REVISION_END - 1),
        complete_to=_complete_to(headers.get("Usage-Complete-To"), now),
        rows=_number(headers, "Usage-Rows", least=0, most=ROWS_MAX),
        sha256=_sha256(headers.get("Content-Digest")),
        backfill=_backfill(headers.get("Usage-Backfill")),
    )


def _form(content_type: str) -> str:
    media_type, _, parameters = content_type.partition(";")
    form = MEDIA_TYPES.get(media_type.strip().lower())
    if form is None:
        raise Problem(
            "unsupported_media_type", f"Content-Type must be {', '.join(MEDIA_TYPES)}.", field="Content-Type"
        )
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value.strip('"').lower() not in ("utf-8", "utf8"):
            raise Problem("encoding", "The charset must be utf-8.", status=415, field="Content-Type")
    return form


def _is_gzip(content_encoding: str) -> bool:
    coding = content_encoding.strip().lower()
    if coding not in ("gzip", "x-gzip", "identity", ""):
        raise Problem(
            "unsupported_encoding", "Content-Encoding must be gzip or absent.", field="Content-Encoding"
        )
    return coding.endswith("gzip")


def _idempotency_key(text: str | None) -> str | None:
    if text is not None and _IDEMPOTENCY_KEY.fullmatch(text) is None:
        detail = "Idempotency-Key must have 1 to 255 visible ASCII characters."
        raise Problem("idempotency_key", detail, field="Idempotency-Key")
    return text


def _number(headers: Mapping[str, str], name: str, *, least: int, most: int) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    if _WHOLE_NUMBER.fullmatch(text) is None or not least <= int(text) <= most:
        raise Problem("number_format", f"{name} must be a whole number from {least} to {most}.", field=name)
    return int(text)


def _complete_to(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    instant = scan_instant(text, "Usage-Complete-To", clock_zone=None)
    if instant > now + COMPLETE_TO_AHEAD_MAX:
        detail = "Usage-Complete-To lies in the future; usage cannot be complete before it has happened."
        raise Problem("timestamp_future", detail, field="Usage-Complete-To")
    return instant


def _sha256(text: str | None) -> str | None:
    if text is None:
        return None
    match = _DIGEST.fullmatch(text)
    if match is None:
        detail = "Content-Digest must be sha-256=:…: with the 44 characters of the SHA-256 in base64."
        raise Problem("field_format", detail, field="Content-Digest")
    try:
        return base64.b64decode(match[1], validate=True).hex()
    except binascii.Error:
        raise Problem("field_format", "Content-Digest is not base64.", field="Content-Digest") from None


def _backfill(text: str | None) -> uuid.UUID | None:
    if text is None:
        return None
    if _UUID.fullmatch(text) is None:
        detail = "Usage-Backfill must be the number of a backfill, a UUID in lower case."
        raise Problem("field_format", detail, field="Usage-Backfill")
    return uuid.UUID(text)
