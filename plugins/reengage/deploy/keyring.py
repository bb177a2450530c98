"""Job `keyring`: the keyring of an installation, made on first use and opened every time.

Apart from `prepare`, which has no network: under a key service (REENGAGE_KEY_SERVICE) neither a new
keyring nor one that is there opens without asking it (SEC-25). What does not open is refused here,
before anything that has a keyring starts. Says what it made, never a key.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from reengage.errors import ConfigurationError, ReengageError
from reengage.keys import ensure_keyring


def make_keyring() -> bool:
    """The keyring of REENGAGE_KEYRING; whether it had to be made.

    Raises ConfigurationError or KeyringError.
    """
    name = os.environ.get("REENGAGE_KEYRING")
    if not name:
        raise ConfigurationError("variable REENGAGE_KEYRING is missing; name the keyring's place")
    directory = Path(name)
    is_new = not directory.is_dir()
    ensure_keyring(directory)
    return is_new


def main() -> int:
    """Make it where there is none; the process's exit code."""
    os.umask(0o077)
    try:
        made = make_keyring()
    except ReengageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write("made the keyring\n" if made else "the keyring opens\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
