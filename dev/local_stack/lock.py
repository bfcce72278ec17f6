"""One supervisor a state folder."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from local_stack.errors import AlreadyRunningError


class SupervisorLock:
    """A file lock that the kernel releases when its holder dies, with what the holder wants others to know."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object has the lock."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock or raise AlreadyRunningError, which says who has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunningError(self._who()) from None
        self._descriptor = descriptor
        self.tell(pid=os.getpid())

    def tell(self, **facts: Any) -> None:
        """Write down facts for a second supervisor that finds the lock taken."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(facts).encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _who(self) -> str:
        try:
            facts = json.loads(self._path.read_text())
        except (OSError, ValueError):
            facts = {}
        where = f" at {facts['url']}" if "url" in facts else ""
        who = f" (process {facts['pid']})" if "pid" in facts else ""
        return f"Ghost Tracking runs already{where}{who} with the state in {self._path.parent}."
