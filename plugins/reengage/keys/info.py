"""Key info: what may be known of a key, in a small file beside it that is written last.

`0002.info` puts `0002.key` in force, and stays when the key is destroyed: a key that has its info
and is not there was lost. `check` is 64 bits of an HMAC under the key itself, so that a file that
was swapped or came from another keyring is noticed, and the key stays secret.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from reengage.errors import KeyringError


@dataclass(frozen=True)
class KeyInfo:
    """What is public of a key."""

    purpose: str
    number: int
    made: datetime
    check: str = ""
    """`check_of` the secret; empty where a service holds it."""
    selector: str | None = None
    """DKIM: the name under which the DNS has the public key."""
    public: str | None = None
    """The public key as whoever verifies needs it."""
    destroyed: datetime | None = None

    @property
    def stem(self) -> str:
        """The number as file names have it."""
        return f"{self.number:04d}"

    @property
    def text(self) -> str:
        """As the file holds it: one line of JSON."""
        said = {name: value for name, value in asdict(self).items() if value not in (None, "")}
        return json.dumps(said, default=datetime.isoformat, sort_keys=True) + "\n"

    @classmethod
    def read(cls, path: Path) -> KeyInfo:
        """The info in a file. Raises KeyringError when it is none, or another key's."""
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            for name in ("made", "destroyed"):
                if said.get(name):
                    said[name] = datetime.fromisoformat(said[name])
            info = cls(**said)
            sound = info.stem == path.stem and info.purpose == path.parent.name
        except (OSError, ValueError, TypeError, AttributeError):
            sound = False
        if not sound:
            raise KeyringError(f"{path} is not the info of that key; restore it with the key")
        return info


def check_of(purpose: str, secret: bytes) -> str:
    """What the info says of a secret, by which another one in its place is noticed."""
    return hmac.digest(secret, f"reengage/check/{purpose}".encode(), "sha256")[:8].hex()
