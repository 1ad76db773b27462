"""Where the embedded servers keep their state: one directory, private, git-ignored."""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

NOBODY_UID = 65534
POSTGRES_SOCKET_NAME = ".s.PGSQL.5432"
VALKEY_SOCKET_NAME = "valkey.sock"

# A socket address holds 108 bytes on Linux and 104 on macOS.
SOCKET_PATH_BYTES_MAX = 100


class UnsafeDirectory(Exception):
    """A directory we would trust with sockets or data belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one stack."""

    var: Path
    sockets: Path

    @property
    def run(self) -> Path:
        return self.var / "run"

    @property
    def log(self) -> Path:
        return self.var / "log"

    @property
    def valkey(self) -> Path:
        return self.var / "redis"

    @property
    def static(self) -> Path:
        return self.var / "static"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / VALKEY_SOCKET_NAME

    @property
    def postgres_socket(self) -> Path:
        return self.sockets / POSTGRES_SOCKET_NAME


def var_directory() -> Path:
    return Path(os.environ.get("PORTAL_VAR") or ROOT / "var").absolute()


def make_places(*, var: Path) -> Places:
    """Create the directories and refuse any that another user could have prepared."""
    var.mkdir(parents=True, exist_ok=True)
    places = Places(var=var, sockets=_sockets_directory(var))
    for directory in (places.run, places.log, places.valkey, places.sockets):
        _make_private(directory)
    return places


def _sockets_directory(var: Path) -> Path:
    near = var / "run"
    if len(os.fsencode(near / POSTGRES_SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
        return near
    digest = hashlib.sha256(os.fsencode(var)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"portal-{os.geteuid()}-{digest}"


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or not _is_ours(found.st_uid):
        raise UnsafeDirectory(f"{directory} is not a directory of this user; remove it or set PORTAL_VAR.")
    directory.chmod(0o700)


def _is_ours(uid: int) -> bool:
    # As root the database server runs as nobody and may own a directory here.
    return uid == os.geteuid() or (os.geteuid() == 0 and uid == NOBODY_UID)
