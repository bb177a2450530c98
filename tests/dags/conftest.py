"""The DAG files of this checkout as they are, parsed once: it takes Airflow's imports."""

from __future__ import annotations

from typing import Any

import pytest
from dags.parsing import parse
from reengage.settings import HOME


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parse(HOME, tmp_path_factory.mktemp("airflow"))
