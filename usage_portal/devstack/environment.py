"""Which servers are ours and which the user named, and the variables that the settings read."""

import os
import secrets
from collections.abc import Mapping
from urllib.parse import quote

from usage_portal.devstack import postgres
from usage_portal.devstack.places import Places

# Variable -> the role that logs in through it.
DATABASE_ROLES = {
    "DATABASE_URL": "portal_web",
    "WORKER_DATABASE_URL": "portal_worker",
    "MIGRATE_DATABASE_URL": "portal_migrate",
    "STAFF_DATABASE_URL": "portal_staff",
    "INTAKE_DATABASE_URL": "portal_intake",
    "EXPORT_DATABASE_URL": "portal_web",
    "BACKUP_DATABASE_URL": "portal_backup",
}
REQUIRED_DATABASES = tuple(list(DATABASE_ROLES)[:5])

BROKER_NUMBER = 0
CACHE_NUMBER = 1


class MixedDatabases(Exception):
    """Some database variables are set and others are not."""


def wants_embedded_postgres() -> bool:
    """False when the user named a database; naming only some would split the books over two servers."""
    given = [name for name in DATABASE_ROLES if os.environ.get(name)]
    if not given:
        return True
    missing = [name for name in REQUIRED_DATABASES if not os.environ.get(name)]
    if missing:
        raise MixedDatabases(
            f"{', '.join(given)} set, but not {', '.join(missing)}. Set them all to use your own PostgreSQL, "
            "or none to use the embedded one."
        )
    return False


def wants_embedded_valkey() -> bool:
    return not os.environ.get("REDIS_URL")


def environment(*, places: Places, mode: str, database: str, number_offset: int = 0) -> dict[str, str]:
    """The whole environment for Django processes; what the user has set wins."""
    chosen = {
        "PORTAL_MODE": mode,
        "PORTAL_VAR": str(places.var),
        "STATIC_ROOT": str(places.static),
        "DJANGO_SETTINGS_MODULE": "usage_portal.settings",
        **redis_urls(places=places, number_offset=number_offset),
    }
    if wants_embedded_postgres():
        chosen |= database_urls(places=places, database=database)
        chosen["PATH"] = f"{postgres.find_programs()}{os.pathsep}{os.environ.get('PATH', '')}"
    given = {
        name: value for name, value in os.environ.items() if value and name not in ("PATH", "PORTAL_VAR")
    }
    merged = {"PATH": os.environ.get("PATH", "")} | chosen | given
    if not merged.get("SECRET_KEY"):
        merged["SECRET_KEY"] = _secret_key(places)
    return merged


def database_urls(*, places: Places, database: str) -> dict[str, str]:
    host = quote(str(places.sockets), safe="/")
    return {
        name: f"postgresql://{role}@/{database}?host={host}&port=5432"
        for name, role in DATABASE_ROLES.items()
    }


def redis_urls(*, places: Places, number_offset: int = 0) -> Mapping[str, str]:
    given = os.environ.get("REDIS_URL")
    if given:
        return {"CELERY_BROKER_URL": given.replace("unix://", "redis+socket://", 1)}
    path = quote(str(places.valkey_socket), safe="/")
    return {
        "REDIS_URL": f"unix://{path}?db={CACHE_NUMBER + number_offset}",
        "CELERY_BROKER_URL": f"redis+socket://{path}?virtual_host={BROKER_NUMBER + number_offset}",
    }


def _secret_key(places: Places) -> str:
    file = places.var / "secret_key"
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(50))
    return file.read_text()
