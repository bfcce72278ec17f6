"""Reading no more of a published file than its footer."""

from typing import Final

from ghost_tracking.hooks.vault import files
from ghost_tracking.hooks.vault.storage import Storage

_TAIL: Final = 64 * 1024


def read_footer(storage: Storage, key: str) -> tuple[files.Footer, int]:
    """The footer of a file and the file's size in bytes.

    Raises FileNotFoundError, and what `files.read_footer` raises.
    """
    blob = storage.read(key, last=_TAIL)
    while files.footer_length(blob.data) > len(blob.data) < blob.size:
        blob = storage.read(key, last=files.footer_length(blob.data))
    return files.read_footer(blob.data), blob.size
