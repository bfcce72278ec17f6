"""Staged parts: what writers put durably beside a layer, until somebody who holds its lock merges them.

A part is written once, under a name that sorts by its time, and deleted when all that it has is in its layer: whoever
is killed on the way leaves parts that are merged once more, which changes nothing. A broken one is set aside, named
and reported, and stops no other.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.names import new_name
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trouble:
    """What was wrong with parts: where those that were `quarantined` are now, and `problems` in sentences.

    `gone` are the keys of parts that somebody else has merged meanwhile, `failures` what the storage raised; the parts
    that these are of stay staged.
    """

    quarantined: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failures: list[OSError] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Add and log a problem."""
        log.error(problem)
        self.problems.append(problem)


class StagedParts:
    """The parts in one folder, in the order in which they were staged.

    :param decode: makes a table of a part's key and bytes; UnreadableFileError, naming the key, for a broken one
    """

    def __init__(self, storage: Storage, folder: str, decode: Callable[[str, bytes], pa.Table]) -> None:
        self._storage = storage
        self._folder = folder
        self._decode = decode

    def stage(self, data: bytes) -> str:
        """Write a part durably; its key. OSError when the storage fails, and then nothing is staged."""
        key = f"{self._folder}/{new_name(layout.PART_SUFFIX)}"
        self._storage.put(key, data)
        return key

    def listed(self) -> list[str]:
        """The parts that there are."""
        return [f"{self._folder}/{name}" for name in part_names(self._storage, self._folder)]

    def load(self, key: str) -> pa.Table:
        """A part; UnreadableFileError when it is broken, FileNotFoundError when it is merged already, OSError."""
        return self._decode(key, self._storage.read(key).data)

    def read(
        self, trouble: Trouble, keys: Iterable[str] | None = None, *, sets_aside: bool = True
    ) -> Iterator[tuple[str, pa.Table]]:
        """These parts (None: all), each by its key, one after another; the others end up in `trouble`."""
        for key in self.listed() if keys is None else keys:
            try:
                yield key, self.load(key)
            except UnreadableFileError as error:
                self._pass_over(key, error, trouble, sets_aside=sets_aside)
            except FileNotFoundError:
                log.warning("%s was merged by somebody else", key)
                trouble.gone.append(key)
            except OSError as error:
                trouble.failures.append(error)
                trouble.note(f"{key} could not be read and stays staged: {error}")

    def _pass_over(self, key: str, error: UnreadableFileError, trouble: Trouble, *, sets_aside: bool) -> None:
        problem = error.message
        if sets_aside:
            aside = layout.quarantined(key)
            self._storage.move(key, aside)
            trouble.quarantined.append(aside)
            problem = f"{problem}; it was set aside as {aside}"
        trouble.note(problem)


def part_names(storage: Storage, folder: str) -> list[str]:
    """The names of the parts in a folder, in the order in which they were staged."""
    return [name for name in storage.children(folder) if name.endswith(layout.PART_SUFFIX)]
