"""Notes over the API: listed, written once, deleted by the key that wrote them, and refused with field and code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Account, AuditEntry
from accounts.tenancy import as_owner
from insights.api.note_schema import NoteSerializer, NotesSerializer
from insights.models import ChartNote
from tests import factories
from tests.api.conftest import Caller, problem_of
from tests.api.test_bills import assert_shape
from tests.conftest import Cast

pytestmark = pytest.mark.database
PATH = "/api/v1/notes"


@pytest.fixture
def writer(cast: Cast, caller: Callable[[str], Caller]) -> Caller:
    scopes = ["usage:read", "notes:write"]
    return caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=scopes, name="deploys")[1])


def send(key: Caller, body: Any, *, content_type: str = "application/json") -> Any:
    return key.client.post(
        PATH, data=body, content_type=content_type, headers={"Authorization": f"Bearer {key.key}"}
    )


def test_a_note_is_written_once_and_listed(cast: Cast, writer: Caller) -> None:
    body = '{"at": "2026-11-12T14:30:00+01:00", "text": "Released v2"}'

    first, again = send(writer, body), send(writer, body)

    assert (first.status_code, again.status_code) == (201, 200)
    assert_shape(NoteSerializer(), first.json())
    assert first.json() == again.json()
    assert (first.json()["at"], first.json()["author"]) == ("2026-11-12T13:30:00Z", "API key deploys")
    listed = writer.get(PATH).json()
    assert_shape(NotesSerializer(), listed)
    assert listed == {"notes": [first.json()], "next_cursor": None}
    assert writer.get(f"{PATH}/{first.json()['id']}").json() == first.json()
    with as_owner():
        [entry] = AuditEntry.objects.filter(account=cast.ours, act="note.add")
    assert (entry.actor, entry.actor_name, entry.subject) == (None, "API key deploys", "Released v2")


def test_pages_have_each_note_once(cast: Cast, writer: Caller) -> None:
    for number in range(5):
        send(writer, f'{{"at": "2026-11-1{number // 2}T00:00:00Z", "text": "Note {number}"}}')

    texts, query = [], "?limit=2"
    while query:
        answer = writer.get(PATH + query).json()
        texts += [note["text"] for note in answer["notes"]]
        query = f"?limit=2&cursor={answer['next_cursor']}" if answer["next_cursor"] else ""

    assert texts == ["Note 4", "Note 3", "Note 2", "Note 1", "Note 0"]


def test_a_key_deletes_its_own_alone(cast: Cast, writer: Caller, caller: Callable[[str], Caller]) -> None:
    note = send(writer, '{"at": "2026-11-12T14:30:00Z", "text": "Mine"}').json()
    scopes = ["usage:read", "notes:write"]
    another = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=scopes)[1])

    problem_of(another.ask("delete", f"{PATH}/{note['id']}"), status=403, code="permission_denied")
    gone = writer.ask("delete", f"{PATH}/{note['id']}")

    assert (gone.status_code, gone.json()) == (200, note)
    problem_of(writer.ask("delete", f"{PATH}/{note['id']}"), status=404, code="not_found")
    with as_owner():
        assert AuditEntry.objects.filter(account=cast.ours, act="note.delete", subject="Mine").count() == 1


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ("{", "malformed_json", None),
        ("[]", "shape", None),
        ("[" * 3000, "too_deep", None),
        ('{"at": "2026-11-12T14:30:00Z"}', "missing_field", "text"),
        ('{"at": "2026-11-12T14:30:00Z", "text": "a", "text": "b"}', "duplicate_key", "text"),
        ('{"at": "2026-11-12T14:30:00Z", "text": "a", "colour": "b"}', "unknown_field", "colour"),
        ('{"at": "2026-11-12T14:30:00Z", "text": 5}', "shape", "text"),
        ('{"at": "2026-11-12T14:30:00Z", "text": {}}', "shape", "text"),
        ('{"at": "2026-11-12T14:30:00Z", "text": NaN}', "shape", "text"),
        ('{"at": "2026-11-12T14:30:00", "text": "a"}', "note", "at"),
        ('{"at": "2026-11-12", "text": "a"}', "note", "at"),
        ('{"at": "2026-11-12T14:30:00Z", "text": ""}', "note", "text"),
        ('{"at": "2026-11-12T14:30:00Z", "text": "a\\u0000"}', "note", "text"),
        ('{"at": "2026-11-12T14:30:00Z", "text": "a\\ud800"}', "note", "text"),
        (b'{"at": "2026-11-12T14:30:00Z", "text": "\xff"}', "encoding", None),
        ('{"at": "2026-11-12T14:30:00Z", "text": "a", "\\ud800": 1}', "unknown_field", "\\ud800"),
    ],
)
def test_what_is_not_a_note_is_refused(
    cast: Cast, writer: Caller, body: str | bytes, code: str, field: str | None
) -> None:
    problem = problem_of(send(writer, body), status=400, code=code)

    assert problem.get("field") == field
    with as_owner():
        assert not ChartNote.objects.exists()


def test_another_form_or_size_is_refused(cast: Cast, writer: Caller) -> None:
    body = '{"at": "2026-11-12T14:30:00Z", "text": "a"}'

    problem_of(send(writer, body, content_type="text/plain"), status=415, code="unsupported_media_type")
    problem_of(send(writer, body + " " * 5000), status=413, code="body_too_large")


def test_the_scopes_are_kept_apart(cast: Cast, writer: Caller, caller: Callable[[str], Caller]) -> None:
    body = '{"at": "2026-11-12T14:30:00Z", "text": "a"}'
    reads = caller(factories.make_api_key(cast.ours, created_by=cast.owner)[1])
    writes = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["notes:write"])[1])
    note = send(writer, body).json()

    problem_of(send(reads, body), status=403, code="permission_denied")
    problem_of(reads.ask("delete", f"{PATH}/{note['id']}"), status=403, code="permission_denied")
    problem_of(writes.get(PATH), status=403, code="permission_denied")
    assert reads.get(PATH).status_code == 200


def test_a_suspended_account_is_not_written_in(cast: Cast, writer: Caller) -> None:
    with as_owner():
        Account.objects.filter(pk=cast.ours.pk).update(state="suspended")

    problem_of(
        send(writer, '{"at": "2026-11-12T14:30:00Z", "text": "a"}'), status=403, code="permission_denied"
    )
