"""Vault: HashiCorp Vault's or OpenBao's Transit engine as key service.

POST encrypt/<key> and decrypt/<key> with associated data; GET keys/<key>; POST keys/<key>/rotate,
keys/<key>/config and keys/<key>/trim for who rotates (Transit HTTP API; the same in both). The
place is also written before the key that is wrapped: a server too old to know associated data
ignores them without a word. Token and certificate authority come the standard ways: VAULT_TOKEN or
~/.vault-token, VAULT_CACERT, VAULT_NAMESPACE; no proxy and no redirect is followed.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from hvac import Client  # type: ignore[import-untyped]
from hvac import exceptions as refused

from reengage.errors import KeyringError
from reengage.keys.info import KeyInfo
from reengage.keys.sealing import KEY_BYTES, closed
from reengage.keys.service import foreign, in_time, unavailable

_SECONDS = (3.0, 6.0)
"""To connect, and of silence."""
_WRAPPED = re.compile(r"vault:v([1-9][0-9]{0,4}):[A-Za-z0-9+/]+=*")
_T = TypeVar("_T")
_SAY: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str], ...] = (
    (
        (refused.Forbidden, refused.Unauthorized),
        "refuses the token",
        "give VAULT_TOKEN one that is alive and may update encrypt/ and decrypt/ of the key",
    ),
    ((refused.VaultDown, refused.VaultNotInitialized), "is sealed or not in service", "unseal it"),
    (
        refused.InvalidRequest,
        "refuses what it was asked",
        "see that the key is there, of type aes256-gcm96, and that the version was not trimmed",
    ),
    (refused.InvalidPath, "has no such engine or key", "create it, or mend REENGAGE_KEY_SERVICE"),
    (refused.RateLimitExceeded, "refuses so many questions", "raise its quota, and start again"),
    (requests.exceptions.SSLError, "has no certificate that is trusted", "set VAULT_CACERT"),
    (requests.exceptions.Timeout, "does not answer in time", "see to it and start again"),
    (requests.exceptions.ConnectionError, "cannot be reached", "see to it and start again"),
)


@dataclass(frozen=True)
class Vault:
    """A key of a Transit engine; its versions are the numbers."""

    server: str
    mount: str
    key: str

    @classmethod
    def at(cls, address: str) -> Vault:
        """Of `vault+https://host:8200/<mount>/<key>`, as `settings.key_service` accepts it."""
        parts = urlsplit(address.removeprefix("vault+"))
        mount, _, key = parts.path.strip("/").rpartition("/")
        return cls(f"{parts.scheme}://{parts.netloc}", mount, key)

    @property
    def name(self) -> str:
        """As records and errors name it."""
        return f"vault {self.server}/{self.mount}/{self.key}"

    def wrap(self, key: bytes, bound_to: str) -> bytes:
        """The key under the newest version."""
        place = bound_to.encode()
        plaintext = b64encode(len(place).to_bytes(2) + place + key).decode()
        data = self._ask(
            lambda client: client.secrets.transit.encrypt_data(
                self.key, plaintext, mount_point=self.mount, associated_data=_base64(place)
            )
        )
        wrapped = data.get("ciphertext")
        if not isinstance(wrapped, str) or not _WRAPPED.fullmatch(wrapped):
            raise self._nonsense()
        return wrapped.encode()

    def unwrap(self, wrapped: bytes, bound_to: str) -> bytes:
        """The key, by whichever version."""
        self.made_by(wrapped)
        place = bound_to.encode()
        data = self._ask(lambda client: self._decrypted(client, wrapped.decode(), place))
        try:
            content = b64decode(data["plaintext"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise self._nonsense() from None
        start = len(place).to_bytes(2) + place
        if not content.startswith(start) or len(content) != len(start) + KEY_BYTES:
            raise closed()
        return content[len(start) :]

    def made_by(self, wrapped: bytes) -> int:
        """The version that it names."""
        found = _WRAPPED.fullmatch(wrapped.decode("ascii", "replace"))
        if not found:
            raise foreign(self.name)
        return int(found[1])

    def versions(self) -> list[KeyInfo]:
        """All versions that can still open something, oldest first.

        Of those that are too old to decrypt the server tells nothing, though they are there until
        they are trimmed: they are given the day of the oldest that it tells of.
        """
        state = self._read()
        try:
            made = {int(number): _instant(at) for number, at in state["keys"].items()}
        except (TypeError, ValueError):
            raise self._nonsense() from None
        known, first = sorted(made), self._setting(state, "min_available_version")
        archived = range(max(1, first), known[0])
        return [KeyInfo("wrap", one, made.get(one, made[known[0]])) for one in (*archived, *known)]

    def rotate(self, told: Callable[[KeyInfo], None]) -> KeyInfo:
        """A new version of the key."""
        info = KeyInfo("wrap", self.versions()[-1].number + 1, datetime.now(UTC))
        told(info)
        self._ask(lambda client: client.secrets.transit.rotate_key(self.key, self.mount))
        return info

    def destroy(self, number: int) -> None:
        """Trim the version away, the oldest first: the server keeps no gaps.

        A version that is too old to decrypt is not gone, whoever may configure the key brings it
        back: only what was trimmed is. Broken off, it goes on when it is repeated.
        """
        state = self._read()
        oldest = max(1, self._setting(state, "min_available_version"))
        if number < oldest:
            return
        if number > oldest:
            raise KeyringError(
                f"{self.name} trims the oldest version only, which is {oldest}; destroy that one"
                " first"
            )
        # In this order, and apart: the server wants the first at least as high as the second, and
        # the library wants it higher. Neither is ever lowered.
        decrypts = max(number + 1, self._setting(state, "min_decryption_version"))
        encrypts = self._setting(state, "min_encryption_version")
        if encrypts < decrypts:
            self._configure(min_encryption_version=decrypts)
        self._configure(min_decryption_version=decrypts)
        self._ask(lambda client: client.secrets.transit.trim_key(self.key, number + 1, self.mount))

    def _decrypted(self, client: Client, wrapped: str, place: bytes) -> Any:
        try:
            return client.secrets.transit.decrypt_data(
                self.key, wrapped, mount_point=self.mount, associated_data=_base64(place)
            )
        except refused.InvalidRequest:  # altered, moved, or of a version that is gone
            raise closed() from None

    def _configure(self, **first: int) -> None:
        self._ask(
            lambda client: client.secrets.transit.update_key_configuration(
                self.key, mount_point=self.mount, **first
            )
        )

    def _read(self) -> dict[str, Any]:
        state = self._ask(lambda client: client.secrets.transit.read_key(self.key, self.mount))
        if not isinstance(state.get("keys"), dict) or not state["keys"]:
            raise self._nonsense()
        return state

    def _setting(self, state: dict[str, Any], name: str) -> int:
        """A number of the key's configuration; 0 = it was never set."""
        found = state.get(name, 0)
        if not isinstance(found, int):
            raise self._nonsense()
        return found

    def _ask(self, question: Callable[[Client], Any]) -> dict[str, Any]:
        answer = in_time(self.name, lambda: self._told(question))
        if isinstance(answer, requests.Response):
            if answer.status_code == 204:
                return {}
            raise self._nonsense()
        data = answer.get("data") if isinstance(answer, dict) else None
        return data if isinstance(data, dict) else {}

    def _told(self, question: Callable[[Client], Any]) -> Any:
        session = requests.Session()
        session.trust_env = False  # no proxy and no .netrc between us and the keys
        session.verify = os.environ.get("VAULT_CACERT") or True
        client = Client(
            self.server, timeout=_SECONDS, session=session, allow_redirects=False,
            namespace=os.environ.get("VAULT_NAMESPACE"),
        )  # fmt: skip
        try:
            return question(client)
        except (
            refused.VaultError,
            requests.exceptions.RequestException,
            OSError,
            ValueError,
        ) as error:
            for kind, what, do in _SAY:
                if isinstance(error, kind):
                    raise unavailable(self.name, what, do) from None
            raise unavailable(
                self.name, f"failed ({type(error).__name__})", "see its log"
            ) from None
        finally:
            session.close()

    def _nonsense(self) -> KeyringError:
        return unavailable(self.name, "answers what no Transit engine says", "see what it is")


def _base64(place: bytes) -> str:
    return b64encode(place).decode()


def _instant(made: Any) -> datetime:
    """When a version was made: a number of seconds, or for asymmetric keys an object."""
    return datetime.fromtimestamp(int(made), UTC)
