"""What the vault asks of the place it stands in, and the places that can answer. Importing this is cheap."""

from ghost_tracking.hooks.vault.storage.base import Blob, Storage, Version
from ghost_tracking.hooks.vault.storage.folder import FolderStorage

__all__ = ["Blob", "FolderStorage", "Storage", "Version"]
