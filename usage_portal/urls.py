"""Mounts the pages, the API, sign-in, the admin and the probes."""

from __future__ import annotations

from allauth.account import views as sign_in
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from usage_portal import probes

# Of allauth only what the portal uses. Mail addresses are changed by staff; sign-up answers that it is closed.
sign_in_urls: list[URLPattern | URLResolver] = [
    path("login/", sign_in.login, name="account_login"),
    path("logout/", sign_in.logout, name="account_logout"),
    path("inactive/", sign_in.account_inactive, name="account_inactive"),
    path("signup/", sign_in.signup, name="account_signup"),
    path("reauthenticate/", sign_in.reauthenticate, name="account_reauthenticate"),
    path("password/change/", sign_in.password_change, name="account_change_password"),
    path("password/set/", sign_in.password_set, name="account_set_password"),
    path("password/reset/", sign_in.password_reset, name="account_reset_password"),
    path("password/reset/done/", sign_in.password_reset_done, name="account_reset_password_done"),
    path(
        "password/reset/key/done/",
        sign_in.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        sign_in.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
]

handler500 = "accounts.middleware.answer_uncaught"

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("metrics", probes.metrics, name="metrics"),
    path("auth/", include(sign_in_urls)),
    path("admin/", admin.site.urls),
    path("api/", include("insights.api.urls")),
    path("a/<uuid:account_uuid>/", include("insights.web.batch_urls")),
    path("a/<uuid:account_uuid>/", include("insights.web.bill_urls")),
    path("a/<uuid:account_uuid>/", include("insights.web.notebook_urls")),
    path("", include("accounts.urls")),
    path("staff/", include("insights.web.staff_urls")),
    path("", include("insights.web.urls")),
]
