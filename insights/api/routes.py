"""The endpoints that the schema describes, and their addresses below /api/."""

from __future__ import annotations

from django.urls import URLPattern, path

from insights.api.batches import BatchCollection, BatchDetail, BatchRejects
from insights.api.bill_difference import InvoiceDifference
from insights.api.bill_edges import InvoiceEdges, InvoiceEdgesCsv
from insights.api.bill_forecast import InvoiceForecast
from insights.api.bill_proof import InvoiceProof
from insights.api.bill_then_and_now import InvoiceMovedRecords, InvoiceMovedRecordsCsv, InvoiceThenAndNow
from insights.api.bills import (
    CreditList,
    InvoiceConservation,
    InvoiceCsv,
    InvoiceDetail,
    InvoiceLine,
    InvoiceList,
    InvoicePdf,
    PriceList,
)
from insights.api.cost import NextUnitPrices
from insights.api.downloads import DownloadDetail, UsageCsv
from insights.api.estimates import EstimateCollection, EstimateCsv
from insights.api.notes import NoteDetail, NoteList
from insights.api.usage import AccountDetail, MeterList, UsageDetail

ENDPOINTS: list[URLPattern] = [
    path("v1/usage/batches", BatchCollection.as_view(), name="api-batches"),
    path("v1/usage/batches/<uuid:batch_id>", BatchDetail.as_view(), name="api-batch"),
    path("v1/usage/batches/<uuid:batch_id>/rejects", BatchRejects.as_view(), name="api-batch-rejects"),
    path("v1/meters", MeterList.as_view(), name="api-meters"),
    path("v1/account", AccountDetail.as_view(), name="api-account"),
    path("v1/usage", UsageDetail.as_view(), name="api-usage"),
    path("v1/usage.csv", UsageCsv.as_view(), name="api-usage-csv"),
    path("v1/downloads/<uuid:download_id>", DownloadDetail.as_view(), name="api-download"),
    path("v1/notes", NoteList.as_view(), name="api-notes"),
    path("v1/notes/<uuid:note_id>", NoteDetail.as_view(), name="api-note"),
    path("v1/invoices", InvoiceList.as_view(), name="api-invoices"),
    path("v1/invoices/<uuid:invoice_id>", InvoiceDetail.as_view(), name="api-invoice"),
    path(
        "v1/invoices/<uuid:invoice_id>/lines/<int:position>", InvoiceLine.as_view(), name="api-invoice-line"
    ),
    path(
        "v1/invoices/<uuid:invoice_id>/where-usage-went",
        InvoiceConservation.as_view(),
        name="api-invoice-conservation",
    ),
    path("v1/invoices/<uuid:invoice_id>.csv", InvoiceCsv.as_view(), name="api-invoice-csv"),
    path("v1/invoices/<uuid:invoice_id>.pdf", InvoicePdf.as_view(), name="api-invoice-pdf"),
    path("v1/invoices/<uuid:invoice_id>/proof", InvoiceProof.as_view(), name="api-invoice-proof"),
    path(
        "v1/invoices/<uuid:invoice_id>/difference",
        InvoiceDifference.as_view(),
        name="api-invoice-difference",
    ),
    path("v1/invoices/<uuid:invoice_id>/forecast", InvoiceForecast.as_view(), name="api-invoice-forecast"),
    path(
        "v1/invoices/<uuid:invoice_id>/then-and-now",
        InvoiceThenAndNow.as_view(),
        name="api-invoice-then-and-now",
    ),
    path(
        "v1/invoices/<uuid:invoice_id>/then-and-now/records",
        InvoiceMovedRecords.as_view(),
        name="api-invoice-moved-records",
    ),
    path(
        "v1/invoices/<uuid:invoice_id>/then-and-now/records.csv",
        InvoiceMovedRecordsCsv.as_view(),
        name="api-invoice-moved-records-csv",
    ),
    path("v1/invoices/<uuid:invoice_id>/edges", InvoiceEdges.as_view(), name="api-invoice-edges"),
    path("v1/invoices/<uuid:invoice_id>/edges.csv", InvoiceEdgesCsv.as_view(), name="api-invoice-edges-csv"),
    path("v1/credits", CreditList.as_view(), name="api-credits"),
    path("v1/estimates", EstimateCollection.as_view(), name="api-estimates"),
    path("v1/estimates.csv", EstimateCsv.as_view(), name="api-estimates-csv"),
    path("v1/prices", PriceList.as_view(), name="api-prices"),
    path("v1/next-unit-prices", NextUnitPrices.as_view(), name="api-next-unit-prices"),
]
