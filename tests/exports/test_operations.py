"""A download has its slot, its own connection and its proof, and gives all of them back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connections

from accounts.models import Account
from accounts.tenancy import account_scope, as_worker, connection
from insights.exports import stream
from insights.exports.operations import DownloadRequest, OpenDownload, TooManyDownloads, open_download
from insights.exports.proof_queries import find_download
from insights.exports.queries import CopyStatement, RecordsFilter, records_copy
from insights.models import Download, Meter
from insights.values.period import Period
from tests import factories
from tests.conftest import Cast
from tests.exports.records import make_records

OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))


@pytest.fixture
def meter(portal_db: None) -> Meter:
    return factories.make_meter("requests", unit="request")


@pytest.fixture
def rows(cast: Cast, meter: Meter) -> int:
    return make_records(cast.ours, meter, factories.make_source("edge"), series=10, hours=700)


@pytest.fixture
def opened() -> Iterator[Any]:
    """Return a function that opens downloads, which are closed after the test."""
    with ExitStack() as cleanup:

        def start(account: Account, meter: Meter, **changes: Any) -> OpenDownload:
            download = open_download(
                request=DownloadRequest(
                    account_id=account.pk, kind="records", query="meter=x", asked_by="test"
                ),
                source=changes.get("source", records_of(account, meter)),
                compress=False,
                still_allowed=changes.get("still_allowed", lambda: True),
            )
            cleanup.callback(download.stream.close)
            return download

        yield start


def records_of(account: Account, meter: Meter) -> CopyStatement:
    wanted = RecordsFilter(
        account_id=account.pk, meter_id=meter.pk, dimension_keys=tuple(meter.dimensions), period=OCTOBER
    )
    return records_copy(wanted, raw=False)


def proof_of(account: Account, download: OpenDownload) -> Download:
    with account_scope(account.pk):
        found = find_download(account=account, public_id=download.public_id)
    assert found is not None
    return found


def test_a_whole_download_is_proved(cast: Cast, meter: Meter, rows: int, opened: Any) -> None:
    download = opened(cast.ours, meter)
    running = proof_of(cast.ours, download).state

    body = b"".join(download.stream)

    proof = proof_of(cast.ours, download)
    assert (running, proof.state) == ("running", "done")
    assert (proof.rows, proof.size_bytes) == (rows, len(body))
    assert proof.sha256 == hashlib.sha256(body).hexdigest()
    assert body.count(b"\n") == rows + 1


def test_no_rows_are_a_header(cast: Cast, meter: Meter, opened: Any) -> None:
    body = b"".join(opened(cast.ours, meter).stream)

    assert body == (
        b"meter,window_start,window,endpoint,region,protocol,quantity,unit,row_id,revision,source,batch,line\n"
    )


def test_another_accounts_context_has_no_rows_even_if_the_statement_asks_for_them(
    cast: Cast, meter: Meter, rows: int, opened: Any
) -> None:
    theirs = opened(cast.other, meter, source=records_of(cast.ours, meter))

    assert b"".join(theirs.stream).count(b"\n") == 1


def test_rows_replaced_meanwhile_do_not_show(cast: Cast, meter: Meter, rows: int, opened: Any) -> None:
    download = opened(cast.ours, meter)
    first = next(download.stream)

    with as_worker(), connection().cursor() as cursor:
        cursor.execute("DELETE FROM insights_usagerecord")
    body = first + b"".join(download.stream)

    assert body.count(b"\n") == rows + 1
    assert proof_of(cast.ours, download).state == "done"


class TestSlots:
    def test_an_account_has_two_and_closing_gives_one_back(
        self, cast: Cast, meter: Meter, opened: Any
    ) -> None:
        first = opened(cast.ours, meter)
        opened(cast.ours, meter)

        with pytest.raises(TooManyDownloads):
            opened(cast.ours, meter)
        first.stream.close()
        third = opened(cast.ours, meter)

        assert b"".join(third.stream)

    def test_all_accounts_together_have_six(self, cast: Cast, meter: Meter, opened: Any) -> None:
        accounts = [factories.make_account(f"account-{number}") for number in range(4)]
        for account in accounts[:3]:
            opened(account, meter)
            opened(account, meter)

        with pytest.raises(TooManyDownloads):
            opened(accounts[3], meter)

    def test_a_refused_download_leaves_no_row(self, cast: Cast, meter: Meter, opened: Any) -> None:
        opened(cast.ours, meter)
        opened(cast.ours, meter)

        with pytest.raises(TooManyDownloads):
            opened(cast.ours, meter)

        with as_worker():
            assert Download.objects.count() == 2


class TestCut:
    def test_closing_early_is_cut_without_a_hash(
        self, cast: Cast, meter: Meter, rows: int, opened: Any
    ) -> None:
        download = opened(cast.ours, meter)
        next(download.stream)

        download.stream.close()

        proof = proof_of(cast.ours, download)
        assert (proof.state, proof.sha256) == ("cut", "")
        assert proof.finished_at is not None

    def test_a_lost_database_session_raises_and_is_cut(self, cast: Cast, meter: Meter, opened: Any) -> None:
        make_records(cast.ours, meter, factories.make_source("edge"), series=60, hours=740)
        download = opened(cast.ours, meter)
        next(download.stream)

        with connections["export"].cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE usename = current_user AND datname = current_database() AND query LIKE 'COPY%'"
            )
            assert cursor.fetchone()[0] == 1
        with pytest.raises(psycopg.OperationalError):
            b"".join(download.stream)

        assert proof_of(cast.ours, download).state == "cut"

    def test_a_right_that_ends_meanwhile_raises_and_is_cut(
        self, cast: Cast, meter: Meter, rows: int, opened: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream, "RECHECK_BYTES", 1)
        answers = iter((True, False))
        download = opened(cast.ours, meter, still_allowed=lambda: next(answers))

        assert next(download.stream)
        with pytest.raises(stream.NoLongerAllowed):
            next(download.stream)

        assert proof_of(cast.ours, download).state == "cut"

    def test_one_that_nobody_streams_any_more_reads_as_cut(self, cast: Cast) -> None:
        with as_worker():
            row = Download.objects.create(account=cast.ours, kind="records", asked_by="killed process")

        with account_scope(cast.ours.pk):
            found = find_download(account=cast.ours, public_id=row.public_id)

        assert found is not None
        assert found.state == "cut"

    def test_a_statement_at_fault_is_told_before_anything_is_sent(
        self, cast: Cast, meter: Meter, opened: Any
    ) -> None:
        sound = records_of(cast.ours, meter)
        broken = CopyStatement(sound.statement, {**sound.parameters, "start": "not an instant"})

        with pytest.raises(psycopg.DataError):
            opened(cast.ours, meter, source=broken)

        with as_worker():
            assert [row.state for row in Download.objects.all()] == ["cut"]
