"""What a source's listing has named, and what of it is on the schedule."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

from ghost_tracking.errors import BadInputError

MOST_IDS = 20_000
"""Ids that are remembered of a source: as many as YouTube lists of a channel."""


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """What a source has named; a help that saves calls, and nobody's loss.

    `as_of`: when the listing was read. `named`: the videos that it named, the latest first, and when each was published
    (None where the listing did not tell). `scheduled`: those of them that were put on the schedule; the others were the
    source's past when its hunt began. `complete_since`: it was read whole from `as_of` back to videos published at this
    time (None: not known), and `ended` whether it was read to its very end. `next_token`: the page at which a reading
    of what is older goes on.

    Times are aware, and kept in UTC; `BadInputError` for a time without a zone.
    """

    as_of: datetime
    named: Mapping[str, datetime | None] = field(default_factory=dict)
    scheduled: frozenset[str] = frozenset()
    complete_since: datetime | None = None
    ended: bool = False
    next_token: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", _in_utc(self.as_of))
        object.__setattr__(self, "complete_since", self.complete_since and _in_utc(self.complete_since))
        named = {video_id: moment and _in_utc(moment) for video_id, moment in self.named.items()}
        object.__setattr__(self, "named", named)

    def without(self, video_ids: Collection[str]) -> "SourceMemory":
        """The same, as if the source had never named these videos."""
        if self.named.keys().isdisjoint(video_ids):
            return self
        named = {video_id: moment for video_id, moment in self.named.items() if video_id not in video_ids}
        return replace(self, named=named, scheduled=self.scheduled & named.keys())

    def says_the_same_as(self, other: "SourceMemory") -> bool:
        """Whether both name the same videos, and know the same of them, whenever they were read."""
        return (
            self.named.keys() == other.named.keys()
            and self.scheduled == other.scheduled
            and self._reach == other._reach
        )

    @property
    def _reach(self) -> tuple[object, ...]:
        return self.ended, self.next_token, self.complete_since, self.complete_since and self.as_of


def united(
    before: SourceMemory | None, named: Mapping[str, datetime | None], scheduled: Collection[str], at: datetime
) -> SourceMemory:
    """What is remembered after a listing was read at `at` (aware): what it names now first, then what it has named.

    `scheduled`: the ids, of those that are named now, which are on the schedule. At most `MOST_IDS` are kept.
    """
    old = before or SourceMemory(at)
    together = dict(islice({**named, **old.named, **named}.items(), MOST_IDS))
    kept = (old.scheduled | set(scheduled)) & together.keys()
    return SourceMemory(at, together, frozenset(kept), old.complete_since, old.ended, old.next_token)


def _in_utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise BadInputError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC)
