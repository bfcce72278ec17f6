"""What the vault asks of the place it stands in, and the places that can answer. Importing this is cheap."""

from ghost_tracking.vault.storage.base import Blob, Storage, Version
from ghost_tracking.vault.storage.local import LocalStorage

__all__ = ["Blob", "LocalStorage", "Storage", "Version"]
