"""Keys: a keyring of named, numbered secrets, and data keys that can be destroyed.

Promises: data are sealed with AES-256-GCM under a data key of their run or month (SEC-14), which is
stored only wrapped, by the keyring's own files or by a key service on another host (SEC-25).
Every sealed or wrapped value names the key that made it; the newest seals, any opens, one that was
destroyed opens nothing. Nonces are drawn here, associated data are mandatory, and `repr` shows
names only. docs/keys.md tells the files and how keys are rotated.
"""

from __future__ import annotations

from reengage.keys.files import read_private, write_new
from reengage.keys.keyring import Keyring, PurposeKey, ensure_keyring, open_keyring
from reengage.keys.sealing import DataKey, digest

__all__ = [
    "DataKey", "Keyring", "PurposeKey", "digest", "ensure_keyring", "open_keyring",
    "read_private", "write_new",
]  # fmt: skip
