"""Settings, read from the environment and nowhere else.

Fixed order: mode, security, applications, databases, cache and Celery, pages, API, logs.
A missing secret in production refuses to start; nothing here falls back to a guess about money or time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured

from usage_portal.environment import database_settings, env_bool, env_list
from usage_portal.log_lines import render_line

PROJECT_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("PORTAL_VAR", PROJECT_DIR / "var"))

# --- Mode: "production" unless the launcher says demo, test or manage -------------------------
MODE = os.environ.get("PORTAL_MODE", "production")
PRODUCTION = MODE == "production"
DEBUG = env_bool("DEBUG", default=False)

# --- Security ---------------------------------------------------------------------------------
SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is not set; ./portal sets one for demo and tests")
ALLOWED_HOSTS = env_list(
    "ALLOWED_HOSTS", default=[] if PRODUCTION else ["127.0.0.1", "localhost", "testserver"]
)
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_SSL_REDIRECT = PRODUCTION and env_bool("SECURE_SSL_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 7
X_FRAME_OPTIONS = "DENY"
if env_bool("TRUST_FORWARDED_PROTO", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- Applications -----------------------------------------------------------------------------
INSTALLED_APPS = [
    "accounts",
    "insights",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "accounts.admin_config.PortalAdminConfig",
    "allauth",
    "allauth.account",
    "axes",
    "csp",
    "django_htmx",
    "django_prometheus",
    "django_structlog",
    "drf_spectacular",
    "rest_framework",
    "template_partials",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.middleware.DatabaseOutageMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "accounts.middleware.PrivateResponseMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "usage_portal.urls"
WSGI_APPLICATION = "usage_portal.wsgi.application"
APPEND_SLASH = True

# --- Databases: one alias per PostgreSQL role; a role whose address is not given is absent ------
DATABASES: dict[str, Any] = {
    alias: settings
    for alias, variable in {
        "default": "DATABASE_URL",
        "worker": "WORKER_DATABASE_URL",
        "staff": "STAFF_DATABASE_URL",
        "intake": "INTAKE_DATABASE_URL",
        "export": "EXPORT_DATABASE_URL",
        "owner": "MIGRATE_DATABASE_URL",
    }.items()
    if (settings := database_settings(os.environ.get(variable, ""))) is not None
}
if "default" not in DATABASES:
    raise ImproperlyConfigured("DATABASE_URL is not set; ./portal starts an embedded server and sets it")
DATABASE_ROUTERS = ["accounts.tenancy.RoleRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache, Celery ----------------------------------------------------------------------------
REDIS_URL = os.environ.get("REDIS_URL", "")
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", REDIS_URL)

# --- Accounts and sign-in ---------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_ADAPTER = "accounts.adapter.PortalAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_GET = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "portal-home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "accounts.sign_in.typed_address"
AXES_CLIENT_IP_CALLABLE = "accounts.sign_in.client_address"
# How many proxies of ours stand in front; X-Forwarded-For is believed that deep and no deeper.
TRUSTED_PROXIES = int(os.environ.get("TRUSTED_PROXIES", "0"))
# Failed sign-ins are counted by axes, in the database, for all web processes together.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None}
AXES_USERNAME_FORM_FIELD = "login"
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# Successful sign-ins are not kept; failed ones are dropped after 30 days.
AXES_DISABLE_ACCESS_LOG = True
EMAIL_BACKEND = os.environ.get("EMAIL_BACKEND", "")
if not EMAIL_BACKEND:
    if PRODUCTION:
        raise ImproperlyConfigured(
            "EMAIL_BACKEND is not set; without it links to set a password would go to the logs"
        )
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
# Where links in mails lead that no request asked for.
PORTAL_URL = os.environ.get("PORTAL_URL", "http://127.0.0.1:8000").rstrip("/")
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "usage-portal@localhost")

# --- Time and language: stored in UTC, shown in the account's billing zone ----------------------
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
LANGUAGE_CODE = "en"

# --- Pages and static files -------------------------------------------------------------------
TEMPLATES = [
    {
        "BACKEND": "usage_portal.template_backend.PageTemplates",
        "NAME": "django",
        "DIRS": [PROJECT_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context_processors.who_is_looking",
            ],
            "builtins": ["insights.templatetags.portal"],
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [PROJECT_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "usage_portal.static_assets.PlotlyFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if MODE == "test"
        else "usage_portal.static_assets.FingerprintedStorage"
    },
    # Archived months of the ledger; any storage of Django's kind, with its options as a JSON object.
    "archive": {
        "BACKEND": os.environ.get("ARCHIVE_STORAGE", "django.core.files.storage.FileSystemStorage"),
        "OPTIONS": json.loads(os.environ.get("ARCHIVE_STORAGE_OPTIONS", "null"))
        or {"location": VAR_DIR / "archive", "file_permissions_mode": 0o600},
    },
}
WHITENOISE_MAX_AGE = 60 * 60
# Tests and commands run without collected files; the serving process always has them.
WHITENOISE_USE_FINDERS = MODE == "test"

# --- Uploads: the ingest endpoint reads its own body within its own limits ----------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
FILE_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
UPLOAD_MAX_SENT_BYTES = 64 * 1024 * 1024
UPLOAD_MAX_UNPACKED_BYTES = 512 * 1024 * 1024
UPLOAD_MAX_LINES = 1_000_000
UPLOAD_OPEN_BATCHES_MAX = 1_000
UPLOAD_WAIT_SECONDS = 2.0
DOWNLOADS_PER_ACCOUNT = 2
DOWNLOADS_IN_ALL = 6
DOWNLOAD_STALL_SECONDS = 30

# What one key may ask of the API in a minute, refilled evenly; uploads and reads have a bucket per key.
API_REQUESTS_PER_MINUTE = int(os.environ.get("API_REQUESTS_PER_MINUTE", "600"))
# A worker reads columns beside other workers; threads of its own would only take their processors. Read on import.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

# --- API --------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "insights.api.errors.problem_response",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Usage portal API",
    "DESCRIPTION": "Send aggregated usage; read usage as JSON and CSV.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
}

# --- Logs: one JSON object a line in production, readable lines elsewhere -----------------------
_SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": render_line,
            "foreign_pre_chain": _SHARED_PROCESSORS,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {
        "handlers": ["console"],
        "level": os.environ.get("LOG_LEVEL", "INFO" if PRODUCTION else "WARNING"),
    },
}
structlog.configure(
    processors=[*_SHARED_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
PROMETHEUS_EXPORT_MIGRATIONS = False
SILENCED_SYSTEM_CHECKS: list[str] = []
