"""Where the embedded default keeps what it makes: everything below `var/`, the keys outside.

`var/` may be deleted at any time (`make clean`); the next run makes it anew. The keys lie in the
user's state directory, never below the project and never in a database (SEC-25).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths of one checkout's embedded default."""

    home: Path

    @property
    def var(self) -> Path:
        """Root of all that the embedded default writes, except the keys."""
        return self.home / "var"

    @property
    def postgres(self) -> Path:
        """Data directory of the embedded PostgreSQL, which also holds its socket."""
        return self.var / "postgres"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME: logs and the generated log-in."""
        return self.var / "airflow"

    @property
    def log_ins(self) -> Path:
        """The accounts of the embedded Airflow: role and password of each (mode 0600)."""
        return self.airflow / "log-ins.json"

    @property
    def maildir(self) -> Path:
        """Letters that the embedded relay accepted."""
        return self.var / "mail"

    @property
    def rehearsal(self) -> Path:
        """Letters of dry runs and replays."""
        return self.var / "rehearsal"

    @property
    def returns(self) -> Path:
        """Maildir of what comes back; the embedded relay itself returns nothing."""
        return self.var / "returns"

    @property
    def certificates(self) -> Path:
        """The embedded relay's own certificate authority."""
        return self.var / "certificates"

    @property
    def logs(self) -> Path:
        """Output of the processes that a run starts."""
        return self.var / "log"

    @property
    def lineage(self) -> Path:
        """OpenLineage events of Airflow's provider, one JSON object a line."""
        return self.var / "lineage" / "events.jsonl"

    @property
    def sample(self) -> Path:
        """The sample warehouse that a bare `make run` writes."""
        return self.var / "sample"

    @property
    def correspondents(self) -> Path:
        """An authority for S/MIME, and the keys of the made-up patients that it certified."""
        return self.var / "correspondents"

    @property
    def job(self) -> Path:
        """Locked and signed by the run or UI that is under way."""
        return self.var / "job"

    @property
    def processes(self) -> Path:
        """One file per process group that is running, for `make down`."""
        return self.var / "processes"

    @property
    def keyring(self) -> Path:
        """The keys of this checkout, in the user's state directory."""
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        mark = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(state) / "reengage" / f"{self.home.name}-{mark}"

    @property
    def backups(self) -> Path:
        """Dumps of the store, where nothing else is named: for the embedded default only."""
        return self.keyring.with_name(f"{self.keyring.name}.backups")

    @property
    def key_backups(self) -> Path:
        """The copy of keyring and journals: the same."""
        return self.keyring.with_name(f"{self.keyring.name}.key-backup")

    def make_private(self) -> None:
        """Make `var/` and what is the user's alone in it, also where an older version made it.

        Where root runs it, `var/` may be passed through, since the database's user must reach its
        data directory (see `postgres`); listed it may not be.
        """
        self.var.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.var.chmod(self.var.stat().st_mode & 0o711)
        for directory in (
            self.airflow, self.maildir, self.rehearsal, self.certificates, self.logs,
            self.lineage.parent, self.processes, self.correspondents, self.returns,
            self.returns / "new",
        ):  # fmt: skip
            directory.mkdir(exist_ok=True, mode=0o700)
            directory.chmod(0o700)
