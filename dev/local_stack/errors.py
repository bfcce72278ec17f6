"""What can go wrong with a local stack, each in one sentence for the person at the terminal."""

from __future__ import annotations

from pathlib import Path


class StackError(Exception):
    """The stack cannot start or go on."""


class AlreadyRunningError(StackError):
    """Another supervisor holds this state folder."""


class ComponentDiedError(StackError):
    """A component ended that nobody had asked to end."""

    def __init__(self, name: str, returncode: int | None, log: Path, tail: str) -> None:
        self.name = name
        self.returncode = returncode
        self.log = log
        self.tail = tail
        super().__init__(f"{name} ended by itself (exit code {returncode}). End of {log}:\n{tail}")


class ApiError(StackError):
    """Airflow's REST API refused a request."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{method} {path} answered {status}: {body[:500]}")


class NoAnswerError(StackError):
    """Airflow's REST API did not answer though its process runs: overloaded, or still starting."""
