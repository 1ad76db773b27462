"""The addresses of a customer's batches and of their CSV downloads, below /a/<uuid>/."""

from __future__ import annotations

from django.urls import path

from insights.web import batches, downloads

urlpatterns = [
    path("usage/aggregates.csv", downloads.usage_aggregates_csv, name="usage-aggregates-csv"),
    path("usage/records.csv", downloads.usage_records_csv, name="usage-records-csv"),
    path("usage/changes.csv", downloads.usage_changes_csv, name="usage-changes-csv"),
    path("batches/", batches.batch_list, name="batch-list"),
    path("batches/<uuid:batch_uuid>/", batches.batch_detail, name="batch-detail"),
    path("batches/<uuid:batch_uuid>/rejects.csv", batches.batch_rejects_csv, name="batch-rejects-csv"),
]
