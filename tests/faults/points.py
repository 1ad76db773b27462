"""The places in a worker's way through a batch where the promises let it die, in order."""

from __future__ import annotations

POINTS = (
    "claimed",
    "opened",
    "before parse",
    "after parse",
    "before series",
    "after series",
    "after months",
    "chunk read",
    "before lease is held",
    "lease held",
    "before store",
    "entry opened",
    "staged",
    "new records stored",
    "known looked up",
    "replacements stored",
    "chunk stored",
    "rolled up",
    "batch counted",
    "parts counted",
    "before close",
    "batch closed",
    "watermarks moved",
    "work finished",
    "lease extended",
    "before position",
    "position taken",
    "committed",
    "between chunks",
    "done, not acknowledged",
)
# Everything is committed there; the death only repeats the bell.
AFTER_THE_BATCH = frozenset({"done, not acknowledged"})
