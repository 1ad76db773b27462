"""Staff with rights in the admin raise nobody, themselves least of all; superusers may."""

from __future__ import annotations

from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from accounts.models import Account, AuditEntry, User
from accounts.tenancy import as_owner, as_staff
from tests import factories
from tests.conftest import Cast

CODENAMES = (
    "view_user",
    "change_user",
    "add_user",
    "view_group",
    "add_group",
    "change_group",
    "delete_group",
)


@pytest.fixture
def helpdesk(cast: Cast) -> Group:
    """The group of our member of staff, with every right on people and groups."""
    with as_owner():
        group = Group.objects.create(name="Helpdesk")
        group.permissions.set(Permission.objects.filter(codename__in=CODENAMES))
        cast.staff.groups.add(group)
    return group


@pytest.fixture
def browser(cast: Cast, helpdesk: Group, signed_in: Any) -> Client:
    client: Client = signed_in(cast.staff)
    return client


def change(client: Client, user: User, **fields: Any) -> User:
    """Post the change form of a person with every field a forger would add; returns the person as stored."""
    address = reverse("admin:accounts_user_change", args=[user.pk])
    answer = client.post(address, {"email": user.email, "name": "Renamed", "is_active": "on", **fields})
    assert answer.status_code == 302
    with as_staff():
        return User.objects.get(pk=user.pk)


def test_neither_address_nor_rights_of_anybody_change(cast: Cast, helpdesk: Group, browser: Client) -> None:
    for user in (cast.superuser, cast.viewer, cast.staff):
        stored = change(
            browser, user, email="taken@example.com", is_staff="on", is_superuser="on", groups=[helpdesk.pk]
        )

        assert (stored.name, stored.email) == ("Renamed", user.email)
        assert (stored.is_staff, stored.is_superuser) == (user.is_staff, user.is_superuser)
        with as_owner():
            assert stored.groups.exists() == (user == cast.staff)


def test_staff_shut_out_customers_and_no_staff(cast: Cast, browser: Client) -> None:
    active = {user: change(browser, user, is_active="").is_active for user in (cast.viewer, cast.superuser)}

    assert active == {cast.viewer: False, cast.superuser: True}


def test_a_superuser_may_change_all_of_it(cast: Cast, helpdesk: Group, signed_in: Any) -> None:
    nobody = factories.make_user("nobody@example.com")
    stored = change(
        signed_in(cast.superuser), nobody, email="new@example.com", is_staff="on", groups=[helpdesk.pk]
    )

    assert (stored.email, stored.is_staff) == ("new@example.com", True)


@pytest.mark.parametrize("right", ["is_staff", "is_superuser"])
def test_a_member_does_not_become_staff(cast: Cast, signed_in: Any, right: str) -> None:
    address = reverse("admin:accounts_user_change", args=[cast.viewer.pk])
    fields = {"email": cast.viewer.email, "is_active": "on", right: "on"}

    page = signed_in(cast.superuser).post(address, fields)

    assert page.status_code == 200
    assert "A member of an account cannot become staff." in page.content.decode()


def test_staff_add_a_person_without_rights(cast: Cast, helpdesk: Group, browser: Client) -> None:
    fields = {"email": "new@example.com", "is_active": "on", "is_staff": "on", "groups": [helpdesk.pk]}
    assert browser.post(reverse("admin:accounts_user_add"), fields).status_code == 302

    with as_owner():
        added = User.objects.get(email="new@example.com")
        assert (added.is_staff, added.groups.exists()) == (False, False)


def test_groups_are_there_for_superusers_alone(
    cast: Cast, helpdesk: Group, browser: Client, signed_in: Any
) -> None:
    addresses = [
        reverse("admin:auth_group_changelist"),
        reverse("admin:auth_group_add"),
        reverse("admin:auth_group_change", args=[helpdesk.pk]),
        reverse("admin:auth_group_delete", args=[helpdesk.pk]),
    ]

    assert {browser.get(address).status_code for address in addresses} == {403}
    assert browser.post(addresses[2], {"name": "Helpdesk", "permissions": []}).status_code == 403
    assert {signed_in(cast.superuser).get(address).status_code for address in addresses} == {200}


@pytest.fixture(params=[SMTPServerDisconnected("gone"), ConnectionRefusedError("nobody there")])
def broken_mail(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> None:
        raise request.param

    monkeypatch.setattr(DefaultAccountAdapter, "send_mail", fail)


def test_an_account_opens_though_the_mail_cannot_be_sent(
    cast: Cast, broken_mail: None, signed_in: Any
) -> None:
    fields = {"name": "Cress", "reference": "cress", "billing_zone": "Europe/Berlin", "currency": "EUR"}
    page = signed_in(cast.staff).post(
        reverse("staff-account-new"), {**fields, "owner_email": "new@example.com"}, follow=True
    )

    text = page.content.decode()
    assert "Cress is open." in text
    assert "The mail to new@example.com could not be sent." in text
    assert "was sent a mail" not in text
    with as_staff():
        assert Account.objects.filter(reference="cress").exists()


def test_a_member_is_added_though_the_mail_cannot_be_sent(
    cast: Cast, broken_mail: None, signed_in: Any
) -> None:
    address = reverse("staff-account", args=[cast.ours.public_id]) + "members/"
    page = signed_in(cast.staff).post(address, {"email": "new@example.com", "role": "viewer"}, follow=True)

    text = page.content.decode()
    assert "new@example.com is viewer of" in text
    assert "The mail to new@example.com could not be sent." in text
    with as_staff():
        assert AuditEntry.objects.filter(act="member.add").exists()
