"""The base images, pulled where a registry can be reached, else stand-ins from Debian's packages.

A stand-in bears the same name and has the same user, paths and entry point as far as we rely on
them; the images' own files are in `images/`. What the test says of them it says of our Dockerfile,
compose file and code, not of the official images.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from reengage.settings import HOME

from stack.engine import NoEngineError, docker

FILES = Path(__file__).parent / "images"
BASE = "reengage-standin/debian:bookworm"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PULL_SECONDS = 300


def wanted() -> dict[str, str]:
    """Stand-in -> the name that docker-compose.yaml and the Dockerfile ask for."""
    compose = (HOME / "docker-compose.yaml").read_text(encoding="utf-8")
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    found = {
        name: re.search(rf"_IMAGE:-({name}:[^}}]+)}}", compose) for name in ("postgres", "redis")
    }
    found["airflow"] = re.search(r"ARG AIRFLOW_IMAGE=(\S+)", dockerfile)
    return {name: match[1] for name, match in found.items() if match}


def ensure() -> dict[str, str]:
    """Every base image is there; gives for each where it is from. Raises NoEngineError."""
    origins = {}
    for name, image in wanted().items():
        if docker("image", "inspect", image, check=False).strip() not in ("", "[]"):
            origins[image] = "here already"
        elif _pulled(image):
            origins[image] = "pulled"
        else:
            _ensure_debian()
            docker("build", "--network", "host", "-t", image,
                   "-f", str(FILES / f"{name}.Dockerfile"), str(FILES))  # fmt: skip
            origins[image] = "stand-in from Debian's packages"
    return origins


def _pulled(image: str) -> bool:
    try:
        done = subprocess.run(
            ["docker", "pull", "-q", image], capture_output=True, check=False, timeout=PULL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return not done.returncode


def _ensure_debian() -> None:
    if docker("image", "inspect", BASE, check=False).strip() not in ("", "[]"):
        return
    if not shutil.which("debootstrap"):
        raise NoEngineError(
            "no image registry can be reached, and debootstrap is missing, from which stand-ins"
            " are built (apt-get install debootstrap)"
        )
    with TemporaryDirectory(dir="/var/tmp") as scratch:
        packages = "ca-certificates,dumb-init,python3,python3-venv,python3-pip,curl"
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", scratch],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise NoEngineError(f"debootstrap failed: {done.stdout[-500:]}")
        root = Path(scratch)
        if AUTHORITIES.exists():  # whom this machine trusts on its way to the package registries
            shutil.copy(AUTHORITIES, root / AUTHORITIES.relative_to("/"))
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        archive = subprocess.Popen(["tar", "-C", scratch, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(
            ["docker", "import", "--change",
             f"ENV PIP_CERT={AUTHORITIES} SSL_CERT_FILE={AUTHORITIES}", "-", BASE],
            stdin=archive.stdout, capture_output=True, check=True,
        )  # fmt: skip
        archive.wait()
