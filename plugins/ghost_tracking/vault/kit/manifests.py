"""Manifests: the one file that says which files make a layer of the vault, replaced in one step.

Files that a manifest names are never changed: a new set of files is written under new names, the manifest is
replaced, and only then are the old ones deleted. Whoever read the former manifest and finds a file gone loads it again.

Where two writers meet, the second finds its version gone and starts over: `edit` does that for one file that is read,
changed and replaced, `retry_overtaken` for work that takes more than that.

Others may be able to write where the vault is, so a manifest is read as foreign text: it is damaged where a name in it
has another form than the layer writes.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault.storage import Storage, Version

log = logging.getLogger(__name__)

ATTEMPTS: Final = 8
"""So often something is tried while others replace the same file all the time: for 6 seconds at the most."""

Content = TypeVar("Content")
Result = TypeVar("Result")

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A number of points, videos or bytes."""


class Manifest(BaseModel):
    """A manifest without content, which is what a vault has where there is no file yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def load(cls, storage: Storage, key: str) -> tuple[Self, Version | None]:
        """The manifest at `key` and its version (None: there is none yet); UnreadableFileError for a damaged one."""
        try:
            blob = storage.read(key)
        except FileNotFoundError:
            return cls(), None
        try:
            return cls.model_validate_json(blob.data), blob.version
        except ValidationError as error:
            problem = error.errors()[0]
            raise UnreadableFileError(
                f"{key} is damaged or comes from a newer Ghost Tracking ({'.'.join(map(str, problem['loc']))}: "
                f"{problem['msg']}): restore it from a backup, or repair the vault",
                key=key,
            ) from None

    def replace(self, storage: Storage, key: str, *, expecting: Version | None) -> None:
        """Put this one in the place of the version that was loaded; FileChangedError when that is gone."""
        storage.replace(key, self.encoded(), expecting=expecting)

    def encoded(self) -> bytes:
        """The file's content."""
        return self.model_dump_json(exclude_defaults=True).encode()


def size_problem(key: str, wanted: int, found: int | None) -> str | None:
    """A sentence where a file that a manifest names has not the size in bytes that it says; None: it is not there."""
    if found is None:
        return f"{key} is missing, though the manifest names it"
    return None if found == wanted else f"{key} has {found:,} bytes where the manifest says {wanted:,}"


def retry_overtaken(work: Callable[[], Result], *, also: type[Exception] = FileChangedError) -> Result:
    """Do `work`, and again when somebody else has replaced the file that it builds on; FileChangedError at last.

    `also` is another error that tells of that.
    """
    retrying = Retrying(
        retry=retry_if_exception_type((FileChangedError, also)),
        wait=wait_random_exponential(0.05, max=2),  # where there are no locks, two writers must get out of step
        stop=stop_after_attempt(ATTEMPTS),
        before_sleep=lambda state: log.warning(
            "Overtaken, trying again: %s", state.outcome and state.outcome.exception()
        ),
        reraise=True,
    )
    return retrying(work)


def edit(
    storage: Storage,
    key: str,
    load: Callable[[], tuple[Content, Version | None]],
    change: Callable[[Content], Content],
    encode: Callable[[Content], bytes],
    lock: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[Content, Content]:
    """Replace what `load` reads of a file by what `change` makes of it, in one step; what it was, and what it is.

    Changed again when another writer was faster, and so `change` may be called several times. `lock` is held for the
    replacement alone. Raises as `load` and `change` do, and as `retry_overtaken`.
    """

    def edited() -> tuple[Content, Content]:
        before, version = load()
        after = change(before)
        if after is before or after == before:
            storage.sync(key)  # whoever wrote it may have been killed before it was sure to survive a power cut
        else:
            with lock():
                storage.replace(key, encode(after), expecting=version)
        return before, after

    return retry_overtaken(edited)
