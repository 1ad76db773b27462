"""The addresses of a customer's bills, prices, credits and billing details, below /a/<uuid>/."""

from __future__ import annotations

from django.urls import path

from insights.web import bill_credits, bill_difference, billing_details, bills, prices

urlpatterns = [
    path("bills/", bills.bill_list, name="bill-list"),
    path("bills.csv", bills.bill_list_csv, name="bill-list-csv"),
    path("bills/<uuid:bill_uuid>/", bills.bill_detail, name="bill-detail"),
    path("bills/<uuid:bill_uuid>/bill.pdf", bills.bill_pdf, name="bill-pdf"),
    path("bills/<uuid:bill_uuid>/lines.csv", bills.bill_csv, name="bill-csv"),
    path("bills/<uuid:bill_uuid>/bill.json", bills.bill_json, name="bill-json"),
    path("bills/<uuid:bill_uuid>/difference/", bill_difference.bill_difference, name="bill-difference"),
    path(
        "bills/<uuid:bill_uuid>/difference.csv",
        bill_difference.bill_difference_csv,
        name="bill-difference-csv",
    ),
    path("prices/", prices.price_list, name="price-list"),
    path("prices.csv", prices.prices_csv, name="prices-csv"),
    path("credits/", bill_credits.credit_list, name="credit-list"),
    path("credits.csv", bill_credits.credits_csv, name="credits-csv"),
    path("billing-details/", billing_details.billing_details, name="billing-details"),
]
