"""An OpenID provider as Keycloak is one: discovery, keys, authorization code, token, userinfo.

It answers for whoever `person` is at that moment, without asking for a password. As a stock
Keycloak does, it refuses a scope that it does not have, and says a person's groups only where its
client has a mapper for them: by their full path, unless the mapper says otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from reengage.embedded.certificates import Certificates

REALM = "/realms/clinic"
PROTOCOL = f"{REALM}/protocol/openid-connect"
SCOPES = {"openid", "profile", "email", "address", "phone", "roles", "offline_access"}
"""Those of a new realm. `groups` is none of them."""


@dataclass(frozen=True)
class Person:
    """Somebody of the practice's directory."""

    name: str
    groups: tuple[str, ...] = ()


@dataclass
class OpenIdProvider:
    """What it knows, and whom it was asked about."""

    client_id: str = "airflow"
    client_secret: str = "a secret of the client's"
    person: Person = field(default_factory=lambda: Person("nobody"))
    maps_groups: bool = True
    """Whether the client has the mapper."""
    full_path: bool = True
    """Its setting *Full group path*, on unless somebody switches it off."""
    signs_as: str | None = None
    """Issuer that its tokens name; None = itself."""
    port: int = 0
    _key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _tokens: dict[str, Person] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def answer(self, method: str, target: str, headers: Any, body: str) -> tuple[int, Any]:
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        match method, url.path:
            case "GET", "/realms/clinic/.well-known/openid-configuration":
                return 200, self._discovery()
            case "GET", "/realms/clinic/protocol/openid-connect/certs":
                public = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
                return 200, {"keys": [{**public, "kid": "1", "alg": "RS256", "use": "sig"}]}
            case "GET", "/realms/clinic/protocol/openid-connect/auth":
                return self._authorize(query)
            case "POST", "/realms/clinic/protocol/openid-connect/token":
                return self._token(headers, {k: v[0] for k, v in parse_qs(body).items()})
            case "GET", "/realms/clinic/protocol/openid-connect/userinfo":
                token = str(headers.get("authorization", "")).removeprefix("Bearer ")
                found = self._tokens.get(token)
                return (200, self._claims(found)) if found else (401, {"error": "invalid_token"})
        return 404, {"error": "not_found"}

    def _discovery(self) -> dict[str, Any]:
        at = f"{self.url}{PROTOCOL}"
        return {
            "issuer": f"{self.url}{REALM}", "authorization_endpoint": f"{at}/auth",
            "token_endpoint": f"{at}/token", "userinfo_endpoint": f"{at}/userinfo",
            "jwks_uri": f"{at}/certs", "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": sorted(SCOPES), "code_challenge_methods_supported": ["S256"],
        }  # fmt: skip

    def _authorize(self, asked: dict[str, str]) -> tuple[int, Any]:
        if asked["client_id"] != self.client_id or asked["response_type"] != "code":
            return 400, {"error": "unauthorized_client"}
        back = {"state": asked["state"]}
        if unknown := set(asked["scope"].split()) - SCOPES:
            back |= {"error": "invalid_scope", "error_description": f"Invalid scopes: {unknown}"}
        else:
            back["code"] = secrets.token_urlsafe()
            self._codes[back["code"]] = asked
        return 302, f"{asked['redirect_uri']}?{urlencode(back)}"

    def _token(self, headers: Any, said: dict[str, str]) -> tuple[int, Any]:
        client = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        asked = self._codes.pop(said.get("code", ""), None)
        if headers.get("authorization") != f"Basic {client}":
            return 401, {"error": "invalid_client"}
        if asked is None or asked["redirect_uri"] != said.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        if challenge := asked.get("code_challenge"):
            digest = hashlib.sha256(said["code_verifier"].encode()).digest()
            assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        token = secrets.token_urlsafe()
        self._tokens[token] = self.person
        now = int(time.time())
        claims = {"iss": self.signs_as or f"{self.url}{REALM}", "aud": self.client_id,
                  "iat": now, "exp": now + 300, "nonce": asked.get("nonce"),
                  **self._claims(self.person)}  # fmt: skip
        signed = jwt.encode(claims, self._key, "RS256", headers={"kid": "1"})
        return 200, {"access_token": token, "id_token": signed, "token_type": "Bearer",
                     "expires_in": 300}  # fmt: skip

    def _claims(self, person: Person) -> dict[str, Any]:
        claims: dict[str, Any] = {
            "sub": hashlib.sha256(person.name.encode()).hexdigest(),
            "preferred_username": person.name, "given_name": person.name.title(),
            "family_name": "Example", "email": f"{person.name}@clinic.example.org",
        }  # fmt: skip
        if self.maps_groups:
            claims["groups"] = [f"/{one}" if self.full_path else one for one in person.groups]
        return claims


@contextmanager
def openid_provider(certificates: Certificates) -> Iterator[OpenIdProvider]:
    """One that listens on this machine."""
    provider = OpenIdProvider()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider)) as server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.cert, certificates.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        provider.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield provider
        finally:
            server.shutdown()


def _handler(provider: OpenIdProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length).decode()
            status, said = provider.answer(self.command, self.path, self.headers, body)
            content = b"" if status == 302 else json.dumps(said).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("location", said)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
