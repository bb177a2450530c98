"""A portal with too much to do, or a store that fails midway, holds nothing against a patient.

The application in this process, over ASGI, with the desk of the running portal's store.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from patients import RIGHT, WRONG, Portal, unknown_id
from portal_headers import HEADERS
from reengage.portal import app as apps
from reengage.portal import pickup
from reengage.portal.desk import open_desk
from reengage.portal.pages import load_pages
from reengage.settings import PortalSettings
from sqlalchemy.exc import OperationalError
from world import NOW

Client = httpx.AsyncClient


@pytest.fixture(scope="module")
def application(portal: Portal) -> Any:
    settings = portal.practice.settings
    desk = open_desk(
        PortalSettings(settings.home, settings.store_url, settings.keyring,
                       settings.journal_path, NOW)
    )  # fmt: skip
    return apps.create_app(desk, load_pages(desk))


def asked(application: Any, work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(application, client=("192.0.2.77", 1))
        async with Client(transport=transport, base_url="https://x") as client:
            return await work(client)

    return asyncio.run(run())


def guessed(portal: Portal, message_id: str) -> list[int]:
    rows = portal.rows("SELECT wrong FROM portal_guess WHERE message_id = :m", m=message_id)
    return [row["wrong"] for row in rows]


def test_an_answer_for_which_there_is_no_room_is_not_counted(
    portal: Portal, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While as many as may wait do wait: the next one is told to come back, and may."""
    one, other = portal.next(), unknown_id()
    here, go = threading.Event(), threading.Event()
    really = pickup.matches

    def slowly(*said: Any) -> bool:
        here.set()
        assert go.wait(20)
        return really(*said)

    monkeypatch.setattr(apps, "WAITING", 1)
    monkeypatch.setattr(pickup, "matches", slowly)

    async def crowd(client: Client) -> Any:
        first = asyncio.create_task(client.post(f"/api/letters/{other}/sessions", json=WRONG))
        await asyncio.to_thread(here.wait, 20)
        turned_away = await client.post(f"/api/letters/{one.message_id}/sessions", json=RIGHT)
        go.set()
        return turned_away, await first

    turned_away, first = asked(application, crowd)
    assert (turned_away.status_code, turned_away.json()) == (
        503, {"problem": "crowded", "seconds": 5},
    )  # fmt: skip
    assert turned_away.headers["retry-after"] == "5"
    assert first.status_code == 403
    assert guessed(portal, one.message_id) == []
    assert portal.answer(one.message_id, RIGHT).status_code == 201


@pytest.mark.parametrize(
    ("answer", "step", "left"),
    [(RIGHT, "admit", 0), (RIGHT, "matches", 0), (WRONG, "matches", 0), (WRONG, None, 1)],
)
def test_a_fault_of_ours_gives_the_answer_back_and_a_wrong_one_is_counted(
    portal: Portal, application: Any, monkeypatch: pytest.MonkeyPatch,
    answer: dict[str, str], step: str | None, left: int,
) -> None:  # fmt: skip
    one = portal.next()

    def fails(*_: object) -> None:
        raise OperationalError("the store is away", None, Exception())

    if step:
        monkeypatch.setattr(pickup, step, fails)
    found = asked(
        application,
        lambda client: client.post(f"/api/letters/{one.message_id}/sessions", json=answer),
    )
    assert found.status_code == (503 if step else 403)
    assert guessed(portal, one.message_id) == [left]
    monkeypatch.undo()
    if step:
        assert portal.answer(one.message_id, RIGHT).status_code == 201


def test_a_fault_before_an_answer_is_counted_takes_no_other_answer_back(
    portal: Portal, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or who can make the store fail guesses for ever."""
    one = portal.next()
    assert portal.answer(one.message_id, WRONG).status_code == 403

    def fails(*_: object) -> None:
        raise OperationalError("the store is away", None, Exception())

    monkeypatch.setattr(pickup, "keep_pace", fails)
    path = f"/api/letters/{one.message_id}/sessions"
    found = asked(application, lambda client: client.post(path, json=WRONG))
    assert found.status_code == 503
    assert guessed(portal, one.message_id) == [1]
    assert portal.answer(one.message_id, RIGHT).status_code == 429  # it waits as before


@pytest.mark.parametrize(
    "fault", [KeyError("canary"), OperationalError("canary", None, Exception())]
)
@pytest.mark.parametrize("page", ["/m/x", "/opt-out/x", "/health", "/none"])
def test_also_a_fault_has_the_headers_and_not_its_reason(
    application: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception, page: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("reengage.portal.pages.Pages.page", fails)
    monkeypatch.setattr(apps, "_look", fails)
    found = asked(application, lambda client: client.get(page))
    assert found.status_code in (500, 503)
    assert {name: found.headers[name] for name in HEADERS} == HEADERS
    assert "canary" not in found.text
