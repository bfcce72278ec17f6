"""Where the documentation's commands are run."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from local_stack.airflow_config import command_line_environment
from local_stack.postgres import _binaries
from local_stack.stack import LocalStack

DAGS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")
COMMAND_SECONDS = 180


@dataclass(frozen=True)
class World:
    """Where the commands run: `checkout` is a copy of the project whose `.run/` is that of the running `stack`."""

    checkout: Path
    stack: LocalStack
    places: Path
    """Stands for the root of the machine's file system, below which the documentation's folders are."""

    @property
    def vault(self) -> Path:
        """What the documentation calls /data/vault."""
        return self.places / "data" / "vault"

    @property
    def socket(self) -> str:
        """The host of the ghost database: the folder of a socket."""
        return str(conninfo_to_dict(self.stack.ghost_dsn)["host"])

    @property
    def database(self) -> str:
        """The ghost database as a URL."""
        return f"postgresql://postgres@/ghost?host={self.socket}"

    def here(self, text: str) -> str:
        """A command or a program of the documentation with this world's places instead of its examples."""
        text = re.sub(r"postgresql://ghost@db\.example\.com/ghost", lambda _: self.database, text)
        text = text.replace("--conn-host db.example.com", f"--conn-host {self.socket}")
        return re.sub(r"(?<![\w.])/(data|backup|opt)(?=/)", lambda found: f"{self.places}/{found[1]}", text)

    def shell(self, command: str) -> str:
        """What a command prints; AssertionError with all of it where it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(command)],
            cwd=self.checkout,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        environment = command_line_environment(self.stack.state)
        path = os.pathsep.join([str(_binaries()), environment["PATH"]])  # pg_dump must not be older than the server
        known = {"PGPASSFILE": str(self.stack.state.passfile), "PYTHONPATH": str(self.checkout / "plugins")}
        return environment | known | {"PATH": path}
