"""What stands beside an archive's file, so that the file can be judged without a database. Pure.

The file holds one line per record in the order of the ledger's key, with a header: enough to put every record back as
it was. Ids are those of the ledger.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime

from insights.values.months import month_text

COLUMNS = (
    "account_id",
    "series_id",
    "window_start",
    "row_id",
    "revision",
    "quantity",
    "entry_id",
    "batch_id",
    "line_no",
)
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Counts and hashes of one file: of the CSV as it was written, and of the gzip file that holds it."""

    month: date
    position: int
    records: int
    plain_bytes: int
    plain_sha256: str
    file_name: str
    file_bytes: int
    file_sha256: str

    def to_json(self) -> str:
        """The manifest as a JSON document."""
        document = {"format": FORMAT, "columns": COLUMNS, **asdict(self), "month": month_text(self.month)}
        return json.dumps(document, indent=2) + "\n"


def file_name_of(month: date, begun_at: datetime) -> str:
    """A name that no other attempt has."""
    return f"usage-records-{month_text(month)}-{begun_at:%Y%m%dT%H%M%S%f}Z.csv.gz"


def manifest_name_of(file_name: str) -> str:
    """The name of the manifest beside a file."""
    return file_name.removesuffix(".csv.gz") + ".json"
