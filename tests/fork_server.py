"""Processes for tests that kill, stop and interleave them.

A test file is also the program of its other processes: run as a script, it calls `serve`, which forks a child for each
line that it is sent, so that a child is at work within a millisecond or two. The fixture `children` starts those of the
test's own file.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

Server = subprocess.Popen[str]

# In the other processes


def serve(work: Mapping[str, Callable[..., Any]]) -> None:
    """Do what the lines of stdin ask for, each in a child of its own; the pids go to stdout."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children: leave no zombies
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(work, order)
        print(child, flush=True)


def _run(work: Mapping[str, Callable[..., Any]], order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(2, 1)  # the server's stdout carries pids only
    try:
        answer = {"result": work[order["work"]](**order["arguments"])}
    except BaseException:  # noqa: BLE001 - a child's last words are for the test
        answer = {"error": traceback.format_exc()}
    scratch = Path(order["answer"] + ".tmp")
    scratch.write_text(json.dumps(answer))
    scratch.rename(order["answer"])
    os._exit(0)


# In the test


@contextmanager
def forking(program: str) -> Iterator[Server]:
    """The server that a test file is when it is run as a script."""
    folder = Path(__file__).parents[1]
    paths = os.pathsep.join(str(folder / name) for name in ("plugins", "dev", "include", "tests"))
    with subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


class Child:
    """One that works, or did."""

    def __init__(self, pid: int, answer: Path) -> None:
        self.pid = pid
        self._answer = answer

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def is_gone(self) -> bool:
        return not psutil.pid_exists(self.pid)

    def was_killed(self) -> bool:
        """Wait until it is gone; whether that was before it had an answer."""
        wait_for(self.is_gone, 60, every=0.001)
        return not self._answer.exists()

    def result(self, timeout: float = 120) -> Any:
        wait_for(self._answer.exists, timeout)
        answer = json.loads(self._answer.read_text())
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def end(self) -> None:
        self.send(signal.SIGKILL)
        wait_for(self.is_gone, 10)


class Children:
    """Those of one test, with their answers in a folder."""

    def __init__(self, server: Server, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._server = server
        self._folder = folder
        self.all: list[Child] = []

    def start(self, work: Callable[..., Any], **arguments: Any) -> Child:
        answer = self._folder / f"{uuid.uuid4().hex}.json"
        order = {"work": work.__name__, "arguments": arguments, "answer": str(answer)}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(order), file=self._server.stdin, flush=True)
        child = Child(int(self._server.stdout.readline()), answer)
        self.all.append(child)
        return child

    def end(self) -> None:
        """Kill whoever is left."""
        for child in self.all:
            child.send(signal.SIGKILL)


@pytest.fixture(scope="module")
def fork_program(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server that the file of the test is."""
    with forking(str(request.path)) as process:
        yield process


@pytest.fixture
def children(fork_program: Server, tmp_path: Path) -> Iterator[Children]:
    """Starts processes that do what the file of the test serves, and kills whoever is left."""
    started = Children(fork_program, tmp_path / "answers")
    yield started
    started.end()


def wait_for(condition: Callable[[], bool], timeout: float, every: float = 0.005) -> None:
    """AssertionError when the condition does not come true in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(every)
