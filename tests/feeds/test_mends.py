"""Every code that can refuse a row tells staff what mends it."""

from __future__ import annotations

from insights.feeds.mends import MENDS
from insights.ingest.refusals import CODES


def test_every_row_code_has_a_mend_and_no_other_has() -> None:
    assert set(MENDS) == {fact.code for fact in CODES.values() if fact.row}
