"""What operations refuse to do, and the checks of text they share."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class UnableToChange(Exception):
    """What was asked cannot be done; says which field is at fault and how to mend it."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


def check_text(text: str, *, field: str, what: str, longest: int = 200) -> None:
    """Refuse a text that is empty, too long or holds characters nobody can see."""
    if not text.strip():
        raise UnableToChange(f"Enter a {what}.", field=field)
    if len(text.strip()) > longest:
        raise UnableToChange(f"The {what} may have at most {longest} characters.", field=field)
    if _UNPRINTABLE.search(text):
        raise UnableToChange(f"The {what} contains a character that cannot be seen.", field=field)
