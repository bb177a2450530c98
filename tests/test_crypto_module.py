"""Which cryptographic modules run, and that a mode is not taken for a validation (SEC-26)."""

from __future__ import annotations

import ssl

import pytest
from cryptography.hazmat.backends.openssl.backend import backend
from reengage import crypto_module


def test_both_modules_are_told_by_their_own_versions() -> None:
    """SEC-26."""
    told = crypto_module.crypto_module()
    assert {name: one["version"] for name, one in told.items()} == {
        "tls": ssl.OPENSSL_VERSION,
        "sealing": backend.openssl_version_text(),
    }


def test_a_module_outside_its_fips_mode_is_not_called_validated() -> None:
    for one in crypto_module.crypto_module().values():
        if not one["fips_mode"]:
            assert one["status"] == "not in FIPS mode: no validated module"


def test_a_mode_that_is_on_sends_the_reader_to_the_certificates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("_hashlib.get_fips_mode", lambda: 1)
    monkeypatch.setattr(backend, "_fips_enabled", True)
    for one in crypto_module.crypto_module().values():
        assert one["fips_mode"] is True
        assert "look its version up at csrc.nist.gov/projects/cmvp" in str(one["status"])
