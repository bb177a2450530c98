"""The stack, brought up once for all of its tests; skipped, with the reason, where it cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import images
from stack import stack as stacks
from stack.engine import NoEngineError, engine


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stacks.Stack]:
    if os.environ.get("REENGAGE_COMPOSE") != "1":
        pytest.skip("takes an engine and minutes; `make test-compose` runs it")
    if stacks.command() is None:
        pytest.skip("neither `docker compose` nor docker-compose is here")
    scratch = tmp_path_factory.mktemp("stack")
    for above in (scratch, *scratch.parents[:2]):
        above.chmod(above.stat().st_mode | 0o011)
    try:
        with engine():
            bases = images.ensure()
            for image, origin in bases.values():
                print(f"{image}: {origin}")
            taken = {variable: image for variable, (image, _) in bases.items()}
            with stacks.running(Path(scratch), taken) as found:
                yield found
    except NoEngineError as error:
        pytest.skip(str(error))
