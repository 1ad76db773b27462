"""Reads the proof of past downloads, and whether somebody still streams one."""

from __future__ import annotations

import uuid

from accounts.models import Account
from accounts.tenancy import connection
from insights.models import Download, DownloadState


def find_download(*, account: Account, public_id: uuid.UUID) -> Download | None:
    """Return a download of the account. One that nobody streams any more, though it never ended, reads as
    cut.
    """
    download: Download | None = Download.objects.for_account(account).filter(public_id=public_id).first()
    if download is not None and download.state == DownloadState.RUNNING and not _is_running(public_id):
        download.state = DownloadState.CUT
    return download


def running_lock_name(public_id: uuid.UUID) -> str:
    """Return the name of the lock that a download holds for as long as somebody streams it."""
    return f"portal download {public_id}"


def _is_running(public_id: uuid.UUID) -> bool:
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock_shared(hashtextextended(%s, 0))", [running_lock_name(public_id)]
        )
        return not cursor.fetchone()[0]
