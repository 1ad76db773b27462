"""People get a role in an account, another one, or none. An account keeps at least one owner."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import Account, Membership, Role, User
from accounts.operations.audit import record_act
from accounts.operations.refusals import UnableToChange
from accounts.tenancy import current_alias


def add_member(*, account: Account, email: str, role: str, actor: User) -> tuple[Membership, bool]:
    """Give a person a role in an account; returns the membership and whether the person is new."""
    _check_role(role)
    with transaction.atomic(using=current_alias()):
        Account.objects.select_for_update().get(pk=account.pk)
        user, is_new = get_or_create_user(email, field="email")
        if Membership.objects.for_account(account).filter(user=user).exists():
            raise UnableToChange(
                "This person is a member already; change the role in the list.", field="email"
            )
        membership = Membership.objects.create(account=account, user=user, role=role)
        record_act(account=account, actor=actor, act="member.add", subject=user.email, details={"role": role})
    return membership, is_new


def change_role(*, account: Account, user_public_id: UUID, role: str, actor: User) -> None:
    """Give a member another role; the last owner stays one."""
    _check_role(role)
    with transaction.atomic(using=current_alias()):
        membership = _lock_member(account, user_public_id)
        if membership.role == Role.OWNER and role != Role.OWNER:
            _refuse_last_owner(account, membership)
        details = {"from": membership.role, "to": role}
        Membership.objects.filter(pk=membership.pk).update(role=role)
        record_act(
            account=account,
            actor=actor,
            act="member.change_role",
            subject=membership.user.email,
            details=details,
        )


def remove_member(*, account: Account, user_public_id: UUID, actor: User) -> None:
    """End a membership from the person's next request on; the last owner stays."""
    with transaction.atomic(using=current_alias()):
        membership = _lock_member(account, user_public_id)
        if membership.role == Role.OWNER:
            _refuse_last_owner(account, membership)
        details = {"role": membership.role}
        Membership.objects.filter(pk=membership.pk).delete()
        record_act(
            account=account, actor=actor, act="member.remove", subject=membership.user.email, details=details
        )


def _lock_member(account: Account, user_public_id: UUID) -> Membership:
    # The account's row orders changes of members, so that two last owners cannot leave at once.
    Account.objects.select_for_update().get(pk=account.pk)
    members = Membership.objects.for_account(account).select_related("user")
    membership: Membership | None = members.filter(user__public_id=user_public_id).first()
    if membership is None:
        raise UnableToChange("This person is no longer a member.")
    return membership


def _refuse_last_owner(account: Account, membership: Membership) -> None:
    owners = Membership.objects.for_account(account).filter(role=Role.OWNER)
    if not owners.exclude(pk=membership.pk).exists():
        raise UnableToChange("An account keeps at least one owner; name another owner first.", field="role")


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise UnableToChange("Choose one of the roles.", field="role")


def get_or_create_user(email: str, *, field: str) -> tuple[User, bool]:
    """Return the person with this address, made without a password if there is none yet."""
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        raise UnableToChange("Enter an e-mail address such as name@example.com.", field=field) from error
    existing = User.objects.filter(email=address).first()
    if existing is not None:
        if existing.is_staff or existing.is_superuser:
            raise UnableToChange(
                "Staff cannot be members of an account; they look into it by support access.", field=field
            )
        return existing, False
    return User.objects.create_user(address), True
