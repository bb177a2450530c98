"""Remote: the key service at an address. Its library is loaded only where it is used."""

from __future__ import annotations

from functools import lru_cache

from reengage.keys.service import Remembering


@lru_cache(maxsize=8)
def remote_service(address: str) -> Remembering:
    """The service at an address that `settings.key_service` accepts; one per process."""
    if address.startswith("aws-kms:"):
        from reengage.keys.aws_kms import AwsKms

        return Remembering(AwsKms(address.removeprefix("aws-kms:")))
    from reengage.keys.vault import Vault

    return Remembering(Vault.at(address))
