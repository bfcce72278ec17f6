"""search.list for videos: which videos a query finds, newest first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from . import errors
from .identity import mix, unit
from .paging import Page
from .request import Request
from .videos import Video
from .world import World

SAMPLED_END = 500
EXAMINED = 100_000
"""A query that fits nothing would otherwise walk through the whole history: a minute at 100,000 videos a day."""
_SAMPLED_SHARE = 0.75
_HARD_TO_FIND = (timedelta(days=20), timedelta(days=60))
Test = Callable[[Video], bool]


@dataclass(frozen=True, slots=True)
class Query:
    """What a search asks for; times are UTC, `before` is exclusive and never lies in the future."""

    after: datetime | None
    before: datetime
    words: tuple[str, ...]
    language: str | None
    category: str | None
    channel: str | None
    live: str | None

    @classmethod
    def of(cls, request: Request, now: datetime) -> "Query":
        """Read a query from a call; raise ApiError 400 for values that cannot be read."""
        present = now + timedelta(microseconds=1)
        before = request.moment("publishedBefore")
        live = request.one("eventType")
        if live is not None and live not in ("completed", "live", "upcoming"):
            raise errors.invalid_value("eventType", live)
        return cls(
            after=request.moment("publishedAfter"),
            before=present if before is None else min(before, present),
            words=tuple((request.one("q") or "").lower().replace("|", " ").split()),
            language=(request.one("relevanceLanguage") or "").partition("-")[0].lower() or None,
            category=request.one("videoCategoryId"),
            channel=request.one("channelId"),
            live=live,
        )

    def tests(self, world: World, now: datetime) -> Iterator[Test]:
        """Give the conditions that a video must meet, the cheapest first."""
        if self.language is not None:
            yield lambda video: video.channel.tongue.language == self.language
        if self.category is not None:
            yield lambda video: video.category == self.category
        yield lambda video: world.available(video, now)
        if self.words:
            yield self._mentions
        if self.live is not None:
            yield lambda video: self._is_live(video, world.origin, now)

    def _mentions(self, video: Video) -> bool:
        text = " ".join((video.title, *video.tags, video.channel.title)).lower()
        return any(word in text for word in self.words)

    def _is_live(self, video: Video, origin: datetime, now: datetime) -> bool:
        broadcast = video.broadcast(origin)
        if broadcast is None:
            return False
        return broadcast.state(now) == ("none" if self.live == "completed" else self.live)


def found(world: World, query: Query, now: datetime) -> Iterator[Video]:
    """Give every public video that fits the query, newest first, among the latest 100,000 of its window."""
    tests = list(query.tests(world, now))
    for video in islice(world.newest(query.before, query.after, query.channel), EXAMINED):
        if all(test(video) for test in tests):
            yield video


def sampled(videos: Iterator[Video], world: World, query: Query, now: datetime) -> Iterator[Video]:
    """Give what a true search would: three of four, other ones each minute, old ones hardly, 500 at most."""
    first, last = _HARD_TO_FIND
    minute = int(now.timestamp()) // 60
    salt = mix(minute + sum(ord(letter) << 5 * place for place, letter in enumerate("".join(query.words))))

    def shown(video: Video) -> bool:
        age = now - world.published_at(video)
        fading = 1.0 if age < first else max(0.02, 1.0 - (age - first) / (last - first))
        return unit(video.noise ^ salt) < _SAMPLED_SHARE * fading

    return islice(filter(shown, videos), SAMPLED_END)


def cut(videos: Iterator[Video], page: Page, *, repeats: bool) -> tuple[list[Video], bool]:
    """Give (the videos of a page, whether there is a next one).

    With `repeats` there is always a next page, and what lies beyond the end repeats the last page.
    """
    known = list(islice(videos, page.stop + 1))
    if not repeats or len(known) > page.stop:
        return page.of(known), len(known) > page.stop
    start = min(page.start, max(0, (len(known) - 1) // page.size * page.size)) if page.size else 0
    return known[start : start + page.size], bool(known)
