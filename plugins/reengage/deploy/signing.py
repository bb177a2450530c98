"""The key that signs Airflow's tokens, and what verifies them.

Ed25519 (RFC 8037). Who has `private.pem` can issue a token of any task or person: the api-server
and the scheduler, never a worker. `jwks.json` (RFC 7517) holds the public half under its RFC 7638
thumbprint, as Airflow names it. `python -m reengage.deploy.signing DIR` makes both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from reengage.embedded.certificates import write_private


def ensure(directory: Path) -> bool:
    """The pair in `directory`; whether it had to be made."""
    private, public = directory / "private.pem", directory / "jwks.json"
    if private.exists() and public.exists():
        return False
    key = Ed25519PrivateKey.generate()
    known = {"keys": [jwk(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))]}
    write_private(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_private(public, (json.dumps(known) + "\n").encode("ascii"))
    return True


def jwk(public: bytes) -> dict[str, str]:
    """The JSON Web Key of an Ed25519 public key of 32 octets."""
    point = _base64url(public)
    # RFC 7638 section 3: the required members, sorted, without blanks.
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": point}, separators=(",", ":"))
    thumbprint = _base64url(hashlib.sha256(members.encode("ascii")).digest())
    return {
        "kty": "OKP", "crv": "Ed25519", "x": point, "kid": thumbprint, "use": "sig", "alg": "EdDSA",
    }  # fmt: skip


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True, mode=0o700)
    ensure(Path(sys.argv[1]))
