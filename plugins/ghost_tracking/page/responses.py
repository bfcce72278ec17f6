"""What the page's routes answer: a dataclass for each, and those that it consists of; see `docs/page-api.md`.

Times are seconds since 1970, sizes bytes, quota calls. None is written as null, and every field is always there.
"""

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, overload


def to_json(response: Any) -> str:
    """A response as the browser gets it. ValueError for numbers that JSON does not have."""
    return json.dumps(response, default=_fields_of, separators=(",", ":"), allow_nan=False)


def _fields_of(response: Any) -> dict[str, Any]:
    return {field.name: getattr(response, field.name) for field in fields(response)}


@overload
def seconds_of(moment: datetime) -> int: ...
@overload
def seconds_of(moment: None) -> None: ...
def seconds_of(moment: datetime | None) -> int | None:
    """A time as responses have it: whole seconds since 1970."""
    return None if moment is None else int(moment.timestamp())


@dataclass(frozen=True, slots=True)
class Error:
    """Why a question has no answer: a sentence."""

    error: str


# data/overview


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: `level` is `broken` or `watch`; where to look, as a path of Airflow's."""

    level: str
    sentence: str
    action: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The gravest finding, and the `others`; `level` is `well`, and there is nothing to do, where there is none."""

    level: str
    sentence: str
    action: str | None
    path: str | None
    others: list[Finding]


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """How many videos wait in a place, and the readings and calls that the next 24 hours need for them."""

    queue: str
    tier: str
    videos: int
    due: int
    overdue: int
    next_at: int | None
    readings: int
    calls: float
    interval: int


@dataclass(frozen=True, slots=True)
class UnusualVideos:
    """Rows of the watchlist that are not as most are."""

    missing: int
    gone: int
    promoted: int
    awaiting: int
    misplaced: int


@dataclass(frozen=True, slots=True)
class BucketUse:
    """What has become of a bucket of today's quota."""

    budget: int
    spent: int
    left: int
    set_aside: int
    is_exhausted: bool


@dataclass(frozen=True, slots=True)
class Quota:
    """What the next 24 hours need and may have, and today's buckets, by name.

    `demand`: calls for every slot; `need`: those of them that the policy asks for; `skipped`: the share of all slots
    that is left out in the long run.
    """

    demand: int
    need: int
    capacity: int
    due: int
    left: int
    skipped: float
    is_short: bool
    is_paced: bool
    runs_out_at: int | None
    day_starts: int
    day_ends: int
    buckets: dict[str, BucketUse]


@dataclass(frozen=True, slots=True)
class TierSlots:
    """What became of a tier's slots in the last so many hours, and seconds between two readings: as planned, and on
    average."""

    tier: str
    hours: int
    served: int
    skipped: int
    missed: int
    planned: int
    interval: int | None


@dataclass(frozen=True, slots=True)
class Liveliness:
    """Videos that gain so many views a day, and their means in seconds: between two readings by their tier and by the
    policy, and since the newest count."""

    least: float | None
    below: float | None
    videos: int
    planned: int
    interval: int
    age: int | None


@dataclass(frozen=True, slots=True)
class MeasuredError:
    """A mean error as audits measure it, in views and in per cent, each with how far it may be off."""

    views: float
    views_within: float
    percent: float
    percent_within: float
    audits: int


@dataclass(frozen=True, slots=True)
class ReadingPolicy:
    """How readings are shared out: the policy by name and in a paragraph, and why slots are left out now."""

    name: str
    text: str
    why: str | None
    tiers: list[TierSlots]
    counted_at: int | None
    liveliness: list[Liveliness]
    last_count: MeasuredError | None
    curve: MeasuredError | None


@dataclass(frozen=True, slots=True)
class PointsByHour:
    """Hours, and the points of each."""

    starts: list[int]
    points: list[int]


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes that the database takes, and its largest tables, of `limit`."""

    limit: int
    everything: int
    watchlist: int
    videos: int
    roster: int


@dataclass(frozen=True, slots=True)
class VaultSize:
    """Bytes by layer; `root` is None for somebody who may not know where the vault is.

    `measured_at`: when the layers were counted that the janitor counts once a night; None: with this answer.
    `proven_since`: the beginning of the day since which the janitor has proven all points, metadata and
    events; None: not all of them yet.
    """

    bytes: dict[str, int]
    total: int
    measured_at: int | None
    proven_since: int | None
    points: int
    bytes_a_point: float | None
    newest_point: int | None
    quarantined: int
    root: str | None


@dataclass(frozen=True, slots=True)
class SourceGap:
    """A window that a source could not give as a whole."""

    source: str
    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A task instance that failed: where its log is. `map_index`: -1 for a task that is not mapped."""

    task_id: str
    map_index: int
    try_number: int


@dataclass(frozen=True, slots=True)
class DagRun:
    """A run, when it began or was to begin, and what it said that it did; `failure`: its first task that failed."""

    run_id: str
    state: str
    kind: str
    at: int
    seconds: float | None
    message: str | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class DagRuns:
    """A DAG, and its last runs, newest first."""

    dag_id: str
    is_known: bool
    is_paused: bool
    runs: list[DagRun]


@dataclass(frozen=True, slots=True)
class Overview:
    """How tracking stands."""

    now: int
    health: Health
    queues: list[QueueLoad]
    states: UnusualVideos
    quota: Quota
    policy: ReadingPolicy
    hours: PointsByHour
    disk_usage: DiskUsage
    vault: VaultSize
    gaps: list[SourceGap]
    dags: list[DagRuns]


# data/find, data/newest, data/video


@dataclass(frozen=True, slots=True)
class Video:
    """What is known of a video. `duration`: seconds."""

    video_id: str
    title: str | None
    channel_id: str | None
    channel_title: str | None
    published_at: int | None
    duration: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """The one video that a query names, or those whose titles have its words."""

    video_id: str | None
    hits: list[Video]


@dataclass(frozen=True, slots=True)
class Newest:
    """The videos that were published last, the newest first."""

    videos: list[Video]


@dataclass(frozen=True, slots=True)
class Fall:
    """A count that is lower than the one before: `place` is that of the reading, `because` a sentence."""

    place: int
    before: int
    after: int
    because: str


@dataclass(frozen=True, slots=True)
class Falls:
    """Falls by count."""

    views: list[Fall]
    likes: list[Fall]
    comments: list[Fall]


@dataclass(frozen=True, slots=True)
class Curve:
    """Readings in order: when they were made, and the counts, None where YouTube showed none. `gaps` are places of
    readings before which some are missing.
    """

    seconds: list[int]
    views: list[int | None]
    likes: list[int | None]
    comments: list[int | None]
    gaps: list[int]
    falls: Falls


@dataclass(frozen=True, slots=True)
class TierChange:
    """When a video came into a tier."""

    at: int
    tier: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """A day on which YouTube changed what a view is: a word, and a sentence."""

    at: int
    text: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Event:
    """A video that vanished, or came back: `state` is `gone` or `returned`."""

    state: str
    first_missed_at: int | None
    confirmed_at: int | None
    returned_at: int | None


@dataclass(frozen=True, slots=True)
class TrackedVideo(Video):
    """A video, where it waits for its next reading, when that is and why, its curve, and what happened to it."""

    place: str | None
    tier: str | None
    last_at: int | None
    next_at: int | None
    interval: int | None
    why: str | None
    state: str | None
    since: int | None
    promoted_until: int | None
    curve: Curve
    tiers: list[TierChange]
    meanings: list[Meaning]
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Videos:
    """The videos that were asked for, in that order."""

    now: int
    videos: list[TrackedVideo]


# data/movers


@dataclass(frozen=True, slots=True)
class Mover(Video):
    """What a video gained; and, where its channel has enough to compare it with, between which ages."""

    gain: int
    first_count: int
    last_count: int
    since: int
    until: int
    own: float | None = None
    median: float | None = None
    ages: list[int] | None = None
    siblings: int | None = None
    times: float | None = None


@dataclass(frozen=True, slots=True)
class PromotedVideo(Video):
    """A settled video that is read daily again."""

    promoted_until: int
    last_at: int | None
    next_at: int


@dataclass(frozen=True, slots=True)
class VanishedVideo(Video):
    """A video that is gone, or came back."""

    state: str
    at: int
    views: int | None


@dataclass(frozen=True, slots=True)
class Movers:
    """What grows fastest over a window, what came back to life, what vanished: as of when it was prepared."""

    now: int
    as_of: int | None
    is_late: bool
    since: int | None
    window: str
    seconds: int
    readings: int
    missed: int | None
    movers: list[Mover]
    promoted: list[PromotedVideo]
    vanished: list[VanishedVideo]


# data/coverage


@dataclass(frozen=True, slots=True)
class TierCoverage:
    """Slots of a tier in each hour, and how many of them were served, and how many left out on purpose."""

    tier: str
    expected: list[int]
    served: list[int]
    skipped: list[int]


@dataclass(frozen=True, slots=True)
class Hole:
    """An hour of a tier that lacks readings."""

    start: int
    tier: str
    expected: int
    missed: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Expected against real readings by hour and tier."""

    now: int
    days: int
    since: int | None
    starts: list[int]
    tiers: list[TierCoverage]
    worst: list[Hole]
