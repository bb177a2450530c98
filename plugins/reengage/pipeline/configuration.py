"""Configuration: what a run works by, and who changed it, whenever it is not what it was.

Preflight compares the digest of each file of the campaign with the ledger's newest record of it and
adds one for each that differs (SEC-16): campaign, templates, suites, questions, vendor, practice.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from reengage.campaigns import Campaign
from reengage.keys import digest
from reengage.ledger.append import append
from reengage.ledger.canonical import canonical
from reengage.ledger.records import Record, configuration
from reengage.pipeline.composing import NOTICE
from reengage.pipeline.run import Run

_GIT_SECONDS = 10
_QUESTIONS = ("approvals", "contract", "extract", "gate", "outbox")
Parts = dict[str, tuple[Path, str]]
"""Name of each part -> its file or folder, and the SHA-256, in hex, of what is in force."""


def note_changes(connection: Connection, run: Run) -> int:
    """Record what changed since it was last recorded; gives how many."""
    now = _parts(run)
    before = _recorded(connection, list(now))
    changed = [
        _changed(run, name, path, sha256, before.get(name))
        for name, (path, sha256) in sorted(now.items())
        if sha256 != before.get(name)
    ]
    append(connection, run.keyring, changed)
    return len(changed)


def digests(run: Run) -> dict[str, str]:
    """Name of each part that the campaign works by -> SHA-256, in hex, of what is in force."""
    return {name: sha256 for name, (_, sha256) in _parts(run).items()}


def _parts(run: Run) -> Parts:
    """All that a run works by."""
    home = run.settings.home
    vendor = canonical(_plain(run.vendor.model_dump(mode="json", by_alias=True)))
    found = judged_parts(home, run.campaign, portal=run.practice.portal is not None)
    found["practice"] = (home / "practice.yaml", digest((home / "practice.yaml").read_bytes()))
    found[f"vendor/{run.vendor.name}"] = (run.settings.vendors_path, digest(vendor))
    return found


def judged_parts(home: Path, campaign: Campaign, *, portal: bool) -> Parts:
    """What a person approves before the campaign works by it: file, words, suites, questions."""
    found = {name: (path, digest(path.read_bytes())) for name, path in _files(home, campaign)}
    # With all its variants, which lie below it.
    for folder in (campaign.template, *((NOTICE,) if portal else ())):
        found[f"template/{folder}"] = _folder(home / "templates" / folder)
    found["template/shared"] = _folder(home / "templates" / "base")
    return found


def _files(home: Path, campaign: Campaign) -> Iterator[tuple[str, Path]]:
    yield f"campaign/{campaign.slug}", home / "campaigns" / f"{campaign.slug}.yaml"
    yield "jurisdictions", home / "jurisdictions.yaml"
    for suite in campaign.suites.names():
        yield f"suite/{suite}", home / "expectations" / f"{suite}.json"
    # Another campaign's audience is none of this one's business.
    others = {f"{path.stem}.sql" for path in (home / "campaigns").glob("*.yaml")}
    others -= {campaign.audience}
    for question in _QUESTIONS:
        for path in sorted((home / "sql" / question).rglob("*")):
            if path.is_file() and not (path.parent.name == "extract" and path.name in others):
                yield str(path.relative_to(home)), path


def _folder(directory: Path) -> tuple[Path, str]:
    """A folder's digest: names and contents, in the order of the names."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    said = [[str(path.relative_to(directory)), digest(path.read_bytes())] for path in files]
    return directory, digest(canonical(said))


def _plain(value: Any) -> Any:
    """As the ledger can say it."""
    return json.loads(json.dumps(value, default=str), parse_float=str)


def _recorded(connection: Connection, names: list[str]) -> dict[str, str | None]:
    """The digest that the newest record of each name holds."""
    found = connection.execute(
        text(
            "SELECT DISTINCT ON (subject) subject,"
            " convert_from(entry, 'UTF8')::jsonb #>> '{body,sha256}' AS sha256"
            " FROM ledger_entry WHERE kind = 'configuration' AND subject = ANY(:names)"
            " ORDER BY subject, index DESC"
        ),
        {"names": names},
    )
    return {row.subject: row.sha256 for row in found}


def _changed(run: Run, name: str, path: Path, sha256: str, previous: str | None) -> Record:
    return configuration(
        name=name, sha256=sha256, previous=previous, changed_by=author_of(run.settings.home, path)
    )


def author_of(home: Path, path: Path) -> Mapping[str, Any]:
    """Who changed it last, as far as git knows; what is not committed has no author."""
    if not _is_repository(home) or _git(home, "status", "--porcelain", "--", str(path)) != "":
        return {"source": "unknown"}
    told = _git(home, "log", "-1", "--format=%H%n%an%n%ae%n%cI", "--", str(path)) or ""
    said = told.splitlines()
    if len(said) != 4:
        return {"source": "unknown"}
    return dict(zip(("source", "commit", "name", "email", "at"), ("git", *said), strict=True))


@lru_cache(maxsize=8)
def _is_repository(home: Path) -> bool:
    return _git(home, "rev-parse", "--git-dir") is not None


def _git(home: Path, *arguments: str) -> str | None:
    """What git says; None where there is no git, or no repository."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words and paths of the project
            ["git", "-C", str(home), *arguments],  # noqa: S607 - whichever git the worker has
            capture_output=True, text=True, timeout=_GIT_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
