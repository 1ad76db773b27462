"""What members write down beside their usage: notes at an instant, and views of it kept under a name."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Account, AccountQuerySet, ApiKey, User

NOTE_CHARACTERS_MAX = 200
VIEW_NAME_CHARACTERS_MAX = 80
VIEW_QUERY_CHARACTERS_MAX = 2000


class ChartNote(models.Model):
    """A sentence at an instant, for the whole account. `author_name` is what the author was called when it was written.

    A note that a key wrote has the key, and as its author the member who made the key.
    """

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    text = models.CharField(max_length=NOTE_CHARACTERS_MAX)
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    author_name = models.CharField(max_length=254)
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(null=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="chartnote_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="chartnote_public_id"),
            models.CheckConstraint(name="chartnote_has_text", condition=~Q(text="")),
        ]
        indexes = [models.Index(fields=["account", "-at", "-id"], name="chartnote_recent")]


class SavedView(models.Model):
    """A question of the usage explorer under a name: its member's own, or for the whole account where it is shared."""

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    owner_name = models.CharField(max_length=254)
    name = models.CharField(max_length=VIEW_NAME_CHARACTERS_MAX)
    query = models.CharField(max_length=VIEW_QUERY_CHARACTERS_MAX)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(null=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "id"], name="savedview_account_id"),
            models.UniqueConstraint(fields=["account", "public_id"], name="savedview_public_id"),
            # Shared and private names do not meet, or who renames a shared view would learn of a private one.
            models.UniqueConstraint(
                fields=["account", "owner", "name", "is_shared"], name="savedview_name_once"
            ),
            models.CheckConstraint(name="savedview_has_name", condition=~Q(name="")),
        ]
