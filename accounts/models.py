"""Who is looking: people, accounts, memberships, keys, support access and the audit trail.

Tables only. Rows of one account are reached through `for_account`; every change goes through operations.py.
"""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class AccountQuerySet(models.QuerySet[Any]):
    """Rows that belong to an account, reached through one door."""

    def for_account(self, account: Account) -> Self:
        """Return the rows of one account; the database policy says the same a second time."""
        return self.filter(account=account)


class PortalUserManager(BaseUserManager["User"]):
    """Makes users by e-mail address; Django's commands and allauth expect these two methods."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a person; without a password they set one by the reset mail."""
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a member of staff with every admin right."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """Find by e-mail in any case, as people type it."""
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in with an e-mail address; staff are people with is_staff."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True, default="")
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PortalUserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="user_email_lower", condition=Q(email=models.functions.Lower("email"))
            ),
        ]

    def __str__(self) -> str:
        return self.email


class AccountState(models.TextChoices):
    """Whether an account may be used; closed ones keep their history readable."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Account(models.Model):
    """The paying customer organisation; `reference` is what usage files call it."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    reference = models.CharField(max_length=200, unique=True)
    name = models.CharField(max_length=200)
    billing_zone = models.CharField(max_length=64, default="UTC")
    currency = models.CharField(max_length=3, default="USD")
    state = models.CharField(max_length=10, choices=AccountState.choices, default=AccountState.ACTIVE)
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(name="account_state_known", condition=Q(state__in=AccountState.values)),
            models.CheckConstraint(
                name="account_closed_has_instant",
                condition=Q(state="closed", closed_at__isnull=False)
                | (~Q(state="closed") & Q(closed_at__isnull=True)),
            ),
            models.CheckConstraint(name="account_currency_form", condition=Q(currency__regex=r"^[A-Z]{3}$")),
        ]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a member may do in an account; owner and admin manage keys and people."""

    OWNER = "owner"
    ADMIN = "admin"
    BILLING = "billing"
    VIEWER = "viewer"


class Membership(models.Model):
    """A person's place in an account."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="membership_account_id"),
            models.UniqueConstraint(fields=["account", "user"], name="membership_once"),
            models.CheckConstraint(name="membership_role_known", condition=Q(role__in=Role.values)),
        ]
        indexes = [models.Index(fields=["user", "account"], name="membership_by_user")]


class ApiKey(models.Model):
    """A customer's key that reads usage. Only the hash is kept; the prefix finds it and may be shown."""

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    secret_sha256 = models.BinaryField(max_length=32)
    scopes = models.JSONField(default=list)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="apikey_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="apikey_public_id"),
        ]
        # Not unique: a unique index would answer whether another account's prefix exists. Eighty random bits do it.
        indexes = [models.Index(fields=["prefix"], name="apikey_prefix")]


class SupportAccess(models.Model):
    """A member of staff's time-boxed, reasoned, read-only look at one account."""

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="support_accesses")
    staff_user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    staff_email = models.EmailField()
    reason = models.CharField(max_length=500)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="supportaccess_account_id"),
            models.CheckConstraint(name="supportaccess_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="supportaccess_expires_later", condition=Q(expires_at__gt=models.F("started_at"))
            ),
        ]
        indexes = [models.Index(fields=["account", "-started_at"], name="supportaccess_recent")]


class SupportAccessPage(models.Model):
    """One page that support opened; written and committed before the page is served."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    support_access = models.ForeignKey(SupportAccess, on_delete=models.PROTECT, related_name="pages")
    path = models.CharField(max_length=500)
    viewed_at = models.DateTimeField()

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "id"], name="supportaccesspage_account_id")]
        indexes = [
            models.Index(
                fields=["account", "support_access", "viewed_at"], name="supportaccesspage_by_access"
            )
        ]


class AuditEntry(models.Model):
    """One act, kept for ever. `account` is empty for acts on the platform itself, which no customer sees."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, related_name="+")
    actor = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    actor_name = models.CharField(max_length=254)
    act = models.CharField(max_length=60)
    subject = models.CharField(max_length=254)
    details = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["account", "-id"], name="auditentry_recent")]
