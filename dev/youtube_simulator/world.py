"""The universe: which videos exist, when each was published, and what is known of it at a moment.

Everything is a pure function of the seed and the settings; a window of any length, past or future, is
computed without state. Times are counted in whole hours ("hour buckets") from the origin, so that shifting
the origin moves every publication and leaves every id as it is.
"""

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from . import vocabulary
from .clock import as_utc
from .growth import Reading
from .identity import MAX_CHANNELS, MAX_PER_CHANNEL_HOUR, VideoIds, VideoKey, channel_id, mix, playlist_id, unit
from .lateness import Lateness
from .replay import replay_channel
from .videos import CATEGORIES, Channel, InventedVideo, ReplayedVideo, Video

UPLOADS_END = 20_000
CHART_CATEGORIES = ("10", "1", "20")
_CHART_LENGTH = 200
_CHART_HOURS = 48
_CHART_CANDIDATES = 3_000
_HOURS_A_DAY = 24
_STEP = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Playlist:
    """A curated playlist: the videos of a few channels that its taste (1 of 3) picks, oldest first."""

    number: int
    id: str
    title: str
    channels: tuple[Channel, ...]


def current_hour(now: datetime | None = None) -> datetime:
    """Give the beginning of the hour of `now` (aware; default: the wall clock), UTC: the default origin."""
    return as_utc(now or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)


def _whole_second(moment: datetime) -> datetime:
    return as_utc(moment).replace(microsecond=0)


class World:
    """A deterministic universe of channels and videos around an origin."""

    def __init__(
        self,
        seed: int = 7,
        *,
        origin: datetime | None = None,
        channels: int = 200,
        videos_per_hour: float = 120.0,
        history_days: float = 30.0,
        playlists: int = 12,
        fraction_share: float = 0.0,
        lateness: Lateness | None = None,
    ) -> None:
        """Settle the universe.

        `origin` (aware; default: the current hour) is what publications are counted from, `history_days` how
        far they reach back before it, `videos_per_hour` the mean over all channels, and `fraction_share` the
        share of videos published at a moment with milliseconds instead of at a whole second. `lateness` says which
        come to light late (default: none).
        """
        if not 1 <= channels <= MAX_CHANNELS:
            raise ValueError(f"channels must lie between 1 and {MAX_CHANNELS}")
        if videos_per_hour < 0 or history_days < 0:
            raise ValueError("videos_per_hour and history_days must not be negative")
        self.seed = seed
        self.videos_per_hour = videos_per_hour
        self.history_days = history_days
        self.fraction_share = fraction_share
        self.lateness = lateness or Lateness()
        self._origin = current_hour() if origin is None else _whole_second(origin)
        self._first_hour = -math.ceil(history_days * _HOURS_A_DAY)
        self._ids = VideoIds(seed)
        self._noise = mix(seed * _STEP + 1)
        self._channels = tuple(self._make_channels(channels))
        self._by_channel_id = {channel.id: channel for channel in self._channels}
        self._playlists = {playlist.id: playlist for playlist in self._make_playlists(playlists)}
        self._deleted: dict[str, bool] = {}
        self._delays: dict[str, tuple[timedelta, timedelta]] = {}
        self._edits: dict[str, dict[str, datetime | None]] = {}
        self._replayed: dict[str, ReplayedVideo] = {}
        self._day_counts = lru_cache(maxsize=65_536)(self._draw_day_counts)
        self._chart = lru_cache(maxsize=64)(self._draw_chart)

    # What there is, whatever the time.

    @property
    def origin(self) -> datetime:
        """The moment (UTC) that publications are counted from."""
        return self._origin

    def set_origin(self, origin: datetime) -> None:
        """Move the origin to `origin` (aware; a whole second): every invented video moves along, ids stay."""
        self._origin = _whole_second(origin)

    def shift_origin(self, delta: timedelta) -> datetime:
        """Move the origin by `delta` (minus 8 days: every video becomes 8 days older) and give the new one."""
        self._origin = _whole_second(self._origin + delta)
        return self._origin

    def channels(self) -> tuple[Channel, ...]:
        """Give all channels; their ids depend on the seed only, the busiest comes first."""
        return self._channels

    def channel_ids(self) -> list[str]:
        """Give the ids of all channels, fit for a list of sources."""
        return [channel.id for channel in self._channels]

    def playlists(self) -> tuple[Playlist, ...]:
        """Give the curated playlists (PL…); their ids depend on the seed only."""
        return tuple(self._playlists.values())

    def playlist_ids(self) -> list[str]:
        """Give the ids of the curated playlists, fit for a list of sources."""
        return list(self._playlists)

    def channel(self, identity: str) -> Channel | None:
        """Find a channel by its id."""
        return self._by_channel_id.get(identity)

    def channel_by_handle(self, handle: str) -> Channel | None:
        """Find a channel by its handle, with or without the @."""
        wanted = handle.removeprefix("@").lower()
        return next((channel for channel in self._by_channel_id.values() if channel.handle == wanted), None)

    def playlist(self, identity: str) -> Playlist | None:
        """Find a curated playlist by its id."""
        return self._playlists.get(identity)

    def add_replay(self, videos: Iterable[ReplayedVideo]) -> None:
        """Serve recorded videos too, in a channel of their own."""
        for video in videos:
            self._replayed[video.id] = video
            self._by_channel_id[video.channel.id] = video.channel

    @property
    def replay_channel(self) -> Channel:
        """The channel that recorded videos belong to, whether there are any or not."""
        return replay_channel(self.seed)

    def replayed(self) -> tuple[ReplayedVideo, ...]:
        """Give the recorded videos."""
        return tuple(self._replayed.values())

    # One video.

    def find(self, video_id: str) -> Video | None:
        """Find a video by its id, published yet or not; None for an id that this universe never makes."""
        replayed = self._replayed.get(video_id)
        if replayed is not None:
            return replayed
        key = self._ids.decode(video_id)
        if key is None or key.channel >= len(self._channels) or key.place >= self._count(key.channel, key.hour):
            return None
        return self._video(key, video_id)

    def published_at(self, video: Video) -> datetime:
        """Give the moment (UTC) when the video was published."""
        return video.published_at(self._origin)

    def public_at(self, video: Video) -> datetime:
        """Give the moment (UTC) from which the video is public: when it was published, or later."""
        return self.published_at(video) + self._delay(video)[0]

    def listed_at(self, video: Video) -> datetime:
        """Give the moment (UTC) from which its channel lists the video: when it is public, or later."""
        return self.published_at(video) + sum(self._delay(video), timedelta(0))

    def delay(self, video_ids: Iterable[str], *, public: timedelta, listed: timedelta = timedelta(0)) -> None:
        """Let videos be public so long after their publish time, and on their channel's list so long after that."""
        for video_id in video_ids:
            self._delays[video_id] = (public, listed)

    def _delay(self, video: Video) -> tuple[timedelta, timedelta]:
        ordered = self._delays.get(video.id)
        if ordered is not None:
            return ordered
        return self.lateness.until_public(video.noise), self.lateness.until_listed(video.noise)

    def available(self, video: Video, now: datetime) -> bool:
        """Whether the video is public at `now`: published, not deleted by its nature or by order."""
        if now < self.public_at(video):
            return False
        ordered = self._deleted.get(video.id)
        return video.available(self._origin, now) if ordered is None else not ordered

    def public(self, video_id: str, now: datetime) -> Video | None:
        """Find a video that is public at `now`."""
        video = self.find(video_id)
        return video if video is not None and self.available(video, now) else None

    def reading(self, video: Video, now: datetime) -> Reading:
        """Give the counts that the API shows at `now`."""
        return video.reading(self._origin, now)

    def delete(self, video_ids: Iterable[str]) -> None:
        """Take videos down, whatever their nature says, until they are restored."""
        for video_id in video_ids:
            self._deleted[video_id] = True

    def restore(self, video_ids: Iterable[str]) -> None:
        """Make videos public again and keep them so, also those that their nature has deleted."""
        for video_id in video_ids:
            self._deleted[video_id] = False

    # Many videos.

    def published(self, after: datetime, before: datetime, channel: str | None = None) -> list[Video]:
        """Give every video published in [after, before), oldest first, deleted or not.

        `channel` (an id) limits it to one channel; an unknown one has published nothing.
        """
        window = self._window(after, before, None if channel is None else (channel,))
        return list(window)[::-1]

    def newest(self, before: datetime, after: datetime | None = None, channel: str | None = None) -> Iterator[Video]:
        """Give the videos published in [after, before) one by one, newest first, deleted or not."""
        start = self._history_start() if after is None else after
        return self._window(start, before, None if channel is None else (channel,))

    def uploads(self, channel: str, now: datetime) -> Iterator[Video]:
        """Give a channel's listed videos newest first; the list ends at 20,000, as YouTube's does."""
        listed = 0
        for video in self.newest(now + timedelta(microseconds=1), channel=channel):
            if self.listed_at(video) <= now and self.available(video, now):
                yield video
                listed += 1
                if listed == UPLOADS_END:
                    return

    def uploads_count(self, channel: Channel, now: datetime) -> int:
        """Give about how many videos a channel has published by `now` (whole hours, deleted ones too)."""
        if channel.number < 0:
            return sum(video.published <= now for video in self._replayed.values())
        last = self._hour_of(now)
        return sum(self._count(channel.number, hour) for hour in range(self._first_hour, last))

    def curated(self, playlist: Playlist, now: datetime) -> list[Video]:
        """Give the videos of a curated playlist, oldest first, those deleted since as well.

        Those that were added by order come last, in the order in which they were added.
        """
        edits = self._edits.get(playlist.id, {})
        chosen = [
            video
            for video in self._window(
                self._history_start(),
                now + timedelta(microseconds=1),
                tuple(channel.id for channel in playlist.channels),
            )
            if mix(video.noise + playlist.number) % 3 == 0 and self.public_at(video) <= now and video.id not in edits
        ]
        added = sorted((at, video_id) for video_id, at in edits.items() if at is not None and at <= now)
        found = (self.find(video_id) for _, video_id in added)
        return chosen[::-1] + [video for video in found if video is not None]

    def edit_playlist(
        self, identity: str, now: datetime, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> None:
        """Add videos, of whatever channel and age, to the end of a curated playlist at `now` (aware), or remove some.

        Raises ValueError for a playlist or a video that is not of this universe.
        """
        added, removed = list(add), list(remove)
        unknown = [video_id for video_id in (*added, *removed) if self.find(video_id) is None]
        if identity not in self._playlists or unknown:
            raise ValueError(f"not of this universe: {', '.join(unknown) or identity}")
        edits = self._edits.setdefault(identity, {})
        edits.update(dict.fromkeys(removed))
        edits.update(dict.fromkeys(added, as_utc(now)))

    def added_at(self, playlist: Playlist, video: Video) -> datetime:
        """Give the moment (UTC) when a video of a curated playlist was added: by order, or when it was public."""
        ordered = self._edits.get(playlist.id, {}).get(video.id)
        return self.public_at(video) if ordered is None else ordered

    def popular(self, region: str, category: str | None, now: datetime) -> list[Video]:
        """Give the chart of a region, at most 200 public videos of the last two days, best first.

        Without a category it is the music, film and gaming charts together. It changes every hour.
        """
        chart = self._chart(region, category, self._hour_of(now))
        return [video for video in chart if self.available(video, now)]

    # How it is made.

    def _make_channels(self, count: int) -> Iterator[Channel]:
        weights = [0.2 + 1.0 / (0.15 + unit(self._noise + 7 * number)) for number in range(count)]
        share = self.videos_per_hour / sum(weights)
        for rank, number in enumerate(sorted(range(count), key=lambda index: -weights[index])):
            noise = mix(self._noise + 0xC0FFEE + rank)
            tongue = vocabulary.TONGUES[mix(noise + 1) % len(vocabulary.TONGUES)]
            yield Channel(
                number=rank,
                id=channel_id(self.seed, rank),
                title=vocabulary.channel_title(tongue, noise + 2),
                handle=vocabulary.handle(noise + 3, rank),
                tongue=tongue,
                category=CATEGORIES[mix(noise + 4) % len(CATEGORIES)],
                rate=share * weights[number],
                audience=20.0 ** (2.0 * unit(noise + 5) - 1.0),
            )

    def _make_playlists(self, count: int) -> Iterator[Playlist]:
        for number in range(count):
            noise = mix(self._noise + 0xBEEF + number)
            width = min(4, len(self._channels))
            members = tuple(
                self._channels[place]
                for place in sorted({mix(noise + step) % len(self._channels) for step in range(width)})
            )
            title = vocabulary.title(members[0].tongue, noise)
            yield Playlist(number, playlist_id(self.seed, number), title, members)

    def _draw_day_counts(self, channel: int, day: int) -> tuple[int, ...]:
        """Give how many videos a channel publishes in each hour of a day of buckets."""
        rate = self._channels[channel].rate
        phase = mix(self._noise + channel) % _HOURS_A_DAY
        counts = []
        for hour in range(_HOURS_A_DAY):
            rhythm = 1.0 + 0.6 * math.sin(2.0 * math.pi * (hour + phase) / _HOURS_A_DAY)
            draw = unit(self._noise + (channel << 40) + (day * _HOURS_A_DAY + hour) * _STEP)
            counts.append(min(MAX_PER_CHANNEL_HOUR, _poisson(rate * rhythm, draw)))
        return tuple(counts)

    def _count(self, channel: int, hour: int) -> int:
        if hour < self._first_hour:
            return 0
        return self._day_counts(channel, hour // _HOURS_A_DAY)[hour % _HOURS_A_DAY]

    def _video(self, key: VideoKey, video_id: str) -> InventedVideo:
        noise = mix(self._noise + ((key.hour << 26 | key.channel << 12 | key.place) + 1) * _STEP)
        milliseconds = noise % 3_600_000
        if unit(noise + 83) >= self.fraction_share:
            milliseconds -= milliseconds % 1000
        moment = timedelta(hours=key.hour, milliseconds=milliseconds)
        return InventedVideo(video_id, self._channels[key.channel], noise, moment)

    def _hour_of(self, moment: datetime) -> int:
        return (moment - self._origin) // timedelta(hours=1)

    def _history_start(self) -> datetime:
        earliest = self._origin + timedelta(hours=self._first_hour)
        return min([earliest, *(video.published for video in self._replayed.values())])

    def _window(self, after: datetime, before: datetime, channels: tuple[str, ...] | None) -> Iterator[Video]:
        """Give the videos published in [after, before) newest first."""
        replayed = [
            video
            for video in self._replayed.values()
            if after <= video.published < before and (channels is None or video.channel.id in channels)
        ]
        invented = self._invented(after, before, self._numbers(channels))
        if not replayed:
            return invented
        return heapq.merge(sorted(replayed, key=self._order, reverse=True), invented, key=self._order, reverse=True)

    def _numbers(self, channels: tuple[str, ...] | None) -> list[int]:
        if channels is None:
            return list(range(len(self._channels)))
        known = (self._by_channel_id.get(identity) for identity in channels)
        return [channel.number for channel in known if channel is not None and channel.number >= 0]

    def _order(self, video: Video) -> tuple[datetime, str]:
        return video.published_at(self._origin), video.id

    def _invented(self, after: datetime, before: datetime, channels: list[int]) -> Iterator[Video]:
        origin = self._origin
        last = self._hour_of(before)
        first = max(self._first_hour, self._hour_of(after))
        for hour in range(last, first - 1, -1):
            videos: Iterable[Video] = self._bucket(hour, channels)
            if hour in (last, first):
                videos = [video for video in videos if after <= video.published_at(origin) < before]
            yield from sorted(videos, key=lambda video: (video.published_at(origin), video.id), reverse=True)

    def _bucket(self, hour: int, channels: list[int]) -> list[InventedVideo]:
        """Give the videos that these channels publish in one hour bucket, in no order."""
        keys = (VideoKey(hour, channel, place) for channel in channels for place in range(self._count(channel, hour)))
        return [self._video(key, self._ids.encode(key)) for key in keys]

    def _draw_chart(self, region: str, category: str | None, hour: int) -> tuple[Video, ...]:
        wanted = CHART_CATEGORIES if category is None else (category,)
        channels = list(range(len(self._channels)))
        taste = sum(ord(letter) << 8 * place for place, letter in enumerate(region))
        ranked: list[tuple[float, str, InventedVideo]] = []
        for bucket in range(hour - 1, hour - _CHART_HOURS - 1, -1):
            for video in self._bucket(bucket, channels):
                if video.category in wanted:
                    liking = 0.2 + unit(video.noise + taste)
                    ranked.append((video.growth.scale * liking, video.id, video))
            if len(ranked) > _CHART_CANDIDATES:
                break
        return tuple(video for _, _, video in heapq.nlargest(_CHART_LENGTH, ranked))


def _poisson(mean: float, draw: float) -> int:
    """Give the Poisson quantile of `draw` in [0, 1); beyond a mean of 30 by the normal approximation."""
    if mean > 30.0:
        spread = math.sqrt(-2.0 * math.log(1.0 - draw)) * math.cos(2.0 * math.pi * unit(int(draw * 2**53)))
        return max(0, round(mean + math.sqrt(mean) * spread))
    probability = cumulated = math.exp(-mean)
    count = 0
    while draw >= cumulated and count < 200:
        count += 1
        probability *= mean / count
        cumulated += probability
    return count
