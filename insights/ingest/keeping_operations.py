"""What is kept only for a time: the bytes as sent, and refused lines."""

from __future__ import annotations

from datetime import datetime

from insights.models import BatchBytes, RejectedLine, UnattributedReject


def drop_bytes(*, finished_before: datetime) -> int:
    """Delete the bytes of batches finished before an instant; return the number of pieces."""
    deleted, _by_model = BatchBytes.objects.filter(batch__finished_at__lt=finished_before).delete()
    return deleted


def drop_rejects(*, rejected_before: datetime) -> int:
    """Delete refused lines older than an instant, of known and unknown accounts; return how many."""
    known, _by_model = RejectedLine.objects.filter(rejected_at__lt=rejected_before).delete()
    unattributed, _by_model = UnattributedReject.objects.filter(rejected_at__lt=rejected_before).delete()
    return known + unattributed
