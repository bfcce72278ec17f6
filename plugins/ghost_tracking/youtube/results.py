"""What YouTube answers, read item by item."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from ghost_tracking.core.videos import Found, Reading, Video, item_id, parse_instant
from ghost_tracking.errors import TransientError, YouTubeFaultError
from ghost_tracking.wording import printable

Item = TypeVar("Item", Reading, Video)

log = logging.getLogger(__name__)


@dataclass
class BatchResult(Generic[Item]):
    """What YouTube said of the videos it was asked for; each is in exactly one of the first six.

    found: by id. missing: ids that `videos.list` does not know (gone, private or never there). malformed: ids whose
    item could not be read, with the reason. faulty: ids that make a call fail even alone while others succeed, with the
    reason. unconfirmed: ids that only `batchGetStats` did not return and that no quota was left to ask for again.
    pending: ids whose call failed or was not sent.

    `failed` are those of the pending whose call was sent. `failures` tells why calls failed, a reason for each call.
    `videos` has the metadata of those found that were asked for it as well.
    """

    found: dict[str, Item] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    malformed: dict[str, str] = field(default_factory=dict)
    faulty: dict[str, str] = field(default_factory=dict)
    unconfirmed: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    failures: list[TransientError] = field(default_factory=list)
    videos: dict[str, Video] = field(default_factory=dict)

    def add(self, other: "BatchResult[Item]") -> None:
        """Take in what another call answered."""
        self.found |= other.found
        self.missing |= other.missing
        self.malformed |= other.malformed
        self.faulty |= other.faulty
        self.unconfirmed |= other.unconfirmed
        self.pending |= other.pending
        self.failed |= other.failed
        self.failures += other.failures
        self.videos |= other.videos

    @classmethod
    def without(cls, ids: Iterable[str], error: TransientError, *, sent: bool = True) -> "BatchResult[Item]":
        """None of these ids was answered, and why."""
        return cls(pending=set(ids), failed=set(ids) if sent else set(), failures=[error])


def read_result(
    body: dict[str, Any], ids: Sequence[str], read_item: Callable[[dict[str, Any], datetime, list[str]], Item]
) -> BatchResult[Item]:
    """The items of one answer. An id that was not asked for means that the answer belongs to somebody else."""
    observed_at = datetime.now(UTC).replace(microsecond=0)
    result: BatchResult[Item] = BatchResult()
    asked, odd = set(ids), list[str]()
    for item in items_of(body):
        video_id = item_id(item)
        if video_id is None:
            continue  # nobody's: the video that it was meant for counts as not returned
        if video_id not in asked:
            raise YouTubeFaultError("YouTube answered with a video that was not asked for")
        try:
            result.found[video_id] = read_item(item, observed_at, odd)
        except (TypeError, ValueError, ArithmeticError) as problem:  # an oddness that nobody thought of costs itself
            result.malformed[video_id] = printable(f"its item cannot be read: {problem}")
    result.missing = asked - result.found.keys() - result.malformed.keys()
    if odd:
        counts = ", ".join(f"{name} {number} times" for name, number in sorted(Counter(odd).items()))
        log.warning("YouTube's answer has values that cannot be, taken as not known: %s", counts)
    return result


def items_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of an answer; the list can be missing altogether."""
    items = body.get("items") or []
    if not isinstance(items, list):
        raise YouTubeFaultError("YouTube answered with items that are no list")
    return [item for item in items if isinstance(item, dict)]


def part_of(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of an item; empty where it is missing or something else than an object."""
    part = item.get(name)
    return part if isinstance(part, dict) else {}


def found_in_playlist(item: dict[str, Any]) -> Found | None:
    details, snippet = part_of(item, "contentDetails"), part_of(item, "snippet")
    video_id = details.get("videoId") or part_of(snippet, "resourceId").get("videoId")
    # snippet.publishedAt is when the video was put on the playlist; in a list of uploads the two are the same
    return _found(video_id, details.get("videoPublishedAt") or snippet.get("publishedAt"))


def found_in_search(item: dict[str, Any]) -> Found | None:
    return _found(part_of(item, "id").get("videoId"), part_of(item, "snippet").get("publishedAt"))


def found_in_list(item: dict[str, Any]) -> Found | None:
    return _found(item_id(item), part_of(item, "snippet").get("publishedAt"))


def _found(video_id: object, published_at: object) -> Found | None:
    if not isinstance(video_id, str) or not video_id:
        return None
    try:
        return Found(video_id, parse_instant(published_at) if isinstance(published_at, str) else None)
    except (ValueError, OverflowError):
        return Found(video_id)
