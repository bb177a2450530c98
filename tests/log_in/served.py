"""Airflow's api-server in a process of its own, asked line by line: its real app, without a socket.

A process apart, as Airflow reads its settings once; several of them are several api-servers on one
database. The clock of our limit is what the last line said. Run by `running.py` beside this file.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from typing import Any

import httpx

_NOW: list[datetime] = []


def make_app() -> Any:
    """The app as `airflow api-server` serves it, with our plugin in it."""
    from airflow import plugins_manager
    from airflow.api_fastapi.app import create_app

    [ours] = [one for one in plugins_manager.get_fastapi_plugins()[1]
              if one["name"] == "log-in limit"]  # fmt: skip
    ours["kwargs"] = {"now": lambda: _NOW[-1]}
    return create_app()


async def serve(app: Any) -> None:
    """Answer each line of the input with one of the output."""
    clients: dict[str, httpx.AsyncClient] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        _NOW[:] = [datetime.fromisoformat(asked.pop("now"))]
        browser, address = asked.pop("browser"), asked.pop("address")
        transport = httpx.ASGITransport(app, client=(address, 50_000))
        if browser not in clients:
            clients[browser] = httpx.AsyncClient(base_url="https://airflow.example.org")
        clients[browser]._transport = transport
        answer = await clients[browser].request(**asked)
        cookies = {one.name: one.value for one in clients[browser].cookies.jar}
        said = {"status": answer.status_code, "headers": dict(answer.headers),
                "text": answer.text, "cookies": cookies}  # fmt: skip
        print(f"answer {json.dumps(said)}", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(make_app()))
