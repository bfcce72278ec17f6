"""YouTube, answered in this process: the real client, with another end of the line."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ghost_tracking.core.budgets import Bucket, CallBudget
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.youtube import ApiCalls, BatchResult, Endpoint, YouTubeClient
from ghost_tracking.youtube.rounds import Round
from simulation.world import World
from youtube_simulator import vocabulary

PACIFIC = ZoneInfo("America/Los_Angeles")


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

    def hook(self, budget: CallBudget) -> "InProcessYouTube":
        """The hook of one task, which pays from `budget`."""
        return InProcessYouTube(self, budget)

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


class InProcessYouTube(YouTubeClient):
    """YouTubeClient with its own ways to pay, to overflow, to confirm and to read; no request leaves this process.

    Readings are stamped with the simulated time. One thread, so that a simulation can be repeated.
    """

    def __init__(self, youtube: YouTube, budget: CallBudget) -> None:
        super().__init__(_InProcessCalls(youtube, budget), threads=1)
        self._end = youtube

    def statistics(self, video_ids: Collection[str], **options: Any) -> BatchResult[Reading]:
        """As YouTubeClient's."""
        result = super().statistics(video_ids, **options)
        now = self._end.now
        result.found = {each: replace(reading, observed_at=now) for each, reading in result.found.items()}
        self._end.remember(result.found)
        return result

    def metadata(self, video_ids: Collection[str], **options: Any) -> BatchResult[Video]:
        """As YouTubeClient's."""
        result = super().metadata(video_ids, **options)
        now = self._end.now
        result.found = {
            video_id: replace(video, reading=replace(video.reading, observed_at=now))
            for video_id, video in result.found.items()
        }
        self._end.remember(result.found)
        return result


class _InProcessCalls(ApiCalls):
    """Calls that are paid for before they are answered, in no time."""

    def __init__(self, youtube: YouTube, budget: CallBudget) -> None:
        super().__init__(Endpoint("no key"), budget)
        self._end = youtube
        self._paid_from = budget

    def request(self, this_round: Round, resource: str, method: str, **parameters: Any) -> dict[str, Any]:
        """As ApiCalls'."""
        del this_round, resource
        bucket = Bucket.STATISTICS if method == "batchGetStats" else Bucket.GENERAL
        self._paid_from.spend(bucket)
        ids = parameters["id"]
        ids = ids.split(",") if isinstance(ids, str) else ids
        return self._end.request(bucket, ids, with_metadata="contentDetails" in parameters["part"])


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
