"""The mail by which a new person sets their first password."""

from __future__ import annotations

from smtplib import SMTPException

import structlog
from allauth.account.adapter import get_adapter
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.http import HttpRequest

from accounts.models import Account, User

logger = structlog.get_logger(__name__)


def send_welcome(request: HttpRequest, *, user: User, account: Account) -> bool:
    """Tell a new person of the account they can open now, with a link that works once; says whether it was sent.

    What the mail is about is committed already, so a mail server that refuses or is away is no error of the act.
    """
    adapter = get_adapter(request)
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    context = {"account": account, "password_reset_url": adapter.get_reset_password_from_key_url(key)}
    try:
        adapter.send_mail("accounts/email/welcome", user.email, context)
    except (SMTPException, OSError) as error:
        logger.error("welcome mail not sent", user=user.pk, account=account.pk, error=type(error).__name__)
        return False
    return True


def unsent_words(email: str) -> str:
    """What to tell staff when a new person did not get their mail."""
    return (
        f"The mail to {email} could not be sent. They can set a password by “Forgot your password?” on the "
        "sign-in page."
    )
