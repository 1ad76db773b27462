"""Addresses of the pages about people and accounts."""

from __future__ import annotations

from django.urls import path

from accounts.views import directory, home, settings, staff_acts

urlpatterns = [
    path("", home.home, name="portal-home"),
    path("a/<uuid:account_uuid>/settings/", settings.account_settings, name="account-settings"),
    path("a/<uuid:account_uuid>/settings/keys/", settings.key_create, name="key-create"),
    path(
        "a/<uuid:account_uuid>/settings/keys/<uuid:key_uuid>/revoke/", settings.key_revoke, name="key-revoke"
    ),
    path("staff/accounts/", directory.staff_accounts, name="staff-accounts"),
    path("staff/accounts/new/", directory.staff_account_new, name="staff-account-new"),
    path("staff/accounts/<uuid:account_uuid>/", directory.staff_account, name="staff-account"),
    path("staff/accounts/<uuid:account_uuid>/state/", staff_acts.account_state, name="staff-account-state"),
    path("staff/accounts/<uuid:account_uuid>/members/", staff_acts.member_add, name="staff-member-add"),
    path(
        "staff/accounts/<uuid:account_uuid>/members/<uuid:user_uuid>/role/",
        staff_acts.member_role,
        name="staff-member-role",
    ),
    path(
        "staff/accounts/<uuid:account_uuid>/members/<uuid:user_uuid>/remove/",
        staff_acts.member_remove,
        name="staff-member-remove",
    ),
    path("staff/accounts/<uuid:account_uuid>/support/start/", staff_acts.support_start, name="support-start"),
    path("staff/accounts/<uuid:account_uuid>/support/stop/", staff_acts.support_stop, name="support-stop"),
]
