"""A video: found by id, URL or words of its title; its readings, its place in the schedule, what happened to it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ghost_tracking.core.fairness import video_reason
from ghost_tracking.core.policies import ReadingPlan
from ghost_tracking.core.roster import Chunk, hour_of_week
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import DAILY_FROM, WEEKLY_FROM, Tier
from ghost_tracking.core.titles import words_of
from ghost_tracking.core.video_ids import is_video_id, parse_video_reference
from ghost_tracking.errors import BadInputError
from ghost_tracking.page.context import PageContext, ttl_cached
from ghost_tracking.page.curves import COUNTS, curve, published_at
from ghost_tracking.page.responses import (
    Curve,
    Event,
    Found,
    Meaning,
    Newest,
    TierChange,
    TrackedVideo,
    Video,
    Videos,
    seconds_of,
)
from ghost_tracking.postgres.page import Newest as NewestVideo
from ghost_tracking.services.fairness import next_reading
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.services.reading_policy import standing_plan

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VIDEOS: Final = 6
"""Videos that one page shows together: as many as there are colours."""
HITS_SHOWN: Final = 25
NEWEST_SHOWN: Final = 20
SHORTS_UNTIL: Final = 180
"""Seconds that a Short may last."""

MEANINGS: Final = (
    (
        datetime(2025, 3, 31, tzinfo=UTC),
        "Shorts: any start counts",
        "Since 2025-03-31 YouTube counts a view of a Short whenever it starts to play, however briefly it is watched.",
        True,
    ),
    (
        datetime(2026, 8, 24, tzinfo=UTC),
        "a view means something else",
        "On 2026-08-24 YouTube changed what counts as a view in all formats: older counts are not comparable.",
        False,
    ),
)
"""When YouTube changed the meaning of a view: the day, a word, a sentence, and whether it was of Shorts only."""

KnownVideos = Collection[str] | Mapping[str, datetime | None]
"""Ids of videos; as a mapping with their publish times (aware; None: unknown)."""


def find(context: PageContext, query: str) -> Found:
    """The video that the query names, where it is known, else `hits` by words of titles, the best first."""
    query = query.replace("\0", " ").strip()  # PostgreSQL takes no NUL in a text
    named = _named(query)
    if named is not None and ("/" in query or _is_known(context, named)):
        return Found(named, [])
    words = words_of(query)
    if not words:
        return Found(None, [])
    # as they are written, and no more of them than are looked for in the archive
    patterns = [f"%{_escaped(word)}%" for word in sorted(query.split(), key=len, reverse=True)[: len(words)]]
    lately = context.watchlist.page.found_lately(patterns, HITS_SHOWN)
    archived = context.vault.find_videos(query, HITS_SHOWN).to_dict("records")
    hits: dict[str, Mapping[Any, Any]] = {row["video_id"]: row for row in archived}
    hits |= {each.video_id: asdict(each) for each in lately if each.video_id not in hits}
    return Found(None, [Video(**video_fields(row)) for row in list(hits.values())[:HITS_SHOWN]])


@ttl_cached(30)
def newest(context: PageContext) -> Newest:
    """The videos of the watchlist that were published last, the newest first."""
    rows: list[NewestVideo] = []
    for tier in Tier:
        if len(rows) < NEWEST_SHOWN:  # but for promoted ones, a tier's videos are older than those of the one before
            rows += context.watchlist.page.newest(tier, NEWEST_SHOWN - len(rows))
    known = titles(context, {row.video_id: row.anchor_at for row in rows})
    unknown = [video_fields({"video_id": row.video_id, "published_at": row.anchor_at}) for row in rows]
    return Newest([Video(**known.get(row["video_id"], row)) for row in unknown])


def videos(context: PageContext, video_ids: Sequence[str], now: datetime | None = None) -> Videos:
    """All that is known of these videos."""
    wanted = checked(video_ids)
    present = now or datetime.now(UTC)
    points = _points(context, wanted)
    metadata = _metadata(context, {video_id: published_at(points[video_id]) for video_id in wanted})
    events = context.vault.read_availability(wanted)
    entries = context.watchlist.page.entries(wanted)
    quota = read_quota_status(context.watchlist, context.settings)
    plan = standing_plan(context.watchlist, context.settings, quota)
    found = []
    for video_id in wanted:
        known = metadata.get(video_id, {})
        told = published_at(points[video_id])
        drawn = curve(points[video_id], told, plan)
        published = known.get("published_at") or told
        place = _place(context, video_id, entries.get(video_id), published, plan)
        anchor = place.pop("anchor") or published
        found.append(
            TrackedVideo(
                **video_fields(known | {"video_id": video_id, "published_at": published}),
                **place,
                curve=drawn,
                tiers=_tier_changes(anchor, present),
                meanings=_meanings(_first_reading(drawn), present, known.get("duration_seconds")),
                events=[_event(row) for row in events[events["video_id"] == video_id].to_dict("records")],
            )
        )
    return Videos(seconds_of(present), found)


def series(context: PageContext, video_ids: Sequence[str]) -> str:
    """The readings of these videos as CSV, by video and time, with the age in seconds."""
    import pandas as pd

    frame = _table(context, checked(video_ids)).to_pandas(types_mapper=_nullable)
    age = (frame["timestamp"] - frame["published_at"]).dt.total_seconds().round().astype("Int64")
    columns = ["video_id", "timestamp", "age_seconds", *COUNTS]
    shown = frame.assign(age_seconds=age)[columns].sort_values(["video_id", "timestamp"])
    shown["timestamp"] = pd.to_datetime(shown["timestamp"]).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    text: str = shown.to_csv(index=False, lineterminator="\r\n")
    return text


def history(context: PageContext, video_ids: Sequence[str]) -> bytes:
    """The whole history of these videos as a Parquet file in the vault's schema, by video and time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    ordered = _table(context, checked(video_ids)).sort_by([("video_id", "ascending"), ("timestamp", "ascending")])
    pq.write_table(ordered, sink, compression="zstd", version="2.6", store_schema=False)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def checked(video_ids: Sequence[str]) -> list[str]:
    """The ids, each once; BadInputError for none, for too many, and for what cannot be one."""
    wanted = list(dict.fromkeys(video_ids))
    if not wanted or len(wanted) > MOST_VIDEOS:
        raise BadInputError(f"Name one to {MOST_VIDEOS} videos, not {len(wanted)}.")
    for video_id in wanted:
        if not is_video_id(video_id):
            raise BadInputError(f"{video_id[:40]!r} cannot be the id of a video.")
    return wanted


def titles(context: PageContext, video_ids: KnownVideos) -> dict[str, dict[str, Any]]:
    """The fields of these videos that are shown, by id; those without metadata are absent.

    Given with their publish times, few of the archive's files are opened.
    """
    return {video_id: video_fields(row) for video_id, row in _metadata(context, video_ids).items()}


def _named(query: str) -> str | None:
    try:
        return parse_video_reference(query)
    except ValueError:
        return None


def _is_known(context: PageContext, video_id: str) -> bool:
    if context.watchlist.entries.known([video_id]) or context.watchlist.page.metadata([video_id]):
        return True
    return len(context.vault.read_latest([video_id])) > 0


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _metadata(context: PageContext, video_ids: KnownVideos) -> dict[str, dict[str, Any]]:
    """From the database while it is there, else from the vault."""
    known = video_ids if isinstance(video_ids, Mapping) else dict.fromkeys(video_ids)
    found = {each.video_id: asdict(each) for each in context.watchlist.page.metadata(list(known))}
    lacking = {video_id: at for video_id, at in known.items() if video_id not in found}
    return context.vault.stats.titles(lacking) | found


def _table(context: PageContext, video_ids: Sequence[str]) -> "pa.Table":
    return context.vault.read_table(video_ids=video_ids)


def _points(context: PageContext, video_ids: Sequence[str]) -> dict[str, "pa.Table"]:
    import pyarrow.compute as pc

    table = _table(context, video_ids).sort_by("timestamp")
    return {video_id: table.filter(pc.equal(table["video_id"], video_id)) for video_id in video_ids}


def _place(
    context: PageContext,
    video_id: str,
    entry: WatchlistEntry | None,
    published: datetime | None,
    plan: ReadingPlan,
) -> dict[str, Any]:
    """Where a video waits: `place` (watchlist, roster or None), tier, last and next time and why, state; its `anchor`.

    A settled video is read at the first visit to its chunk that finds it worth a reading, by what is remembered of it.
    """
    if entry is not None:
        gone, missing = (entry.absence.gone_at, entry.absence.first_missed_at) if entry.absence else (None, None)
        state = "gone" if gone else "missing" if missing else "waits for its start" if entry.awaits_start else None
        return {
            "place": "watchlist",
            "tier": entry.tracking_tier.value,
            "last_at": seconds_of(entry.last_tracked_at),
            "next_at": seconds_of(entry.next_track_at),
            **_reason(plan, None if entry.absence or entry.awaits_start else entry, on_roster=False),
            "state": state or ("promoted" if entry.promoted_until else None),
            "since": seconds_of(gone or missing or None),
            "promoted_until": seconds_of(entry.promoted_until),
            "anchor": entry.anchor_at,
        }
    chunk, position = _chunk_of(context, video_id, published)
    row = None if chunk is None else context.vault.roster.memory(chunk.name, chunk.ids).row(position, video_id)
    decision = context.watchlist.let_go.changes([video_id]).get(video_id)
    let_go = decision if decision is not None and decision.state.lets_go else None
    return {
        "place": None if chunk is None else "roster",
        "tier": None if chunk is None else Tier.WEEKLY.value,
        "last_at": chunk and row and seconds_of(row.last_tracked_at or chunk.last_tracked_at),
        "next_at": chunk and row and seconds_of(next_reading(plan, chunk, row)),
        **_reason(plan, None if chunk and chunk.gone else row, on_roster=True),
        "state": "gone" if chunk is not None and chunk.gone else let_go and let_go.state.value,
        "since": let_go and seconds_of(let_go.changed_at),
        "promoted_until": None,
        "anchor": None,
    }


def _reason(plan: ReadingPlan, row: WatchlistEntry | None, *, on_roster: bool) -> dict[str, Any]:
    """The interval that the policy gives a video of this row, and why; None where that is not the policy's matter."""
    if row is None:
        return {"interval": None, "why": None}
    why = video_reason(
        plan.policy,
        leaves_out=plan.threshold > 0 and plan.is_known,
        is_promoted=row.promoted_until is not None,
        on_roster=on_roster,
    )
    interval = plan.interval(row.known)
    if on_roster:  # a chunk is visited once a week
        interval = max(interval, Tier.WEEKLY.interval)
    return {"interval": round(interval.total_seconds()), "why": why}


def _chunk_of(context: PageContext, video_id: str, published: datetime | None) -> tuple[Chunk | None, int]:
    """The roster's chunk that holds a video, one of the hour of the week of its publication, and its position there.

    A premiere is in the hour of its start, which only its readings' times tell: it is not found here.
    """
    if published is None:
        return None, 0
    hour = hour_of_week(published)
    for chunk in context.watchlist.roster.of_hours([hour]):
        for place, each in enumerate(context.vault.stats.chunk(chunk.name)):
            if each == video_id and place not in chunk.removed_positions:
                return chunk, place
    return None, 0


def _tier_changes(anchor: datetime | None, now: datetime) -> list[TierChange]:
    if anchor is None:
        return []
    changes = ((anchor, Tier.HOURLY), (anchor + DAILY_FROM, Tier.DAILY), (anchor + WEEKLY_FROM, Tier.WEEKLY))
    return [TierChange(seconds_of(at), tier.value) for at, tier in changes if at <= now]


def _meanings(first: datetime | None, now: datetime, duration: int | None) -> list[Meaning]:
    """The days that lie between a video's readings; those of Shorts where it may be one."""
    may_be_short = duration is None or duration <= SHORTS_UNTIL
    return [
        Meaning(seconds_of(day), text, sentence)
        for day, text, sentence, shorts_only in MEANINGS
        if first is not None and first < day + timedelta(days=1) and day <= now and (may_be_short or not shorts_only)
    ]


def _first_reading(drawn: Curve) -> datetime | None:
    return datetime.fromtimestamp(drawn.seconds[0], UTC) if drawn.seconds else None


def _event(row: Mapping[Any, Any]) -> Event:
    times = {name: _moment(row[name]) for name in ("first_missed_at", "confirmed_at", "returned_at")}
    return Event(row["state"], **times)


def video_fields(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The fields of `Video` for a row of metadata, which may have its id alone."""
    duration = row.get("duration_seconds")
    return {
        "video_id": row["video_id"],
        "title": _text(row.get("title")),
        "channel_id": _text(row.get("channel_id")),
        "channel_title": _text(row.get("channel_title")),
        "published_at": _moment(row.get("published_at")),
        "duration": None if duration is None or duration != duration else int(duration),
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: Any) -> int | None:
    """Seconds since 1970 of a time as the database or pandas has it; None for none."""
    if value is None or value != value:
        return None
    return int(value.timestamp())


def _nullable(kind: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    return pd.Int64Dtype() if kind == pa.int64() else None
