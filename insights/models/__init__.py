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
from insights.models.credits import CreditGrant, CreditKind, CreditUse, Payout
from insights.models.downloads import Download, DownloadState
from insights.models.invoices import (
    BillingRun,
    Invoice,
    InvoiceFile,
    InvoiceKind,
    InvoiceNumber,
    InvoiceState,
    LineItem,
    Settlement,
    SettlementState,
)
from insights.models.ledger import EntryKind, LedgerEntry, LedgerHead
from insights.models.months import ArchivedSeries, MonthState, RollupSeal, UsageMonth
from insights.models.notebook import ChartNote, SavedView
from insights.models.parts import BatchPart, LineVerdict, RejectedLine, Verdict
from insights.models.prices import InvoiceCounter, LegalEntity, Plan, PlanKind, PlanVersion, Price
from insights.models.sources import KeyKind, Source, SourceKey, SourceWindow
from insights.models.subscriptions import (
    AddOn,
    BillingProfile,
    ChangePolicyChoice,
    PriceOverride,
    Subscription,
    SubscriptionPhase,
)
from insights.models.uncovered import UncoveredUsage
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
    "AddOn",
    "Aggregation",
    "ArchivedSeries",
    "Backfill",
    "BackfillState",
    "Batch",
    "BatchBytes",
    "BatchPart",
    "BatchRevert",
    "BatchState",
    "BillingProfile",
    "BillingRun",
    "BookCheck",
    "ChangePolicyChoice",
    "ChartNote",
    "CreditGrant",
    "CreditKind",
    "CreditUse",
    "Download",
    "DownloadState",
    "EntryKind",
    "Invoice",
    "InvoiceCounter",
    "InvoiceFile",
    "InvoiceKind",
    "InvoiceNumber",
    "InvoiceState",
    "KeyKind",
    "LedgerEntry",
    "LedgerHead",
    "LegalEntity",
    "LineItem",
    "LineVerdict",
    "Meter",
    "MonthState",
    "Payout",
    "Plan",
    "PlanKind",
    "PlanVersion",
    "Price",
    "PriceOverride",
    "RejectedLine",
    "RevisionKind",
    "RollupSeal",
    "SavedView",
    "Series",
    "SeriesDimension",
    "Settlement",
    "SettlementState",
    "Source",
    "SourceKey",
    "SourceWindow",
    "Subscription",
    "SubscriptionPhase",
    "UnattributedReject",
    "UncoveredUsage",
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
