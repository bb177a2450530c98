"""AWS KMS as key service, against moto's server: wraps, binds to a place, and tells its failures.

Shows SEC-25 (keys apart from the data) and SEC-18 (https, but on this machine).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from reengage.errors import KeyringError
from reengage.keys import aws_kms, ensure_keyring, open_keyring, rotation
from reengage.keys.aws_kms import AwsKms
from reengage.keys.info import KeyInfo
from reengage.keys.remote import remote_service

RUN = UUID("00000000-0000-4000-8000-000000000001")
ALIAS = "alias/reengage"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def kms(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.client]:
    """A client with all rights; the environment leads there, with a key of its own each time."""
    for name, value in {
        "AWS_ENDPOINT_URL_KMS": aws, "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "canary",
        "AWS_EC2_METADATA_DISABLED": "true", "REENGAGE_KEY_SERVICE": f"aws-kms:{ALIAS}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    forget()
    client = boto3.client("kms")
    key = client.create_key()["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName=ALIAS, TargetKeyId=key)
    yield client
    client.delete_alias(AliasName=ALIAS)
    forget()


def forget() -> None:
    aws_kms._client.cache_clear()
    remote_service.cache_clear()


def unheard(info: KeyInfo) -> None:
    """Nobody is told."""


def test_a_keyring_under_kms_seals_opens_and_rotates(kms: boto3.client, tmp_path: Path) -> None:
    keyring = ensure_keyring(tmp_path / "keys")
    sealed = keyring.create_data_key(RUN).seal(b"canary", bound_to="x")
    pem = keyring.dkim_key()
    key_id = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    assert rotation.rotate(keyring, "wrap", unheard).number == 1
    assert len(kms.list_key_rotations(KeyId=key_id)["Rotations"]) == 1
    forget()
    again = open_keyring(keyring.directory)
    assert again.data_key(RUN).open(sealed, bound_to="x") == b"canary"
    assert again.dkim_key() == pem
    assert rotation.resting_on_wrap(again) == {1: 4}
    files = [path.read_bytes() for path in keyring.directory.rglob("*") if path.is_file()]
    assert [one for one in files if pem[-200:-160] in one or keyring._pseudonym in one] == []


def test_what_kms_wrapped_opens_unaltered_and_in_its_place_only(kms: boto3.client) -> None:
    service = AwsKms(ALIAS)
    wrapped = service.wrap(b"k" * 32, "runs/1")
    assert service.unwrap(wrapped, "runs/1") == b"k" * 32
    altered = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    for spoiled, place in ((wrapped, "runs/2"), (altered, "runs/1"), (wrapped[:-8], "runs/1")):
        with pytest.raises(KeyringError, match="does not open"):
            service.unwrap(spoiled, place)
    with pytest.raises(KeyringError, match="was not wrapped by aws-kms alias/reengage"):
        service.unwrap(b"vault:v1:AAAA", "runs/1")


def test_one_number_cannot_be_destroyed_and_the_way_is_told(kms: boto3.client) -> None:
    with pytest.raises(KeyringError, match="cannot destroy one number; make a new KMS key"):
        AwsKms(ALIAS).destroy(1)


def test_a_keyring_goes_to_another_kms_key_and_the_old_one_can_be_deleted(
    kms: boto3.client, tmp_path: Path
) -> None:
    keyring = ensure_keyring(tmp_path / "keys")
    sealed = keyring.create_data_key(RUN).seal(b"canary", bound_to="x")
    old = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    new = kms.create_key()["KeyMetadata"]["KeyId"]
    there = rotation.under(keyring, f"aws-kms:{new}")
    assert rotation.reseal(there, [remote_service(f"aws-kms:{ALIAS}")]).data_keys == 1
    kms.schedule_key_deletion(KeyId=old, PendingWindowInDays=7)
    forget()
    moved = open_keyring(keyring.directory, f"aws-kms:{new}")
    assert moved.data_key(RUN).open(sealed, bound_to="x") == b"canary"


def test_a_key_that_is_not_there_is_told(kms: boto3.client) -> None:
    with pytest.raises(KeyringError, match="has no such key; create it, or mend REENGAGE_KEY"):
        AwsKms("alias/elsewhere").wrap(bytes(32), "x")


def _refused_as_kms_does(code: str) -> None:
    """What moto never answers, KMS does: a key that is disabled, say."""

    class Client:
        def encrypt(self, **asked: object) -> object:
            raise ClientError({"Error": {"Code": code, "Message": "canary"}}, "Encrypt")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_kms, "_client", lambda process: Client())
        AwsKms(ALIAS).wrap(bytes(32), "x")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("AccessDeniedException", "refuses these credentials; allow kms:Encrypt and kms:Decrypt"),
        ("DisabledException", "has that key disabled; enable it"),
        ("KMSInvalidStateException", "has that key pending deletion; cancel the deletion"),
        ("ThrottlingException", "refuses so many questions"),
        ("InternalFailure", r"failed \(InternalFailure\); see CloudTrail"),
    ],
)
def test_each_refusal_of_kms_is_told_without_its_text(code: str, told: str) -> None:
    with pytest.raises(KeyringError, match=told) as error:
        _refused_as_kms_does(code)
    assert "canary" not in str(error.value)
    assert "nothing was sent, nothing is lost" in str(error.value)


def test_a_kms_that_is_down_is_told(kms: boto3.client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    forget()
    with pytest.raises(KeyringError, match=r"gave no answer \(EndpointConnectionError\); see to"):
        AwsKms(ALIAS).wrap(bytes(32), "x")


def test_kms_without_credentials_is_told(
    kms: boto3.client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    forget()
    with pytest.raises(KeyringError, match=r"gave no answer \(NoCredentialsError\)"):
        AwsKms(ALIAS).wrap(bytes(32), "x")


def test_an_endpoint_without_tls_elsewhere_is_refused(
    kms: boto3.client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://192.0.2.1")
    forget()
    with pytest.raises(KeyringError, match="is not reached over https; mend AWS_ENDPOINT_URL_KMS"):
        AwsKms(ALIAS).wrap(bytes(32), "x")
