"""The form of an API key: `up_live_<prefix>_<secret>`, whose last characters are a checksum of the rest.

Pure. The checksum lets a mistyped or invented key be refused without asking the database; only the hash is stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PREFIX_LENGTH = 16
# 32 characters of 5 bits are the 160 random bits that make a fast hash enough.
RANDOM_LENGTH = 32
CHECKSUM_LENGTH = 7
_FORM = re.compile(
    rf"up_live_(?P<prefix>[{ALPHABET}]{{{PREFIX_LENGTH}}})_[{ALPHABET}]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}",
    re.ASCII,
)
_ANYWHERE = re.compile(r"(up_live_[0-9A-Za-z]{1,16}_)[0-9A-Za-z]+")


def make_key() -> tuple[str, str, bytes]:
    """Return a new key, the prefix that finds and names it, and the hash to keep."""
    prefix = _random_characters(PREFIX_LENGTH)
    body = f"up_live_{prefix}_{_random_characters(RANDOM_LENGTH)}"
    plain = body + _checksum(body)
    return plain, prefix, hash_key(plain)


def find_prefix(plain: str) -> str | None:
    """Return the prefix of a key whose form and checksum hold, else None."""
    found = _FORM.fullmatch(plain)
    if found is None or _checksum(plain[:-CHECKSUM_LENGTH]) != plain[-CHECKSUM_LENGTH:]:
        return None
    return found["prefix"]


def hash_key(plain: str) -> bytes:
    """Return the SHA-256 of a key."""
    return hashlib.sha256(plain.encode()).digest()


def hide_keys(text: str) -> str:
    """Cut the secret out of every key in a text, so that a log line names a key without giving it away."""
    return _ANYWHERE.sub(r"\1…", text)


def _random_characters(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
