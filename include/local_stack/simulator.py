"""The YouTube simulator as a component of the stack: used whenever there is no API key."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from local_stack.errors import StackError
from local_stack.layout import PROJECT
from local_stack.ports import LOOPBACK
from local_stack.processes import Component

READY_SECONDS = 30.0


class Simulator:
    """One simulator process and where it answers."""

    def __init__(self, folder: Path, *, port: int, seed: int, log: Path, env: Mapping[str, str]) -> None:
        self.url = f"http://{LOOPBACK}:{port}/"
        self._ready_file = folder / "ready.json"
        command = [
            *(sys.executable, "-m", "youtube_simulator"),
            *("--port", str(port)),
            *("--seed", str(seed)),
            *("--state-file", str(folder / "state.json")),
            *("--ready-file", str(self._ready_file)),
        ]
        include = PROJECT / "include"
        self.component = Component("simulator", command, log=log, env={**env, "PYTHONPATH": str(include)}, cwd=include)

    def start(self) -> None:
        """Start the process; `wait` tells when it answers."""
        self._ready_file.unlink(missing_ok=True)
        self.component.start()

    def wait(self) -> None:
        """Wait until the simulator has written its ready file."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready_file.exists():
            self.component.check()
            if time.monotonic() > deadline:
                raise StackError(f"the simulator was not ready within {READY_SECONDS:.0f} s: {self.component.log}")
            time.sleep(0.05)
