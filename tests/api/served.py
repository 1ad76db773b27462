"""The application as tests serve it with gunicorn: the real one, with less patience."""

from __future__ import annotations

from django.conf import settings

from insights.api import body
from usage_portal.wsgi import application

# On a busy machine another request must have come before these are over.
settings.DOWNLOAD_STALL_SECONDS = 5
settings.UPLOAD_WAIT_SECONDS = 0
body.PIECE_SECONDS_MAX = 1.5

__all__ = ["application"]
