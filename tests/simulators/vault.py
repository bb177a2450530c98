"""A Vault that speaks the documented Transit HTTP API on a socket, and fails as a test asks it to.

encrypt, decrypt, rewrap, keys (read, rotate, config, trim), with tokens; HashiCorp's and OpenBao's
documents agree on all of it. Ciphertexts are real: AES-256-GCM, so that associated data bind.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "hvs.canary-token"
Answer = tuple[int, Any]


@dataclass
class FakeVault:
    """A Transit engine at `transit/` with the key `reengage`."""

    keys: dict[int, bytes] = field(default_factory=lambda: {1: secrets.token_bytes(32)})
    min_decryption: int = 1
    min_encryption: int = 0
    min_available: int = 0
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    fault: tuple[int, bytes] | None = None
    """Status and content instead of any answer."""
    ignores_associated_data: bool = False
    """As a server from before associated data did."""
    trickle: float = 0.0
    """Seconds between two octets of every answer."""
    speaks: threading.Event = field(default_factory=threading.Event)
    """Cleared: no answer comes until it is set."""
    port: int = 0

    @property
    def address(self) -> str:
        """As REENGAGE_KEY_SERVICE has it."""
        return f"vault+http://127.0.0.1:{self.port}/transit/reengage"

    def answer(self, method: str, path: str, token: str, body: bytes) -> Answer:
        self.asked.append(f"{method} {path}")
        if self.fault:
            return self.fault
        if token not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        found = re.fullmatch(r"/v1/transit/(encrypt|decrypt|rewrap|keys)/reengage(/\w+)?", path)
        if not found:
            return 404, {"errors": []}
        said = json.loads(body or b"{}")
        what = found[1] + (found[2] or "")
        doors = {
            "encrypt": self._encrypt, "decrypt": self._decrypt, "rewrap": self._rewrap,
            "keys": self._read, "keys/rotate": self._rotate, "keys/config": self._config,
            "keys/trim": self._trim,
        }  # fmt: skip
        try:
            return doors[what](said)
        except (ValueError, InvalidTag, KeyError):
            return 400, {"errors": ["invalid ciphertext: unable to decrypt"]}

    def _encrypt(self, said: dict[str, Any]) -> Answer:
        version, nonce = max(self.keys), secrets.token_bytes(12)
        plaintext = b64decode(said["plaintext"], validate=True)
        sealed = nonce + AESGCM(self.keys[version]).encrypt(nonce, plaintext, self._place(said))
        text = f"vault:v{version}:{b64encode(sealed).decode()}"
        return 200, {"data": {"ciphertext": text, "key_version": version}}

    def _decrypt(self, said: dict[str, Any]) -> Answer:
        return 200, {"data": {"plaintext": b64encode(self._opened(said)).decode()}}

    def _rewrap(self, said: dict[str, Any]) -> Answer:
        return self._encrypt({**said, "plaintext": b64encode(self._opened(said)).decode()})

    def _opened(self, said: dict[str, Any]) -> bytes:
        _, version, text = said["ciphertext"].split(":")
        if int(version[1:]) < self.min_decryption:
            raise ValueError("ciphertext version is disallowed by policy (too old)")
        sealed = b64decode(text, validate=True)
        key = AESGCM(self.keys[int(version[1:])])
        return key.decrypt(sealed[:12], sealed[12:], self._place(said))

    def _place(self, said: dict[str, Any]) -> bytes:
        return b"" if self.ignores_associated_data else b64decode(said.get("associated_data", ""))

    def _read(self, said: dict[str, Any]) -> Answer:
        """Of versions too old to decrypt the real server tells nothing, though it keeps them."""
        told = {
            str(version): 1_780_000_000 + version
            for version in self.keys
            if version >= self.min_decryption
        }
        settings = {
            "min_available_version": self.min_available,
            "min_decryption_version": self.min_decryption,
            "min_encryption_version": self.min_encryption,
        }
        latest = max(self.keys)
        return 200, {
            "data": {"keys": told, "latest_version": latest, "name": "reengage"} | settings
        }

    def _rotate(self, said: dict[str, Any]) -> Answer:
        self.keys[max(self.keys) + 1] = secrets.token_bytes(32)
        return self._read(said)

    def _config(self, said: dict[str, Any]) -> Answer:
        decryption = said.get("min_decryption_version", self.min_decryption)
        encryption = said.get("min_encryption_version", self.min_encryption)
        if encryption and encryption < decryption:
            return 400, {"errors": ["min_encryption_version must be the higher one"]}
        if max(encryption, decryption) > max(self.keys) or decryption < self.min_available:
            return 400, {"errors": ["there is no such version"]}
        self.min_decryption, self.min_encryption = decryption, encryption
        return self._read(said)

    def _trim(self, said: dict[str, Any]) -> Answer:
        first = said["min_available_version"]
        if not self.min_encryption or first > min(self.min_encryption, self.min_decryption):
            return 400, {"errors": ["minimum available version is too high"]}
        self.min_available = first
        self.keys = {version: key for version, key in self.keys.items() if version >= first}
        return 204, None


@contextmanager
def serving(vault: FakeVault) -> Iterator[FakeVault]:
    """Serve it on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def _serve(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("X-Vault-Token", "")
            status, content = vault.answer(method, self.path, token, body)
            vault.speaks.wait()
            octets = b"" if content is None else content
            if not isinstance(octets, bytes):
                octets = json.dumps(octets).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(octets)))
                if 300 <= status < 400:
                    self.send_header("Location", "http://192.0.2.1/v1/elsewhere")
                self.end_headers()
                for octet in octets:
                    self.wfile.write(bytes([octet]))
                    self.wfile.flush()
                    time.sleep(vault.trickle)
            except OSError:
                pass  # whoever asked has gone

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    vault.speaks.set()
    vault.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield vault
    finally:
        vault.speaks.set()
        server.shutdown()
        server.server_close()
