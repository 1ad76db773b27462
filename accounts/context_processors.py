"""What every template knows about who is looking."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def who_is_looking(request: HttpRequest) -> dict[str, Any]:
    """Return the viewer, the account in view and the support access under which it is seen, if any."""
    return {
        "viewer": getattr(request, "user", None),
        "account": getattr(request, "account", None),
        "membership": getattr(request, "membership", None),
        "support_access": getattr(request, "support_access", None),
        "account_notice": getattr(request, "account_notice", ""),
        "accounts_count": getattr(request, "accounts_count", 0),
    }
