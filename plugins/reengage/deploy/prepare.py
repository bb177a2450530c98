"""Job `prepare`: certificates of the stack's services, and the key that signs Airflow's tokens.

Makes what is missing, leaves the rest as it is. Runs without a network, as the user that the other
processes run as. Its last line names the certificates: `make up` starts anew what still shows
others, and it alone has them renewed before they end. Says what it made, never a key.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from pathlib import Path

from reengage.deploy import certificates, signing
from reengage.errors import ReengageError

TLS = Path("/tls")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def prepare(tls: Path, *, system: Path, renew: bool) -> list[str]:
    """What was made, in words. Raises ConfigurationError."""
    made = []
    if certificates.ensure(tls, certificates.today(), system=system, renew=renew):
        made.append(f"certificates for {', '.join(certificates.SERVICES)}")
    if signing.ensure(tls / "jwt"):
        made.append("the key that signs Airflow's tokens")
    return made


def main() -> int:
    """Prepare what this container's volumes hold; the process's exit code."""
    parser = argparse.ArgumentParser(description="Make certificates, and the key for tokens.")
    parser.add_argument("--tls", type=Path, default=TLS, help="where they lie (/tls)")
    parser.add_argument("--renew", action="store_true", help="also what ends soon")
    options = parser.parse_args()
    os.umask(0o077)
    system = _AUTHORITIES
    if not system.exists():
        system = Path(ssl.get_default_verify_paths().openssl_cafile)
    try:
        made = prepare(options.tls, system=system, renew=options.renew)
    except ReengageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"made {'; '.join(made)}\n" if made else "nothing was missing\n")
    sys.stdout.write(f"certificates {certificates.name_of(options.tls)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
