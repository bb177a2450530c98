"""Names: which door a request is at, and which accounts its body names, read as FAB would read it.

A body may be read in two ways: one that is JSON to the one reader and a form to the other would
name somebody else to each. So both are read, and every account that either finds is counted.
"""

from __future__ import annotations

import json
import re
import unicodedata
from urllib.parse import parse_qsl

_DOORS = re.compile(r"(?:.*/)?auth/+(?:login|token|token/cli|api/v\d+/security/login)/*")
"""FAB's form, its two ways to a token, and the API that it brings along; below whatever path."""
_KEPT = frozenset("@._-+\\")


def is_door(method: str, path: str) -> bool:
    """Whether this request brings a name and a password.

    Starlette takes `/auth/token` with a line feed behind it for the same path, hence the strip.
    """
    return method == "POST" and _DOORS.fullmatch(path.strip()) is not None


def accounts_of(body: bytes) -> set[str]:
    """The accounts that the body names, each as `account_name`; one that names none has `""`."""
    return {account_name(one) for one in [*_of_json(body), *_of_form(body)]} or {""}


def account_name(said: str) -> str:
    """A name as whoever looks it up would know it again.

    FAB looks without regard to case, a directory also without regard to blanks and to characters
    that are not seen (RFC 4518): all of those would be another name to count, and the same account.
    """
    plain = unicodedata.normalize("NFKC", said).casefold()
    return "".join(one for one in plain if one.isalnum() or one in _KEPT)


def _of_json(body: bytes) -> list[str]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return [str(said["username"])] if isinstance(said, dict) and "username" in said else []


def _of_form(body: bytes) -> list[str]:
    pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    return [value for name, value in pairs if name == "username"]
