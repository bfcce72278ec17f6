"""What the listing of each source named when it was read last: `sources/<hash of the source's key>.parquet`.

It tells the hunter which videos of a listing are news without asking YouTube about all of them. Nobody minds when such
a file is lost: it costs calls, and no video.
"""

import hashlib
import logging
from typing import Final

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ghost_tracking.core.source_memory import SourceMemory
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("published_at", pa.timestamp("us", tz="UTC")),
        pa.field("scheduled", pa.bool_(), nullable=False),
    ]
)
_ABOUT: Final = "ghost_tracking.source"


class _About(BaseModel):
    """What a file says beside its ids, in its footer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    as_of: AwareDatetime
    complete_since: AwareDatetime | None
    ended: bool
    next_token: str | None


class SourceMemories:
    """What is remembered of each source, by a key that tells it from all others."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def load(self, key: str) -> SourceMemory | None:
        """What is remembered of a source; None where that is nothing, or broken. OSError when the storage fails."""
        place = _place(key)
        try:
            return _decoded(place, key, self._storage.read(place).data)
        except FileNotFoundError:
            return None
        except UnreadableFileError as error:
            log.warning("%s: what is remembered of this source starts over", error.message)
            return None

    def save(self, key: str, memory: SourceMemory) -> None:
        """Remember this of a source, durably and at once, in the place of what was remembered; OSError as `load`.

        Nothing is written where it is remembered already.
        """
        place, data = _place(key), _encoded(key, memory)
        try:
            known = self._storage.read(place).data
        except FileNotFoundError:
            known = None
        if known != data:
            self._storage.put(place, data)

    def forget_all(self) -> None:
        """Remember nothing of any source; OSError when the storage fails."""
        self._storage.delete([place for place, _ in self._storage.walk(layout.SOURCES)])


def _place(key: str) -> str:
    return layout.source(hashlib.sha256(key.encode()).hexdigest()[:32])


def _encoded(key: str, memory: SourceMemory) -> bytes:
    about = _About(
        key=key,
        as_of=memory.as_of,
        complete_since=memory.complete_since,
        ended=memory.ended,
        next_token=memory.next_token,
    )
    scheduled = [video_id in memory.scheduled for video_id in memory.named]
    table = pa.table([list(memory.named), list(memory.named.values()), scheduled], schema=SCHEMA)
    return parquet.encode(table, parquet.LISTED, notes={_ABOUT: about.model_dump_json()})


def _decoded(place: str, key: str, data: bytes) -> SourceMemory:
    with parquet.wrap_read_errors(place):
        file = parquet.opened(pa.BufferReader(data), SCHEMA, parquet.SOURCE)
        table = file.read()
        text = (file.metadata.metadata or {}).get(_ABOUT.encode(), b"")
    try:
        about = _About.model_validate_json(text)
    except ValidationError as error:
        raise UnreadableFileError(f"{place} does not say of which source it is", key=place) from error
    if about.key != key:
        raise UnreadableFileError(f"{place} is of another source, {about.key!r}", key=place)
    ids, published, scheduled = (table[name].to_pylist() for name in SCHEMA.names)
    return SourceMemory(
        as_of=about.as_of,
        named=dict(zip(ids, published, strict=True)),
        scheduled=frozenset(video_id for video_id, there in zip(ids, scheduled, strict=True) if there),
        complete_since=about.complete_since,
        ended=about.ended,
        next_token=about.next_token,
    )
