"""The YouTube simulator as a component of the stack: used whenever there is no API key."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from local_stack.errors import StackError
from local_stack.layout import PROJECT
from local_stack.ports import LOOPBACK
from local_stack.processes import Component, tail

READY_SECONDS = 30.0
CHANNELS = 12


class Simulator:
    """One simulator process, where it answers, and what there is to hunt in it."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        seed: int | None,
        log: Path,
        env: Mapping[str, str],
        videos_per_hour: float | None = None,
    ) -> None:
        self.url = f"http://{LOOPBACK}:{port}/"
        self.sources_file = folder / "sources.yaml"
        self._ready_file = folder / "ready"
        command = [
            *(sys.executable, "-m", "youtube_simulator"),
            *("--port", str(port)),
            *("--state-file", str(folder / "state.json")),
            *("--ready-file", str(self._ready_file)),
            *(("--seed", str(seed)) if seed is not None else ()),
            *(("--videos-per-hour", str(videos_per_hour)) if videos_per_hour is not None else ()),
        ]
        dev = PROJECT / "dev"
        self.component = Component("simulator", command, log=log, env={**env, "PYTHONPATH": str(dev)}, cwd=dev)
        self._client = httpx.Client(base_url=self.url, timeout=30.0, trust_env=False)

    def start(self) -> None:
        """Start the process; `wait` tells when it answers."""
        self._ready_file.unlink(missing_ok=True)
        self.component.start()

    def wait(self) -> None:
        """Wait until the simulator answers, and write down what there is to hunt in its universe."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready_file.exists():
            self.component.check()
            if time.monotonic() > deadline:
                raise StackError(f"the simulator was not ready in {READY_SECONDS:.0f} s:\n{tail(self.component.log)}")
            time.sleep(0.05)
        self._write_sources()

    def control(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        """Ask or order something through the simulator's control API; raises StackError for a refusal."""
        response = self._client.request(method, f"_control/{path}", json=json, params=params)
        if response.is_error:
            raise StackError(f"the simulator refused {path}: {response.text}")
        return response.json()

    def close(self) -> None:
        """Close the connections to the control API."""
        self._client.close()

    def _write_sources(self) -> None:
        """One of each kind of source; ids depend on the simulator's seed only."""
        offered = self.control("GET", "sources")
        sources: list[dict[str, Any]] = [{"channel": channel["id"]} for channel in offered["channels"][:CHANNELS]]
        sources += [{"playlist": playlist["id"]} for playlist in offered["playlists"][:1]]
        sources += [{"search": "night trains"}, {"chart": "mostPopular", "region": "US", "pages": 2}]
        note = "# Written by the local stack at each start: sources in the simulator's universe.\n"
        self.sources_file.write_text(note + yaml.safe_dump(sources, sort_keys=False))
