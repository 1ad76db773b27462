"""Renders one log entry as a line of JSON, without the secret of any API key that found its way into it."""

from __future__ import annotations

from typing import Any

import structlog

from accounts.keys import hide_keys

_render = structlog.processors.JSONRenderer()


def render_line(logger: Any, method: str, entry: Any) -> str:
    """Return the line; keys are recognised by their form wherever they stand."""
    return hide_keys(str(_render(logger, method, entry)))
