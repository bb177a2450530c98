"""The DAG files of this checkout, parsed once for all tests: it takes Airflow's imports."""

from __future__ import annotations

from typing import Any

import pytest
from dags.parsing import parse
from reengage.settings import HOME


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parse(HOME, tmp_path_factory.mktemp("airflow"))
