"""What a source's listing named when it was read last."""

from dataclasses import dataclass
from datetime import UTC, datetime

from ghost_tracking.errors import BadInputError


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """What a source has named, newest reading; a help that saves calls, and nobody's loss.

    `as_of`: when the listing was read. `complete_since`: it was read whole back to videos published at this time; None:
    that is not known. `ended`: it was read to its end. `next_token`: where a reading of the past goes on, if one is
    under way. `ids` are the videos that it named, `published` when each was published, None where it did not tell.

    Times are aware, and kept in UTC. Raises `BadInputError` for a time without a zone, and where `published` has not
    one entry an id.
    """

    as_of: datetime
    complete_since: datetime | None
    ended: bool
    next_token: str | None
    ids: tuple[str, ...]
    published: tuple[datetime | None, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.published):
            raise BadInputError(f"{len(self.ids)} ids have {len(self.published)} publish times: give one for each id")
        since = self.complete_since
        object.__setattr__(self, "as_of", _in_utc(self.as_of))
        object.__setattr__(self, "complete_since", None if since is None else _in_utc(since))
        published = tuple(None if moment is None else _in_utc(moment) for moment in self.published)
        object.__setattr__(self, "published", published)


def _in_utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise BadInputError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC)
