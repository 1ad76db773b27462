"""Feeds and batches as staff see them: who may look, what is said, and that no cell is shown."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tenancy import as_owner, as_worker, connection
from insights.feeds.batch_queries import get_batch
from insights.models import Batch, RejectedLine, Source, UnattributedReject, WorkItem
from insights.upkeep import verify_books
from tests import factories
from tests.factories import ingest_now

pytestmark = pytest.mark.database

HEADER = "account,meter,window_start,quantity,endpoint\n"
CELL = "SECRET-CELL"


@pytest.fixture
def edge(cast: Any) -> Source:
    """An hourly source whose lines carry their offsets."""
    factories.make_meter()
    return factories.make_source("edge", clock_zone="")


def line(account: str, hour: int, quantity: object = 1, endpoint: str = "a") -> str:
    """One CSV line of 3 Nov 2026."""
    return f"{account},bytes_out,2026-11-03T{hour:02}:00:00Z,{quantity},{endpoint}\n"


def mixed_batch(edge: Source) -> Batch:
    """Two new lines of one account, one refused of it, one of an account nobody knows."""
    body = HEADER + line("ansel", 1) + line("ansel", 2) + line("ansel", 3, CELL) + line("nobody", 4)
    return ingest_now(edge, body, name="monday.csv")


def addresses(edge: Source) -> list[tuple[str, str]]:
    """Every page and act of these modules."""
    missing = uuid.uuid4()
    source = [
        ("get", "staff-source"),
        ("get", "source-edit"),
        ("get", "source-toml"),
        ("post", "source-edit"),
        ("post", "source-import"),
        ("post", "source-state"),
        ("post", "source-preview"),
        ("post", "source-upload"),
        ("post", "source-key-issue"),
    ]
    return [
        ("get", reverse("staff-feeds")),
        ("get", reverse("staff-sources")),
        ("get", reverse("staff-source-new")),
        ("post", reverse("staff-source-new")),
        ("post", reverse("source-new-toml")),
        ("get", reverse("staff-batch", args=[missing])),
        ("post", reverse("batch-replay", args=[missing])),
        ("post", reverse("source-key-revoke", args=[edge.slug, missing])),
        *((method, reverse(name, args=[edge.slug])) for method, name in source),
    ]


@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
def test_for_customers_there_are_no_such_pages(cast: Any, edge: Source, signed_in: Any, who: str) -> None:
    client = signed_in(getattr(cast, who))

    answers = {address: getattr(client, method)(address).status_code for method, address in addresses(edge)}

    assert set(answers.values()) == {404}


def test_signed_out_visitors_are_sent_to_sign_in(edge: Source, signed_in: Any) -> None:
    client = signed_in(None)

    answers = [getattr(client, method)(address) for method, address in addresses(edge)]

    assert {answer.status_code for answer in answers} == {302}
    assert all(answer["Location"].startswith(reverse("account_login")) for answer in answers)


def test_the_feeds_page_begins_with_the_answer(cast: Any, edge: Source, signed_in: Any) -> None:
    mixed_batch(edge)

    page = signed_in(cast.staff).get(reverse("staff-feeds")).content.decode()

    assert "1 feed, reporting; nothing waiting." in page
    assert "4<br>" in page
    assert "2 rejected" in page
    assert "3 Nov 2026, 03:00" in page


def test_the_feeds_page_says_what_waits(cast: Any, edge: Source, signed_in: Any) -> None:
    batch = mixed_batch(edge)
    with as_worker():
        WorkItem.objects.filter(batch=batch).update(state="waiting")

    page = signed_in(cast.staff).get(reverse("staff-feeds")).content.decode()

    assert "1 batch still to be read" in page


def test_the_feeds_page_asks_as_often_for_fifty_feeds_as_for_one(
    cast: Any, edge: Source, signed_in: Any, django_assert_max_num_queries: Any
) -> None:
    mixed_batch(edge)
    for number in range(50):
        factories.make_source(f"feed-{number}")

    from django.db import connections

    with django_assert_max_num_queries(6, connection=connections["staff"]):
        signed_in(cast.staff).get(reverse("staff-feeds"))


def test_the_feeds_page_says_whether_the_books_agree(cast: Any, edge: Source, signed_in: Any) -> None:
    browser = signed_in(cast.staff)
    assert "Books not checked yet" in browser.get(reverse("staff-feeds")).content.decode()
    verify_books()
    assert "rows compared, no difference" in browser.get(reverse("staff-feeds")).content.decode()
    with as_owner(), connection().cursor() as cursor:
        cursor.execute("UPDATE insights_ledgerhead SET position = 9")
    verify_books()

    page = browser.get(reverse("staff-feeds")).content.decode()

    assert "Books differ" in page
    assert "ledger head 9: the highest position is 0" in page


def test_htmx_gets_the_part_and_others_the_page(cast: Any, edge: Source, signed_in: Any) -> None:
    client = signed_in(cast.staff)

    part = client.get(reverse("staff-feeds"), headers={"HX-Request": "true"})

    assert part.content.decode().lstrip().startswith('<div id="feeds"')
    assert "HX-Request" in part["Vary"]
    assert "<html" in client.get(reverse("staff-feeds")).content.decode()


def test_a_batch_says_where_every_line_went(cast: Any, edge: Source, signed_in: Any) -> None:
    batch = mixed_batch(edge)

    page = signed_in(cast.staff).get(reverse("staff-batch", args=[batch.public_id])).content.decode()

    assert "4 lines received, 2 of them rejected." in page
    assert "4 received = 2 new + 0 replaced + 0 duplicate + 0 stale + 2 rejected" in page
    assert "number_format" in page
    assert "unknown_account" in page
    assert "Ansel Ltd" in page
    assert "hx-trigger" not in page


def test_no_cell_of_a_refused_line_is_shown(cast: Any, edge: Source, signed_in: Any) -> None:
    batch = mixed_batch(edge)

    page = signed_in(cast.staff).get(reverse("staff-batch", args=[batch.public_id])).content.decode()

    assert CELL not in page
    assert "nobody" not in page
    assert "support access" in page


def test_a_batch_under_way_polls_and_shows_how_far_it_is(cast: Any, edge: Source, signed_in: Any) -> None:
    batch = mixed_batch(edge)
    with as_worker():
        Batch.objects.filter(pk=batch.pk).update(state="processing", lines_total=1000, lines_done=340)

    page = signed_in(cast.staff).get(reverse("staff-batch", args=[batch.public_id])).content.decode()

    assert 'hx-trigger="every 1s"' in page
    assert '<progress aria-label="Reading lines" value="340" max="1000">' in page


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("refused", "Refused as a whole; nothing of it was counted."),
        ("quarantined", "Set aside after failing three times; 4 lines were counted before."),
    ],
)
def test_a_batch_that_ended_badly_says_so_and_how_to_mend_it(
    cast: Any, edge: Source, signed_in: Any, state: str, words: str
) -> None:
    batch = mixed_batch(edge)
    with as_worker():
        Batch.objects.filter(pk=batch.pk).update(
            state=state, error_code="header", error_detail="the column 'x' is unknown"
        )

    page = signed_in(cast.staff).get(reverse("staff-batch", args=[batch.public_id])).content.decode()

    assert words in page
    assert "send" in page


def test_rejects_are_paged_by_line(cast: Any, edge: Source, signed_in: Any) -> None:
    body = HEADER + "".join(line("nobody", 1) for _ in range(150))
    batch = ingest_now(edge, body)
    address = reverse("staff-batch", args=[batch.public_id])

    first = signed_in(cast.staff).get(address).content.decode()
    second = signed_in(cast.staff).get(address, {"after": "101"}).content.decode()

    assert "Lines 2 to 101" in first
    assert "?after=101" in first
    assert "Lines 102 to 151" in second


@pytest.mark.parametrize("after", ["-1", "abc", "9" * 40, "٣", ""])
def test_a_wrong_place_in_the_address_shows_the_beginning(
    cast: Any, edge: Source, signed_in: Any, after: str
) -> None:
    batch = mixed_batch(edge)

    page = signed_in(cast.staff).get(reverse("staff-batch", args=[batch.public_id]), {"after": after})

    assert page.status_code == 200
    assert "Lines 4 to 5" in page.content.decode()


def test_replay_reads_the_refused_lines_again_after_the_mend(
    cast: Any, edge: Source, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insights import tasks

    monkeypatch.setattr(tasks, "ring", tasks.ingest_batch)
    batch = mixed_batch(edge)
    factories.make_account("nobody")

    answer = signed_in(cast.staff).post(reverse("batch-replay", args=[batch.public_id]))

    with as_worker():
        replay = Batch.objects.get(replay_of=batch)
    assert answer["Location"] == reverse("staff-batch", args=[replay.public_id])
    assert (replay.received, replay.new, replay.rejected) == (2, 1, 1)
    with as_worker():
        assert not RejectedLine.objects.filter(batch=batch, replayed_at=None).exists()
        assert not UnattributedReject.objects.filter(batch=batch, replayed_at=None).exists()


def test_a_second_press_of_replay_leads_to_the_same_replay(
    cast: Any, edge: Source, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insights import tasks

    monkeypatch.setattr(tasks, "ring", lambda batch_id: None)
    batch = mixed_batch(edge)
    client, address = signed_in(cast.staff), reverse("batch-replay", args=[batch.public_id])

    answers = [client.post(address)["Location"] for _ in range(2)]

    assert answers[0] == answers[1]
    with as_worker():
        assert Batch.objects.filter(replay_of=batch).count() == 1
        assert get_batch(public_id=batch.public_id).replay_running is not None


def test_replay_without_refused_lines_says_so(cast: Any, edge: Source, signed_in: Any) -> None:
    batch = ingest_now(edge, HEADER + line("ansel", 1))

    page = signed_in(cast.staff).post(reverse("batch-replay", args=[batch.public_id]), follow=True)

    assert "was replayed before" in page.content.decode()


def test_replay_needs_the_forgery_token(cast: Any, edge: Source, signed_in: Any) -> None:
    batch = mixed_batch(edge)

    answer = signed_in(cast.staff, enforce_csrf_checks=True).post(
        reverse("batch-replay", args=[batch.public_id])
    )

    assert answer.status_code == 403


def test_a_batch_set_aside_is_tried_again_from_its_page(
    cast: Any, edge: Source, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insights import tasks

    monkeypatch.setattr(tasks, "ring", tasks.ingest_batch)
    received = factories.receive_batch(
        pieces=[(HEADER + line("ansel", 1)).encode()], source_id=edge.pk, via="api"
    )
    with as_worker():
        WorkItem.objects.update(state="quarantined", deliveries=4)
        Batch.objects.update(
            state="quarantined", error_code="quarantined", error_detail="Failed three times."
        )
    client = signed_in(cast.staff)
    address = reverse("batch-try-again", args=[received.public_id])
    assert address in client.get(reverse("staff-batch", args=[received.public_id])).content.decode()

    client.post(address)

    with as_worker():
        assert Batch.objects.values_list("state", "error_code", "new").get() == ("done", "", 1)
        assert AuditEntry.objects.filter(act="batch.try_again", actor=cast.staff).count() == 1
    assert "not set aside" in client.post(address, follow=True).content.decode()
