"""Notes and saved views on the pages: who writes, who changes, who sees, and what the audit trail says of it."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
import time_machine
from django.db import connections
from django.test import Client
from django.urls import reverse

from accounts.models import Account, AuditEntry, User
from accounts.operations import UnableToChange
from accounts.tenancy import account_scope, as_owner
from insights.models import ChartNote, SavedView
from insights.notebook import operations
from tests import factories
from tests.conftest import Cast
from tests.factories import ingest_now, make_source

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH = "?meter=calls&from=2026-11-01&to=2026-11-19&granularity=day"


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def other_member(cast: Cast) -> User:
    person = factories.make_user("second@example.com")
    factories.make_membership(cast.ours, person, role="billing")
    return person


def post(client: Client, account: Account, address: str, *parts: Any, **fields: str) -> Any:
    return client.post(reverse(address, args=[account.public_id, *parts]), fields)


def write(client: Client, account: Account, at: str, text: str, **more: str) -> Any:
    return post(client, account, "note-add", at=at, text=text, **more)


def notes_of(account: Account) -> list[ChartNote]:
    with as_owner():
        return list(ChartNote.objects.filter(account=account).order_by("at", "id"))


def acts_of(account: Account) -> list[tuple[str, str, str]]:
    with as_owner():
        rows = AuditEntry.objects.filter(account=account).order_by("id")
        return list(rows.values_list("act", "subject", "actor_name"))


def page(client: Client, account: Account, name: str, query: str = "", *parts: Any) -> str:
    response = client.get(reverse(name, args=[account.public_id, *parts]) + query)
    assert response.status_code == 200
    return str(response.content.decode())


def deliver_some(account: Account) -> None:
    factories.make_meter("calls", unit="call", dimensions=["endpoint"])
    rows = "".join(f"{account.reference},calls,2026-11-{day:02d}T10:00:00Z,{day},a\n" for day in range(1, 20))
    batch = ingest_now(make_source(), f"account,meter,window_start,quantity,endpoint\n{rows}")
    assert (batch.state, batch.rejected) == ("done", 0)


class TestNotes:
    def test_any_member_writes_one_and_everybody_reads_it(
        self, cast: Cast, signed_in: Callable[..., Client]
    ) -> None:
        with as_owner():
            Account.objects.filter(pk=cast.ours.pk).update(billing_zone="Europe/Berlin")

        answer = write(signed_in(cast.viewer), cast.ours, "2026-11-12T14:30", "  Released v2 here ")

        assert answer.status_code == 302
        [note] = notes_of(cast.ours)
        assert (note.at, note.text) == (datetime(2026, 11, 12, 13, 30, tzinfo=UTC), "Released v2 here")
        assert acts_of(cast.ours)[-1] == ("note.add", "Released v2 here", cast.viewer.email)
        assert "Released v2 here" in page(signed_in(cast.owner), cast.ours, "note-list")
        assert "Wrote the note “Released v2 here”" in page(
            signed_in(cast.owner), cast.ours, "account-settings"
        )

    def test_the_same_one_again_is_not_written_twice(self, cast: Cast, signed_in: Any) -> None:
        client = signed_in(cast.viewer)
        for _ in range(2):
            write(client, cast.ours, "2026-11-12T14:30", "Released")

        assert len(notes_of(cast.ours)) == 1

    @pytest.mark.parametrize(
        ("at", "text", "field"),
        [
            ("", "x", "at"),
            ("2026-02-30T10:00", "x", "at"),
            ("yesterday", "x", "at"),
            ("1999-12-31T10:00", "x", "at"),
            ("2101-01-01T10:00", "x", "at"),
            ("2026-03-29T02:30", "x", "at"),
            ("2026-10-25T02:30", "x", "at"),
            ("2026-11-12T14:30", " ", "text"),
            ("2026-11-12T14:30", "a\u202eb", "text"),
            ("2026-11-12T14:30", "x" * 201, "text"),
        ],
    )
    def test_what_cannot_be_written_is_said_at_its_field(
        self, cast: Cast, signed_in: Any, at: str, text: str, field: str
    ) -> None:
        with as_owner():
            Account.objects.filter(pk=cast.ours.pk).update(billing_zone="Europe/Berlin")

        answer = write(signed_in(cast.viewer), cast.ours, at, text)

        assert answer.status_code == 422
        assert list(answer.context["form"].errors) == [field]
        assert notes_of(cast.ours) == []

    def test_members_change_their_own_and_owners_any(
        self, cast: Cast, signed_in: Any, other_member: User
    ) -> None:
        write(signed_in(cast.viewer), cast.ours, "2026-11-12T14:30", "First")
        [note] = notes_of(cast.ours)
        change = {"at": "2026-11-13T08:00", "text": "Second"}

        refused = post(signed_in(other_member), cast.ours, "note-detail", note.public_id, **change)
        refused_too = post(signed_in(other_member), cast.ours, "note-delete", note.public_id)
        own = post(signed_in(cast.viewer), cast.ours, "note-detail", note.public_id, **change)

        assert (refused.status_code, refused_too.status_code, own.status_code) == (403, 403, 302)
        [changed] = notes_of(cast.ours)
        assert (changed.text, changed.at.day, changed.changed_at) == ("Second", 13, NOW)
        post(signed_in(cast.owner), cast.ours, "note-delete", note.public_id)
        assert notes_of(cast.ours) == []
        assert [act for act, _, _ in acts_of(cast.ours)] == ["note.add", "note.change", "note.delete"]

    def test_support_reads_and_does_not_write(self, cast: Cast, signed_in: Any) -> None:
        write(signed_in(cast.viewer), cast.ours, "2026-11-12T14:30", "For support too")
        [note] = notes_of(cast.ours)
        factories.open_support_access(cast.ours, cast.staff, started_at=NOW)
        client = signed_in(cast.staff)

        assert "For support too" in page(client, cast.ours, "note-list")
        assert "Write a note" not in page(client, cast.ours, "note-list")
        assert "Change it" not in page(client, cast.ours, "note-detail", "", note.public_id)
        assert write(client, cast.ours, "2026-11-12T14:30", "No").status_code == 403

    def test_the_explorer_marks_them_where_they_were(self, cast: Cast, signed_in: Any) -> None:
        deliver_some(cast.ours)
        client = signed_in(cast.viewer)
        for at, text in (("2026-11-05T23:59:59", "Late on the fifth"), ("2026-11-06T00:00", "<b>Sixth</b>")):
            answer = write(client, cast.ours, at, text, back="usage", query=MONTH[1:])
        write(client, cast.ours, "2026-10-31T23:59", "Before it")

        response = client.get(answer.headers["Location"])
        text = response.content.decode()

        [trace] = [one for one in response.context["figure"]["data"] if one["meta"]["series"] == "note"]
        assert (trace["x"], trace["customdata"]) == (
            ["5 Nov 2026", "6 Nov 2026"],
            [["Late on the fifth"], ["<b>Sixth</b>"]],
        )
        assert answer.headers["Location"].endswith(MONTH)
        assert "&lt;b&gt;Sixth&lt;/b&gt;" in text
        assert "<b>Sixth" not in text.replace("\\u003Cb\\u003E", "")
        assert "Before it" not in text

    def test_the_overview_marks_their_days(self, cast: Cast, signed_in: Any) -> None:
        deliver_some(cast.ours)
        client = signed_in(cast.viewer)
        write(client, cast.ours, "2026-11-05T10:00", "Released v2", back="overview")

        text = page(client, cast.ours, "account-overview")

        assert 'class="kind-note"' in text
        assert text.count("Released v2") >= 2

    def test_the_file_and_the_pages_have_all_of_them(self, cast: Cast, signed_in: Any) -> None:
        client = signed_in(cast.viewer)
        for number in range(7):
            write(client, cast.ours, f"2026-11-1{number // 3}T10:00", f"=Note {number}")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("insights.web.notes.NOTES_PER_PAGE", 3)
            patch.setattr("insights.web.notes.ROWS_AT_ONCE", 2)
            query, seen = "?", []
            while query:
                response = client.get(reverse("note-list", args=[cast.ours.public_id]) + query)
                seen += [row.note.text for row in response.context["note_rows"]]
                query = response.context["page"]["next_url"]
            streamed = client.get(reverse("notes-csv", args=[cast.ours.public_id]))
            rows = list(csv.DictReader(io.StringIO(b"".join(streamed.streaming_content).decode())))

        assert sorted(seen) == [f"=Note {number}" for number in range(7)]
        assert [row["text"] for row in rows] == [f"'{text}" for text in seen]

    def test_an_account_has_so_many_and_no_more(self, cast: Cast, monkeypatch: Any) -> None:
        monkeypatch.setattr(operations, "NOTES_MAX", 3)

        def add(number: int) -> bool:
            try:
                with account_scope(cast.ours.pk):
                    operations.add_note(account=cast.ours, at=NOW, text=f"Note {number}", author=cast.viewer)
            except UnableToChange:
                return False
            finally:
                connections.close_all()
            return True

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(add, range(8)))

        assert sum(made) == len(notes_of(cast.ours)) == 3

    def test_a_view_is_changed_by_one_or_deleted_by_another(self, cast: Cast) -> None:
        def act(one: tuple[uuid.UUID, int]) -> str:
            view, number = one
            try:
                with account_scope(cast.ours.pk):
                    if number == 0:
                        operations.delete_view(account=cast.ours, public_id=view, actor=cast.viewer)
                        return "deleted"
                    operations.change_view(
                        account=cast.ours, public_id=view, name=f"{view} {number}", is_shared=number > 1,
                        actor=cast.viewer, now=NOW,
                    )  # fmt: skip
            except UnableToChange as refused:
                return refused.message
            finally:
                connections.close_all()
            return "changed"

        for number in range(12):
            with account_scope(cast.ours.pk):
                operations.save_view(
                    account=cast.ours, name=f"{number}", query="", is_shared=False, owner=cast.viewer
                )
        with as_owner():
            views = list(SavedView.objects.values_list("public_id", flat=True))
        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(act, [(view, number) for view in views for number in (1, 2, 0, 3)]))

        assert set(said) <= {"changed", "deleted", "The view was deleted meanwhile."}
        assert said.count("deleted") == len(views)

    def test_what_was_deleted_meanwhile_is_said_to_be(self, cast: Cast) -> None:
        gone = uuid.uuid4()

        with account_scope(cast.ours.pk):
            with pytest.raises(UnableToChange, match="deleted meanwhile"):
                operations.change_note(
                    account=cast.ours, public_id=gone, at=NOW, text="x", actor=cast.viewer, now=NOW
                )
            with pytest.raises(UnableToChange, match="deleted meanwhile"):
                operations.change_view(
                    account=cast.ours, public_id=gone, name="x", is_shared=True, actor=cast.viewer, now=NOW
                )

    def test_where_a_form_comes_back_to_is_on_these_pages(self, cast: Cast, signed_in: Any) -> None:
        answer = write(
            signed_in(cast.viewer),
            cast.ours,
            "2026-11-12T14:30",
            "x",
            back="//evil",
            query="//evil.example\r\nX: y",
        )

        assert answer.headers["Location"].startswith(reverse("note-list", args=[cast.ours.public_id]))
        assert "\n" not in answer.headers["Location"]


class TestViews:
    def save(self, client: Client, account: Account, name: str, **more: str) -> Any:
        return post(client, account, "view-save", name=name, query=MONTH[1:], **more)

    def test_a_private_one_is_there_for_its_member_alone(
        self, cast: Cast, signed_in: Any, other_member: User
    ) -> None:
        deliver_some(cast.ours)
        self.save(signed_in(cast.viewer), cast.ours, "Mine alone")
        self.save(signed_in(cast.viewer), cast.ours, "For all", is_shared="on")
        with as_owner():
            mine = SavedView.objects.get(name="Mine alone").public_id
        factories.open_support_access(cast.ours, cast.staff, started_at=NOW)

        for person in (other_member, cast.owner, cast.staff):
            client = signed_in(person)
            shown = page(client, cast.ours, "view-list") + page(client, cast.ours, "usage-explorer", MONTH)
            assert "For all" in shown
            assert "Mine alone" not in shown
            assert client.get(reverse("view-open", args=[cast.ours.public_id, mine])).status_code == 404
        assert "Mine alone" in page(signed_in(cast.viewer), cast.ours, "usage-explorer", MONTH)
        acts = acts_of(cast.ours)
        assert [subject for act, subject, _ in acts if act == "saved_view.save"] == [
            "a view of their own",
            "the view “For all”",
        ]

    def test_its_address_stays_when_it_is_renamed(self, cast: Cast, signed_in: Any) -> None:
        deliver_some(cast.ours)
        client = signed_in(cast.viewer)
        saved = self.save(client, cast.ours, "First")
        with as_owner():
            view = SavedView.objects.get()

        post(client, cast.ours, "view-change", view.public_id, name="Second", is_shared="on")
        opened = client.get(reverse("view-open", args=[cast.ours.public_id, view.public_id]))

        assert saved.status_code == opened.status_code == 302
        assert opened.headers["Location"] == reverse("usage-explorer", args=[cast.ours.public_id]) + MONTH
        with as_owner():
            view.refresh_from_db()
        assert (view.name, view.is_shared) == ("Second", True)
        assert client.get(opened.headers["Location"]).status_code == 200

    def test_others_do_not_change_it_and_owners_do_where_it_is_shared(
        self, cast: Cast, signed_in: Any, other_member: User
    ) -> None:
        deliver_some(cast.ours)
        self.save(signed_in(cast.viewer), cast.ours, "Shared", is_shared="on")
        with as_owner():
            view = SavedView.objects.get()

        for name, fields in (("view-change", {"name": "Stolen"}), ("view-delete", {})):
            answer = post(signed_in(other_member), cast.ours, name, view.public_id, **fields)
            assert answer.status_code == 403
        assert post(signed_in(cast.owner), cast.ours, "view-delete", view.public_id).status_code == 302
        with as_owner():
            assert not SavedView.objects.exists()

    def test_an_owner_who_renames_a_shared_one_learns_of_no_private_name(
        self, cast: Cast, signed_in: Any
    ) -> None:
        deliver_some(cast.ours)
        self.save(signed_in(cast.viewer), cast.ours, "Secret")
        self.save(signed_in(cast.viewer), cast.ours, "Shared", is_shared="on")
        with as_owner():
            view = SavedView.objects.get(name="Shared")
        owner = signed_in(cast.owner)

        renamed = post(owner, cast.ours, "view-change", view.public_id, name="Secret", is_shared="on")
        hidden = post(owner, cast.ours, "view-change", view.public_id, name="Secret")

        assert (renamed.status_code, hidden.status_code) == (302, 302)
        with as_owner():
            names = SavedView.objects.filter(owner=cast.viewer, is_shared=False).values_list(
                "name", flat=True
            )
            assert sorted(names) == ["Secret", "Secret (2)"]

    def test_a_member_is_told_of_their_own_names_when_they_take_a_view_back(
        self, cast: Cast, signed_in: Any
    ) -> None:
        deliver_some(cast.ours)
        client = signed_in(cast.viewer)
        self.save(client, cast.ours, "Month")
        assert self.save(client, cast.ours, "Month", is_shared="on").status_code == 302
        with as_owner():
            shared = SavedView.objects.get(is_shared=True)

        answer = post(client, cast.ours, "view-change", shared.public_id, name="Month")

        assert answer.status_code == 422
        assert "There is a view “Month” already" in unescape(answer.content.decode())

    @pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\u200bb", "Taken"])
    def test_a_name_that_will_not_do_is_said(self, cast: Cast, signed_in: Any, name: str) -> None:
        deliver_some(cast.ours)
        client = signed_in(cast.viewer)
        self.save(client, cast.ours, "Taken")

        answer = self.save(client, cast.ours, name)

        assert answer.status_code == 422
        assert list(answer.context["form"].errors) == ["name"]

    def test_a_name_may_be_taken_by_another_member(self, cast: Cast, signed_in: Any) -> None:
        deliver_some(cast.ours)
        for person in (cast.viewer, cast.owner):
            assert self.save(signed_in(person), cast.ours, "Month").status_code == 302

    @pytest.mark.parametrize("query", ["meter=absent", "meter=calls&evil=1", "meter=calls&from=x", "\x00"])
    def test_what_the_explorer_would_not_answer_is_not_kept(
        self, cast: Cast, signed_in: Any, query: str
    ) -> None:
        deliver_some(cast.ours)

        answer = post(signed_in(cast.viewer), cast.ours, "view-save", name="Odd", query=query)

        with as_owner():
            kept = list(SavedView.objects.values_list("query", flat=True))
        assert (answer.status_code, kept) == (400, [])
