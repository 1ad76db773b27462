"""Mounts the pages, the API, sign-in, the admin and the probes."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
