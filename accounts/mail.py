"""The mail by which a new person sets their first password."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.http import HttpRequest

from accounts.models import Account, User


def send_welcome(request: HttpRequest, *, user: User, account: Account) -> None:
    """Tell a new person of the account they can open now, with a link that works once."""
    adapter = get_adapter(request)
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    context = {"account": account, "password_reset_url": adapter.get_reset_password_from_key_url(key)}
    adapter.send_mail("accounts/email/welcome", user.email, context)
