"""What the hunter hunts: channels' uploads, searches, playlists, charts and lists of videos.

A source is written as a mapping whose first word says what it is:

    - channel: UCEBb1b_L6zDS3xTUrIALZOw     # or a handle: "@mitocw"; every: true brings in its past too
    - search: linear algebra                # region, language, category, channel, pages
    - playlist: PLE7DDD91010BC51F8          # every: true takes all of it, not only what its window published
    - chart: mostPopular                    # region, category, pages
    - videos: [9LfmrkyP81M, "https://youtu.be/lGGDIGizcQ0"]

Channels, playlists and videos may be written as their URLs too; what is kept is the id or the handle.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from ghost_tracking.core.validation import validation_errors
from ghost_tracking.core.video_ids import (
    is_channel_id,
    is_usual_video_id,
    parse_brought_video,
    parse_channel_reference,
    parse_playlist_reference,
)
from ghost_tracking.errors import BadSourcesError
from ghost_tracking.wording import printable


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
        return f"{kind} {len(name)} videos" if isinstance(name, list | tuple) else printable(f"{kind} {name}")


def _text(value: Any) -> Any:
    """What YAML has read as something else, where it is clear what was written."""
    if isinstance(value, bool):
        raise ValueError(f"YAML reads this word as {str(value).lower()}: write it in quotes")
    return str(value) if isinstance(value, int | date) else value


def _country(value: Any) -> Any:
    return value.upper() if isinstance(value, str) and len(value) == 2 else _text(value)


def _channel_id(text: str) -> str:
    channel = parse_channel_reference(text)
    if not is_channel_id(channel):
        raise ValueError(f"{text[:80]!r} is not the id of a channel, which begins with UC: a search takes no handle")
    return channel


def _video(value: Any) -> Any:
    """An id of nothing but digits is a number to YAML."""
    return str(value) if isinstance(value, int) and is_usual_video_id(str(value)) else value


def _videos(value: Any) -> Any:
    """One video, without the list around it."""
    value = _video(value)
    if not isinstance(value, str):
        return value
    try:
        return [parse_brought_video(value)]
    except ValueError:
        return [value] if "/" in value else value


Pages = Annotated[int, Field(ge=1, le=400)]
"""Of a listing: YouTube lists 20,000 videos."""
FewPages = Annotated[int, Field(ge=1, le=20)]
"""Of a search or a chart: YouTube gives no more than some 500 results of one, and a search costs a hundredth of a day's
calls a page."""
Region = Annotated[str, Field(pattern="^[A-Z]{2}$"), BeforeValidator(_country)]
Category = Annotated[str, Field(pattern="^[0-9]{1,3}$", coerce_numbers_to_str=True)]
Word = Annotated[str, Field(min_length=1, max_length=500), BeforeValidator(_text)]
Language = Annotated[str, Field(pattern="^[A-Za-z-]{2,7}$"), BeforeValidator(_text)]


class ChannelSource(_Source):
    """A channel's uploads: one unit for fifty, at once. `every`: those too that it had before its hunt began.

    They are read as far back as was hunted before, whatever `pages` says.
    """

    not_in_key: ClassVar = {"pages", "every"}  # the past is brought in once, whenever that is wished

    channel: Annotated[str, BeforeValidator(_text), AfterValidator(parse_channel_reference)]
    every: bool = False
    pages: Pages = 400


class SearchSource(_Source):
    """A search for newly published videos: a sample, never complete, out of a bucket of 100 calls a day."""

    search: Word
    region: Region | None = None
    language: Language | None = None
    category: Category | None = None
    channel: Annotated[str, AfterValidator(_channel_id)] | None = None
    pages: FewPages = 4


class PlaylistSource(_Source):
    """A playlist: what its window published, or `every` video of it."""

    playlist: Annotated[str, BeforeValidator(_text), AfterValidator(parse_playlist_reference)]
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
    pages: FewPages = 4


class VideosSource(_Source):
    """Videos by id or URL; they have no window."""

    has_window = False
    videos: Annotated[
        tuple[Annotated[str, BeforeValidator(_video), AfterValidator(parse_brought_video)], ...],
        Field(min_length=1),
        BeforeValidator(_videos),
    ]


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
            sources[source.key] = _widest(sources.get(source.key), source)
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise BadSourcesError(f"{origin}: {'; '.join(problems[:10])}{more}")
    return list(sources.values())


def _widest(before: Source | None, source: Source) -> Source:
    """Of a source that is named twice the latter, unless only the former asks for a channel's past."""
    asks = isinstance(before, ChannelSource) and before.every and isinstance(source, ChannelSource)
    return source.model_copy(update={"every": True}) if asks else source


def parse_source(entry: Any) -> Source:
    """One source from its mapping; ValueError with a readable reason."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{str(entry)[:60]!r} is no mapping such as 'channel: UC…'")
    # a search may be limited to a channel, so `search` decides before `channel` does
    kind = next((kind for kind in ("search", *_KINDS) if kind in entry), None)
    if kind is None:
        raise ValueError(f"names none of {', '.join(_KINDS)}")
    try:
        return TypeAdapter(_KINDS[kind]).validate_python({str(name): value for name, value in entry.items()})
    except ValidationError as error:
        no_such = f"a source with '{kind}' has no"
        raise ValueError(validation_errors(error, no_such, _KINDS[kind].model_fields, _PATTERNS)) from None
