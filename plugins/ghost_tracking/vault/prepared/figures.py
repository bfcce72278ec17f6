"""What the page shows of movers and of who came back or vanished: one small file for each, replaced as a whole.

Each says of which moment it is (`as_of`). A file is some tens of kilobytes: at most 50 videos with their titles, and
for each that is compared with its channel the ids of up to 15 others.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ghost_tracking.core.gains import WINDOWS
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.manifests import Count, Manifest
from ghost_tracking.vault.storage import Storage

MOST_SHOWN: Final = 50
MOST_SIBLINGS: Final = 15

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,20}$")]
_Moment = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Seconds since 1970."""
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShownVideo(_Part):
    """A video with its metadata, so far as that is known; `looked_up`: when it was looked for, in seconds since 1970.

    `duration` is in seconds.
    """

    video_id: _Id
    title: str | None = None
    channel_id: str | None = None
    channel_title: str | None = None
    published_at: _Moment | None = None
    duration: int | None = None
    looked_up: _Moment = 0


class Comparison(_Part):
    """What a video gained between two `ages` (seconds), and the median of what `siblings` of its channel gained between
    them; `times`: the ratio, None where the median is not above 0."""

    own: _Number
    median: _Number
    ages: tuple[int, int]
    siblings: Count
    times: _Number | None = None


class PreparedMover(ShownVideo):
    """What a video gained in a window, and between which counts; `channel`: whom of its channel it is compared with.

    None: nobody has looked yet.
    """

    gain: int
    first_count: Count
    last_count: Count
    since: _Moment
    until: _Moment
    channel: Annotated[tuple[_Id, ...], Field(max_length=MOST_SIBLINGS)] | None = None
    comparison: Comparison | None = None


class PreparedMovers(Manifest):
    """The movers of a window that ended at `as_of`, the fastest first; None: they were never prepared.

    `readings` with a count before them ended in it. A video that is not named gained `at_most` so many views; None
    where that is not known: the gains are complete `since` a moment within the window only, or some were lost.
    """

    version: Literal[1] = 1
    as_of: AwareDatetime | None = None
    since: AwareDatetime | None = None
    readings: Count = 0
    at_most: Count | None = None
    movers: Annotated[tuple[PreparedMover, ...], Field(max_length=MOST_SHOWN)] = ()


class PreparedPromotion(ShownVideo):
    """A settled video that is read daily again; times in seconds since 1970."""

    promoted_until: _Moment
    last_at: _Moment | None = None
    next_at: _Moment


class PreparedVanishing(ShownVideo):
    """A video that is `gone`, or `returned`, `at` a moment in seconds since 1970; `views`: its newest count."""

    state: str
    at: _Moment
    views: Count | None = None


class PreparedChanges(Manifest):
    """Who came back to life, and who vanished or returned in the last days, as of a moment."""

    version: Literal[1] = 1
    as_of: AwareDatetime | None = None
    vanished_as_of: AwareDatetime | None = None
    promoted: Annotated[tuple[PreparedPromotion, ...], Field(max_length=MOST_SHOWN)] = ()
    vanished: Annotated[tuple[PreparedVanishing, ...], Field(max_length=MOST_SHOWN)] = ()


Figures = PreparedMovers | PreparedChanges
_Kind = TypeVar("_Kind", PreparedMovers, PreparedChanges)


def movers(storage: Storage, window: str) -> PreparedMovers:
    """The movers of one of `WINDOWS`; UnreadableFileError, naming the file, for a broken one."""
    return PreparedMovers.load(storage, layout.movers(window))[0]


def changes(storage: Storage) -> PreparedChanges:
    """Who came back and who vanished; UnreadableFileError, naming the file, for a broken one."""
    return PreparedChanges.load(storage, layout.CHANGES)[0]


def put_movers(storage: Storage, window: str, found: PreparedMovers) -> None:
    """Put the movers of a window in the place of those before, in one step; OSError of the storage."""
    storage.put(layout.movers(window), found.encoded())


def put_changes(storage: Storage, found: PreparedChanges) -> None:
    """As `put_movers`."""
    storage.put(layout.CHANGES, found.encoded())


def kinds() -> Iterator[tuple[str, type[Figures]]]:
    """Every file of figures that there may be, and what is in it."""
    yield from ((layout.movers(window), PreparedMovers) for window in WINDOWS)
    yield layout.CHANGES, PreparedChanges


def problems(storage: Storage) -> Iterator[str]:
    """Read every file; a sentence for each that is broken. The next run of the tracker makes it again."""
    for key, kind in kinds():
        try:
            kind.load(storage, key)
        except UnreadableFileError as error:
            yield error.message


def expire(storage: Storage, cutoff: datetime) -> int:
    """Delete the files that are as of `cutoff` (aware) or earlier, and so of points that go; how many."""
    old = [key for key, kind in kinds() if _is_of_before(storage, key, kind, cutoff)]
    storage.delete(old)
    return len(old)


def _is_of_before(storage: Storage, key: str, kind: type[Figures], cutoff: datetime) -> bool:
    try:
        as_of = kind.load(storage, key)[0].as_of
    except UnreadableFileError:
        return False
    return as_of is not None and as_of <= cutoff


def without(storage: Storage, key: str, wanted: Callable[[object], bool]) -> None:
    """Take videos out of a file of figures; whom else it names stays."""
    kind = dict(kinds())[key]
    before, version = kind.load(storage, key)
    left = {
        name: tuple(map(partial(_without_siblings, wanted=wanted), (e for e in rows if not wanted(e.video_id))))
        for name in ("movers", "promoted", "vanished")
        if (rows := getattr(before, name, None)) is not None
    }
    before.model_copy(update=left).replace(storage, key, expecting=version)


def named(found: Figures) -> Iterator[str]:
    """Every id that is in a file, siblings included."""
    for name in ("movers", "promoted", "vanished"):
        for each in getattr(found, name, ()):
            yield each.video_id
            yield from getattr(each, "channel", None) or ()


def _without_siblings(each: ShownVideo, wanted: Callable[[object], bool]) -> ShownVideo:
    if isinstance(each, PreparedMover) and each.channel:
        return each.model_copy(update={"channel": tuple(other for other in each.channel if not wanted(other))})
    return each
