"""Letting go: videos that somebody has paused, stopped or forgotten, and how two lists of them become one.

The list is kept twice, in the database and in the vault, so that a restored backup of either brings nothing back. Of
two entries of a video the later one holds; `resumed` is an entry too, else the other list would let go again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """What somebody wants of a video: nothing for a while, nothing any more, no trace of it, or all of it again."""

    PAUSED = "paused"
    STOPPED = "stopped"
    FORGOTTEN = "forgotten"
    RESUMED = "resumed"

    @property
    def lets_go(self) -> bool:
        """Whether such a video is kept off the schedule."""
        return self is not State.RESUMED


_STRENGTH = {State.RESUMED: 0, State.PAUSED: 1, State.STOPPED: 2, State.FORGOTTEN: 3}


@dataclass(frozen=True, slots=True)
class Change:
    """What was decided about a video last, and when (aware, UTC)."""

    video_id: str
    state: State
    changed_at: datetime

    def overrules(self, other: "Change | None") -> bool:
        """Whether this one holds, and not the other: it is later, or of the same moment and lets go of more."""
        if other is None:
            return True
        return (self.changed_at, _STRENGTH[self.state]) > (other.changed_at, _STRENGTH[other.state])


def united(changes: Iterable[Change], others: Iterable[Change]) -> dict[str, Change]:
    """The change that holds of each video, by its id."""
    together = {each.video_id: each for each in changes}
    for each in others:
        if each.overrules(together.get(each.video_id)):
            together[each.video_id] = each
    return together


def unknown_to(changes: Mapping[str, Change], whole: Mapping[str, Change]) -> list[Change]:
    """What the whole list has and this one does not, or has otherwise."""
    return [each for video_id, each in whole.items() if changes.get(video_id) != each]
