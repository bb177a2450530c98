"""The base images, pulled where a registry can be reached, else stand-ins from Debian's packages.

A stand-in has the same user, paths and entry point as far as we rely on them, and a name of its
own, under which compose is told to take it: in an engine that is also an operator's, nothing passes
for the official image afterwards. The images' own files are in `images/`. What the test says of
them it says of our Dockerfile, compose file and code, not of the official images.
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
STANDIN = "reengage-standin"
BASE = f"{STANDIN}/debian:bookworm"
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


def ensure() -> dict[str, tuple[str, str]]:
    """Every base image is there; gives for each variable of docker-compose.yaml the image that is
    to be taken, and where it is from. Raises NoEngineError.
    """
    found = {}
    for name, image in wanted().items():
        if _is_here(image):
            taken = image, "here already"
        elif _pulled(image):
            taken = image, "pulled"
        else:
            taken = _stand_in(name, image), "stand-in from Debian's packages"
        found[f"{name.upper()}_IMAGE"] = taken
    return found


def _is_here(image: str) -> bool:
    return docker("image", "inspect", image, check=False).strip() not in ("", "[]")


def _stand_in(name: str, image: str) -> str:
    """Built each time: the engine's own cache knows what is the same."""
    _ensure_debian()
    tag = f"{STANDIN}/{name}:{image.rpartition(':')[2]}"
    docker("build", "--network", "host", "-t", tag,
           "-f", str(FILES / f"{name}.Dockerfile"), str(FILES))  # fmt: skip
    return tag


def _pulled(image: str) -> bool:
    try:
        done = subprocess.run(
            ["docker", "pull", "-q", image], capture_output=True, check=False, timeout=PULL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return not done.returncode


def _ensure_debian() -> None:
    if _is_here(BASE):
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
