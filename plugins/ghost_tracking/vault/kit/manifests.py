"""Manifests: the one file that says which files make a layer of the vault, replaced in one step.

Files that a manifest names are never changed: a new set of files is written under new names, the manifest is
replaced, and only then are the old ones deleted. Whoever read the former manifest and finds a file gone loads it anew.

Others may be able to write where the vault is, so a manifest is read as foreign text: it is damaged where a name in it
has another form than the layer writes.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault.storage import Storage, Version

Count = Annotated[int, Field(ge=0, lt=2**63)]
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
        storage.replace(key, self.model_dump_json(exclude_defaults=True).encode(), expecting=expecting)
