"""Digests of files: what a manifest remembers of a file's bytes, so that they are proven without being decoded."""

from hashlib import blake2b
from typing import Annotated, BinaryIO, Final

from pydantic import Field

DIGEST_LENGTH: Final = 16
_BLOCK: Final = 32 * 2**20
NO_DIGEST: Final = "0" * DIGEST_LENGTH
"""Where there is no file, or one of which nothing is remembered."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


def digest_of(data: bytes | memoryview) -> str:
    """The BLAKE2b digest of a file's bytes, 8 bytes long, as 16 hexadecimal digits.

    It tells damage and other versions apart, and is no defence against whoever can write both file and manifest.
    """
    return blake2b(data, digest_size=DIGEST_LENGTH // 2).hexdigest()


def digest_of_file(file: BinaryIO) -> str:
    """As `digest_of`, of all that an open file has from its beginning; holds 32 MiB of it."""
    digest = blake2b(digest_size=DIGEST_LENGTH // 2)
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
