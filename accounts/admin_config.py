"""Django's admin with our site as `admin.site`; apart from apps.py, which may name one configuration only."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """Makes the site that acts as the staff role the one that `admin.site` names."""

    default_site = "accounts.admin_site.PortalAdminSite"
