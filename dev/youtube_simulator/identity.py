"""Ids of videos, channels and playlists: all derived from a seed, none kept in a table.

A video id is 64 bits in base64url, as YouTube's are: (hour bucket, channel, place in the bucket, mark) sent
through a keyed Feistel permutation. Decoding an id therefore needs no memory of what was published, and an
id that this universe never made is recognised by its mark.
"""

import base64
import hashlib
import struct
from typing import NamedTuple

_MASK32 = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF
_HOUR_BITS, _CHANNEL_BITS, _PLACE_BITS, _MARK_BITS = 24, 14, 12, 14
_HOUR_ZERO = 1 << (_HOUR_BITS - 1)
VIDEO_ID_LENGTH = 11
MAX_CHANNELS = 1 << _CHANNEL_BITS
MAX_PER_CHANNEL_HOUR = 1 << _PLACE_BITS


class VideoKey(NamedTuple):
    """Where a video stands in the universe: hours since the origin (may be negative), channel, place."""

    hour: int
    channel: int
    place: int


def mix(value: int) -> int:
    """Scramble 64 bits (the finaliser of splitmix64); a cheap source of deterministic noise."""
    value &= _MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK64
    return value ^ (value >> 31)


def unit(value: int) -> float:
    """Scramble 64 bits into a float in [0, 1)."""
    return (mix(value) >> 11) / 9007199254740992.0


def _digest(seed: int, *parts: object, size: int) -> bytes:
    text = "\x1f".join(map(str, (seed, *parts)))
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


class VideoIds:
    """A keyed bijection between video keys and ids of 11 base64url characters."""

    def __init__(self, seed: int) -> None:
        """Derive the round keys and the mark from the seed."""
        self._rounds: tuple[int, ...] = struct.unpack("<4I", _digest(seed, "video ids", size=16))
        self._mark = int.from_bytes(_digest(seed, "mark", size=2)) & ((1 << _MARK_BITS) - 1)

    def encode(self, key: VideoKey) -> str:
        """Give the id of a key; raise ValueError when the key does not fit into 64 bits."""
        hour = key.hour + _HOUR_ZERO
        fits = 0 <= hour < 1 << _HOUR_BITS and 0 <= key.channel < MAX_CHANNELS
        if not fits or not 0 <= key.place < MAX_PER_CHANNEL_HOUR:
            raise ValueError(f"{key} lies outside of what an id can hold")
        number = hour << _CHANNEL_BITS | key.channel
        number = (number << _PLACE_BITS | key.place) << _MARK_BITS | self._mark
        left, right = number >> 32, number & _MASK32
        for round_key in self._rounds:
            left, right = right, left ^ self._scramble(right, round_key)
        packed = struct.pack(">II", left, right)
        return base64.urlsafe_b64encode(packed)[:VIDEO_ID_LENGTH].decode()

    def decode(self, video_id: str) -> VideoKey | None:
        """Give the key of an id, None for an id that this universe cannot have made."""
        if len(video_id) != VIDEO_ID_LENGTH:
            return None
        try:
            packed = base64.b64decode(video_id + "=", altchars=b"-_", validate=True)
        except ValueError:
            return None
        left, right = struct.unpack(">II", packed)
        for round_key in reversed(self._rounds):
            left, right = right ^ self._scramble(left, round_key), left
        number = left << 32 | right
        if number & ((1 << _MARK_BITS) - 1) != self._mark:
            return None
        number >>= _MARK_BITS
        place = number & (MAX_PER_CHANNEL_HOUR - 1)
        number >>= _PLACE_BITS
        key = VideoKey((number >> _CHANNEL_BITS) - _HOUR_ZERO, number & (MAX_CHANNELS - 1), place)
        return key if base64.urlsafe_b64encode(packed)[10:11].decode() == video_id[10] else None

    @staticmethod
    def _scramble(half: int, round_key: int) -> int:
        half = ((half ^ round_key) * 0x9E3779B1) & _MASK32
        half = ((half ^ (half >> 15)) * 0x85EBCA77) & _MASK32
        return half ^ (half >> 13)


def channel_id(seed: int, number: int) -> str:
    """Give the id of the channel with this number: UC and 22 characters, a function of the seed only."""
    return "UC" + base64.urlsafe_b64encode(_digest(seed, "channel", number, size=16)).decode()[:22]


def playlist_id(seed: int, number: int) -> str:
    """Give the id of the curated playlist with this number: PL and 32 characters."""
    return "PL" + base64.urlsafe_b64encode(_digest(seed, "playlist", number, size=24)).decode()


def uploads_id(channel: str) -> str:
    """Give the id of a channel's uploads playlist: UU in the place of UC."""
    return "UU" + channel[2:]


def etag(*parts: object) -> str:
    """Give an etag as today's API forms them: 27 base64url characters, a function of the content."""
    return base64.urlsafe_b64encode(_digest(0, *parts, size=20))[:27].decode()
