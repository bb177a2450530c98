"""Job `prepare`: certificates, the key that signs Airflow's tokens, and the keyring.

Makes what is missing or about to end, leaves the rest as it is. Runs without a network, as the
user that the other processes run as. Says what it made, never a key.
"""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

from reengage.deploy import certificates, signing
from reengage.errors import ReengageError
from reengage.keys import ensure_keyring

TLS = Path("/tls")


def prepare(tls: Path, keyring: Path, *, system: Path | None) -> list[str]:
    """What was made, in words. Raises ConfigurationError or KeyringError."""
    made = []
    if certificates.ensure(tls, certificates.today(), system=system):
        made.append(f"certificates for {', '.join(certificates.SERVICES)}")
    if signing.ensure(tls / "jwt"):
        made.append("the key that signs Airflow's tokens")
    if not keyring.is_dir():
        made.append("the keyring")
    ensure_keyring(keyring)
    return made


def main() -> int:
    """Prepare what this container's volumes hold; the process's exit code."""
    os.umask(0o077)
    system = ssl.get_default_verify_paths().openssl_cafile
    system = next(one for one in ("/etc/ssl/certs/ca-certificates.crt", system) if Path(one).exists())
    try:
        made = prepare(TLS, Path(os.environ["REENGAGE_KEYRING"]), system=Path(system))
    except ReengageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"made {'; '.join(made)}\n" if made else "nothing was missing\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
