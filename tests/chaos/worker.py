"""A task in a process of its own, as with Airflow: it knows the environment and the run's id."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any
from uuid import UUID

import psycopg
import rooms
from reengage.errors import ReengageError, place_of
from reengage.pipeline.plan import Chunk
from reengage.pipeline.run import resume
from reengage.settings import read_settings
from sqlalchemy.exc import DBAPIError

CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = ("great_expectations", *(module for module, _ in rooms._ROOMS.values()), __name__)


def warm_up() -> None:
    """Have the imports of every task made once, in another process, while this one goes on."""
    CONTEXT.set_forkserver_preload(list(_PRELOADED))
    forkserver.ensure_running()


class StoppedError(BaseException):
    """SIGTERM came."""


def work(
    variables: dict[str, str],
    names: tuple[str, ...],
    slug: str,
    run_id: UUID,
    chunk: Chunk,
    said: Connection,
) -> None:
    """Do the rooms one after the other; tell in two words how it ended."""
    signal.signal(signal.SIGTERM, _stop)
    os.environ.update(variables)
    try:
        for name in names:
            module, door = rooms._ROOMS[name]
            run = resume(read_settings(), slug, run_id)
            result: Any = getattr(importlib.import_module(module), door)(run, chunk)
        said.send(("done", str(result)))
    except StoppedError:
        said.send(("stopped", ""))
    except ReengageError as error:
        said.send((type(error).__name__, str(error)))
    except (
        DBAPIError,
        psycopg.Error,
    ) as error:  # the corridor gives its place
        said.send(("DBAPIError", place_of(error)))
    except Exception as error:
        said.send(("unforeseen", f"{place_of(error)} {error!r}"))


def _stop(*_: object) -> None:
    raise StoppedError
