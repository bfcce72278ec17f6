"""A vault that notes which files are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.storage import LocalStorage


class Counting(LocalStorage):
    """A folder that notes which files are read or opened, and how many are open at the same time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, layout.SCRATCH)
        self.read_keys: set[str] = set()
        self.most_open = 0
        self._open: list[BinaryIO] = []

    def read(self, key: str, **how: Any) -> Any:
        self.read_keys.add(key)
        return super().read(key, **how)

    def open(self, key: str) -> Any:
        self.read_keys.add(key)
        file = super().open(key)
        self._open = [*(each for each in self._open if not each.closed), file]
        self.most_open = max(self.most_open, len(self._open))
        return file

    def of(self, layer: str) -> int:
        """How many files of a layer were."""
        return sum(1 for key in self.read_keys if key.startswith(layer) and "manifest" not in key)


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[ParquetVaultHook, Counting]]:
    """A vault in a folder, and what counts what is read of it."""

    def opened() -> tuple[ParquetVaultHook, Counting]:
        vault = ParquetVaultHook(root=tmp_path, lock_timeout=5)
        vault.identity(create=True)
        storage = Counting(tmp_path)
        for name in ("readable", "writable"):
            monkeypatch.setattr(vault._location, name, lambda: storage)
        return vault, storage

    return opened
