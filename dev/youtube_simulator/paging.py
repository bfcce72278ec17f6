"""Page tokens as YouTube's look: a tiny protobuf message (offset, direction) in base64url without padding."""

import base64
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")
_OFFSET_TAG, _DIRECTION_TAG = 0x08, 0x10
_FORWARD, _BACKWARD = 0, 1
_FARTHEST = 10_000_000


class BadPageTokenError(ValueError):
    """A page token that the API did not make."""


class Page(NamedTuple):
    """Which slice of a listing a request wants: items from `start` on, `size` of them."""

    start: int
    size: int

    @property
    def stop(self) -> int:
        """The offset of the first item after the page."""
        return self.start + self.size

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Cut the page out of a whole listing."""
        return list(items[self.start : self.stop])

    def links(self, *, more: bool) -> dict[str, str]:
        """Give nextPageToken and prevPageToken as far as there is such a page."""
        tokens: dict[str, str] = {}
        if more:
            tokens["nextPageToken"] = encode(self.stop)
        if self.start > 0:
            tokens["prevPageToken"] = encode(self.start, backward=True)
        return tokens


def encode(offset: int, *, backward: bool = False) -> str:
    """Give the token of the page that begins (backward: ends) at this offset; 50 gives CDIQAA."""
    message = bytearray([_OFFSET_TAG])
    while offset > 0x7F:
        message.append(offset & 0x7F | 0x80)
        offset >>= 7
    message += bytes([offset, _DIRECTION_TAG, _BACKWARD if backward else _FORWARD])
    return base64.urlsafe_b64encode(bytes(message)).decode().rstrip("=")


def decode(token: str | None, size: int) -> Page:
    """Give the page of `size` items that a token means; no token is the first page.

    Raises BadPageTokenError for anything that `encode` cannot have made.
    """
    if token is None:
        return Page(0, size)
    try:
        message = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise BadPageTokenError from error
    offset = 0
    for position, byte in enumerate(message[1:-2]):
        offset |= (byte & 0x7F) << (7 * position)
    backward = message[-1:] == bytes([_BACKWARD])
    if len(message) < 4 or offset > _FARTHEST or encode(offset, backward=backward) != token:
        raise BadPageTokenError
    return Page(max(0, offset - size) if backward else offset, size)
