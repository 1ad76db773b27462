"""Reads environment variables into Django settings; refuses what it cannot read exactly."""

from __future__ import annotations

import os
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict


def env_bool(name: str, *, default: bool) -> bool:
    """Return a yes/no variable; raises ImproperlyConfigured for anything but 0, 1, true, false, yes, no."""
    text = os.environ.get(name, "").strip().lower()
    if not text:
        return default
    if text in {"1", "true", "yes"}:
        return True
    if text in {"0", "false", "no"}:
        return False
    raise ImproperlyConfigured(f"{name} must be yes or no, not {text!r}")


def env_count(name: str, *, default: int, most: int) -> int:
    """Return a whole number from 1 to `most`; raises ImproperlyConfigured for anything else."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise ImproperlyConfigured(f"{name} must be a whole number from 1 to {most}, not {text!r}")
    return int(text)


def env_list(name: str, *, default: list[str]) -> list[str]:
    """Return a comma-separated variable as a list."""
    text = os.environ.get(name, "")
    return [item.strip() for item in text.split(",") if item.strip()] if text else default


def database_settings(url: str) -> dict[str, Any] | None:
    """Return Django's settings for a libpq address (URL or key=value), or None for an empty one.

    Sockets are given as `postgresql://role@/name?host=/directory`, as libpq itself reads them.
    """
    if not url:
        return None
    parts = conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": {
            # Server-side binding would prepare a plan per shape; pages send the same few shapes often enough.
            "options": "-c timezone=UTC",
            **parts,
        },
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
