"""Every table of the pipeline, named once, in the order a record passes them."""

from insights.models.backfills import Backfill, BackfillState
from insights.models.batches import (
    Batch,
    BatchBytes,
    BatchRevert,
    BatchState,
    UnattributedReject,
    WorkItem,
    WorkState,
)
from insights.models.books import BookCheck
from insights.models.catalog import Aggregation, Meter
from insights.models.downloads import Download, DownloadState
from insights.models.ledger import EntryKind, LedgerEntry, LedgerHead
from insights.models.months import ArchivedSeries, MonthState, RollupSeal, UsageMonth
from insights.models.parts import BatchPart, LineVerdict, RejectedLine, Verdict
from insights.models.sources import KeyKind, Source, SourceKey, SourceWindow
from insights.models.usage import (
    RevisionKind,
    Series,
    SeriesDimension,
    UnsummedDay,
    UsageIdentity,
    UsageRecord,
    UsageRevision,
    UsageRollup,
    UsageSum,
    Watermark,
)

__all__ = [
    "Aggregation",
    "ArchivedSeries",
    "Backfill",
    "BackfillState",
    "Batch",
    "BatchBytes",
    "BatchPart",
    "BatchRevert",
    "BatchState",
    "BookCheck",
    "Download",
    "DownloadState",
    "EntryKind",
    "KeyKind",
    "LedgerEntry",
    "LedgerHead",
    "LineVerdict",
    "Meter",
    "MonthState",
    "RejectedLine",
    "RevisionKind",
    "RollupSeal",
    "Series",
    "SeriesDimension",
    "Source",
    "SourceKey",
    "SourceWindow",
    "UnattributedReject",
    "UnsummedDay",
    "UsageIdentity",
    "UsageMonth",
    "UsageRecord",
    "UsageRevision",
    "UsageRollup",
    "UsageSum",
    "Verdict",
    "Watermark",
    "WorkItem",
    "WorkState",
]
