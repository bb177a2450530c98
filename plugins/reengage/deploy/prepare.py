"""Job `prepare`: certificates, the key that signs Airflow's tokens, and the keyring.

Makes what is missing or about to end, leaves the rest as it is. Runs without a network, as the
user that the other processes run as. Says what it made, never a key.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from pathlib import Path

from reengage.deploy import certificates, signing
from reengage.errors import ReengageError
from reengage.keys import ensure_keyring

TLS = Path("/tls")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def prepare(tls: Path | None, keyring: Path, *, system: Path) -> list[str]:
    """What was made, in words; without `tls` the keyring alone.

    Raises ConfigurationError or KeyringError.
    """
    made = _prepare_tls(tls, system) if tls else []
    if not keyring.is_dir():
        made.append("the keyring")
    ensure_keyring(keyring)
    return made


def _prepare_tls(tls: Path, system: Path) -> list[str]:
    made = []
    if certificates.ensure(tls, certificates.today(), system=system):
        made.append(f"certificates for {', '.join(certificates.SERVICES)}")
    if signing.ensure(tls / "jwt"):
        made.append("the key that signs Airflow's tokens")
    return made


def main() -> int:
    """Prepare what this container's volumes hold; the process's exit code."""
    parser = argparse.ArgumentParser(description="Make certificates, keys and the keyring.")
    parser.add_argument(
        "--keyring-only", action="store_true", help="certificates are somebody else's to make"
    )
    options = parser.parse_args()
    os.umask(0o077)
    system = _AUTHORITIES
    if not system.exists():
        system = Path(ssl.get_default_verify_paths().openssl_cafile)
    try:
        tls = None if options.keyring_only else TLS
        made = prepare(tls, Path(os.environ["REENGAGE_KEYRING"]), system=system)
    except ReengageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"made {'; '.join(made)}\n" if made else "nothing was missing\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
