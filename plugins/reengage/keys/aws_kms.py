"""AWS KMS as key service: a symmetric key that never leaves AWS.

Encrypt and Decrypt with an encryption context that names the place (authenticated by KMS, shown in
CloudTrail; it holds run ids and months, nothing of a patient). Region, credentials and endpoint
come the SDK's standard ways. KMS keeps one number for all that it ever rotates underneath a key:
rotating asks for new material, destroying is done in KMS to the key as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from reengage.errors import KeyringError
from reengage.keys.info import KeyInfo
from reengage.keys.sealing import closed
from reengage.keys.service import foreign, in_time, unavailable

_MARK = b"aws-kms:1:"
"""Before each ciphertext: by what it is told from another service's."""
_CONTEXT = "reengage"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_CLOSED = {"InvalidCiphertextException", "IncorrectKeyException"}
_SAY = {
    "AccessDeniedException": ("refuses these credentials", "allow kms:Encrypt and kms:Decrypt"),
    "NotFoundException": ("has no such key", "create it, or mend REENGAGE_KEY_SERVICE"),
    "DisabledException": ("has that key disabled", "enable it"),
    "KMSInvalidStateException": ("has that key pending deletion", "cancel the deletion"),
    "ThrottlingException": ("refuses so many questions", "raise its quota, and start again"),
}


@dataclass(frozen=True)
class AwsKms:
    """A KMS key, by id, ARN or alias."""

    key: str

    @property
    def name(self) -> str:
        """As records and errors name it."""
        return f"aws-kms {self.key}"

    def wrap(self, key: bytes, bound_to: str) -> bytes:
        """The key under the KMS key."""
        answer = self._ask(
            lambda kms: kms.encrypt(
                KeyId=self.key, Plaintext=key, EncryptionContext={_CONTEXT: bound_to}
            )
        )
        return _MARK + self._octets(answer, "CiphertextBlob")

    def unwrap(self, wrapped: bytes, bound_to: str) -> bytes:
        """The key. Only under this KMS key: another one that we may use proves nothing."""
        self.made_by(wrapped)
        answer = self._ask(
            lambda kms: kms.decrypt(
                KeyId=self.key,
                CiphertextBlob=wrapped[len(_MARK) :],
                EncryptionContext={_CONTEXT: bound_to},
            )
        )
        return self._octets(answer, "Plaintext")

    def made_by(self, wrapped: bytes) -> int:
        """Always 1: KMS hides which material it was."""
        if not wrapped.startswith(_MARK):
            raise foreign(self.name)
        return 1

    def versions(self) -> list[KeyInfo]:
        """The one key."""
        made = self._ask(lambda kms: kms.describe_key(KeyId=self.key))["KeyMetadata"]
        return [KeyInfo("wrap", 1, made["CreationDate"].astimezone(UTC))]

    def rotate(self, told: Callable[[KeyInfo], None]) -> KeyInfo:
        """New material under the same key; KMS goes on opening what the old one wrapped."""
        info = KeyInfo("wrap", 1, datetime.now(UTC))
        told(info)
        key_id = self._ask(lambda kms: kms.describe_key(KeyId=self.key))["KeyMetadata"]["KeyId"]
        self._ask(lambda kms: kms.rotate_key_on_demand(KeyId=key_id))
        return info

    def destroy(self, number: int) -> None:
        """Refused: KMS deletes a whole key, after a waiting period."""
        raise KeyringError(
            f"{self.name} cannot destroy one number; make a new KMS key, bring the keyring over"
            " with `python -m reengage keys reseal --from`, then have KMS delete the old key"
        )

    def _ask(self, question: Callable[[Any], Any]) -> dict[str, Any]:
        return in_time(self.name, lambda: self._told(question))

    def _told(self, question: Callable[[Any], Any]) -> dict[str, Any]:
        try:
            answer = question(_client(os.getpid()))
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _CLOSED:
                raise closed() from None
            what, do = _SAY.get(code, (f"failed ({code[:60]})", "see CloudTrail"))
            raise unavailable(self.name, what, do) from None
        except (BotoCoreError, OSError, ValueError) as error:
            raise unavailable(
                self.name,
                f"gave no answer ({type(error).__name__})",
                "see to network, region and credentials, and start again",
            ) from None
        if not isinstance(answer, dict):
            raise self._nonsense()
        return answer

    def _octets(self, answer: dict[str, Any], name: str) -> bytes:
        found = answer.get(name)
        if not isinstance(found, bytes) or not found:
            raise self._nonsense()
        return found

    def _nonsense(self) -> KeyringError:
        return unavailable(self.name, "answers what KMS does not say", "see what answers there")


@lru_cache(maxsize=1)
def _client(process: int) -> Any:
    """A client of this very process: connections do not survive a fork."""
    client = boto3.session.Session().client(
        "kms",
        config=Config(
            connect_timeout=3, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 2}
        ),
    )
    endpoint = urlsplit(client.meta.endpoint_url)
    if endpoint.scheme != "https" and endpoint.hostname not in _LOOPBACK:
        raise KeyringError(
            "the endpoint of AWS KMS is not reached over https; mend AWS_ENDPOINT_URL_KMS"
        )
    return client
