"""Reading items of YouTube's answers: recorded ones, and what may go wrong in one."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections import recorded
from ghost_tracking.core.videos import parse_duration, parse_instant, read_counts, read_video

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def items(name: str) -> list[dict]:
    return json.loads(recorded(f"api/{name}").read_text(encoding="utf-8"))["items"]


def test_a_recorded_answer_with_statistics() -> None:
    (item,) = items("videos.list.statistics.json")
    reading = read_counts(item, NOW)
    assert (reading.video_id, reading.views, reading.likes, reading.comments) == ("9LfmrkyP81M", 113620, 1948, 114)
    assert reading.published_at is None
    assert reading.point.timestamp == NOW


@pytest.mark.parametrize("name", ["videos.list.0.json", "videos.list.1.json"])
def test_recorded_answers_with_metadata(name: str) -> None:
    videos = [read_video(item, NOW) for item in items(name)]
    assert len(videos) >= 5
    for video in videos:
        assert video.published_at is not None
        assert video.published_at.tzinfo is UTC
        assert video.title
        assert video.channel_id.startswith("UC")
        assert video.duration > timedelta(seconds=10)


def test_an_item_of_batch_get_stats() -> None:
    item = {
        "kind": "youtube#videoStats",
        "id": "abc",
        "snippet": {"publishTime": "2026-01-15T10:00:00Z"},
        "statistics": {"viewCount": "9007199254740993", "commentCount": "0"},
    }
    reading = read_counts(item, NOW)
    assert (reading.views, reading.likes, reading.comments) == (9007199254740993, None, 0)
    assert reading.uploaded_at == datetime(2026, 1, 15, 10, tzinfo=UTC)
    assert (reading.published_at, reading.anchor_at) == (None, None)


@pytest.mark.parametrize("count", ["abc", "-5", "1.5", "", "٣", "9" * 30, "9223372036854775808", 1.5, True, [], {}])
def test_what_is_no_count_is_not_known(count: object) -> None:
    odd: list[str] = []
    reading = read_counts({"id": "abc", "statistics": {"viewCount": count, "likeCount": "7"}}, NOW, odd)
    assert (reading.views, reading.likes, odd) == (None, 7, ["viewCount"])


@pytest.mark.parametrize(
    "item",
    [
        {"id": "abc", "statistics": "none"},
        {"id": "abc", "snippet": {"publishedAt": "yesterday"}},
        {"id": "abc", "snippet": {"publishedAt": "2026-01-15T10:00:00"}},
        {"id": "abc", "snippet": {"publishedAt": 17}},
        {"id": "abc", "snippet": {"publishedAt": "9999-12-31T23:59:59Z"}},
        {"id": "abc", "snippet": {"publishedAt": "0001-01-01T00:00:00+14:00"}},
        {"id": "abc", "snippet": {"publishedAt": "1970-01-01T00:00:00Z"}},
        {"id": "abc", "snippet": {"publishedAt": ""}},
        {"id": "abc", "snippet": {"publishTime": []}},
        {"id": "abc", "snippet": []},
        {"id": "abc", "liveStreamingDetails": []},
        {"id": "abc", "liveStreamingDetails": {"actualStartTime": ""}},
    ],
)
def test_other_values_that_cannot_be_are_not_known(item: dict) -> None:
    odd: list[str] = []
    reading = read_video(item, NOW, odd).reading
    assert len(odd) == 1
    assert (reading.published_at, reading.uploaded_at, reading.starts_at, reading.views) == (None, None, None, None)


def test_a_stream_that_is_always_upcoming_keeps_its_counts() -> None:
    item = premiere(scheduledStartTime="1970-01-01T00:00:00Z") | {"statistics": {"viewCount": "1000"}}
    reading = read_counts(item, NOW)
    assert (reading.views, reading.starts_at, reading.awaits_start) == (1000, None, True)
    assert reading.anchor_at == datetime(2026, 1, 1, tzinfo=UTC)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("9" * 5000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        name: VALUES | st.dictionaries(st.sampled_from(fields), VALUES | st.just("PT" + "9" * 5000 + "S"))
        for name, fields in {
            "snippet": ["title", "publishedAt", "publishTime", "tags", "liveBroadcastContent", "channelId"],
            "statistics": ["viewCount", "likeCount", "commentCount"],
            "contentDetails": ["duration"],
            "liveStreamingDetails": ["actualStartTime", "scheduledStartTime"],
        }.items()
    },
)


@given(PARTS)
def test_whatever_stands_in_an_item_it_can_be_read(parts: dict) -> None:
    video = read_video({"id": "abc"} | parts, NOW)
    assert video.id == video.reading.point.video_id == "abc"


def premiere(**live: str) -> dict:
    state = "upcoming" if "actualStartTime" not in live else "none"
    snippet = {"publishedAt": "2026-01-01T00:00:00Z", "liveBroadcastContent": state}
    return {"id": "abc", "snippet": snippet, "liveStreamingDetails": live}


def test_a_premiere_counts_its_age_from_its_start() -> None:
    upcoming = read_counts(premiere(scheduledStartTime="2026-01-05T20:00:00Z"), NOW)
    assert upcoming.awaits_start
    assert upcoming.anchor_at == datetime(2026, 1, 5, 20, tzinfo=UTC)
    started = read_counts(
        premiere(scheduledStartTime="2026-01-05T20:00:00Z", actualStartTime="2026-01-05T20:01:07Z"), NOW
    )
    assert not started.awaits_start
    assert started.anchor_at == datetime(2026, 1, 5, 20, 1, 7, tzinfo=UTC)
    unscheduled = read_counts(premiere(), NOW)
    assert unscheduled.awaits_start
    assert unscheduled.anchor_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2019-09-24T20:20:31.000Z", "2019-09-24T20:20:31Z", "2019-09-24T22:20:31+02:00"])
def test_instants(text: str) -> None:
    assert parse_instant(text) == datetime(2019, 9, 24, 20, 20, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT51M12S", 3072),
        ("PT1H", 3600),
        ("P1DT2H3M4S", 93784),
        ("P0D", 0),
        ("P1W", 604800),
        ("PT" + "9" * 5000 + "S", None),
        ("5 min", None),
        (None, None),
    ],
)
def test_durations(text: object, seconds: int | None) -> None:
    assert parse_duration(text) == (None if seconds is None else timedelta(seconds=seconds))


def test_text_that_postgresql_cannot_hold_is_cleaned() -> None:
    video = read_video({"id": "abc", "snippet": {"title": "a\x00b\ud83d", "tags": ["x\x00", 7]}}, NOW)
    assert (video.title, video.tags) == ("ab", ("x",))
    assert read_video({"id": "abc", "snippet": {"tags": 5}}, NOW).tags == ()
