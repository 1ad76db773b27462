"""People, accounts and the audit trail in the admin. Accounts change on the staff pages, which say what will happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from django.http import HttpRequest

from accounts.models import Account, AuditEntry, Membership, SupportAccess, User
from accounts.operations import record_act

# Django's admin classes and forms take a type for the checker only.
if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]
    AnyUserForm = ModelForm[User]
else:
    AnyAdmin = admin.ModelAdmin
    AnyUserForm = ModelForm
RIGHTS = ("is_staff", "is_superuser", "groups")


class ReadOnlyAdmin(AnyAdmin):
    """Shows rows and changes none."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes here."""
        return False


class UserForm(AnyUserForm):
    """Refuses in words what the database refuses too: staff come to an account by support access alone."""

    def clean(self) -> dict[str, Any]:
        """Keep members of an account from becoming staff."""
        cleaned = super().clean() or {}
        becomes_staff = cleaned.get("is_staff") or cleaned.get("is_superuser")
        if becomes_staff and Membership.objects.filter(user_id=self.instance.pk).exists():
            raise ValidationError("A member of an account cannot become staff. End the membership first.")
        return cleaned


@admin.register(User)
class UserAdmin(AnyAdmin):
    """People. A new one has no password and sets it by the mail of the sign-in page; nobody is deleted."""

    form = UserForm
    list_display = ("email", "name", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    ordering = ("email",)
    fields = ("email", "name", "is_active", *RIGHTS, "last_login")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Leave to superusers what would raise somebody: rights, and the address a new password is mailed to.

        Nor may other staff shut out staff.
        """
        if request.user.is_superuser:
            return ("last_login",)
        if obj is None:
            return ("last_login", *RIGHTS)
        is_above = obj.is_staff or obj.is_superuser
        return ("last_login", "email", *RIGHTS, *(("is_active",) if is_above else ()))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A person who leaves is made inactive; what they did stays theirs."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        """Save with an audit entry in the same transaction."""
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        details = {
            "changed": {name: str(form.cleaned_data[name]) for name in form.changed_data if name in RIGHTS}
        }
        details["changed"] |= {name: "" for name in form.changed_data if name not in RIGHTS}
        actor = cast(User, request.user)
        record_act(
            account=None,
            actor=actor,
            act="user.change" if change else "user.create",
            subject=obj.email,
            details=details,
        )


admin.site.unregister(Group)


@admin.register(Group)
class StaffGroupAdmin(GroupAdmin):
    """Groups hold rights of staff, so who could change one could raise themselves: superusers only."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show it on the front page to superusers."""
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Only superusers look."""
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only superusers add."""
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Only superusers change."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Only superusers delete."""
        return bool(request.user.is_superuser)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Accounts as they are stored; the staff pages change them."""

    list_display = ("name", "reference", "state", "billing_zone", "currency", "opened_at")
    list_filter = ("state",)
    search_fields = ("name", "reference")


@admin.register(SupportAccess)
class SupportAccessAdmin(ReadOnlyAdmin):
    """Who looked into which account, when and why."""

    list_display = ("account", "staff_email", "reason", "started_at", "expires_at", "ended_at")
    list_select_related = ("account",)
    date_hierarchy = "started_at"


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """The audit trail of every account and of the platform."""

    list_display = ("at", "actor_name", "act", "subject", "account")
    list_filter = ("act",)
    list_select_related = ("account",)
    search_fields = ("actor_name", "subject")
    ordering = ("-id",)
