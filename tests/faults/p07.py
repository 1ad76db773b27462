"""P7: every refusal is visible and can be mended, whatever else is wrong in the same file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg

from tests.bad_inputs.rows import Delivery, delivery, mended
from tests.faults.people import Visitor, member_of
from tests.faults.senders import MEDIA_TYPES, Told, ask, key_of
from tests.faults.site import Outcome, Site, settle
from tests.faults.workers import Workers

SENTENCE = "Every refusal is visible and can be mended"
COUNT = 10_000
FORMS = ("csv", "ndjson", "json")
# The hourly source has nearly all of the cases; the others are about clocks and about a single account.
SOURCES: dict[str, dict[str, object]] = {
    "edge": {"max_age_days": 35},
    "berlin": {"clock_zone": "Europe/Berlin"},
    "days": {"clock_zone": "Europe/Berlin", "window": "day"},
    "bound": {},
}
RECEIVED_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENDED_AT = datetime(2026, 11, 10, tzinfo=UTC)
VALUE_CHARACTERS_MAX = 200
FEWER_GOOD = 10
PAGE = 1_000

Rejects = list[tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class File:
    """One delivery under way: whose key sends it, and what it must come to."""

    source: str
    form: str
    key: str
    sent: Delivery


def run(site: Site) -> Outcome:
    """Send every wrong row there is among good ones, read what is said about each, and send it again mended."""
    good = site.count or COUNT
    outcome = Outcome("P7", SENTENCE, site.seed)
    visitor = _write_world()
    files = [
        File(source, form, key_of(_name(source, form)), _delivery(source, form, good))
        for source in SOURCES
        for form in FORMS
    ]
    outcome.faults_asked = sum(len(file.sent.rejects) for file in files)
    cluster = site.servers()
    cluster.start_web()
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=3_000,
        more={"FAULTS_SABOTAGE": site.sabotage, "FAULTS_RECEIVED_AT": RECEIVED_AT.isoformat()},
    )  # fmt: skip
    workers.start()
    try:
        told = [(file, _send(cluster.port, file, file.sent.body)) for file in files]
        outcome.require("batches are left", holds=settle(site.conninfo, tend=workers.tend))
        for file, answer in told:
            _check_file(site, cluster.port, outcome, file, answer, visitor)
        _mend(site, cluster.port, outcome, workers, files)
    finally:
        workers.stop()
        cluster.stop_web()
    outcome.check_faults()
    return outcome


def _name(source: str, form: str) -> str:
    return f"{source}-{form}"


def _delivery(source: str, form: str, good: int) -> Delivery:
    return delivery(source=source, form=form, good_lines=good if source == "edge" else good // FEWER_GOOD)


def _write_world() -> Visitor:
    """Put the accounts, meters and sources into the database that the rows name; a source for each form."""
    from accounts.models import Account
    from accounts.tenancy import as_worker
    from tests import factories

    ansel = factories.make_account("ansel")
    closed = factories.make_account("closed")
    with as_worker():
        Account.objects.filter(pk=closed.pk).update(state="closed", closed_at=ENDED_AT)
    factories.make_account("brook")
    factories.make_meter("bytes_out", unit="B", dimensions=["region", "protocol"])
    factories.make_meter("corrections", unit="B", dimensions=[], allows_negative=True)
    factories.make_meter("retired", unit="B", dimensions=[], retired_at=ENDED_AT)
    factories.make_meter("daily", unit="B", dimensions=[], grain_seconds=86_400)
    for source, more in SOURCES.items():
        for form in FORMS:
            fields = {"key_kind": "row_id", "clock_zone": ""} | more
            if source == "bound":
                fields["account"] = ansel
            factories.make_source(_name(source, form), **fields)
    return member_of(ansel)


def _send(port: int, file: File, body: bytes) -> Told:
    headers = {"Authorization": f"Bearer {file.key}", "Content-Type": MEDIA_TYPES[file.form]}
    return ask(port, "POST", "/api/v1/usage/batches", body=body, headers=headers)


def _check_file(site: Site, port: int, outcome: Outcome, file: File, answer: Told, visitor: Visitor) -> None:
    name = _name(file.source, file.form)
    if not answer.is_accepted:
        outcome.failures.append(f"{name} was answered {answer.status}: {answer.body}")
        return
    listed = _listed(port, file, answer.body["id"])
    found = [(line["line"], line["code"], line["field"] or "") for line in listed]
    outcome.faults += len(set(found) & set(file.sent.rejects))
    _same(outcome, f"{name}: refused lines", file.sent.rejects, found)
    _same(outcome, f"{name}: records", sorted(file.sent.stored.items()), sorted(_stored(site, name).items()))
    # A value is cut and every invisible character in it is written out, so it may be shown anywhere.
    wild = [
        line["line"]
        for line in listed
        if len(line["value"]) > VALUE_CHARACTERS_MAX or not line["value"].isprintable()
    ]
    outcome.require(f"{name}: values of lines {wild[:3]} are not cut and escaped", holds=not wild)
    mute = [line["line"] for line in listed if not line["message"]]
    outcome.require(f"{name}: lines {mute[:3]} are refused without words", holds=not mute)
    _same(outcome, f"{name}: the customer's CSV", *_customers(site, port, answer.body["id"], visitor))


def _same(outcome: Outcome, what: str, expected: list[Any], found: list[Any]) -> None:
    outcome.rows += max(len(expected), len(found))
    missing = [item for item in expected if item not in found] if expected != found else []
    extra = [item for item in found if item not in expected] if expected != found else []
    outcome.differences += len(missing) + len(extra)
    outcome.require(
        f"{what}: {len(missing)} missing {missing[:2]}, {len(extra)} that should not be {extra[:2]}",
        holds=expected == found,
    )


def _listed(port: int, file: File, batch: str) -> list[dict[str, Any]]:
    """Every refused line as its sender reads it, page by page."""
    lines: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        told = ask(
            port, "GET", f"/api/v1/usage/batches/{batch}/rejects?limit={PAGE}&after_line={after}",
            headers={"Authorization": f"Bearer {file.key}"},
        )  # fmt: skip
        lines += told.body["rejected_lines"]
        after = told.body["next_after_line"]
    return lines


def _stored(site: Site, source: str) -> dict[str, tuple[Decimal, str]]:
    with psycopg.connect(site.conninfo) as connection:
        rows = connection.execute(
            "SELECT u.row_id, u.quantity, coalesce(s.dimensions ->> 'region', '') FROM insights_usagerecord u "
            "JOIN insights_series s ON s.id = u.series_id JOIN insights_source o ON o.id = s.source_id "
            "WHERE o.slug = %s",
            [source],
        ).fetchall()
    return {row_id: (quantity, region) for row_id, quantity, region in rows}


def _customers(
    site: Site, port: int, batch: str, visitor: Visitor
) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """What is stored for the account, and what its member downloads: line and code of each."""
    with psycopg.connect(site.conninfo) as connection:
        expected = connection.execute(
            "SELECT r.line_no, r.code FROM insights_rejectedline r JOIN insights_batch b ON b.id = r.batch_id "
            "JOIN accounts_account a ON a.id = r.account_id "
            "WHERE b.public_id = %s AND a.reference = 'ansel' ORDER BY r.line_no",
            [batch],
        ).fetchall()
        part = connection.execute(
            "SELECT p.batch_public_id FROM insights_batchpart p JOIN accounts_account a ON a.id = p.account_id "
            "JOIN insights_batch b ON b.id = p.batch_id WHERE b.public_id = %s AND a.reference = 'ansel'",
            [batch],
        ).fetchone()
    if part is None:
        return expected, []
    told = ask(
        port, "GET", f"{visitor.home}batches/{part[0]}/rejects.csv", headers={"Cookie": visitor.cookie}
    )
    text = told.body if isinstance(told.body, str) else ""
    return expected, [(int(row["line"]), row["code"]) for row in csv.DictReader(io.StringIO(text))]


def _mend(site: Site, port: int, outcome: Outcome, workers: Workers, files: list[File]) -> None:
    """Send each refused row again under its id, as it should have been: every one of them is new."""
    for file in files:
        _send(port, file, mended(source=file.source, form=file.form).body)
    outcome.require("mended batches are left", holds=settle(site.conninfo, tend=workers.tend))
    taken = 0
    for file in files:
        again = mended(source=file.source, form=file.form)
        stored = _stored(site, _name(file.source, file.form))
        burned = [row_id for row_id, value in again.stored.items() if stored.get(row_id) != value]
        outcome.require(f"{file.source} {file.form}: ids {burned[:3]} are burned", holds=not burned)
        outcome.rows += len(again.stored)
        outcome.differences += len(burned)
        taken += len(again.stored) - len(burned)
    outcome.figures.append(
        f"{len(files)} files, {sum(file.sent.lines for file in files)} lines; {taken} mended rows taken under "
        "the ids they were refused with"
    )
