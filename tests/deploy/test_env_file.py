"""The secrets that `make up` makes: random, private, made once."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from reengage.deploy import env_file
from reengage.errors import ConfigurationError
from reengage.settings import HOME


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_they_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    files = tmp_path / ".env", tmp_path / "worker.env", tmp_path / "keys.env"
    made = env_file.ensure(*files)
    assert set(env_file.RANDOM) < set(made)
    assert {mode(path) for path in files} == {0o600}
    before = [path.read_bytes() for path in files]
    assert env_file.ensure(*files) == []
    assert [path.read_bytes() for path in files] == before


def test_two_checkouts_share_none(tmp_path: Path) -> None:
    one, other = env_file.complete({}), env_file.complete({})
    shared = {name for name in one if one[name] == other[name]}
    assert shared == {"COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "REENGAGE_VENDORS_FILE"}
    assert all(len(one[name]) >= 43 for name in env_file.RANDOM)  # 256 bits
    assert len(base64.urlsafe_b64decode(one["AIRFLOW_FERNET_KEY"])) == 32


def test_a_line_that_is_there_stays_and_what_is_new_is_added(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# ours\nADMIN_PASSWORD=kept\nCOMPOSE_PROFILES=\nEXTRACTOR_DB_PASSWORD=x")
    path.chmod(0o644)
    made = env_file.ensure(path, tmp_path / "worker.env", tmp_path / "keys.env")
    found = env_file.read(path)
    assert "ADMIN_PASSWORD" not in made
    assert found["ADMIN_PASSWORD"] == "kept"
    assert found["COMPOSE_PROFILES"] == ""
    assert "://extractor:x@postgres/warehouse" in found["REENGAGE_WAREHOUSE_URL"]
    assert path.read_text().startswith("# ours\n")
    assert mode(path) == 0o600


def test_a_file_that_is_none_is_refused_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("ADMIN_PASSWORD s3cret\n")
    with pytest.raises(ConfigurationError, match="line 1 is no NAME=value") as caught:
        env_file.ensure(path, tmp_path / "worker.env", tmp_path / "keys.env")
    assert "s3cret" not in str(caught.value)


def test_it_needs_python_alone_and_prints_no_secret(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-m", "reengage.deploy.env_file", "--file", tmp_path / ".env",
               "--worker", tmp_path / "worker.env", "--keys", tmp_path / "keys.env"]  # fmt: skip
    done = subprocess.run(
        command, env={"PYTHONPATH": str(HOME / "plugins")}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    secrets = [value for name, value in env_file.read(tmp_path / ".env").items()
               if name in env_file.RANDOM]  # fmt: skip
    assert not [one for one in secrets if one in done.stdout + done.stderr]
    assert "ADMIN_PASSWORD" in done.stdout
