"""Who may open a page, declared on the view and checked on every request.

A view without one of these declarations fails a test. Another account's page answers exactly like an absent one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS, transaction
from django.http import Http404, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils import timezone
from django_htmx.http import HttpResponseClientRedirect

from accounts import queries
from accounts.models import Account, AccountState, Membership, Role, SupportAccess, SupportAccessPage
from accounts.permissions import is_open_support_access
from accounts.tenancy import account_scope, as_staff, user_scope

View = Callable[..., HttpResponseBase]
AnyView = TypeVar("AnyView", bound=View)
SAFE_METHODS = ("GET", "HEAD")
logger = structlog.get_logger(__name__)

NOTICES = {
    AccountState.SUSPENDED: "This account is suspended. Everything can be read and downloaded; nothing can be changed.",
    AccountState.CLOSED: "This account is closed. Its history can be read and downloaded; nothing can be changed.",
}


@dataclass(frozen=True, slots=True)
class Access:
    """What a view declared: public, signed_in, account or staff, and who of those."""

    kind: str
    roles: tuple[str, ...] = ()
    superuser_only: bool = False


@dataclass(frozen=True, slots=True)
class StreamScope:
    """Whose rows a streamed answer may read; the stream opens it itself, since the page's transaction ends earlier."""

    account_id: int
    user_id: int
    read_only: bool

    def open(self) -> AbstractContextManager[None]:
        """Open the account's transaction on a connection of the stream's own, where there is one."""
        alias = "export" if "export" in settings.DATABASES else DEFAULT_DB_ALIAS
        return account_scope(self.account_id, user_id=self.user_id, read_only=self.read_only, alias=alias)


def account_page(view: View | None = None, *, roles: Iterable[str] = Role.values) -> Any:
    """Show the view to members with one of the roles, and read-only to staff with open support access.

    Used bare or with roles. The wrapped view is called without `account_uuid`: it finds request.account,
    request.membership or request.support_access, request.stream_scope, and runs in the account's transaction.
    """
    allowed = tuple(roles)
    if view is None:
        return functools.partial(account_page, roles=allowed)
    inner = view

    @functools.wraps(inner)
    def wrapper(request: Any, account_uuid: UUID, **arguments: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        _set_account(request, account_uuid)
        _check_may_do(request, allowed)
        scope: StreamScope = request.stream_scope
        with account_scope(scope.account_id, user_id=scope.user_id, read_only=scope.read_only):
            return rendered(inner(request, **arguments))

    return _declare(wrapper, Access("account", roles=allowed))


def staff_page(view: View | None = None, *, superuser_only: bool = False) -> Any:
    """Show the view to active staff, as the staff role; for everybody else who is signed in there is no such page."""
    if view is None:
        return functools.partial(staff_page, superuser_only=superuser_only)
    inner = view

    @functools.wraps(inner)
    def wrapper(request: Any, **arguments: Any) -> HttpResponseBase:
        user = request.user
        if not user.is_authenticated:
            return _to_sign_in(request)
        if not (user.is_active and user.is_staff) or (superuser_only and not user.is_superuser):
            raise Http404
        with user_scope(user.pk):
            request.accounts_count = queries.count_accounts_of(user)
        with as_staff():
            return rendered(inner(request, **arguments))

    return _declare(wrapper, Access("staff", superuser_only=superuser_only))


def signed_in_page(view: AnyView) -> AnyView:
    """Show the view to whoever is signed in; it sees their own memberships and no usage."""

    @functools.wraps(view)
    def wrapper(request: Any, **arguments: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        with user_scope(request.user.pk):
            request.accounts_count = queries.count_accounts_of(request.user)
            return rendered(view(request, **arguments))

    return _declare(wrapper, Access("signed_in"))


def public_page(view: AnyView) -> AnyView:
    """Show the view to everybody; it must not read anything that belongs to an account."""

    @functools.wraps(view)
    def wrapper(*arguments: Any, **named: Any) -> HttpResponseBase:
        return view(*arguments, **named)

    return _declare(wrapper, Access("public"))


def _declare(wrapper: Any, access: Access) -> Any:
    wrapper.access = access
    return wrapper


def rendered(response: HttpResponseBase) -> HttpResponseBase:
    """Render a late template while the rows are still visible."""
    if hasattr(response, "render") and not getattr(response, "is_rendered", True):
        response = response.render()
    return response


def _to_sign_in(request: Any) -> HttpResponseBase:
    """Send to sign-in; a fragment request must move the whole page instead of swapping the form in."""
    htmx: Any = getattr(request, "htmx", None)
    back = (htmx.current_url_abs_path if htmx else None) or request.get_full_path()
    if request.method not in SAFE_METHODS and not htmx:
        back = resolve_url("portal-home")
    answer = redirect_to_login(back, resolve_url(settings.LOGIN_URL))
    return HttpResponseClientRedirect(answer.url) if htmx else answer


def _set_account(request: Any, account_uuid: UUID) -> None:
    """Put the account and the right to see it on the request, or answer as if there were none."""
    user = request.user
    with user_scope(user.pk):
        membership: Any = queries.find_membership(user=user, account_public_id=account_uuid)
        request.accounts_count = membership.siblings if membership else queries.count_accounts_of(user)
    # Staff come in by support access alone, which is short, read-only and on the customer's log.
    if membership is not None and not (user.is_staff or user.is_superuser):
        _remember(request, membership.account, membership=membership)
        return
    if not (user.is_staff and user.is_active):
        raise Http404
    access = _record_support_page(request, account_uuid)
    _remember(request, access.account, support_access=access)


def _remember(
    request: Any,
    account: Account,
    *,
    membership: Membership | None = None,
    support_access: SupportAccess | None = None,
) -> None:
    request.account = account
    request.membership = membership
    request.support_access = support_access
    request.account_notice = NOTICES.get(AccountState(account.state), "")
    request.stream_scope = StreamScope(account.pk, request.user.pk, read_only=support_access is not None)


def _record_support_page(request: Any, account_uuid: UUID) -> SupportAccess:
    """Find the open support access and commit the page's row: no row, no page."""
    now = timezone.now()
    with as_staff():
        access = queries.find_latest_support_access(staff_user=request.user, account_public_id=account_uuid)
        if access is None:
            raise Http404
        if not is_open_support_access(access, now=now):
            raise PermissionDenied(
                "Your support access to this account has ended. Start it again with a reason."
            )
        if request.method not in SAFE_METHODS:
            logger.warning("write refused under support access", path=request.path, staff=request.user.pk)
            raise PermissionDenied("Support access only reads.")
        with transaction.atomic(using="staff"):
            SupportAccessPage.objects.create(
                account_id=access.account_id,
                support_access=access,
                path=request.get_full_path()[:500],
                viewed_at=now,
            )
    return access


def _check_may_do(request: Any, allowed: tuple[str, ...]) -> None:
    if request.membership is not None and request.membership.role not in allowed:
        raise PermissionDenied("Your role in this account does not open this page.")
    if request.method not in SAFE_METHODS and request.account.state != AccountState.ACTIVE:
        raise PermissionDenied(request.account_notice)
