"""The archive's files: written once, read back before anything depends on them, and judged by their hashes.

Goes through Django's storage `archive`, which is a folder or, by setting, an object store.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from insights.retention.manifest import Manifest, manifest_name_of

PIECE_BYTES = 1024 * 1024
GZIP_LEVEL = 6


class DamagedFile(Exception):
    """The file is missing, or is not what the books say it is; the text says which."""


@dataclass(slots=True)
class Counted:
    """What went through: lines, bytes and hash."""

    lines: int = 0
    size: int = 0
    sha256: str = ""

    def through(self, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
        """Pass pieces on and count them; the hash is there once all have passed."""
        seen = hashlib.sha256()
        for piece in pieces:
            data = bytes(piece)
            seen.update(data)
            self.size += len(data)
            self.lines += data.count(b"\n")
            yield data
        self.sha256 = seen.hexdigest()


def archive_storage() -> Storage:
    """Where archives are kept."""
    return storages["archive"]


@contextmanager
def packed(pieces: Iterable[bytes | memoryview]) -> Iterator[tuple[Path, Counted]]:
    """Write pieces into a gzip file of our own, for as long as the caller needs it; counts are of the plain text."""
    counted = Counted()
    with tempfile.TemporaryDirectory(prefix="portal-archive-") as folder:
        path = Path(folder) / "month.csv.gz"
        # Without a time and a name in it, the same records give the same bytes.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as file:
            for piece in counted.through(pieces):
                file.write(piece)
        yield path, counted


def keep_file(path: Path, manifest: Manifest) -> Manifest:
    """Save a packed month with its manifest and read both back; return the manifest with the file's own facts.

    Raises DamagedFile if what the storage gives back is anything else than what it was given.
    """
    storage = archive_storage()
    with path.open("rb") as packed_file:
        whole = Counted()
        for _piece in whole.through(_pieces_of(packed_file)):
            pass
        packed_file.seek(0)
        name = storage.save(manifest.file_name, File(packed_file))
    manifest = replace(manifest, file_name=name, file_bytes=whole.size, file_sha256=whole.sha256)
    check_file(manifest)
    storage.save(manifest_name_of(name), ContentFile(manifest.to_json().encode()))
    return manifest


def check_file(manifest: Manifest) -> None:
    """Read the whole file and compare it with its manifest; raises DamagedFile."""
    for _piece in plain_pieces(manifest):
        pass


def plain_pieces(manifest: Manifest) -> Iterator[bytes]:
    """Yield the CSV of an archive; raises DamagedFile at its end, or wherever it cannot be read any more.

    Whoever uses the pieces must take nothing for good before the last one has come.
    """
    whole, plain = Counted(), Counted()
    try:
        with archive_storage().open(manifest.file_name, "rb") as stored:
            unpacked = _unpacked(whole.through(_pieces_of(stored)))
            yield from plain.through(unpacked)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFile(f"{manifest.file_name} cannot be read: {error}") from error
    for what, found, expected in (
        ("bytes", whole.size, manifest.file_bytes),
        ("SHA-256", whole.sha256, manifest.file_sha256),
        ("lines", plain.lines, manifest.records + 1),
        ("SHA-256 of its text", plain.sha256, manifest.plain_sha256),
    ):
        if found != expected:
            raise DamagedFile(f"{manifest.file_name}: its {what} should be {expected}, not {found}")


def _pieces_of(file: Any) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def _unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack one gzip stream; what follows its end is counted and unpacked to nothing."""
    unpacker = zlib.decompressobj(wbits=31)
    for piece in pieces:
        if unpacker.eof:
            continue
        yield unpacker.decompress(piece)
    if not unpacker.eof:
        raise EOFError("it ends early")


def forget_file(file_name: str) -> None:
    """Delete a file of an attempt that came to nothing, and its manifest; they may not be there."""
    for name in (file_name, manifest_name_of(file_name)):
        archive_storage().delete(name)
