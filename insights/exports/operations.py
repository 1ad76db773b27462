"""Opens a download on a database connection of its own, and records what was sent.

Every statement but a look at the slots runs on that connection, outside the transaction of the page that asked:
a streamed answer outlives it, and under support access the page's transaction refuses writes. Slots are session
locks, so that a killed process gives its slot back without anybody's help.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import psycopg
import psycopg.waiting
import structlog
from django.conf import settings
from django.db import connections
from psycopg.types.json import Jsonb

from accounts.tenancy import connection as page_connection
from insights.exports.bundle import Bundle, zip_pieces
from insights.exports.proof_queries import running_lock_name
from insights.exports.queries import CopyStatement, CsvSource
from insights.exports.stream import PIECE_BYTES, CsvStream, Lines, Proof, RightToRead, gather_lines
from insights.metering.archived_queries import Guard, refused_for

logger = structlog.get_logger(__name__)

NOTICE_SECONDS = 0.05


class TooManyDownloads(Exception):
    """Every slot of the account, or of the portal, is taken by a running download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRequest:
    """Whose usage is asked for, by whom, and the query string that asks the same again: kept with the proof."""

    account_id: int
    kind: str
    query: str
    asked_by: str


@dataclass(frozen=True, slots=True)
class OpenDownload:
    """A download that has its slot, its row and its first line; iterate the stream, then close it."""

    public_id: uuid.UUID
    stream: CsvStream


def open_download(
    *, request: DownloadRequest, source: CsvSource | Bundle, compress: bool, still_allowed: Callable[[], bool]
) -> OpenDownload:
    """Take a slot, note the download and start it; raises TooManyDownloads. Errors of the query are raised
    here. `still_allowed` is asked while the stream runs; where it says no, the stream raises and ends as cut.
    """
    _look_for_slots(request.account_id)
    with ExitStack() as on_failure:
        connection = _connect()
        on_failure.callback(connection.close)
        _take_slots(connection, account_id=request.account_id)
        public_id = _note_start(connection, request)
        on_failure.callback(_note_end, request.account_id, public_id, Proof(False, 0, 0, ""))
        lines = _open_lines(connection, request.account_id, source)
        stream = CsvStream(
            lines,
            compress=compress,
            on_end=_Ending(connection, request.account_id, public_id),
            right=RightToRead(still_allowed),
        )
        on_failure.pop_all()
    return OpenDownload(public_id, stream)


def _connect() -> psycopg.Connection[Any]:
    alias = "export" if "export" in settings.DATABASES else "default"
    wrapper = connections[alias].copy()
    wrapper.ensure_connection()
    connection: psycopg.Connection[Any] = wrapper.connection
    return connection


_COUNT_HELD = """
SELECT count(*) FROM unnest(%s::text[]) AS slot (name) WHERE hashtextextended(slot.name, 0) IN (
    SELECT (l.classid::bigint << 32) | l.objid::bigint FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
)
"""


def _look_for_slots(account_id: int) -> None:
    """Refuse before a connection is opened, which costs PostgreSQL a process and thirty times as much as this look.

    Who passes still has to take a slot. On a replica, whose locks are not seen here, everybody passes.
    """
    if _full_group(account_id) is None:
        return
    # Who has closed a download gets its slot back when PostgreSQL has noticed.
    time.sleep(NOTICE_SECONDS)
    if (group := _full_group(account_id)) is not None:
        raise TooManyDownloads(group)


def _full_group(account_id: int) -> str | None:
    with page_connection().cursor() as cursor:
        for group, names in _slots_of(account_id):
            cursor.execute(_COUNT_HELD, [names])
            if cursor.fetchone()[0] >= len(names):
                return group
    return None


def _take_slots(connection: psycopg.Connection[Any], *, account_id: int) -> None:
    """Take one slot of the account and one of the portal. Closing the connection gives both back."""
    for group, names in _slots_of(account_id):
        if not any(_try_lock(connection, name) for name in names):
            raise TooManyDownloads(group)


def _slots_of(account_id: int) -> Iterator[tuple[str, list[str]]]:
    """Name the slots of the account and those of the portal, each of which is a lock."""
    groups = (
        (f"portal download of account {account_id}", settings.DOWNLOADS_PER_ACCOUNT),
        ("portal download", settings.DOWNLOADS_IN_ALL),
    )
    for group, slots in groups:
        yield group, [f"{group} slot {slot}" for slot in range(slots)]


def _try_lock(connection: psycopg.Connection[Any], name: str) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
    return row is not None and bool(row[0])


@contextmanager
def _account_transaction(connection: psycopg.Connection[Any], account_id: int) -> Iterator[None]:
    with connection.transaction():
        connection.execute("SELECT set_config('portal.account', %s, true)", [str(account_id)])
        yield


def _note_start(connection: psycopg.Connection[Any], request: DownloadRequest) -> uuid.UUID:
    public_id = uuid.uuid4()
    if not _try_lock(connection, running_lock_name(public_id)):
        raise RuntimeError("a new download cannot be running already")
    with _account_transaction(connection, request.account_id):
        connection.execute(
            "INSERT INTO insights_download (public_id, account_id, kind, query, asked_by, state, sha256)"
            " VALUES (%s, %s, %s, %s, %s, 'running', '')",
            [
                public_id,
                request.account_id,
                request.kind,
                Jsonb({"question": request.query}),
                request.asked_by[:254],
            ],
        )
    return public_id


def _note_end(account_id: int, public_id: uuid.UUID, proof: Proof, connection: Any = None) -> None:
    with ExitStack() as stack:
        if connection is None:
            connection = _connect()
            stack.callback(connection.close)
        stack.enter_context(_account_transaction(connection, account_id))
        connection.execute(
            "UPDATE insights_download SET state = %s, rows = %s, size_bytes = %s, sha256 = %s,"
            " finished_at = now() WHERE account_id = %s AND public_id = %s",
            [
                "done" if proof.is_whole else "cut",
                proof.rows,
                proof.size_bytes,
                proof.sha256 if proof.is_whole else "",
                account_id,
                public_id,
            ],
        )


def _open_lines(
    connection: psycopg.Connection[Any], account_id: int, source: CsvSource | Bundle
) -> Iterator[Lines]:
    if isinstance(source, Bundle):
        lines = _zipped_pieces(connection, account_id, source)
    elif isinstance(source, CopyStatement):
        lines = _copied_lines(connection, account_id, source)
    else:
        return gather_lines(source)
    # PostgreSQL plans and begins before it sends the header, so a bad query fails here and not in mid answer.
    return chain([next(lines)], lines)


def _copied_lines(
    connection: psycopg.Connection[Any], account_id: int, source: CopyStatement
) -> Iterator[Lines]:
    with _reading(connection, account_id, [source]) as cursor:
        yield from _rows_of(connection, cursor, source)


def _zipped_pieces(connection: psycopg.Connection[Any], account_id: int, bundle: Bundle) -> Iterator[Lines]:
    """The pieces of a zip. Its tables are as known at one position, so that they need no common snapshot."""
    sources = [table.source for table in bundle.tables]
    with _reading(connection, account_id, sources) as cursor:
        yield from zip_pieces(bundle, lambda source: _rows_of(connection, cursor, source))


@contextmanager
def _reading(
    connection: psycopg.Connection[Any], account_id: int, sources: Iterable[CopyStatement]
) -> Iterator[psycopg.Cursor[Any]]:
    """A transaction that only reads, as long as it takes, with nothing archived that the sources are of."""
    with _account_transaction(connection, account_id), connection.cursor() as cursor:
        # One statement is one snapshot: rows replaced meanwhile neither come twice nor go missing.
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        for source in sources:
            if source.guard is not None:
                _refuse_archived(cursor, source.guard)
        yield cursor


def _rows_of(
    connection: psycopg.Connection[Any], cursor: psycopg.Cursor[Any], source: CopyStatement
) -> Iterator[Lines]:
    with cursor.copy(source.statement, source.parameters) as copy:
        while (gathered := connection.wait(_gather_rows(copy))).number:
            yield gathered


def _gather_rows(copy: psycopg.Copy) -> Generator[psycopg.waiting.Wait, psycopg.waiting.Ready | int, Lines]:
    """Read rows until there is a piece of them; none when there are no more.

    What `copy.read` does for a single row, for many: to set up the wait for each costs more than to read it.
    """
    text = bytearray()
    count = 0
    while len(text) < PIECE_BYTES:
        row = yield from copy._read_gen()
        if not row:
            break
        text += row
        count += 1
    return Lines(bytes(text), count)


def _refuse_archived(cursor: psycopg.Cursor[Any], guard: Guard) -> None:
    """Refuse what was archived after the question was read; from the lock on nothing is detached any more."""
    cursor.execute("LOCK TABLE insights_usagerecord IN ACCESS SHARE MODE")
    cursor.execute(guard.statement, guard.parameters)
    if row := cursor.fetchone():
        raise refused_for([row[0]], field="from", way_out="Choose later days.")


class _Ending:
    """Writes the proof and gives the connection, and with it the slots, back."""

    def __init__(self, connection: psycopg.Connection[Any], account_id: int, public_id: uuid.UUID) -> None:
        self._connection = connection
        self._account_id = account_id
        self._public_id = public_id

    def __call__(self, proof: Proof) -> None:
        """Note a whole download in the same session; a cut one on a fresh connection, since this one is
        mid-COPY.
        """
        try:
            if proof.is_whole:
                _note_end(self._account_id, self._public_id, proof, self._connection)
                return
            self._connection.close()
            logger.warning("download cut", download=str(self._public_id), rows=proof.rows)
            # Without a database the row stays "running"; its lock is free, and so it reads as cut.
            with suppress(psycopg.Error):
                _note_end(self._account_id, self._public_id, proof)
        finally:
            self._connection.close()
