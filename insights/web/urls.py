"""The addresses of an account's own pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from insights.web import overview, usage

account_urls: list[URLPattern | URLResolver] = [
    path("", overview.account_overview, name="account-overview"),
    path("usage/", usage.usage_explorer, name="usage-explorer"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("a/<uuid:account_uuid>/", include(account_urls)),
]
