"""How allauth behaves here: people are invited by staff, nobody signs up by themselves."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from accounts.models import User


class PortalAccountAdapter(DefaultAccountAdapter):
    """Closes sign-up; the rest is allauth's."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts and their people are made by staff."""
        return False

    def set_password(self, user: User, password: str) -> None:
        """Write the password alone: the web role may not write the rest of a person's row."""
        user.set_password(password)
        user.save(update_fields=["password"])
