"""The addresses of the staff pages on feeds, sources and batches, below /staff/."""

from __future__ import annotations

from django.urls import path

from insights.web import (
    plan_downloads,
    plan_editor,
    plan_price,
    staff,
    staff_backfills,
    staff_billing,
    staff_billing_files,
    staff_invoices,
    staff_keys,
    staff_months,
    staff_plans,
    staff_reverts,
    staff_runs,
    staff_sources,
    staff_uncovered,
    staff_uploads,
)

urlpatterns = [
    path("", staff.feeds, name="staff-feeds"),
    path("batches/<uuid:batch_uuid>/", staff.batch, name="staff-batch"),
    path("batches/<uuid:batch_uuid>/replay/", staff.batch_replay, name="batch-replay"),
    path("batches/<uuid:batch_uuid>/try-again/", staff.batch_try_again, name="batch-try-again"),
    path(
        "batches/<uuid:batch_uuid>/revert/prepare/",
        staff_reverts.batch_revert_prepare,
        name="batch-revert-prepare",
    ),
    path("batches/<uuid:batch_uuid>/revert/", staff_reverts.batch_revert, name="batch-revert"),
    path("backfills/<uuid:backfill_uuid>/", staff_backfills.backfill, name="staff-backfill"),
    path("backfills/<uuid:backfill_uuid>/upload/", staff_backfills.backfill_upload, name="backfill-upload"),
    path(
        "backfills/<uuid:backfill_uuid>/preview/", staff_backfills.backfill_preview, name="backfill-preview"
    ),
    path(
        "backfills/<uuid:backfill_uuid>/preview/<slug:slug>.csv",
        staff_backfills.backfill_csv,
        name="backfill-csv",
    ),
    path("backfills/<uuid:backfill_uuid>/close/", staff_backfills.backfill_close, name="backfill-close"),
    path(
        "backfills/<uuid:backfill_uuid>/discard/", staff_backfills.backfill_discard, name="backfill-discard"
    ),
    path("invoices/", staff_invoices.invoices, name="staff-invoices"),
    path("invoices.csv", staff_invoices.invoices_csv, name="staff-invoices-csv"),
    path("invoices/passes/", staff_runs.runs, name="staff-runs"),
    path("invoices/passes.csv", staff_runs.runs_csv, name="staff-runs-csv"),
    path("invoices/<uuid:bill_uuid>/", staff_invoices.invoice, name="staff-invoice"),
    path("invoices/<uuid:bill_uuid>/release/", staff_invoices.invoice_release, name="staff-invoice-release"),
    path("invoices/<uuid:bill_uuid>/paid/", staff_invoices.invoice_paid, name="staff-invoice-paid"),
    path("invoices/<uuid:bill_uuid>/open/", staff_invoices.invoice_open, name="staff-invoice-open"),
    path("invoices/<uuid:bill_uuid>/void/", staff_invoices.invoice_void, name="staff-invoice-void"),
    path("accounts/<uuid:account_uuid>/billing/", staff_billing.billing, name="staff-billing"),
    path(
        "accounts/<uuid:account_uuid>/billing/<slug:slug>.csv",
        staff_billing_files.billing_csv,
        name="staff-billing-csv",
    ),
    path(
        "accounts/<uuid:account_uuid>/billing/profile/",
        staff_billing.profile_save,
        name="billing-profile-save",
    ),
    path(
        "accounts/<uuid:account_uuid>/billing/uncovered/<uuid:finding_uuid>/",
        staff_uncovered.uncovered_release,
        name="uncovered-release",
    ),
    path("accounts/<uuid:account_uuid>/billing/credit/", staff_billing.credit_grant, name="credit-grant"),
    path("accounts/<uuid:account_uuid>/billing/override/", staff_billing.override_set, name="override-set"),
    path(
        "accounts/<uuid:account_uuid>/billing/override/end/",
        staff_billing.override_end,
        name="override-end",
    ),
    path(
        "accounts/<uuid:account_uuid>/billing/start/",
        staff_billing.subscription_start,
        name="subscription-start",
    ),
    path(
        "accounts/<uuid:account_uuid>/billing/<uuid:subscription_uuid>/change/",
        staff_billing.subscription_change,
        name="subscription-change",
    ),
    path(
        "accounts/<uuid:account_uuid>/billing/<uuid:subscription_uuid>/cancel/",
        staff_billing.subscription_cancel,
        name="subscription-cancel",
    ),
    path(
        "accounts/<uuid:account_uuid>/billing/<uuid:subscription_uuid>/end/",
        staff_billing.subscription_end,
        name="subscription-end",
    ),
    path(
        "accounts/<uuid:account_uuid>/billing/<uuid:subscription_uuid>/add-on/",
        staff_billing.add_on_start,
        name="add-on-start",
    ),
    path(
        "accounts/<uuid:account_uuid>/billing/<uuid:subscription_uuid>/add-on/end/",
        staff_billing.add_on_end,
        name="add-on-end",
    ),
    path("plans/", staff_plans.plans, name="staff-plans"),
    path("plans.csv", plan_downloads.plans_csv, name="staff-plans-csv"),
    path("plans/new/", plan_editor.plan_new, name="staff-plan-new"),
    path("plans/<slug:plan_key>/", staff_plans.plan, name="staff-plan"),
    path("plans/<slug:plan_key>/prices.csv", plan_downloads.plan_csv, name="staff-plan-csv"),
    path("plans/<slug:plan_key>/plan.toml", plan_downloads.plan_toml, name="staff-plan-toml"),
    path("plans/<slug:plan_key>/edit/", plan_editor.plan_edit, name="staff-plan-edit"),
    path("plans/<slug:plan_key>/heading/", plan_editor.plan_heading, name="plan-heading"),
    path(
        "plans/<slug:plan_key>/prices/<slug:price_key>/",
        plan_price.plan_price,
        name="staff-plan-price",
    ),
    path("plans/<slug:plan_key>/publish/", staff_plans.plan_publish, name="plan-publish"),
    path("plans/<slug:plan_key>/drop/", staff_plans.plan_drop, name="plan-drop"),
    path("plans/<slug:plan_key>/retire/", staff_plans.plan_retire, name="plan-retire"),
    path("months/", staff_months.months, name="staff-months"),
    path("months.csv", staff_months.months_csv, name="staff-months-csv"),
    path("sources/", staff_sources.sources, name="staff-sources"),
    path("sources/new/", staff_sources.source_new, name="staff-source-new"),
    path("sources/new/toml/", staff_sources.source_new_toml, name="source-new-toml"),
    path("sources/<slug:slug>/", staff_sources.source, name="staff-source"),
    path("sources/<slug:slug>/edit/", staff_sources.source_edit, name="source-edit"),
    path("sources/<slug:slug>/toml/", staff_sources.source_toml, name="source-toml"),
    path("sources/<slug:slug>/import/", staff_sources.source_import, name="source-import"),
    path("sources/<slug:slug>/state/", staff_sources.source_state, name="source-state"),
    path("sources/<slug:slug>/preview/", staff_uploads.source_preview, name="source-preview"),
    path("sources/<slug:slug>/upload/", staff_uploads.source_upload, name="source-upload"),
    path(
        "sources/<slug:slug>/backfills/open/",
        staff_backfills.source_backfill_open,
        name="source-backfill-open",
    ),
    path("sources/<slug:slug>/keys/", staff_keys.source_key_issue, name="source-key-issue"),
    path(
        "sources/<slug:slug>/keys/<uuid:key_uuid>/revoke/",
        staff_keys.source_key_revoke,
        name="source-key-revoke",
    ),
]
