"""What `celery --app tests.bench.timed_worker` loads: the product's tasks with a clock around each stage."""

from __future__ import annotations

import django

django.setup()

from insights import tasks  # noqa: E402
from insights.ingest import (  # noqa: E402
    chunk_operations,
    column_operations,
    columns,
    known_operations,
    read_operations,
    staged_columns,
    store_operations,
)
from insights.metering import operations as metering  # noqa: E402
from tests.bench.stages import wrap  # noqa: E402
from usage_portal.celery import app  # noqa: E402

__all__ = ["app"]

STAGES = (
    (tasks, "read_chunk", "worker: rows to series"),
    (columns, "read_columns", "worker: read and check columns"),
    (staged_columns, "stage_columns", "worker: rows to series"),
    (read_operations, "parse_chunk", "worker: parse and check lines"),
    (read_operations, "intern_series", "worker: find or make series"),
    (read_operations, "_ensure_months", "worker: make months"),
    (tasks, "_write_chunk", "worker: commit"),
    (chunk_operations, "store_chunk", "worker: verdicts in Python"),
    (column_operations, "store_columns", "worker: columns to text"),
    (column_operations, "copy_stage_text", "worker: COPY to the stage"),
    (column_operations, "insert_stage", "worker: insert records"),
    (column_operations, "look_at_sample", "worker: compare with what is known"),
    (column_operations, "are_content", "worker: compare with what is known"),
    (column_operations, "count_staged_duplicates", "worker: compare with what is known"),
    (store_operations, "copy_stage", "worker: COPY to the stage"),
    (store_operations, "_insert_new", "worker: insert records"),
    (known_operations, "copy_probe", "worker: compare with what is known"),
    (store_operations, "staged_duplicates", "worker: compare with what is known"),
    (store_operations, "is_stage_unknown", "worker: compare with what is known"),
    (store_operations, "plain_duplicates", "worker: compare with what is known"),
    (store_operations, "find_known", "worker: compare with what is known"),
    (store_operations, "_apply", "worker: replace records, keep history"),
    (metering, "roll_up_stage", "worker: rollups"),
    (chunk_operations, "count_chunk", "worker: counts and runs of verdicts"),
    (metering, "move_watermarks", "worker: watermarks"),
    (chunk_operations, "take_position", "worker: wait for the position"),
)

# What is left of the whole is reading the kept bytes and cutting them into lines.
wrap(tasks, "_ingest", "worker: kept bytes to lines", is_whole=True)
for module, name, label in STAGES:
    wrap(module, name, label)
