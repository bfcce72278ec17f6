"""Where a video came from: which source named it, when, and in which place."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from ghost_tracking.core.sources import ChannelSource, ChartSource, PlaylistSource, SearchSource, Source


class Place(NamedTuple):
    """Where a video stood in a listing: `rank` counts over all pages, both from 1; a list has no pages."""

    rank: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """A source as a discovery tells it; two of the same words are one source.

    `kind`: channel, playlist, search, chart, videos (a list in the sources), list (of the import queue), form or
    adoption. `key`: what the kind names: the channel's id or handle, the playlist's id, the query, the chart's name,
    the digest of a list in the sources, the name of a list in the import queue, the field of the form, the adopted
    table. The others: what a search or chart was narrowed to, `within_channel_id` being the one channel of a search.
    """

    kind: str
    key: str
    region: str | None = None
    language: str | None = None
    category_id: str | None = None
    within_channel_id: str | None = None


ADOPTION: Final = Origin("adoption", "videos")
"""The table of an old tracker."""


def origin_of(source: Source, *, is_own: bool = True) -> Origin:
    """How a source is told; of videos whether they are the deployment's own source or somebody's form."""
    match source:
        case ChannelSource(channel=channel):
            return Origin("channel", channel)
        case PlaylistSource(playlist=playlist):
            return Origin("playlist", playlist)
        case ChartSource(chart=chart, region=region, category=category):
            return Origin("chart", chart, region, category_id=category)
        case SearchSource():
            return Origin("search", source.search, source.region, source.language, source.category, source.channel)
    # a key that tells lists of the sources from one another, as their watermarks do
    return Origin("videos", source.key.rpartition(":")[2]) if is_own else Origin("form", "videos")


def origin_of_list(name: str) -> Origin:
    """How a list of the import queue is told."""
    return Origin("list", name)


@dataclass(frozen=True, slots=True)
class Discovered:
    """A source named a video at `named_at`, which is aware; ValueError otherwise.

    `place`: None where the source has no order, or was not read from its beginning. `run_id`: the run of the hunter;
    None outside of one.
    """

    video_id: str
    origin: Origin
    named_at: datetime
    place: Place | None = None
    run_id: str | None = None

    def __post_init__(self) -> None:
        if self.named_at.utcoffset() is None:
            raise ValueError(f"{self.video_id}: a time without a time zone")
