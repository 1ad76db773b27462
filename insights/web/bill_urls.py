"""The addresses of a customer's bills, prices, credits and billing details, below /a/<uuid>/."""

from __future__ import annotations

from django.urls import path

from insights.web import (
    bill_conservation,
    bill_credits,
    bill_difference,
    bill_difference_values,
    bill_edges,
    bill_files,
    bill_forecast,
    bill_line,
    bill_line_records,
    bill_proof,
    bill_then_and_now,
    billing_details,
    bills,
    estimates,
    prices,
)

urlpatterns = [
    path("bills/", bills.bill_list, name="bill-list"),
    path("bills.csv", bills.bill_list_csv, name="bill-list-csv"),
    path("bills/<uuid:bill_uuid>/", bills.bill_detail, name="bill-detail"),
    path("bills/<uuid:bill_uuid>/bill.pdf", bill_files.bill_pdf, name="bill-pdf"),
    path("bills/<uuid:bill_uuid>/lines.csv", bill_files.bill_csv, name="bill-csv"),
    path("bills/<uuid:bill_uuid>/bill.json", bill_files.bill_json, name="bill-json"),
    path("bills/<uuid:bill_uuid>/difference/", bill_difference.bill_difference, name="bill-difference"),
    path(
        "bills/<uuid:bill_uuid>/difference.csv",
        bill_difference.bill_difference_csv,
        name="bill-difference-csv",
    ),
    path(
        "bills/<uuid:bill_uuid>/difference/values/",
        bill_difference_values.bill_difference_values,
        name="bill-difference-values",
    ),
    path(
        "bills/<uuid:bill_uuid>/difference/values.csv",
        bill_difference_values.bill_difference_values_csv,
        name="bill-difference-values-csv",
    ),
    path("bills/<uuid:bill_uuid>/forecast/", bill_forecast.bill_forecast, name="bill-forecast"),
    path("bills/<uuid:bill_uuid>/forecast.csv", bill_forecast.bill_forecast_csv, name="bill-forecast-csv"),
    path(
        "bills/<uuid:bill_uuid>/where-usage-went/",
        bill_conservation.bill_conservation,
        name="bill-conservation",
    ),
    path(
        "bills/<uuid:bill_uuid>/where-usage-went.csv",
        bill_conservation.bill_conservation_csv,
        name="bill-conservation-csv",
    ),
    path(
        "bills/<uuid:bill_uuid>/then-and-now/", bill_then_and_now.bill_then_and_now, name="bill-then-and-now"
    ),
    path(
        "bills/<uuid:bill_uuid>/then-and-now.csv",
        bill_then_and_now.bill_then_and_now_csv,
        name="bill-then-and-now-csv",
    ),
    path(
        "bills/<uuid:bill_uuid>/then-and-now/records.csv",
        bill_then_and_now.bill_moved_records_csv,
        name="bill-moved-records-csv",
    ),
    path("bills/<uuid:bill_uuid>/edges/", bill_edges.bill_edges, name="bill-edges"),
    path("bills/<uuid:bill_uuid>/edges.csv", bill_edges.bill_edges_csv, name="bill-edges-csv"),
    path("bills/<uuid:bill_uuid>/lines/<int:position>/", bill_line.bill_line, name="bill-line"),
    path(
        "bills/<uuid:bill_uuid>/lines/<int:position>/days.csv",
        bill_line.bill_line_days_csv,
        name="bill-line-days-csv",
    ),
    path(
        "bills/<uuid:bill_uuid>/lines/<int:position>/values.csv",
        bill_line.bill_line_values_csv,
        name="bill-line-values-csv",
    ),
    path(
        "bills/<uuid:bill_uuid>/lines/<int:position>/records/",
        bill_line_records.bill_line_records,
        name="bill-line-records",
    ),
    path(
        "bills/<uuid:bill_uuid>/lines/<int:position>/records.csv",
        bill_line_records.bill_line_records_csv,
        name="bill-line-records-csv",
    ),
    path("bills/<uuid:bill_uuid>/proof.zip", bill_proof.bill_proof, name="bill-proof"),
    path("bills/verify_bill.py", bill_proof.bill_verifier, name="bill-verifier"),
    path("estimate/", estimates.estimate, name="estimate"),
    path("estimate.csv", estimates.estimate_csv, name="estimate-csv"),
    path("prices/", prices.price_list, name="price-list"),
    path("prices.csv", prices.prices_csv, name="prices-csv"),
    path("credits/", bill_credits.credit_list, name="credit-list"),
    path("credits.csv", bill_credits.credits_csv, name="credits-csv"),
    path("billing-details/", billing_details.billing_details, name="billing-details"),
]
