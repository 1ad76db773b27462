"""The pages of this app, as a browser sees them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail

from accounts.models import Account, ApiKey, AuditEntry, Membership, SupportAccess, SupportAccessPage, User
from accounts.tenancy import account_scope, as_staff, as_worker
from tests import factories
from tests.conftest import Cast


def settings_url(account: Account) -> str:
    return f"/a/{account.public_id}/settings/"


def staff_url(account: Account, rest: str = "") -> str:
    return f"/staff/accounts/{account.public_id}/{rest}"


def test_sign_in_leads_to_the_only_account(cast: Cast, signed_in: Any) -> None:
    answer = signed_in(cast.owner).get("/")
    assert answer.headers["Location"] == f"/a/{cast.ours.public_id}/"


def test_several_accounts_are_offered(cast: Cast, signed_in: Any) -> None:
    factories.make_membership(cast.other, cast.owner, role="viewer")
    page = signed_in(cast.owner).get("/").content.decode()
    assert cast.ours.name in page
    assert cast.other.name in page


def test_person_without_accounts_is_told_so(cast: Cast, signed_in: Any) -> None:
    nobody = factories.make_user("nobody@example.com")
    assert "not a member of an account yet" in signed_in(nobody).get("/").content.decode()


def test_staff_without_accounts_start_at_the_feeds(cast: Cast, signed_in: Any) -> None:
    assert signed_in(cast.staff).get("/").headers["Location"] == "/staff/"


def test_real_sign_in_and_wrong_password(cast: Cast, signed_in: Any) -> None:
    with as_worker():
        User.objects.create_user("real@example.com", "a long enough password")
    browser = signed_in(None)
    wrong = browser.post("/auth/login/", {"login": "real@example.com", "password": "another password"})
    assert wrong.status_code == 200
    right = browser.post("/auth/login/", {"login": "Real@Example.com", "password": "a long enough password"})
    assert (right.status_code, right.headers["Location"]) == (302, "/")
    assert browser.get("/").status_code == 200


def test_nobody_signs_up(cast: Cast, signed_in: Any) -> None:
    browser = signed_in(None)
    answer = browser.post(
        "/auth/signup/", {"email": "new@example.com", "password1": "a long enough password"}
    )
    assert answer.status_code < 500
    with as_worker():
        assert not User.objects.filter(email="new@example.com").exists()


def test_key_is_shown_once_and_then_works_no_more_after_revoking(cast: Cast, signed_in: Any) -> None:
    browser = signed_in(cast.owner)
    made = browser.post(settings_url(cast.ours) + "keys/", {"name": "nightly export"})
    assert made.status_code == 200
    with account_scope(cast.ours.pk):
        key = ApiKey.objects.get()
    shown = made.content.decode()
    assert f"up_live_{key.prefix}_" in shown
    plain = shown.split('id="key-once"')[1].split(">")[1].split("<")[0]
    assert len(plain) > 60
    again = browser.get(settings_url(cast.ours)).content.decode()
    assert plain not in again
    assert key.prefix in again
    revoked = browser.post(settings_url(cast.ours) + f"keys/{key.public_id}/revoke/")
    assert revoked.status_code == 302
    with account_scope(cast.ours.pk):
        assert ApiKey.objects.get().revoked_at is not None
        acts = list(AuditEntry.objects.order_by("id").values_list("act", "actor_name"))
    assert acts == [("api_key.issue", "owner@example.com"), ("api_key.revoke", "owner@example.com")]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "x" * 101}, "at most 100"),
        ({"name": "a\x00b"}, "Null characters"),
        ({"name": "a\u202eb"}, "cannot be seen"),
        ({"name": "late", "expires_on": "2020-01-01"}, "still to come"),
        ({"name": "late", "expires_on": "yesterday"}, "valid date"),
        ({"name": "late", "expires_on": "9999-12-31"}, "before the year 2100"),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_refused_key_keeps_what_was_typed(
    cast: Cast, signed_in: Any, fields: dict[str, str], complaint: str, htmx: bool
) -> None:
    headers = {"HX-Request": "true"} if htmx else {}
    answer = signed_in(cast.owner).post(settings_url(cast.ours) + "keys/", fields, headers=headers)
    assert answer.status_code == 422
    assert complaint in answer.content.decode()
    assert ("<html" in answer.content.decode()) is not htmx
    with account_scope(cast.ours.pk):
        assert not ApiKey.objects.exists()


def test_keys_are_limited(cast: Cast, signed_in: Any) -> None:
    for number in range(20):
        factories.make_api_key(cast.ours, created_by=cast.owner, name=f"key {number}")
    answer = signed_in(cast.owner).post(settings_url(cast.ours) + "keys/", {"name": "one more"})
    assert answer.status_code == 422
    assert "at most 20" in answer.content.decode()


def test_viewer_makes_no_keys(cast: Cast, signed_in: Any) -> None:
    browser = signed_in(cast.viewer)
    assert browser.post(settings_url(cast.ours) + "keys/", {"name": "x"}).status_code == 403
    assert "Make a key" not in browser.get(settings_url(cast.ours)).content.decode()


def test_forms_need_their_token(cast: Cast, signed_in: Any) -> None:
    browser = signed_in(cast.owner, enforce_csrf_checks=True)
    assert browser.post(settings_url(cast.ours) + "keys/", {"name": "x"}).status_code == 403


def test_new_account_and_its_owner(cast: Cast, signed_in: Any) -> None:
    fields = {
        "name": "Carver",
        "reference": "carver",
        "billing_zone": "Australia/Sydney",
        "currency": "aud",
        "owner_email": "First@Carver.example",
    }
    answer = signed_in(cast.staff).post("/staff/accounts/new/", fields)
    assert answer.status_code == 302
    with as_staff():
        account = Account.objects.get(reference="carver")
        member = Membership.objects.select_related("user").get(account=account)
        acts = list(AuditEntry.objects.filter(account=account).values_list("act", "actor_name"))
    assert (account.currency, account.billing_zone) == ("AUD", "Australia/Sydney")
    assert (member.user.email, member.role) == ("first@carver.example", "owner")
    assert acts == [("account.create", "staff@example.com")]
    assert [message.to for message in mail.outbox] == [["first@carver.example"]]
    set_password_by_mail(signed_in(None), str(mail.outbox[0].body))


def set_password_by_mail(browser: Any, body: str) -> None:
    link = next(word for word in body.split() if "/auth/password/reset/key/" in word)
    form = browser.get(link.removeprefix("http://testserver"), follow=True)
    assert form.status_code == 200
    there = form.redirect_chain[-1][0]
    done = browser.post(there, {"password1": "a long enough password", "password2": "a long enough password"})
    assert done.status_code == 302, done.content
    fields = {"login": "first@carver.example", "password": "a long enough password"}
    assert browser.post("/auth/login/", fields).status_code == 302


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("reference", "ansel", "Another account"),
        ("reference", "", "required"),
        ("reference", "a\u200bb", "cannot be seen"),
        ("currency", "EU", "three capital letters"),
        ("currency", "12$", "three capital letters"),
        ("billing_zone", "Mars/Base", "valid choice"),
        ("owner_email", "nobody", "valid email"),
        ("name", "x" * 201, "at most 200"),
    ],
)
def test_refused_account_changes_nothing(
    cast: Cast, signed_in: Any, field: str, value: str, complaint: str
) -> None:
    fields = {
        "name": "C",
        "reference": "c",
        "billing_zone": "UTC",
        "currency": "EUR",
        "owner_email": "c@example.com",
    }
    answer = signed_in(cast.staff).post("/staff/accounts/new/", {**fields, field: value})
    assert answer.status_code == 422
    assert complaint in answer.content.decode()
    with as_staff():
        assert Account.objects.count() == 2
        assert not User.objects.filter(email="c@example.com").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ansel", ["Ansel Ltd"]),
        ("ansel", ["Ansel Ltd"]),
        ("viewer@", ["Ansel Ltd"]),
        ("brook-", ["Brook CANARY Inc"]),
        ("%%", []),
        ("__", []),
        ("\\\\", []),
        ("", ["Ansel Ltd", "Brook CANARY Inc"]),
        ("a", []),
        ("a\x00b", []),
        ("x" * 300, []),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_directory_takes_text_literally(
    cast: Cast, signed_in: Any, text: str, found: list[str], htmx: bool
) -> None:
    headers = {"HX-Request": "true"} if htmx else {}
    answer = signed_in(cast.staff).get("/staff/accounts/", {"q": text}, headers=headers)
    assert answer.status_code == 200
    listed = [name for name in ("Ansel Ltd", "Brook CANARY Inc") if f">{name}</a>" in answer.content.decode()]
    assert listed == found


@pytest.mark.parametrize("number", ["0", "-1", "abc", "2", "9" * 50, "\x00"])
def test_directory_has_no_other_page(cast: Cast, signed_in: Any, number: str) -> None:
    assert signed_in(cast.staff).get("/staff/accounts/", {"page": number}).status_code == 404


def test_directory_is_paged(cast: Cast, signed_in: Any) -> None:
    for number in range(60):
        factories.make_account(f"many-{number:02}")
    browser = signed_in(cast.staff)
    assert "Accounts 1 to 50 of 60" in browser.get("/staff/accounts/", {"q": "many-"}).content.decode()
    second = browser.get("/staff/accounts/", {"q": "many-", "page": 2}).content.decode()
    assert "Accounts 51 to 60 of 60" in second


def test_suspend_resume_close(cast: Cast, signed_in: Any) -> None:
    staff, owner = signed_in(cast.staff), signed_in(cast.owner)
    for act, state, write in [
        ("suspend", "suspended", 403),
        ("resume", "active", 200),
        ("close", "closed", 403),
    ]:
        assert staff.post(staff_url(cast.ours, "state/"), {"act": act}).status_code == 302
        cast.ours.refresh_from_db(using="staff")
        assert cast.ours.state == state
        assert owner.get(settings_url(cast.ours)).status_code == 200
        assert owner.post(settings_url(cast.ours) + "keys/", {"name": act}).status_code == write
    assert staff.post(staff_url(cast.ours, "state/"), {"act": "resume"}).status_code == 422
    assert staff.post(staff_url(cast.ours, "state/"), {"act": "explode"}).status_code == 404


def test_members_are_added_changed_and_removed(cast: Cast, signed_in: Any) -> None:
    staff = signed_in(cast.staff)
    added = staff.post(staff_url(cast.ours, "members/"), {"email": "new@example.com", "role": "admin"})
    assert added.status_code == 302
    with as_staff():
        new = User.objects.get(email="new@example.com")
    twice = staff.post(staff_url(cast.ours, "members/"), {"email": "new@example.com", "role": "admin"})
    assert twice.status_code == 422
    assert "member already" in twice.content.decode()
    person = f"members/{new.public_id}/"
    assert staff.post(staff_url(cast.ours, person + "role/"), {"role": "viewer"}).status_code == 302
    assert staff.post(staff_url(cast.ours, person + "role/"), {"role": "king"}).status_code == 422
    assert staff.post(staff_url(cast.ours, person + "remove/")).status_code == 302
    assert staff.post(staff_url(cast.ours, person + "remove/")).status_code == 422
    last_owner = f"members/{cast.owner.public_id}/"
    assert staff.post(staff_url(cast.ours, last_owner + "remove/")).status_code == 422
    assert staff.post(staff_url(cast.ours, last_owner + "role/"), {"role": "viewer"}).status_code == 422
    with as_staff():
        acts = list(AuditEntry.objects.order_by("id").values_list("act", flat=True))
    assert acts == ["member.add", "member.change_role", "member.remove"]


def test_support_access_from_start_to_end(cast: Cast, signed_in: Any) -> None:
    staff, owner = signed_in(cast.staff), signed_in(cast.owner)
    assert staff.get(settings_url(cast.ours)).status_code == 404
    short = staff.post(staff_url(cast.ours, "support/start/"), {"reason": "because"})
    assert short.status_code == 422
    started = staff.post(staff_url(cast.ours, "support/start/"), {"reason": "Bill of October doubled"})
    assert started.status_code == 302
    assert (
        staff.post(staff_url(cast.ours, "support/start/"), {"reason": "Bill of October doubled"}).status_code
        == 422
    )
    seen = staff.get(settings_url(cast.ours) + "?x=1")
    assert seen.status_code == 200
    assert seen.headers["Support-Access"].startswith("active; expires=")
    assert "Support access, read only." in seen.content.decode()
    assert "Make a key" not in seen.content.decode()
    assert staff.post(settings_url(cast.ours) + "keys/", {"name": "x"}).status_code == 403
    log = owner.get(settings_url(cast.ours))
    assert "Support-Access" not in log.headers
    assert "Bill of October doubled" in log.content.decode()
    assert f"<code>{settings_url(cast.ours)}?x=1</code>" in log.content.decode()
    assert staff.post(staff_url(cast.ours, "support/stop/")).status_code == 302
    assert staff.get(settings_url(cast.ours)).status_code == 403
    with as_staff():
        assert SupportAccessPage.objects.count() == 1
        assert SupportAccess.objects.get().ended_at is not None


def test_admin_works_as_the_staff_role(cast: Cast, signed_in: Any) -> None:
    browser = signed_in(cast.superuser)
    for path in [
        "",
        "accounts/user/",
        "accounts/account/",
        "accounts/auditentry/",
        "accounts/supportaccess/",
        f"accounts/user/{cast.viewer.pk}/change/",
        f"accounts/user/{cast.viewer.pk}/history/",
        f"accounts/account/{cast.ours.pk}/change/",
        "auth/group/",
        "accounts/user/add/",
    ]:
        assert browser.get(f"/admin/{path}").status_code == 200, path
    fields = {"email": "viewer@example.com", "name": "Vera", "is_active": "on"}
    assert browser.post(f"/admin/accounts/user/{cast.viewer.pk}/change/", fields).status_code == 302
    added = browser.post(
        "/admin/accounts/user/add/", {"email": "new-staff@example.com", "is_staff": "on", "is_active": "on"}
    )
    assert added.status_code == 302
    with as_staff():
        assert User.objects.get(pk=cast.viewer.pk).name == "Vera"
        assert User.objects.get(email="new-staff@example.com").is_staff
        acts = list(AuditEntry.objects.order_by("id").values_list("act", flat=True))
    assert acts == ["user.change", "user.create"]
    assert browser.post("/admin/auth/group/add/", {"name": "Finance"}).status_code == 302


def test_admin_is_not_there_for_others(cast: Cast, signed_in: Any) -> None:
    assert signed_in(cast.owner).get("/admin/").status_code == 404
    assert signed_in(None).get("/admin/").headers["Location"].startswith("/auth/login/")
    assert signed_in(cast.staff).get("/admin/accounts/user/").status_code == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_answer_everybody(cast: Cast, signed_in: Any, path: str) -> None:
    answer = signed_in(None).get(path)
    assert answer.status_code == 200
    assert b"CANARY" not in answer.content
