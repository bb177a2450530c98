"""Keys at the command line: listed, rotated, resealed, destroyed; and each of it in the ledger.

Shows SEC-16 (what changes is on record, a destruction before it happens).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from daily import Practice
from entries import Books, event
from reengage.cli.main import main
from reengage.errors import KeyringError
from reengage.keys import Keyring, open_keyring, rotation
from reengage.keys.remote import remote_service
from simulators.vault import TOKEN, FakeVault, serving
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

RUN = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
def books(desk: Practice) -> Books:
    settings = desk.settings
    return Books(
        settings.store_url,
        create_engine(settings.store_url, poolclass=NullPool),
        open_keyring(settings.keyring),
    )


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(rotation, "SETTLING", timedelta(0))


@pytest.fixture
def keyring(books: Books) -> Keyring:
    return books.keyring


def recorded(books: Books) -> list[dict[str, Any]]:
    """What the ledger says of keys."""
    rows = books.rows(
        "SELECT entry FROM ledger_entry WHERE kind = 'configuration' AND subject LIKE 'key/%'"
        " ORDER BY index"
    )
    return [json.loads(bytes(row[0]))["body"] for row in rows]


def said(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


# --- list ---


def test_list_tells_state_and_what_rests_and_no_secret(
    keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    keyring.create_data_key(RUN)
    assert [main(["keys", "rotate", one]) for one in ("wrap", "smime")] == [0, 0]
    keyring.create_data_key(uuid4())
    keyring.create_data_key(uuid4())
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    shown = said(capsys)
    assert shown[0] == ["purpose", "number", "made", "state", "rests", "kept", "by"]
    table = [[line[0], line[1], line[3], line[4]] for line in shown[1:]]
    assert table == [
        ["wrap", "1", "opens", "1"],
        ["wrap", "2", "seals", "2"],
        ["pseudonym", "1", "seals", "the"],
        ["portal", "1", "seals", "0"],
        ["smime", "1", "waits", "the"],
        ["dkim", "1", "signs", "the"],
    ]
    assert keyring._pseudonym.hex()[:8] not in str(shown)


def test_a_lost_key_of_the_ledger_is_listed_as_lost(
    books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    books.add(event(1))
    assert main(["ledger", "checkpoint"]) == 0
    (books.keyring.directory / "ledger" / "0001.pem").unlink()
    assert main(["keys", "list"]) == 0
    assert ["ledger", "1", "lost"] in [[*line[:2], line[3]] for line in said(capsys)[2:]]


# --- rotate ---


@pytest.mark.parametrize("purpose", ["wrap", "portal"])
def test_a_new_key_that_seals_is_on_record(
    books: Books, purpose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "rotate", purpose]) == 0
    assert f"{purpose} key 2 seals from now on; older ones open" in capsys.readouterr().out
    [body] = recorded(books)
    assert (body["name"], body["previous"]) == (f"key/{purpose}/2", None)
    assert len(body["sha256"]) == 64
    assert body["changed_by"]["action"] == "rotated"
    assert body["changed_by"]["actor"].startswith("os:")
    assert main(["ledger", "verify"]) == 0
    assert main(["ledger", "tail", "--kind", "configuration"]) == 0
    assert f"key/{purpose}/2 is now {body['sha256'][:8]}" in capsys.readouterr().out


def test_a_new_key_of_the_ledger_signs_on_and_is_on_record(
    books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    books.add(event(1))
    assert main(["ledger", "checkpoint"]) == 0
    assert main(["keys", "rotate", "ledger"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == books.keys[1].text
    assert main(["ledger", "checkpoint"]) == 0
    assert main(["ledger", "verify"]) == 0
    assert "checkpoints that agree: 2" in capsys.readouterr().out
    assert [body["name"] for body in recorded(books)] == ["key/ledger/2"]


def test_a_new_dkim_key_wants_a_selector_and_tells_the_dns_record(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "rotate", "dkim"]) == 1
    assert "say --selector NAME, another than" in capsys.readouterr().err
    assert recorded(books) == []
    assert main(["keys", "rotate", "dkim", "--selector", "s2"]) == 0
    told = capsys.readouterr().out
    assert "publish in the DNS as s2._domainkey." in told
    assert "v=DKIM1; k=rsa; p=" in told
    assert keyring.dkim_key("s2") != keyring.dkim_key()
    assert [body["name"] for body in recorded(books)] == ["key/dkim/2"]


def test_a_new_smime_key_tells_where_its_certificate_belongs(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "rotate", "smime"]) == 0
    told = capsys.readouterr().out.split()
    for end in ("csr", "crt"):
        path = str(keyring.directory / "smime" / f"0001.{end}")
        assert [word for word in told if path in word]
    assert [body["name"] for body in recorded(books)] == ["key/smime/1"]


def test_the_pseudonym_key_stays(books: Books, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "rotate", "pseudonym"]) == 1
    assert "cannot be rotated: under a new one no opt-out" in capsys.readouterr().err
    assert recorded(books) == []


def test_what_cannot_be_recorded_puts_no_key_in_force(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    books.spoil("UPDATE ledger_head SET mac = sha256('x')")
    for purpose in ("wrap", "portal", "ledger", "smime"):
        assert main(["keys", "rotate", purpose]) == 1
        assert "is not what its writers left: it was altered" in capsys.readouterr().err
    assert [len(keyring.purposes[one].infos()) for one in ("wrap", "portal", "smime")] == [1, 1, 0]


def test_a_keyring_from_before_a_rotation_makes_no_second_key_of_that_number(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "rotate", "portal"]) == 0
    for path in (keyring.directory / "portal").glob("0002.*"):
        path.unlink()
    assert main(["keys", "rotate", "portal"]) == 1
    assert "the ledger knows a portal key 2 that this keyring lacks" in capsys.readouterr().err
    assert keyring.purpose_key("portal").seal(b"", bound_to="x")[:3] == b"\x02\x00\x01"


# --- reseal ---


def test_a_reseal_is_on_record_and_leaves_nothing_on_the_old_key(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = keyring.create_data_key(RUN).seal(b"canary", bound_to="x")
    assert [main(["keys", *one]) for one in (["rotate", "wrap"], ["reseal"])] == [0, 0]
    assert (
        "brought under the newest keys: 1 data keys, 0 secret files, 0 letters of the portal"
        in capsys.readouterr().out
    )
    assert main(["keys", "destroy", "wrap", "1"]) == 0
    assert open_keyring(keyring.directory).data_key(RUN).open(sealed, bound_to="x") == b"canary"
    told = [(body["name"], body["changed_by"]["action"]) for body in recorded(books)]
    assert told == [
        ("key/wrap/2", "rotated"), ("key/wrap/2", "resealed"), ("key/portal/1", "resealed"),
        ("key/wrap/1", "destroyed"),
    ]  # fmt: skip


def left_at_the_portal(books: Books, keyring: Keyring, many: int) -> None:
    """Rows as a claim leaves them, of letters that are not there."""
    for number in range(many):
        left_at_the_portal_under(books, keyring, f"m{number}")


def left_at_the_portal_under(books: Books, keyring: Keyring, message_id: str) -> None:
    books.spoil(
        "INSERT INTO portal_message (message_id, letter_id, patient, sealed, expires_at)"
        " VALUES (:id, :letter, 'x', :sealed, now() + interval '1 day')",
        id=message_id,
        letter=uuid4(),
        sealed=keyring.purpose_key("portal").seal(b"letter", bound_to=message_id),
    )


def test_addresses_and_messages_of_the_portal_go_under_the_new_key_with_its_letters(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = keyring.purpose_key("portal")
    books.spoil(
        "INSERT INTO portal_address (patient, recipient, instead_of, sealed, language, asked_at)"
        " VALUES ('p', 'r', 'o', :sealed, 'en', now())",
        sealed=portal.seal(b"a@example.org", bound_to="address/p"),
    )
    books.spoil(
        "INSERT INTO portal_mail (kind, sealed) VALUES ('incident', :sealed), ('incident', '')",
        sealed=portal.seal(b"{}", bound_to="mail/incident"),
    )
    assert main(["keys", "rotate", "portal"]) == 0
    assert main(["keys", "reseal"]) == 0
    assert "2 letters of the portal" in capsys.readouterr().out
    assert main(["keys", "destroy", "portal", "1"]) == 0
    newest = open_keyring(keyring.directory).purpose_key("portal")
    [(address,)] = books.rows("SELECT sealed FROM portal_address")
    assert newest.open(bytes(address), bound_to="address/p") == b"a@example.org"
    [(mail,)] = books.rows("SELECT sealed FROM portal_mail WHERE sealed <> ''")
    assert newest.open(bytes(mail), bound_to="mail/incident") == b"{}"


def test_letters_of_the_portal_are_counted_resealed_and_then_need_no_old_key(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    left_at_the_portal(books, keyring, 3)
    assert main(["keys", "rotate", "portal"]) == 0
    assert main(["keys", "destroy", "portal", "1"]) == 1
    assert "3 things rest on portal key 1" in capsys.readouterr().err
    assert main(["keys", "reseal"]) == 0
    assert "0 secret files, 3 letters of the portal" in capsys.readouterr().out
    assert main(["keys", "reseal"]) == 0
    assert "0 letters of the portal" in capsys.readouterr().out
    assert main(["keys", "list"]) == 0
    portal = [[*line[:2], line[3], line[4]] for line in said(capsys) if line[0] == "portal"]
    assert portal == [["portal", "1", "opens", "0"], ["portal", "2", "seals", "3"]]
    assert main(["keys", "destroy", "portal", "1"]) == 0
    for message_id, sealed in books.rows("SELECT message_id, sealed FROM portal_message"):
        opened = keyring.purpose_key("portal").open(bytes(sealed), bound_to=message_id)
        assert opened == b"letter"


def test_letters_of_the_portal_go_with_their_key_when_their_number_is_said(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    left_at_the_portal(books, keyring, 2)
    assert main(["keys", "rotate", "portal"]) == 0
    assert main(["keys", "destroy", "portal", "1", "--with", "2"]) == 0
    assert "portal key 1 is destroyed, and 2 things with it" in capsys.readouterr().out
    assert books.rows("SELECT message_id FROM portal_message") == []
    with pytest.raises(KeyringError, match="portal key 1 was destroyed"):
        keyring.purposes["portal"].secret(1)


def test_letters_of_the_portal_stay_where_their_number_was_not_the_one_said(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    left_at_the_portal(books, keyring, 2)
    assert main(["keys", "rotate", "portal"]) == 0
    for said in ("0", "1", "3"):
        assert main(["keys", "destroy", "portal", "1", "--with", said]) == 1
        assert "2 things rest on portal key 1" in capsys.readouterr().err
    for message_id, sealed in books.rows("SELECT message_id, sealed FROM portal_message"):
        assert keyring.purpose_key("portal").open(bytes(sealed), bound_to=message_id)


def test_letters_of_the_portal_that_do_not_open_are_told_and_stop_no_others(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    left_at_the_portal(books, keyring, 4)
    books.spoil("UPDATE portal_message SET sealed = sealed || 'x' WHERE message_id = 'm1'")
    assert main(["keys", "rotate", "portal"]) == 0
    rotation.destroy(keyring, "portal", 1)  # a destruction that a crash kept the rows from
    left_at_the_portal_under(books, keyring, "m9")
    assert main(["keys", "rotate", "portal"]) == 0
    capsys.readouterr()
    assert main(["keys", "reseal"]) == 1
    told = capsys.readouterr().out
    assert "1 letters of the portal\n4 letters of the portal under key 1 do not open" in told
    [(sealed,)] = books.rows("SELECT sealed FROM portal_message WHERE message_id = 'm9'")
    assert bytes(sealed)[:3] == b"\x02\x00\x03"
    assert main(["keys", "destroy", "portal", "1", "--with", "4"]) == 0
    assert main(["keys", "reseal"]) == 0
    assert books.rows("SELECT message_id FROM portal_message") == [("m9",)]


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVault]:
    remote_service.cache_clear()
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with serving(FakeVault()) as running:
        yield running
    remote_service.cache_clear()


def test_the_keyring_goes_to_vault_and_back(
    vault: FakeVault,
    books: Books,
    keyring: Keyring,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sealed = keyring.create_data_key(RUN).seal(b"canary", bound_to="x")
    monkeypatch.setenv("REENGAGE_KEY_SERVICE", vault.address)
    assert main(["keys", "list"]) == 1
    assert "bring the keyring over with `python -m reengage keys reseal`" in (
        capsys.readouterr().err
    )
    assert main(["keys", "reseal"]) == 0
    assert main(["keys", "rotate", "wrap"]) == 0
    assert main(["keys", "destroy", "wrap", "1"]) == 1
    assert "4 things rest on wrap key 1" in capsys.readouterr().err
    assert [main(["keys", *one]) for one in (["reseal"], ["destroy", "wrap", "1"])] == [0, 0]
    assert list(vault.keys) == [2]
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    wrap = said(capsys)[1]
    assert [wrap[n] for n in (0, 1, 3, 4, 5)] == ["wrap", "2", "seals", "4", "vault"]
    monkeypatch.delenv("REENGAGE_KEY_SERVICE")
    assert main(["keys", "reseal", "--from", vault.address]) == 0
    vault.tokens.clear()
    assert open_keyring(keyring.directory).data_key(RUN).open(sealed, bound_to="x") == b"canary"
    assert main(["keys", "list"]) == 0
    told = [
        (one["name"], *map(one["changed_by"].get, ("action", "kept_by"))) for one in recorded(books)
    ]
    files, service = "the keyring's files", f"vault {vault.address.removeprefix('vault+')}"
    assert ("key/wrap/1", "destroyed", files) in told
    assert ("key/wrap/1", "destroyed", service) in told
    assert ("key/wrap/2", "rotated", service) in told
    assert ("key/wrap/2", "rotated", files) in told
    assert main(["keys", "rotate", "wrap"]) == 0
    assert TOKEN not in str(recorded(books))


# --- destroy ---


def test_what_rests_on_a_key_goes_only_when_its_number_is_said(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    keyring.create_data_key(RUN)
    assert main(["keys", "rotate", "wrap"]) == 0
    for more in ([], ["--with", "2"]):
        assert main(["keys", "destroy", "wrap", "1", *more]) == 1
        assert "1 things rest on wrap key 1" in capsys.readouterr().err
    assert len(recorded(books)) == 1
    assert main(["keys", "destroy", "wrap", "1", "--with", "1"]) == 0
    assert "wrap key 1 is destroyed, and 1 things with it" in capsys.readouterr().out
    with pytest.raises(KeyringError, match="was destroyed when the run ended"):
        keyring.data_key(RUN)
    assert recorded(books)[-1]["sha256"] is None
    assert main(["ledger", "tail", "--kind", "configuration"]) == 0
    assert "key/wrap/1 is gone" in capsys.readouterr().out


def test_what_cannot_be_recorded_is_not_destroyed(
    books: Books, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = keyring.purpose_key("portal").seal(b"letter", bound_to="m")
    assert main(["keys", "rotate", "portal"]) == 0
    books.spoil("UPDATE ledger_head SET mac = sha256('x')")
    assert main(["keys", "destroy", "portal", "1"]) == 1
    assert "the head of the ledger" in capsys.readouterr().err
    assert keyring.purpose_key("portal").open(sealed, bound_to="m") == b"letter"


def test_the_record_of_a_destruction_is_there_before_it_happens(
    books: Books, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["keys", "rotate", "portal"]) == 0
    seen: list[str] = []
    monkeypatch.setattr(
        "reengage.keys.rotation.destroy",
        lambda *arguments: seen.append(recorded(books)[-1]["changed_by"]["action"]) or 0,
    )
    assert main(["keys", "destroy", "portal", "1"]) == 0
    assert seen == ["destroyed"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["destroy", "portal", "1"], "is in use or the newest"),
        (["destroy", "portal", "9"], "portal key 9 is not in the keyring"),
        (["reseal", "--from", "vault+http://vault.example.org/transit/x"], "is no key service"),
    ],
)
def test_what_cannot_be_is_told(
    books: Books, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", *arguments]) == 1
    assert told in capsys.readouterr().err
    assert recorded(books) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: ACTION"),
        (["rotate"], "the following arguments are required: PURPOSE"),
        (["rotate", "other"], "invalid choice: 'other'"),
        (["destroy", "wrap", "0"], "expected a number of 1 or more"),
        (["destroy", "wrap", "1", "--with", "-1"], "expected"),
    ],
)
def test_wrong_usage_of_keys_is_told_with_status_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["keys", *arguments])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_the_ledgers_old_command_is_gone(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    with pytest.raises(SystemExit):
        main(["ledger", "rotate-key"])
    assert "invalid choice: 'rotate-key'" in capsys.readouterr().err
