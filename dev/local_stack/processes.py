"""The processes of a stack: start them, mark them, end them, find those that an earlier stack left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from local_stack.errors import ComponentDiedError
from local_stack.layout import StateFolder, opened_private

MARK = "GHOST_STACK"
"""Environment variable that every process of a stack carries; its value is the state folder."""

TAIL = 25


class Component:
    """One long-lived process of the stack, with a log file of its own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        identity: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.expected = False
        self._env = dict(env)
        self._cwd = cwd
        self._identity = identity
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process in a session of its own: ctrl-C at the terminal reaches only the supervisor."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        user, group = self._identity or (None, None)
        with open(self.log, "ab", opener=opened_private) as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[] if self._identity else None,
            )
        self.expected = True

    def check(self) -> None:
        """Raise ComponentDiedError if the process has ended though it should run."""
        if self.expected and self._process is not None and self._process.poll() is not None:
            raise ComponentDiedError(self.name, self._process.returncode, self.log, tail(self.log))

    def signal(self, number: int) -> None:
        """Send a signal; a process that is gone already is none to complain about."""
        if self._process is not None:
            self.expected = False
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether the process has ended within that time."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def family(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        if self._process is None:
            return []
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def listens_on(self, port: int) -> bool:
        """Whether the process, or a descendant, is the server on that port: another program may have got it first."""
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                sockets = process.net_connections("inet")
                if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets):
                    return True
        return False


def tail(path: Path, lines: int = TAIL) -> str:
    """The last lines of a log file."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"


def rotate(path: Path) -> None:
    """Keep the log of the last start beside the new one."""
    if path.exists() and path.stat().st_size:
        path.replace(path.with_suffix(path.suffix + ".1"))


def end(processes: Iterable[psutil.Process], grace: float) -> None:
    """End processes: SIGTERM, and SIGKILL for those that still live when the grace period is over."""
    remaining = list(processes)
    for kill, seconds in ((False, grace), (True, 5.0)):
        if not kill and not grace:
            continue
        for process in remaining:
            with contextlib.suppress(psutil.Error):
                process.kill() if kill else process.terminate()
        remaining = _wait(remaining, seconds)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still live after that time."""
    deadline = time.monotonic() + seconds
    while (living := [process for process in processes if alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return living


def stop(components: Mapping[Component, float]) -> None:
    """Ask components to end, and end the families of those that take longer than their seconds of grace.

    Only the main process of each is asked: it ends its own children in an orderly way.
    """
    families = {component: component.family() for component in components}
    for component in components:
        component.signal(signal.SIGTERM)
    begin = time.monotonic()
    for component, grace in sorted(components.items(), key=lambda item: item[1]):
        component.wait(max(0.0, begin + grace - time.monotonic()))
        end([*families[component], *component.family()], 0.0)
        component.wait(1.0)


def remember(state: StateFolder, components: Iterable[Component]) -> None:
    """Write down what runs, for a later start on a system that hides other processes' environment."""
    rows = []
    for component in components:
        if component.running:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(component.pid)
                rows.append({"name": component.name, "pid": process.pid, "created": process.create_time()})
    draft = state.children.with_suffix(".new")
    draft.write_text(json.dumps(rows))
    draft.replace(state.children)


def belonging_to(state: StateFolder) -> list[psutil.Process]:
    """All processes of this state folder's stack, whoever started them, except the caller and its ancestors."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = {process.pid: process for process in [*_marked(state), *_remembered(state), *_postgres(state)]}
    for process in list(found.values()):
        with contextlib.suppress(psutil.Error):
            found.update({child.pid: child for child in process.children(recursive=True)})
    return [process for pid, process in found.items() if pid not in ours]


def _marked(state: StateFolder) -> Iterable[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(state.root):
                yield process


def _remembered(state: StateFolder) -> Iterable[psutil.Process]:
    try:
        rows = json.loads(state.children.read_text())
    except (OSError, ValueError):
        return
    for row in rows:
        with contextlib.suppress(psutil.Error, KeyError, TypeError):
            process = psutil.Process(row["pid"])
            if abs(process.create_time() - row["created"]) < 1.0:
                yield process


def _postgres(state: StateFolder) -> Iterable[psutil.Process]:
    """Servers and their backends: they overwrite their environment, but work in the data directory."""
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.info["name"] == "postgres" and process.cwd() == str(state.postgres):
                yield process


def end_everything(state: StateFolder, grace: float) -> list[str]:
    """End all processes of the state folder's stack and return what they were.

    Looks again until nothing is found: a process can start another one while it is being ended.
    """
    names: list[str] = []
    deadline = time.monotonic() + grace + 15.0
    while (processes := [process for process in belonging_to(state) if alive(process)]) and (
        time.monotonic() < deadline
    ):
        names.extend(_name(process) for process in processes)
        end(processes, grace)
        grace = 0.0
    return names


def alive(process: psutil.Process) -> bool:
    """Whether a process lives; a zombie does not, though its id is still taken."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return f"{process.name()} ({process.pid})"
    except psutil.Error:
        return f"process {process.pid}"
