"""What a recipient's mailbox does with a letter: parses it, and asks the DNS for its signature."""

from __future__ import annotations

import base64
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def pem(key: Any) -> bytes:
    """A private key as the keyring has it."""
    encoded: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return encoded


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DNS = b"v=DKIM1; k=rsa; p=" + base64.b64encode(
    KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
)


def parsed(content: bytes) -> EmailMessage:
    """The message, without a defect."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def contents(content: bytes) -> dict[str, str]:
    """The decoded parts by their type."""
    parts = (part for part in parsed(content).walk() if not part.is_multipart())
    return {part.get_content_type(): part.get_content() for part in parts}


def verifies(content: bytes) -> bool:
    """Whether dkimpy finds the signature of KEY whole."""

    def lookup(name: bytes, timeout: int = 5) -> bytes:
        assert name == b"reengage._domainkey.prairie.example.org."
        return DNS

    return bool(dkim.verify(content, dnsfunc=lookup))
