"""The server never has what opens a letter: not in its log, its database or its memory."""

from __future__ import annotations

import os
import re
import socket
from base64 import urlsafe_b64encode
from collections.abc import Iterator

import pytest
from patients import Portal, Waiting
from reengage.embedded.processes import wait_until
from sealed import CANARY


@pytest.fixture(scope="module")
def read(portal: Portal) -> list[Waiting]:
    """Letters that were opened, read and left, so that the server had every occasion."""
    letters = [portal.next() for _ in range(3)]
    for one in letters:
        page = portal.open(one)
        assert CANARY in page.text
        with portal.client() as client:
            client.get(one.link.replace("https://portal.prairie.example.org", "").partition("#")[0])
            client.post(one.opt_out, data={"List-Unsubscribe": "One-Click"})
    return letters


def secrets(letters: list[Waiting]) -> list[bytes]:
    """What must be nowhere: the keys in both forms, the plaintext."""
    found: list[bytes] = [f"{CANARY} {one.key}".encode() for one in letters]
    for one in letters:
        found += [one.fragment.encode(), one.secret, one.secret.hex().encode()]
    return found


def test_they_are_not_in_the_servers_memory(portal: Portal, read: list[Waiting]) -> None:
    sought = re.compile(b"|".join(map(re.escape, secrets(read))))
    size = 0
    ids = 0
    for region in memory(portal.process.pid):
        size += len(region)
        assert sought.search(region) is None
        ids += region.count(read[-1].opt_out.rpartition("/")[2].encode())
    assert size > 20_000_000  # we did look
    assert urlsafe_b64encode(read[0].secret).rstrip(b"=").decode() == read[0].fragment


def test_the_looks_would_find_a_secret_that_is_there(portal: Portal) -> None:
    """A control: a key that did reach the server, in a body that does not end, and that a row of
    the database holds, is found by the looks of the other tests; and gone, it is not.
    """
    planted = secrets_of_nobody()
    head = b"POST /opt-out/x HTTP/1.1\r\nhost: x\r\ncontent-length: 200\r\n\r\n"
    sought = re.compile(re.escape(planted))
    assert not held(portal, sought)
    with (
        socket.create_connection(("127.0.0.1", portal.port), 10) as plain,
        portal.context.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        line.sendall(head + planted)
        wait_until(lambda: held(portal, sought), seconds=8, what="the planted key", every=0.05)
    portal.execute("INSERT INTO portal_pace VALUES (:p, now(), 1)", p=planted.decode())
    assert planted in dumped(portal)
    portal.execute("DELETE FROM portal_pace WHERE address = :p", p=planted.decode())
    assert planted not in dumped(portal)
    assert b" POST opt-out " in portal.log.read_bytes()


def secrets_of_nobody() -> bytes:
    """A key as a link has it."""
    return urlsafe_b64encode(os.urandom(32)).rstrip(b"=")


def held(portal: Portal, sought: re.Pattern[bytes]) -> bool:
    return any(sought.search(region) for region in memory(portal.process.pid))


def test_they_are_not_in_the_log_or_a_dump_of_the_database(
    portal: Portal, read: list[Waiting]
) -> None:
    log, dump = portal.log.read_bytes(), dumped(portal)
    assert len(dump) > 100_000
    for secret in secrets(read):
        assert secret not in log
        assert secret not in dump


def test_nothing_of_a_patient_leaves_by_any_way_out_of_the_portal(portal: Portal) -> None:
    """SEC-14: after all that a patient can do, and the keeper's work, in log, store, journal and
    the messages that were sent."""
    portal.tend()  # what other tests left
    one = portal.next()
    session = portal.session(one)
    portal.fetch(one, session)
    with portal.client() as client:
        path = f"/api/letters/{one.message_id}/address"
        client.post(path, json={"address": "qanary.new@example.net"}, headers=session)
        client.post(f"/api/letters/{one.message_id}/report")
    portal.relay.letters.clear()
    portal.tend()
    sent = [letter.content for letter in portal.relay.letters]
    assert len(sent) == 2  # the confirmation, the notice
    lines = portal.practice.settings.journal_path
    outs = {
        "log": portal.log.read_bytes(),
        "store": dumped(portal),
        "journal": lines.read_bytes() if lines.exists() else b"",
        "messages": b"".join(sent).replace(b"qanary.new@example.net", b"", 1),
    }
    canaries = (b"qanary", b"1970-01-01", b"68102", b"@example.org", f"given{one.key}".encode())
    practice = b"prairie.example.org"
    found = [
        (place, canary)
        for place, content in outs.items()
        for canary in canaries
        if canary in content.lower().replace(b"@" + practice, b"").replace(b"ne 68102", b"")
    ]
    assert found == []


def dumped(portal: Portal) -> bytes:
    """Every value of every table."""
    tables = portal.rows(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    rows = [row for table in tables for row in portal.rows(f'TABLE "{table["table_name"]}"')]
    return b"\n".join(
        bytes(value) if isinstance(value, bytes | memoryview) else repr(value).encode()
        for row in rows
        for value in row.values()
    )


def memory(pid: int) -> Iterator[bytes]:
    """The process's writable memory, region by region."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        regions = [line.split() for line in maps]
    try:
        opened = open(f"/proc/{pid}/mem", "rb", buffering=0)  # noqa: SIM115
    except PermissionError:
        pytest.skip("this user may not read the memory of its own processes (ptrace_scope)")
    with opened as file:
        for place, rights, *rest in regions:
            if "w" not in rights or (rest[3:] and rest[3].startswith("[v")):
                continue
            start, end = (int(one, 16) for one in place.split("-"))
            try:
                file.seek(start)
                yield file.read(end - start)
            except (OSError, ValueError):
                continue
