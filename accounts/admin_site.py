"""The admin, run as the staff role: it reaches what staff may reach and no usage at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url

from accounts.access import Access, rendered
from accounts.tenancy import as_staff

SHOWN_APPS = frozenset({"accounts", "insights", "auth"})
# Plurals that an s at the end does not make.
PLURALS = {
    "AuditEntry": "audit entries",
    "Batch": "batches",
    "LedgerEntry": "ledger entries",
    "SupportAccess": "support accesses",
}


class PortalAdminSite(AdminSite):
    """Django's admin behind the portal's own sign-in; whoever is not active staff finds nothing here."""

    site_header = site_title = "Usage portal"
    index_title = "Platform tables"
    site_url = "/"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Take the portal's own tables and groups; the staff role has no right to those of libraries."""
        models: list[Any] = (
            [model_or_iterable] if isinstance(model_or_iterable, type) else list(model_or_iterable)
        )
        ours = [model for model in models if model._meta.app_label in SHOWN_APPS]
        for model in ours:
            model._meta.verbose_name_plural = PLURALS.get(model.__name__, model._meta.verbose_name_plural)
        super().register(ours, admin_class, **options)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Run every admin page as the staff role, up to and including the rendering of its template."""
        inner = super().admin_view(view, cacheable)

        def as_staff_view(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path(), resolve_url("account_login"))
            if not self.has_permission(request):
                raise Http404
            if _holds_nul(request):
                raise BadRequest("An address cannot hold the character NUL.")
            with as_staff():
                return rendered(inner(request, *arguments, **named))

        as_staff_view.access = Access("staff")  # type: ignore[attr-defined]
        return as_staff_view

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Leave signing in to the portal's own page, which counts wrong passwords."""
        return redirect("account_login")

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Leave signing out to the portal's own page."""
        return redirect("account_logout")


def _holds_nul(request: HttpRequest) -> bool:
    """Tell whether a parameter holds what PostgreSQL stores in no text; the admin would ask it all the same."""
    return any("\0" in text for name, values in request.GET.lists() for text in (name, *values))
