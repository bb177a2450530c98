"""Bad input: a clear status, nothing leaked, the service up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from patients import RIGHT, WRONG, Portal, unknown_id
from portal_headers import HEADERS
from reengage.embedded.processes import wait_until
from reengage.portal import guard, server
from reengage.settings import HOME

HTML = "<script>alert(1)</script>"


def is_up(portal: Portal) -> bool:
    with portal.client() as client:
        return client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("GET", "/m/", 200), ("GET", "/m/short", 200), ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404), ("GET", "/static/pages.py", 404),
        ("GET", "/static/..%2fpages.py", 404), ("GET", "/static/../pages.py", 404),
        ("DELETE", "/opt-out/x", 405), ("PUT", "/m/x", 405), ("GET", f"/opt-out/{HTML}", 404),
        ("GET", "/api/letters/short/ciphertext", 401), ("POST", "/api/letters/x/report", 422),
        ("GET", f"/confirm/{'a' * 900}", 200),
    ],
)  # fmt: skip
def test_every_answer_has_a_status_and_the_headers(
    portal: Portal, method: str, path: str, status: int
) -> None:
    with portal.client() as client:
        answered = client.request(method, path)
    assert answered.status_code == status
    assert {name: answered.headers[name] for name in HEADERS} == HEADERS
    assert "server" not in answered.headers
    assert HTML not in answered.text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"{}", b'{"birth_date": "x", "second": "68102"}', b"\xff\xfe",
        b'{"birth_date": "1970-01-01", "second": "68102", "more": 1}',
        b'{"birth_date": "1970-01-01", "second": "' + HTML.encode() + b'"}',
        b'{"birth_date": "9999-99-99", "second": "68102"}', b'{"birth_date": 1e999, "second": "1"}',
        b"[" * 5000,
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_so_and_not_repeated(portal: Portal, body: bytes) -> None:
    with portal.client() as client:
        answered = client.post(
            f"/api/letters/{unknown_id()}/sessions", content=body,
            headers={"content-type": "application/json"},
        )  # fmt: skip
    assert answered.status_code == 422
    assert answered.json() == {"problem": "unusable"}


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_ten_megabytes_is_refused(portal: Portal, declared: bool) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(160):
            yield b"x" * 65536

    content = b"x" * 10_485_760 if declared else chunks()
    with portal.client() as client:
        try:
            answered = client.post("/opt-out/" + "a" * 32, content=content)
            assert answered.status_code == 413
        except httpx.TransportError:  # it hung up while we were still talking
            pass
    assert is_up(portal)


def test_many_fields_and_files_are_no_form(portal: Portal) -> None:
    with portal.client() as client:
        many = client.post("/opt-out/" + "a" * 32, data={f"f{n}": "x" for n in range(1000)})
        file = client.post("/opt-out/" + "a" * 32, files={"List-Unsubscribe": b"One-Click"})
        odd = client.post("/opt-out/" + "a" * 32, content=b"--x",
                          headers={"content-type": "multipart/form-data"})  # fmt: skip
    assert [many.status_code, file.status_code, odd.status_code] == [400, 400, 400]


@contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The server's own protocol and guard, with a tenth of their patience; gives the port."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.5)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await guard._problem(send, 200, "fine")

    config = uvicorn.Config(
        guard.Guard(app), port=0, http=server.PatientProtocol, ws="none", lifespan="off",
        log_config=None,
    )  # fmt: skip
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    wait_until(lambda: running.started, seconds=20, what="the server", every=0.01)
    try:
        yield running.servers[0].sockets[0].getsockname()[1]
    finally:
        running.should_exit = True
        thread.join(20)


def test_a_client_that_is_slow_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"POST /opt-out/x HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
    with impatient(monkeypatch) as port:
        peers = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(4)]
        silent, slow_head, slow_body, second = peers
        slow_head.sendall(b"GET /m/x HTTP/1.1\r\nhost: ")
        slow_body.sendall(head + b"List-")
        second.sendall(b"GET /m/x HTTP/1.1\r\nhost: x\r\n\r\n")
        assert second.recv(4096).startswith(b"HTTP/1.1 200")
        second.sendall(b"GET /m/x HTTP/1.1\r\nhost:")  # the next one on the same connection
        assert slow_body.recv(4096).startswith(b"HTTP/1.1 408")
        assert silent.recv(1) == slow_head.recv(1) == b""
        with suppress(ConnectionResetError):  # hung up on, one way or the other
            while second.recv(4096):
                pass
        for peer in peers:
            peer.close()


def test_a_flood_of_guesses_leaves_the_service_up_and_counts_each(portal: Portal) -> None:
    """Each that was looked at is counted once, whatever else was going on; none is lost."""
    ids = [unknown_id() for _ in range(60)]
    with ThreadPoolExecutor(30) as pool:
        asked = {one: pool.submit(portal.answer, one, WRONG) for one in ids}
        assert is_up(portal)
        codes = {one: each.result().status_code for one, each in asked.items()}
    assert set(codes.values()) == {403}  # there is room for all of them
    found = portal.rows("SELECT message_id, wrong FROM portal_guess WHERE message_id = ANY(:i)",
                        i=ids)  # fmt: skip
    assert {row["message_id"]: row["wrong"] for row in found} == dict.fromkeys(ids, 1)
    assert is_up(portal)


def test_a_fault_of_ours_is_told_without_its_reason(portal: Portal) -> None:
    portal.execute("ALTER TABLE portal_guess RENAME TO portal_guess_away")
    try:
        answered = portal.answer(unknown_id(), RIGHT)
    finally:
        portal.execute("ALTER TABLE portal_guess_away RENAME TO portal_guess")
    assert (answered.status_code, answered.json()) == (503, {"problem": "server"})


def test_the_log_names_neither_letters_nor_tokens_nor_addresses(portal: Portal) -> None:
    one = portal.next()
    portal.open(one)
    with portal.client() as client:
        client.get(one.opt_out)
        client.post(one.opt_out, data={"stop": "this"})
        client.get(f"/m/{one.message_id}")
        client.request("M68102", "/m/x")  # a method is any word
        client.get("/m/x")  # by its answer the line before it is written, its own may not be
    log = portal.log.read_text(encoding="utf-8")
    assert "POST opt-out 200" in log
    assert "GET m 200" in log
    assert "other m 405" in log
    for secret in (one.message_id, one.opt_out.rpartition("/")[2], "203.0.", "68102", "Traceback"):
        assert secret not in log


def test_plain_http_for_the_network_is_refused() -> None:
    from reengage.errors import ConfigurationError
    from reengage.portal.server import Address

    for host in ("0.0.0.0", "::", "192.0.2.1", "portal.example.org"):
        with pytest.raises(ConfigurationError):
            Address(host, 8080).require_private()
        Address(host, 8080, proxies=("192.0.2.9",)).require_private()
        Address(host, 8443, certificate=HOME / "x").require_private()
    Address("127.0.0.1", 8080).require_private()
