"""Notes on charts and saved views: tables of accounts, kept apart like all others."""

from __future__ import annotations

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import secure_table

POLICIES = "\n".join(secure_table(table) for table in ("insights_chartnote", "insights_savedview"))
KEYS = """
ALTER TABLE insights_chartnote ADD CONSTRAINT chartnote_api_key_id_same_account FOREIGN KEY (account_id, api_key_id)
REFERENCES accounts_apikey (account_id, id);
"""


class Migration(migrations.Migration):
    """Two tables with their policies."""

    dependencies = [
        ("accounts", "0004_staff_are_not_members"),
        ("insights", "0026_offered_plans"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ChartNote",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("at", models.DateTimeField()),
                ("text", models.CharField(max_length=200)),
                ("author_name", models.CharField(max_length=254)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("changed_at", models.DateTimeField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.account"
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.apikey",
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["account", "-at", "-id"], name="chartnote_recent")],
                "constraints": [
                    models.UniqueConstraint(fields=("account", "id"), name="chartnote_account_id"),
                    models.UniqueConstraint(fields=("account", "public_id"), name="chartnote_public_id"),
                    models.CheckConstraint(
                        condition=models.Q(("text", ""), _negated=True), name="chartnote_has_text"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("owner_name", models.CharField(max_length=254)),
                ("name", models.CharField(max_length=80)),
                ("query", models.CharField(max_length=2000)),
                ("is_shared", models.BooleanField(default=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("changed_at", models.DateTimeField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.account"
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("account", "id"), name="savedview_account_id"),
                    models.UniqueConstraint(fields=("account", "public_id"), name="savedview_public_id"),
                    models.UniqueConstraint(fields=("account", "owner", "name"), name="savedview_name_once"),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True), name="savedview_has_name"
                    ),
                ],
            },
        ),
        migrations.RunSQL(POLICIES, migrations.RunSQL.noop),
        migrations.RunSQL(
            KEYS, "ALTER TABLE insights_chartnote DROP CONSTRAINT chartnote_api_key_id_same_account"
        ),
    ]
