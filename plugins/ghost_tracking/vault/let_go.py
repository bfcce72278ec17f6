"""The vault's list of videos that somebody has paused, stopped or forgotten: `let_go.parquet`, the database's twin.

One small file, replaced in one step under a lock. It also remembers how far each decision was carried out, so that
whoever is killed on the way is finished by a later run.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import pyarrow as pa

from ghost_tracking.core.let_go import Change, State
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.manifests import edit
from ghost_tracking.vault.storage import Storage, Version

_TIME = pa.timestamp("us", tz="UTC")

SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("changed_at", _TIME, nullable=False),
        pa.field("applied_at", _TIME),
        pa.field("checked_at", _TIME),
    ]
)


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry of the list. Times are UTC.

    `applied_at`: since when it is carried out in every layer (None: it is not, or not in all). `checked_at`: when a
    later run looked for what tasks that were under way at that time had brought back.
    """

    change: Change
    applied_at: datetime | None = None
    checked_at: datetime | None = None


class LetGoList:
    """The list on one storage. Raises OSError when the storage fails, UnreadableFileError for a damaged list."""

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout

    def all(self) -> dict[str, Kept]:
        """The whole list by id, some 500 bytes of memory a video; none where there is no list yet."""
        return self._load()[0]

    def note(self, changes: Iterable[Change]) -> int:
        """Put these onto the list, where it has no later ones, to be carried out; returns how many were."""
        wanted, noted = list(changes), 0

        def noting(known: dict[str, Kept]) -> dict[str, Kept]:
            nonlocal noted
            noted, changed = 0, dict(known)
            for each in wanted:
                before = changed.get(each.video_id)
                if each.overrules(None if before is None else before.change):
                    changed[each.video_id] = Kept(each)
                    noted += 1
            return changed

        self._change(noting)
        return noted

    def reopen(self, video_ids: Iterable[str]) -> None:
        """Note that the decisions about these are to be carried out again."""
        self._set(video_ids, lambda kept: Kept(kept.change))

    def applied(self, video_ids: Iterable[str], at: datetime) -> None:
        """Note that the decisions about these, made before `at` (aware), are carried out since then."""
        self._set(video_ids, lambda kept: replace(kept, applied_at=at) if kept.change.changed_at <= at else kept)

    def checked(self, video_ids: Iterable[str], at: datetime) -> None:
        """Note that nothing of these was brought back until `at` (aware)."""
        self._set(video_ids, lambda kept: replace(kept, checked_at=at))

    def _set(self, video_ids: Iterable[str], change: Callable[[Kept], Kept]) -> None:
        wanted = set(video_ids)

        def setting(known: dict[str, Kept]) -> dict[str, Kept]:
            return known | {video_id: change(known[video_id]) for video_id in wanted & known.keys()}

        if wanted:
            self._change(setting)

    def _change(self, change: Callable[[dict[str, Kept]], dict[str, Kept]]) -> None:
        """Replace the list, changed again when another writer was faster."""
        with self._storage.lock(layout.LET_GO_LOCK, self._lock_timeout):
            edit(self._storage, layout.LET_GO, self._load, change, _encoded)

    def _load(self) -> tuple[dict[str, Kept], Version | None]:
        try:
            blob = self._storage.read(layout.LET_GO)
        except FileNotFoundError:
            return {}, None
        try:
            return _decoded(blob.data), blob.version
        except (UnreadableFileError, ValueError) as error:
            raise UnreadableFileError(
                f"{layout.LET_GO} is damaged ({error}): restore it from a backup of the vault, or delete it to have it "
                "rebuilt from the database's list",
                key=layout.LET_GO,
            ) from error


def _encoded(known: dict[str, Kept]) -> bytes:
    kept = [known[video_id] for video_id in sorted(known)]
    table = pa.table(
        [
            [each.change.video_id for each in kept],
            [each.change.state.value for each in kept],
            [each.change.changed_at for each in kept],
            [each.applied_at for each in kept],
            [each.checked_at for each in kept],
        ],
        schema=SCHEMA,
    )
    return parquet.encode(table, parquet.SMALL)


def _decoded(data: bytes) -> dict[str, Kept]:
    rows = parquet.decode(layout.LET_GO, data, SCHEMA, parquet.AVAILABILITY).to_pylist()
    return {
        row["video_id"]: Kept(
            Change(row["video_id"], State(row["state"]), row["changed_at"]), row["applied_at"], row["checked_at"]
        )
        for row in rows
    }
