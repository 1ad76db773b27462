"""Reads the answer to a question of the usage page as CSV: in units, in money, or the records behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.explain.cost_queries import read_cost
from insights.exports.aggregates import aggregate_lines
from insights.exports.cost_rows import cost_lines, refuse_cost_of_records
from insights.exports.queries import CHANGES, RECORDS, CsvSource, records_copy, records_filter
from insights.metering.archived_queries import refuse_archived_records
from insights.metering.queries import explore
from insights.metering.usage_filter import COST, UsageFilter


def csv_source(account: Account, question: UsageFilter, *, kind: str, raw: bool, now: datetime) -> CsvSource:
    """Return the CSV that answers a question: what the page shows, or the records behind it.

    Raises UsageFilterRefused if records are asked for that are archived, or the cost of records.
    """
    if kind in (RECORDS, CHANGES):
        refuse_cost_of_records(question)
        refuse_archived_records(account, question.period(ZoneInfo(account.billing_zone)))
        wanted = replace(records_filter(account, question), changes_since=kind == CHANGES)
        return records_copy(wanted, raw=raw)
    zone = UTC if question.clock == "utc" else ZoneInfo(account.billing_zone)
    if question.measure == COST:
        return cost_lines(read_cost(account, question, now), zone=zone, raw=raw)
    return aggregate_lines(explore(account, question, now), zone=zone, raw=raw)
