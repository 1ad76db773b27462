"""Which tone and icon a word of state has on every page: colour never stands alone."""

from __future__ import annotations

# Tone and icon of every state word that pages show; a state not listed is shown as it is, without a colour.
STATES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("done", "complete", "finished", "active", "replayed", "ready", "up to date"), ("ok", "check")
    ),
    **dict.fromkeys(("processing", "running", "working", "previewing", "closing"), ("busy", "spinner")),
    **dict.fromkeys(
        ("received", "queued", "pending", "waiting", "incomplete", "held", "open"), ("info", "clock")
    ),
    **dict.fromkeys(("partly", "partly done", "tardy", "late", "suspended", "stale"), ("warn", "alert")),
    **dict.fromkeys(("failed", "refused", "rejected", "missing", "cut", "quarantined"), ("bad", "error")),
    **dict.fromkeys(
        ("reverted", "revoked", "expired", "closed", "retired", "ended", "discarded"), ("neutral", "stop")
    ),
    **dict.fromkeys(("owner", "admin", "billing", "viewer"), ("neutral", "user")),
}
TONE_ICONS = {
    "ok": "check",
    "info": "info",
    "warn": "alert",
    "bad": "error",
    "busy": "spinner",
    "neutral": "minus",
}
COMPLETENESS = {
    "complete": ("ok", "check"),
    "incomplete": ("info", "partial"),
    "missing": ("warn", "gap"),
    "none": ("neutral", "empty"),
}
