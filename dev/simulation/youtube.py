"""YouTube, answered in this process: the real hook, with another end of the line."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from more_itertools import chunked

from ghost_tracking.core.budgets import IDS_PER_CALL, Bucket, Purse
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.errors import TransientError
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.youtube.answer import Answer
from simulation.world import World
from youtube_simulator import vocabulary

PACIFIC = ZoneInfo("America/Los_Angeles")

Result = TypeVar("Result")


@dataclass
class YouTube:
    """What stands at the other end: a world, its clock, and what it remembers of who asked.

    `requests`: how many it saw by Pacific day and bucket. `answered`: the numbers of the videos whose counts it gave
    to the hook, and when, a pair of arrays an answer.
    """

    world: World
    now: datetime
    requests: Counter[tuple[date, Bucket]] = field(default_factory=Counter)
    answered: list[tuple[np.ndarray, int]] = field(default_factory=list)

    def hook(self, purse: Purse) -> "InProcessYouTube":
        """The hook of one task, which pays from `purse`."""
        return InProcessYouTube(self, purse)

    def request(self, bucket: Bucket, ids: Sequence[str], *, with_metadata: bool) -> dict[str, Any]:
        """Answer one call."""
        self.requests[self.now.astimezone(PACIFIC).date(), bucket] += 1
        at = int(self.now.timestamp())
        numbers = np.array([self.world.numbers[video_id] for video_id in ids], dtype=np.int64)
        numbers = numbers[self.world.public(numbers, at)]
        columns = (each.tolist() for each in (numbers, *self.world.counts(numbers, at)))
        return {"items": [self._item(*each, with_metadata=with_metadata) for each in zip(*columns, strict=True)]}

    def remember(self, ids: Iterable[str]) -> None:
        """Note whose counts the hook has read now."""
        numbers = self.world.numbers
        self.answered.append((np.array([numbers[each] for each in ids], np.int64), int(self.now.timestamp())))

    def _item(self, number: int, views: int, likes: int, comments: int, *, with_metadata: bool) -> dict[str, Any]:
        statistics = {"viewCount": str(views)}
        if not self.world.likes_hidden[number]:
            statistics["likeCount"] = str(likes)
        if not self.world.comments_off[number]:
            statistics["commentCount"] = str(comments)
        published = self.world.published_texts[number]
        item: dict[str, Any] = {
            "id": self.world.ids[number],
            "snippet": {"publishTime": published},
            "statistics": statistics,
        }
        return item | (_metadata(number, published) if with_metadata else {})


class InProcessYouTube(YouTubeHook):
    """YouTubeHook with its own ways to pay, to overflow, to confirm and to read; only no request leaves this process.

    Readings are stamped with the simulated time.
    """

    def __init__(self, youtube: YouTube, purse: Purse) -> None:
        super().__init__(purse=purse)
        self._end = youtube
        self._youtube = _Line(youtube, purse)  # type: ignore[assignment]  # the part of Caller that is used

    def statistics(self, video_ids: Collection[str], **options: Any) -> Answer[Reading]:
        """As YouTubeHook's."""
        answer = super().statistics(video_ids, **options)
        now = self._end.now
        answer.found = {each: replace(reading, observed_at=now) for each, reading in answer.found.items()}
        self._end.remember(answer.found)
        return answer

    def metadata(self, video_ids: Collection[str], **options: Any) -> Answer[Video]:
        """As YouTubeHook's."""
        answer = super().metadata(video_ids, **options)
        now = self._end.now
        answer.found = {
            video_id: replace(video, reading=replace(video.reading, observed_at=now))
            for video_id, video in answer.found.items()
        }
        self._end.remember(answer.found)
        return answer


@dataclass(frozen=True)
class _Line:
    """What YouTubeHook needs of its Caller: fifty ids a call, each paid for before it is sent."""

    youtube: YouTube
    purse: Purse

    longest = timedelta(seconds=1)

    @contextmanager
    def bounded(self, within: timedelta) -> Iterator[None]:
        del within  # no call takes any time
        yield

    def tried(self, call: Callable[[], Result]) -> Result:
        return call()

    def call(self, resource: str, method: str, *, part: str, id: Sequence[str] | str) -> dict[str, Any]:  # noqa: A002
        del resource
        bucket = Bucket.STATISTICS if method == "batchGetStats" else Bucket.GENERAL
        self.purse.spend(bucket)
        ids = id.split(",") if isinstance(id, str) else id
        return self.youtube.request(bucket, ids, with_metadata="contentDetails" in part)

    def ask_all(self, *groups: tuple[Callable[[Sequence[str]], Answer[Any]], Sequence[str]]) -> Answer[Any]:
        answer: Answer[Any] = Answer()
        for one_call, ids in groups:
            for chunk in chunked(ids, IDS_PER_CALL):
                try:
                    answer.add(one_call(chunk))
                except TransientError as error:
                    answer.add(Answer(unanswered=set(chunk), failures=[error]))
        return answer

    def close(self) -> None:
        pass


def _metadata(number: int, published: str) -> dict[str, Any]:
    tongue = vocabulary.TONGUES[number % len(vocabulary.TONGUES)]
    snippet = {
        "publishedAt": published,
        "title": vocabulary.title(tongue, number),
        "description": vocabulary.description(tongue, number),
        "tags": list(vocabulary.tags(tongue, number)),
        "channelId": f"UC{number % 997:022d}",
        "channelTitle": vocabulary.channel_title(tongue, number % 997),
        "categoryId": str(number % 40),
        "defaultLanguage": tongue.language,
    }
    return {"snippet": snippet, "contentDetails": {"duration": f"PT{number % 60}M{number % 59}S"}}
