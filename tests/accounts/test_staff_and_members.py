"""Staff look into accounts by support access and are never members; failed sign-ins lock nobody else out."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError
from django.urls import reverse

from accounts.models import Membership, User
from accounts.tenancy import as_owner, as_staff, as_worker
from tests import factories

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


def test_staff_cannot_make_themselves_members(cast: Any, signed_in: Any) -> None:
    client = signed_in(cast.staff)
    address = reverse("staff-member-add", args=[cast.ours.public_id])

    answer = client.post(address, {"email": cast.staff.email, "role": "owner"})

    assert "support access" in answer.content.decode()
    with as_worker():
        assert not Membership.objects.filter(user=cast.staff).exists()


@pytest.mark.parametrize("role", [as_staff, as_worker])
def test_the_database_keeps_them_apart_too(cast: Any, role: Any) -> None:
    with role(), pytest.raises(DatabaseError, match="staff cannot be members"):
        Membership.objects.create(account=cast.ours, user=cast.staff, role="owner")
    with role(), pytest.raises(DatabaseError, match="cannot become staff"):
        User.objects.filter(pk=cast.owner.pk).update(is_staff=True)


def test_a_membership_from_before_opens_nothing_for_staff(cast: Any, signed_in: Any) -> None:
    with as_owner():
        from accounts.tenancy import connection

        with connection().cursor() as cursor:
            cursor.execute("ALTER TABLE accounts_user DISABLE TRIGGER user_is_not_member")
        try:
            factories.change_user(cast.viewer, is_staff=True)
        finally:
            with connection().cursor() as cursor:
                cursor.execute("ALTER TABLE accounts_user ENABLE TRIGGER user_is_not_member")

    assert (
        signed_in(cast.viewer).get(reverse("account-overview", args=[cast.ours.public_id])).status_code == 404
    )


def try_to_sign_in(client: Any, email: str, password: str, **extra: Any) -> int:
    """Post the sign-in form."""
    answer = client.post(reverse("account_login"), {"login": email, "password": password}, **extra)
    return int(answer.status_code)


def test_failed_sign_ins_of_one_address_lock_out_nobody_else(cast: Any, client: Any) -> None:
    with as_worker():
        person = User.objects.get(pk=cast.viewer.pk)
        person.set_password("a long enough secret")
        person.save()

    answers = [try_to_sign_in(client, "Invented@example.com", "wrong") for _ in range(12)]

    assert answers[0] == 200
    assert answers[-1] == 429
    assert try_to_sign_in(client, cast.viewer.email, "a long enough secret") == 302


def test_behind_a_proxy_each_client_is_counted_alone(cast: Any, client: Any, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    for _ in range(12):
        try_to_sign_in(client, cast.viewer.email, "wrong", HTTP_X_FORWARDED_FOR="6.6.6.6, 192.0.2.1")

    assert (
        try_to_sign_in(client, cast.viewer.email, "wrong", HTTP_X_FORWARDED_FOR="6.6.6.6, 192.0.2.1") == 429
    )
    assert (
        try_to_sign_in(client, cast.viewer.email, "wrong", HTTP_X_FORWARDED_FOR="6.6.6.6, 192.0.2.2") == 200
    )
