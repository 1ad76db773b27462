"""What is said about an upload, and what is kept of one that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.tenancy import as_worker
from insights.ingest.refusals import RequestRefused
from insights.models import Batch
from insights.tasks import ingest_batch
from tests import factories

pytestmark = pytest.mark.usefixtures("portal_db")

BODY = b"account,meter,window_start,quantity\nansel,bytes_out,2026-11-01T00:00:00Z,5\n"


@pytest.fixture
def edge() -> Any:
    """One hourly source and its account."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    return factories.make_source("edge")


def receive(source: Any, **said: Any) -> Any:
    body = said.pop("body", BODY)
    return factories.receive_batch(pieces=[body], source_id=source.pk, via="api", **said)


def refusal_of(source: Any, **said: Any) -> tuple[int, str, str | None]:
    with pytest.raises(RequestRefused) as caught:
        receive(source, **said)
    return caught.value.status, caught.value.code, caught.value.field


def batches() -> int:
    with as_worker():
        return Batch.objects.count()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"name": "a\x00b"}, (400, "field_format", "name")),
        ({"name": "a\nb"}, (400, "field_format", "name")),
        ({"name": "a\udc80b"}, (400, "field_format", "name")),
        ({"name": "a\u202eb"}, (400, "field_format", "name")),
        ({"media_type": "x" * 30}, (415, "unsupported_media_type", None)),
        ({"idempotency_key": ""}, (400, "idempotency_key", "idempotency_key")),
        ({"idempotency_key": "k" * 256}, (400, "idempotency_key", "idempotency_key")),
        ({"idempotency_key": "k\x00"}, (400, "idempotency_key", "idempotency_key")),
        ({"idempotency_key": "k\udc80"}, (400, "idempotency_key", "idempotency_key")),
        ({"revision": 0}, (400, "number_format", "revision")),
        ({"revision": 2**31}, (400, "number_format", "revision")),
        ({"declared_rows": -1}, (400, "number_format", "declared_rows")),
        ({"declared_rows": 10**5000}, (400, "number_format", "declared_rows")),
        ({"upload_part": 0}, (400, "number_format", "upload_part")),
        ({"upload_part": 2**31}, (400, "number_format", "upload_part")),
    ],
)
def test_what_cannot_be_stored_as_said_is_refused(edge: Any, said: Any, answer: Any) -> None:
    assert refusal_of(edge, **said) == answer
    assert batches() == 0


def test_the_most_that_may_be_said_is_taken(edge: Any) -> None:
    receive(
        edge,
        name="Fran\u00e7ais \u6570\u636e " * 40,
        idempotency_key="k" * 255,
        revision=2**31 - 1,
        declared_rows=1,
        upload_part=2**31 - 1,
    )

    assert batches() == 1


def test_polling_with_the_key_of_a_batch_keeps_nothing(edge: Any) -> None:
    receive(edge, idempotency_key="k")

    for _ in range(3):
        assert refusal_of(edge, idempotency_key="k") == (409, "in_progress", None)
        assert refusal_of(edge, idempotency_key="k", revision=2) == (422, "idempotency_mismatch", None)
    assert batches() == 1


def test_the_same_bytes_in_another_form_are_no_repeat(edge: Any) -> None:
    receive(edge, idempotency_key="k", media_type="csv")

    assert refusal_of(edge, idempotency_key="k", media_type="json")[1] == "idempotency_mismatch"
    assert refusal_of(edge, idempotency_key="k", media_type="csv")[1] == "in_progress"
    assert refusal_of(edge, idempotency_key="k", media_type="any")[1] == "in_progress"
    assert batches() == 1


def test_any_other_refusal_is_kept(edge: Any) -> None:
    assert refusal_of(edge, body=b"", idempotency_key="k")[1] == "header"

    with as_worker():
        assert list(Batch.objects.values_list("state", "error_code")) == [("refused", "header")]


def test_one_more_of_a_sender_whose_batches_wait_is_refused_before_it_is_read(
    edge: Any, settings: Any
) -> None:
    settings.UPLOAD_OPEN_BATCHES_MAX = 2
    first, _second = receive(edge, idempotency_key="k"), receive(edge)

    def never_read() -> Any:
        raise AssertionError("the body was read")
        yield

    with pytest.raises(RequestRefused) as caught:
        factories.receive_batch(pieces=never_read(), source_id=edge.pk, via="api")

    assert (caught.value.status, caught.value.code) == (429, "too_many_batches")
    assert batches() == 2
    # A repeat is no more work, the portal's own command knows what it does, and others are not concerned.
    assert refusal_of(edge, idempotency_key="k")[1] == "in_progress"
    factories.receive_batch(pieces=[BODY], source_id=edge.pk, via="command")
    receive(factories.make_source("core"))
    settings.UPLOAD_OPEN_BATCHES_MAX = 3
    ingest_batch(first.batch_id)
    receive(edge)
