"""Refused lines are kept as they are, whatever stands in them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from accounts.tenancy import as_worker
from insights.ingest import reject_operations
from insights.ingest.outcomes import RejectedLine
from insights.ingest.reject_operations import keep_rejects
from insights.models import RejectedLine as RejectedLineRow
from insights.models import UnattributedReject
from tests import factories

pytestmark = pytest.mark.usefixtures("portal_db")

EVERY_BYTE = bytes(range(256))
TEXTS = {
    "plain": "plain",
    "": "",
    "\\": "\\",
    "\\N": "\\N",
    "\\.": "\\.",
    "\\t \\x41 \\101": "\\t \\x41 \\101",
    "a\tb": "a\tb",
    "a\nb\r\nc": "a\nb\r\nc",
    "\x0b\x7f\u202e": "\x0b\x7f\u202e",
    "a\x00b": "a\\x00b",
    "a\udc80b": "a\\udc80b",
    "\u6570\U0001f600": "\u6570\U0001f600",
}


@pytest.fixture
def batch() -> Any:
    """A batch of which everything was taken."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    edge = factories.make_source("edge")
    return factories.ingest_now(edge, "account,meter,window_start,quantity\n")


def reject(
    line_no: int, text: str, *, account_id: int | None, raw: bytes | None = EVERY_BYTE
) -> RejectedLine:
    return RejectedLine(
        line_no=line_no,
        code="number_format",
        field=text,
        value=text,
        message=text,
        account_id=account_id,
        account_reference=None if account_id else text,
        raw=raw,
        retryable=False,
    )


def keep(batch: Any, rejected: list[RejectedLine]) -> None:
    with as_worker(), transaction.atomic(using="worker"):
        keep_rejects(batch_id=batch.pk, rejected=rejected)


def test_texts_and_bytes_come_back_as_they_were(batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reject_operations, "LINES_AT_ONCE", 5)
    account = factories.make_account("brook")

    keep(batch, [reject(place, text, account_id=account.pk) for place, text in enumerate(TEXTS, 1)])
    keep(batch, [reject(place, text, account_id=None) for place, text in enumerate(TEXTS, 101)])

    with as_worker():
        known = list(RejectedLineRow.objects.order_by("line_no"))
        unattributed = list(UnattributedReject.objects.order_by("line_no"))
    expected = list(TEXTS.values())
    for rows in (known, unattributed):
        assert [row.field for row in rows] == expected
        assert [row.value for row in rows] == expected
        assert [row.message for row in rows] == expected
        assert {(row.batch_id, row.code, bytes(row.raw or b"")) for row in rows} == {
            (batch.pk, "number_format", EVERY_BYTE)
        }
        assert all(row.rejected_at is not None and row.replayed_at is None for row in rows)
    assert [row.line_no for row in unattributed] == list(range(101, 101 + len(TEXTS)))
    assert {row.account_id for row in known} == {account.pk}
    assert [row.account_reference for row in unattributed] == expected


def test_long_texts_are_cut_and_a_line_without_bytes_has_none(batch: Any) -> None:
    keep(
        batch,
        [reject(1, "\\\x00" * 400, account_id=None, raw=None), reject(2, "x", account_id=None, raw=b"")],
    )

    with as_worker():
        first, second = UnattributedReject.objects.order_by("line_no")
    assert [len(text) for text in (first.field, first.value, first.message)] == [100, 200, 300]
    assert first.raw is None
    assert second.raw is not None
    assert bytes(second.raw) == b""


def test_two_chunks_of_one_transaction_keep_each_line_once(batch: Any) -> None:
    with as_worker(), transaction.atomic(using="worker"):
        keep_rejects(batch_id=batch.pk, rejected=[reject(1, "x", account_id=None)])
        keep_rejects(batch_id=batch.pk, rejected=[reject(2, "x", account_id=None)])

    with as_worker():
        assert UnattributedReject.objects.count() == 2
