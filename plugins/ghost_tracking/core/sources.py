"""What the hunter hunts: channels' uploads, searches, playlists, charts and lists of videos.

A source is written as a mapping whose first word says what it is:

    - channel: UCEBb1b_L6zDS3xTUrIALZOw     # or a handle: "@mitocw"
    - search: linear algebra                # region, language, category, channel, pages
    - playlist: PLE7DDD91010BC51F8          # every: true takes all of it, not only what its window published
    - chart: mostPopular                    # region, category, pages
    - videos: [9LfmrkyP81M, "https://youtu.be/lGGDIGizcQ0"]
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ghost_tracking.core.complaints import complaints
from ghost_tracking.core.video_ids import is_channel_id, parse_brought_video
from ghost_tracking.errors import BadSourcesError


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
    has_window: ClassVar[bool] = True
    not_in_key: ClassVar = {"pages"}
    """How far a source is read changes nothing about how far it was hunted."""

    @property
    def windowed(self) -> bool:
        """Whether the source can tell what was published in a window; the others run in no backfill."""
        return self.has_window

    @property
    def key(self) -> str:
        """Names the source in the watermark table: the same words, the same watermark."""
        kind, name = next(iter(self.model_dump().items()))
        text = json.dumps(self.model_dump(exclude=self.not_in_key, exclude_none=True), sort_keys=True)
        return f"{kind}:{str(name)[:60]}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def label(self) -> str:
        """Names the source for people."""
        kind, name = next(iter(self.model_dump().items()))
        return f"{kind} {len(name)} videos" if isinstance(name, list | tuple) else f"{kind} {name}"


def _channel(text: str) -> str:
    if is_channel_id(text) or (text.startswith("@") and len(text) > 1):
        return text
    raise ValueError("a channel is an id of 24 characters that begins with UC, or a handle that begins with @")


def _video(text: str) -> str:
    return parse_brought_video(text)


Pages = Annotated[int, Field(ge=1, le=400)]
Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]
Category = Annotated[str, Field(pattern="^[0-9]{1,3}$", coerce_numbers_to_str=True)]
Word = Annotated[str, Field(min_length=1, max_length=500)]


class ChannelSource(_Source):
    """A channel's uploads: one unit for fifty, at once. `every`: those too that it had before its hunt began.

    They are read as far back as was hunted before, whatever `pages` says.
    """

    not_in_key: ClassVar = {"pages", "every"}  # the past is brought in once, whenever that is wished

    channel: Annotated[str, AfterValidator(_channel)]
    every: bool = False
    pages: Pages = 400


class SearchSource(_Source):
    """A search for newly published videos: a sample, never complete, out of a bucket of 100 calls a day."""

    search: Word
    region: Region | None = None
    language: Annotated[str, Field(pattern="^[A-Za-z-]{2,7}$")] | None = None
    category: Category | None = None
    channel: Annotated[str, AfterValidator(_channel), Field(pattern="^UC")] | None = None
    pages: Pages = 4


class PlaylistSource(_Source):
    """A playlist: what its window published, or `every` video of it."""

    playlist: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{2,64}$")]
    every: bool = False
    pages: Pages = 400

    @property
    def windowed(self) -> bool:
        return not self.every


class ChartSource(_Source):
    """YouTube's chart of a region, optionally of a category; it has no window."""

    has_window = False
    chart: Literal["mostPopular"]
    region: Region = "US"
    category: Category | None = None
    pages: Pages = 4


class VideosSource(_Source):
    """Videos by id or URL; they have no window."""

    has_window = False
    videos: Annotated[tuple[Annotated[str, AfterValidator(_video)], ...], Field(min_length=1)]


Source = ChannelSource | SearchSource | PlaylistSource | ChartSource | VideosSource
_KINDS: dict[str, type[Source]] = {
    "channel": ChannelSource,
    "search": SearchSource,
    "playlist": PlaylistSource,
    "chart": ChartSource,
    "videos": VideosSource,
}

_PATTERNS = {
    "^[A-Z]{2}$": "a country in two capital letters, such as US",
    "^[0-9]{1,3}$": "the number of a category, such as 27",
    "^[A-Za-z-]{2,7}$": "a language, such as en",
    "^UC": "the id of a channel, which begins with UC",
    "^[A-Za-z0-9_-]{2,64}$": "the id of a playlist, such as PLE7DDD91010BC51F8",
}


def parse_sources(document: Any, origin: str) -> list[Source]:
    """Sources from a parsed YAML or JSON document: a list, or a mapping with the list under `sources`.

    The same source named twice is hunted once. Raises BadSourcesError, which names `origin` (the file, Variable
    or form that the document came from) and every bad entry with its number and the reason.
    """
    entries = document.get("sources") if isinstance(document, Mapping) else document
    if not isinstance(entries, list):
        raise BadSourcesError(f"{origin}: expected a list of sources, or a mapping with a list under 'sources'")
    sources: dict[str, Source] = {}
    problems: list[str] = []
    for number, entry in enumerate(entries, start=1):
        try:
            source = parse_source(entry)
        except ValueError as problem:
            problems.append(f"source {number}: {problem}")
        else:
            sources[source.key] = source
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise BadSourcesError(f"{origin}: {'; '.join(problems[:10])}{more}")
    return list(sources.values())


def parse_source(entry: Any) -> Source:
    """One source from its mapping; ValueError with a readable reason."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{str(entry)[:60]!r} is no mapping such as 'channel: UC…'")
    # a search may be limited to a channel, so `search` decides before `channel` does
    kind = next((kind for kind in ("search", *_KINDS) if kind in entry), None)
    if kind is None:
        raise ValueError(f"names none of {', '.join(_KINDS)}")
    try:
        return TypeAdapter(_KINDS[kind]).validate_python(dict(entry))
    except ValidationError as error:
        no_such = f"a source with '{kind}' has no"
        raise ValueError(complaints(error, no_such, _KINDS[kind].model_fields, _PATTERNS)) from None
