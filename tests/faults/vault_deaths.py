"""Processes that are killed right before each of the changes that they make to a vault."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fork_server import Children


class Death:
    """Kills this process right before the n-th change that it makes below a folder."""

    _EVENTS = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir"})

    def __init__(self, root: str, at: int) -> None:
        self.changes = 0
        self._root = root
        self._at = at
        sys.addaudithook(self._heard)
        fsync = os.fsync

        def counted(descriptor: int) -> None:  # of a file: it is there and perhaps not whole
            self._change()
            fsync(descriptor)

        os.fsync = counted

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        # the vault reaches its files by names within folders that it holds open
        path = arguments[0] if arguments else None
        if not (writes or event in self._EVENTS) or not isinstance(path, str | os.PathLike):
            return
        if str(path).startswith(self._root) or not Path(path).is_absolute():
            self._change()

    def _change(self) -> None:
        self.changes += 1
        if self.changes == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(children: Children, die_at: Callable[..., int], tmp_path: Path, template: Path, case: str) -> Iterator[Path]:
    """Copies of the vault `template` after each kill of this case, one after the other.

    `die_at(root, case, at)` does its work in a child, with a `Death` at a change, and returns how many there were.
    """
    for at in range(1, 500):
        root = tmp_path / f"killed{at}"
        shutil.copytree(template, root)
        child = children.start(die_at, root=str(root), case=case, at=at)
        if not child.was_killed():
            assert child.result() == at - 1
            return
        yield root
        shutil.rmtree(root)
    pytest.fail("it never came to its end")
