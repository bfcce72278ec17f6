"""Where things lie: the project's folders and the state folder of one stack."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class StateFolder:
    """The folder that holds everything a stack keeps between two starts."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.root / "lock"

    @property
    def children(self) -> Path:
        """Process ids and creation times of what the supervisor started."""
        return self.root / "processes.json"

    @property
    def ports(self) -> Path:
        """Ports of the last start, taken again when they are free."""
        return self.root / "ports.json"

    @property
    def logs(self) -> Path:
        """One log file a component."""
        return self.root / "logs"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME: airflow.cfg, secrets, task logs."""
        return self.root / "airflow"

    @property
    def worker_config(self) -> Path:
        """The configuration of Celery's workers, in the place of airflow.cfg."""
        return self.airflow_home / "worker.cfg"

    @property
    def environment(self) -> Path:
        """Environment variables that Airflow's components got beside their configuration."""
        return self.airflow_home / "environment.json"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "postgres"

    @property
    def simulator(self) -> Path:
        """What the YouTube simulator keeps."""
        return self.root / "simulator"

    @property
    def vault(self) -> Path:
        """The Parquet vault."""
        return self.root / "vault"

    @property
    def broker(self) -> Path:
        """What Celery's broker keeps, if there is one."""
        return self.root / "broker"

    def create(self) -> None:
        """Make the folders that are ours to make; PostgreSQL's belongs to PostgreSQL.

        What programs log and keep is their owner's to read, whatever the umask is.
        """
        for folder in (self.root, self.logs, self.airflow_home, self.simulator, self.vault):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.logs, self.airflow_home, self.simulator):
            folder.chmod(0o700)

    @property
    def password_file(self) -> Path:
        """Airflow's password, for whoever cannot see what `make run` prints."""
        return self._secret_file("password")

    @property
    def passfile(self) -> Path:
        """The password of PostgreSQL, as libpq reads it."""
        return self._secret_file("pgpass")

    def _secret_file(self, name: str) -> Path:
        return self.airflow_home / "secrets" / name

    def secret(self, name: str, new: str | None = None) -> str:
        """The secret of that name, generated once; only the owner can read its file."""
        path = self._secret_file(name)
        if path.exists() and (text := path.read_text().strip()):
            return text
        text = new or secrets.token_urlsafe(32)
        write_private(path, text + "\n")
        return text


def opened_private(path: str, flags: int) -> int:
    """For `open`: a file that is made is one that only its owner can read."""
    return os.open(path, flags, 0o600)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step: a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
