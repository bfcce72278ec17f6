"""The simulator's universe is pure: the same seed gives the same videos, in any window, in any order of asking."""

import statistics
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from youtube_simulator import (
    Bucket,
    FaultPlan,
    Lateness,
    Quirks,
    QuotaLedger,
    SimulatorClock,
    World,
    load_replay,
    paging,
)
from youtube_simulator.effects import error_of
from youtube_simulator.growth import Growth
from youtube_simulator.identity import MAX_CHANNELS, MAX_PER_CHANNEL_HOUR, VideoIds, VideoKey
from youtube_simulator.replay import ReplayError
from youtube_simulator.resources import escape, iso_duration, timestamp
from youtube_simulator.state import StateError, Universe, agree, load, save

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ORIGIN = datetime(2026, 1, 15, 10, tzinfo=UTC)
NOW = ORIGIN + timedelta(hours=5, minutes=30)
WORLD = World(7, origin=ORIGIN, channels=40, videos_per_hour=30, history_days=20)

keys = st.builds(
    VideoKey,
    st.integers(-(2**23), 2**23 - 1),
    st.integers(0, MAX_CHANNELS - 1),
    st.integers(0, MAX_PER_CHANNEL_HOUR - 1),
)


@settings(deadline=None)
@given(st.integers(0, 2**31), keys)
def test_ids_are_a_bijection(seed: int, key: VideoKey) -> None:
    ids = VideoIds(seed)
    video_id = ids.encode(key)
    assert len(video_id) == 11
    assert video_id[-1] in "048AEIMQUYcgkosw"
    assert ids.decode(video_id) == key


@settings(deadline=None)
@given(st.text(max_size=14))
def test_strange_ids_are_nobodys(text: str) -> None:
    assert WORLD.find(text) is None


def test_ids_of_another_universe_are_nobodys() -> None:
    other = World(8, origin=ORIGIN, channels=40, videos_per_hour=30, history_days=20)
    assert all(WORLD.find(video.id) is None for video in other.published(NOW - DAY, NOW))


def test_a_key_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        VideoIds(7).encode(VideoKey(2**23, 0, 0))


def test_every_published_video_is_found_by_its_id() -> None:
    videos = WORLD.published(NOW - 20 * DAY, NOW)
    assert len({video.id for video in videos}) == len(videos) == pytest.approx(20 * 24 * 30, rel=0.1)
    assert all(WORLD.find(video.id) == video for video in videos)
    moments = [WORLD.published_at(video) for video in videos]
    assert moments == sorted(moments)
    assert all(moment.microsecond == 0 for moment in moments)


@settings(deadline=None)
@given(st.lists(st.timedeltas(timedelta(days=-3), 2 * DAY), min_size=3, max_size=3))
def test_windows_add_up(offsets: list[timedelta]) -> None:
    first, middle, last = (ORIGIN + offset for offset in sorted(offsets))
    parts = WORLD.published(first, middle) + WORLD.published(middle, last)
    whole = WORLD.published(first, last)
    assert parts == whole
    assert all(first <= WORLD.published_at(video) < last for video in whole)


def test_some_videos_come_to_light_late() -> None:
    lateness = Lateness(public_share=0.2, public_most=5 * DAY, listed_share=0.3, listed_most=DAY)
    world = World(7, origin=ORIGIN, channels=40, videos_per_hour=30, history_days=20, lateness=lateness)
    videos = world.published(NOW - 10 * DAY, NOW - 6 * DAY)
    assert [video.id for video in videos] == [video.id for video in WORLD.published(NOW - 10 * DAY, NOW - 6 * DAY)]
    public = [world.public_at(video) - world.published_at(video) for video in videos]
    listed = [world.listed_at(video) - world.public_at(video) for video in videos]
    assert 0.15 < sum(late > timedelta(0) for late in public) / len(videos) < 0.25
    assert 0.25 < sum(late > timedelta(0) for late in listed) / len(videos) < 0.35
    assert all(not late or timedelta(minutes=1) <= late <= 5 * DAY for late in public)
    assert DAY / 2 < max(listed) <= DAY
    assert WORLD.listed_at(videos[0]) == WORLD.published_at(videos[0])


def test_a_late_video_is_in_no_listing_before_and_keeps_its_publish_time() -> None:
    world = World(7, origin=ORIGIN, channels=40, videos_per_hour=30, history_days=20)
    channel = world.channels()[0].id
    video, other = (each for each in islice(world.uploads(channel, NOW), 2))
    published = world.published_at(video)
    world.delay([video.id], public=2 * DAY, listed=HOUR)
    assert next(world.uploads(channel, NOW)) == other
    assert world.public(video.id, published + 2 * DAY - timedelta(seconds=1)) is None
    public = published + 2 * DAY
    assert world.public(video.id, public) == video
    assert video not in world.uploads(channel, public)
    assert video in world.uploads(channel, public + HOUR)
    assert world.published_at(video) == published
    world.restore([video.id])
    assert world.public(video.id, NOW) is None, "a video is not public before its time by being restored"


def test_a_playlist_is_edited() -> None:
    world = World(7, origin=ORIGIN, channels=40, videos_per_hour=30, history_days=20)
    playlist = world.playlists()[0]
    before = [video.id for video in world.curated(playlist, NOW)]
    old, new = (video.id for video in world.published(NOW - 19 * DAY, NOW)[:: 19 * 24 * 25][:2])
    world.edit_playlist(playlist.id, NOW, add=[new], remove=before[:2])
    world.edit_playlist(playlist.id, NOW + HOUR, add=[old])
    assert [video.id for video in world.curated(playlist, NOW)] == [*before[2:], new]
    assert [video.id for video in world.curated(playlist, NOW + HOUR)][-2:] == [new, old]
    found = world.find(old)
    assert found is not None
    assert world.added_at(playlist, found) == NOW + HOUR
    world.edit_playlist(playlist.id, NOW + HOUR, add=before[:1], remove=[new, old])
    assert [video.id for video in world.curated(playlist, NOW + HOUR)][-1] == before[0]
    for wrong in ({"add": ["nobodyknew1"]}, {"remove": ["x"]}):
        with pytest.raises(ValueError, match="not of this universe"):
            world.edit_playlist(playlist.id, NOW, **wrong)
    with pytest.raises(ValueError, match="PLnobody"):
        world.edit_playlist("PLnobody", NOW)


def test_nothing_lies_before_the_history() -> None:
    assert WORLD.published(ORIGIN - 100 * DAY, ORIGIN - 20 * DAY) == []


def test_the_future_is_known_and_not_public() -> None:
    video = WORLD.published(NOW + 400 * DAY, NOW + 401 * DAY)[0]
    assert WORLD.find(video.id) == video
    assert WORLD.public(video.id, NOW) is None
    assert WORLD.reading(video, NOW).views == 0


@settings(deadline=None)
@given(st.integers(-60, 60), st.integers(0, 10**6))
def test_shifting_the_origin_moves_times_and_keeps_ids(days: int, seconds: int) -> None:
    world = World(7, origin=ORIGIN, channels=10, videos_per_hour=20, history_days=2)
    before = world.published(ORIGIN - HOUR, ORIGIN + HOUR)
    was = {video.id: (world.published_at(video), world.reading(video, NOW)) for video in before}
    delta = timedelta(days=days, seconds=seconds)
    assert world.shift_origin(delta) == ORIGIN + delta
    after = world.published(ORIGIN + delta - HOUR, ORIGIN + delta + HOUR)
    assert {video.id: (world.published_at(video) - delta, world.reading(video, NOW + delta)) for video in after} == was


def test_channels_depend_on_the_seed_only() -> None:
    other = World(7, origin=ORIGIN - 90 * DAY, channels=60, videos_per_hour=500, history_days=1)
    assert other.channel_ids()[:40] == WORLD.channel_ids()
    assert all(len(identity) == 24 and identity.startswith("UC") for identity in other.channel_ids())
    assert other.playlist_ids() == WORLD.playlist_ids()
    assert len({channel.handle for channel in other.channels()}) == 60
    assert World(9).channel_ids()[0] != WORLD.channel_ids()[0]


def test_uploads_are_the_channels_public_videos_newest_first() -> None:
    channel = WORLD.channels()[0]
    uploads = list(WORLD.uploads(channel.id, NOW))
    published = WORLD.published(ORIGIN - 20 * DAY, NOW, channel.id)
    assert uploads == [video for video in published[::-1] if WORLD.available(video, NOW)]
    assert len(uploads) > 50
    assert WORLD.uploads_count(channel, NOW) == pytest.approx(len(published), abs=5)


def test_a_curated_playlist_is_oldest_first_and_grows_at_its_end() -> None:
    playlist = WORLD.playlists()[0]
    now = [video.id for video in WORLD.curated(playlist, NOW)]
    later = [video.id for video in WORLD.curated(playlist, NOW + 5 * DAY)]
    assert now == later[: len(now)]
    assert len(later) > len(now) > 10


def test_the_chart_holds_public_videos_of_its_category() -> None:
    chart = WORLD.popular("DE", "10", NOW)
    assert chart
    assert all(video.category == "10" and WORLD.available(video, NOW) for video in chart)
    assert {video.category for video in WORLD.popular("DE", None, NOW)} <= {"10", "1", "20"}


def test_100_000_videos_cost_no_memory_and_little_time() -> None:
    world = World(7, origin=ORIGIN, channels=200, videos_per_hour=5000, history_days=30)
    bucket = world.published(ORIGIN, ORIGIN + HOUR)
    assert len(bucket) == pytest.approx(5000, rel=0.15)
    oldest = world.published(ORIGIN - 30 * DAY, ORIGIN - 30 * DAY + HOUR)
    assert all(world.find(video.id) == video for video in oldest[:200])
    assert len(list(islice(world.newest(NOW), 100))) == 100


# Counts.


def sample() -> list[Growth]:
    return [Growth.of(number * 7919, 1.0) for number in range(4000)]


@settings(deadline=None)
@given(st.integers(0, 2**64), st.floats(0, 400 * 86400))
def test_counts_are_ordered_whole_numbers(noise: int, age: float) -> None:
    reading = Growth.of(noise, 1.0).reading(age)
    assert all(type(count) is int and count >= 0 for count in reading if count is not None)
    likes = reading.views if reading.likes is None else reading.likes
    assert reading.views >= likes >= (reading.comments or 0) or reading.likes is None


@settings(deadline=None)
@given(st.integers(0, 2**64), st.floats(0, 400 * 86400))
def test_what_falls_recovers_within_two_hours(noise: int, age: float) -> None:
    curve = Growth.of(noise, 1.0)
    soon = [curve.reading(age + minutes * 60).views for minutes in range(10, 121, 10)]
    assert max(soon) >= curve.reading(age).views


def test_counts_grow_fast_and_then_slowly() -> None:
    curves = [curve for curve in sample() if curve.scale > 1000]
    shares = [curve.reading(86400).views / curve.reading(30 * 86400).views for curve in curves]
    assert 0.3 < statistics.median(shares) < 0.8
    views = sorted(curve.reading(30 * 86400).views for curve in sample())
    assert views[len(views) // 2] * 20 < views[len(views) * 99 // 100], "a few videos have most of the views"


def test_some_counts_are_not_shown() -> None:
    readings = [curve.reading(1e6) for curve in sample()]
    assert 0.025 <= sum(reading.likes is None for reading in readings) / len(readings) <= 0.04
    assert 0.007 <= sum(reading.comments is None for reading in readings) / len(readings) <= 0.018


def test_some_readings_fall_and_some_stand_still() -> None:
    falls = stands = steps = 0
    for curve in sample()[:300]:
        if curve.scale < 50_000:
            continue
        views = [curve.reading(hour * 3600.0).views for hour in range(1, 24 * 7)]
        falls += sum(later < earlier for earlier, later in pairwise(views))
        stands += sum(later == earlier for earlier, later in pairwise(views))
        steps += len(views) - 1
    assert 0.003 < falls / steps < 0.02
    assert 0.002 < stands / steps < 0.05


def test_a_freeze_ends_within_21_hours() -> None:
    longest = 0
    for number in range(60):
        curve, run = Growth.of(number * 7919, 1e5), 0
        for earlier, later in pairwise(curve.reading(step * 1800.0).views for step in range(1, 48 * 5)):
            run = run + 1 if later == earlier else 0
            longest = max(longest, run)
    assert 4 <= longest <= 42


def test_some_videos_go_and_some_of_them_return() -> None:
    videos = WORLD.published(ORIGIN - 20 * DAY, ORIGIN)
    gone = [video for video in videos if not WORLD.available(video, ORIGIN + 100 * DAY)]
    back = [
        video
        for video in videos
        if any(not WORLD.available(video, ORIGIN + hours * HOUR) for hours in (6, 48, 120, 240, 600))
        and WORLD.available(video, ORIGIN + 100 * DAY)
    ]
    assert 0.005 < len(gone) / len(videos) < 0.02
    assert back


def test_orders_beat_nature() -> None:
    world = World(7, origin=ORIGIN, channels=10, videos_per_hour=20, history_days=1)
    video = next(video for video in world.published(ORIGIN - DAY, ORIGIN) if world.available(video, NOW))
    world.delete([video.id])
    assert world.public(video.id, NOW) is None
    world.restore([video.id])
    assert world.public(video.id, NOW) == video


def test_premieres_and_broadcasts_start_after_their_publication() -> None:
    videos = WORLD.published(ORIGIN - 20 * DAY, ORIGIN)
    shows = [(video, show) for video in videos if (show := video.broadcast(ORIGIN)) is not None]
    assert 0.01 < len(shows) / len(videos) < 0.03
    assert {show.premiere for _, show in shows} == {True, False}
    second = timedelta(seconds=1)
    for video, show in shows:
        published = WORLD.published_at(video)
        assert published < show.scheduled_start <= show.actual_start < show.actual_end
        assert [show.state(moment) for moment in (published, show.actual_start, show.actual_end)] == [
            "upcoming",
            "live",
            "none",
        ]
        assert WORLD.reading(video, show.actual_start - second).views == 0


def test_titles_come_in_several_scripts() -> None:
    text = "".join(video.title for video in WORLD.published(NOW - DAY, NOW))
    assert all(any(low <= letter <= high for letter in text) for low, high in ("az", "ая", "ぁん", "كي", "अह"))


def test_some_moments_have_fractions_when_asked_for() -> None:
    world = World(7, origin=ORIGIN, channels=10, videos_per_hour=60, history_days=1, fraction_share=0.3)
    moments = [world.published_at(video) for video in world.published(ORIGIN - DAY, ORIGIN)]
    assert 0.2 < sum(moment.microsecond > 0 for moment in moments) / len(moments) < 0.4


# The small parts.


@settings(deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 50))
def test_page_tokens_come_back(offset: int, backward: bool, size: int) -> None:
    page = paging.decode(paging.encode(offset, backward=backward), size)
    assert page == (max(0, offset - size) if backward else offset, size)


def test_page_tokens_look_like_youtubes() -> None:
    assert paging.Page(0, 50).links(more=True) == {"nextPageToken": "CDIQAA"}
    assert paging.Page(50, 50).links(more=False) == {"prevPageToken": "CDIQAQ"}


@settings(deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_other_page_tokens_are_refused(token: str) -> None:
    try:
        page = paging.decode(token, 50)
    except paging.BadPageTokenError:
        return
    assert token in {paging.encode(page.start), paging.encode(page.start + 50, backward=True)} or page.start == 0


@pytest.mark.parametrize(
    ("seconds", "printed"), [(0, "P0D"), (59, "PT59S"), (3723, "PT1H2M3S"), (7200, "PT2H"), (90_000, "P1DT1H")]
)
def test_durations(seconds: int, printed: str) -> None:
    assert iso_duration(seconds) == printed


def test_times_are_printed_as_youtube_does() -> None:
    assert timestamp(ORIGIN) == "2026-01-15T10:00:00Z"
    assert timestamp(ORIGIN, fractions=True) == "2026-01-15T10:00:00.000Z"
    assert timestamp(ORIGIN + timedelta(milliseconds=250)) == "2026-01-15T10:00:00.250Z"


def test_texts_are_escaped_as_search_does() -> None:
    assert escape("<Ho & 'Pringle'>") == "&lt;Ho &amp; &#39;Pringle&#39;&gt;"


def test_the_clock_runs_stands_and_moves() -> None:
    clock = SimulatorClock(ORIGIN)
    assert clock.now() == clock.now() == ORIGIN
    assert clock.advance(DAY) == ORIGIN + DAY
    clock.resume()
    assert not clock.frozen
    assert abs(clock.now() - ORIGIN - DAY) < timedelta(seconds=30)
    clock.set_offset(-DAY)
    assert abs(datetime.now(UTC) - DAY - clock.now()) < timedelta(seconds=30)
    with pytest.raises(ValueError, match="time zone"):
        clock.freeze(datetime(2026, 1, 1))  # noqa: DTZ001


def test_quota_refills_at_midnight_pacific() -> None:
    quota = QuotaLedger({Bucket.SEARCH: 2})
    evening = datetime(2026, 7, 1, 6, 59, 59, tzinfo=UTC)
    assert [quota.spend(Bucket.SEARCH, evening) for _ in range(3)] == [True, True, False]
    assert quota.spend(Bucket.STATISTICS, evening)
    assert quota.spend(Bucket.SEARCH, evening + timedelta(seconds=1)), "07:00 UTC is midnight in summer"
    winter = datetime(2026, 1, 1, 7, 59, 59, tzinfo=UTC)
    quota.set_remaining(Bucket.SEARCH, 0, winter)
    assert not quota.spend(Bucket.SEARCH, winter)
    assert quota.spend(Bucket.SEARCH, winter + timedelta(seconds=1)), "08:00 UTC is midnight in winter"
    assert quota.state(evening)["search"] == {"limit": 2, "used": 2, "remaining": 0}


def test_faults_strike_where_and_as_often_as_ordered() -> None:
    plan = FaultPlan()
    plan.add("http_error", endpoint="search.list", count=2, skip=1)
    struck = [bool(plan.strike("search.list", ())) for _ in range(5)]
    assert struck == [False, True, True, False, False]
    assert plan.active() == []
    poison = plan.add("poison", video_id="a")
    assert not plan.strike("videos.list", ["b"])
    (fault,) = plan.strike("videos.list", ["a", "b"])
    assert fault is poison
    error = error_of(fault)
    assert error is not None
    assert error.status == 400
    for wrong in ({"endpoint": "videos"}, {"count": 0}, {"probability": 2.0}):
        with pytest.raises(ValueError, match=r"endpoint|count|probability"):
            plan.add("reset", **wrong)
    with pytest.raises(ValueError, match="sunburn"):
        plan.add("sunburn")


def test_a_fault_with_a_probability_strikes_now_and_then() -> None:
    plan = FaultPlan(seed=1)
    plan.add("reset", probability=0.3)
    assert 60 < sum(bool(plan.strike("videos.list", ())) for _ in range(300)) < 120


def test_quirks_have_names_and_values() -> None:
    quirks = Quirks()
    quirks.update({"search": "sampled", "summary": True})
    assert (quirks.search, quirks.summary) == ("sampled", True)
    for wrong in ({"serach": "sampled"}, {"search": True}, {"summary": "yes"}):
        with pytest.raises(ValueError, match=r"unknown quirk|is one of"):
            quirks.update(wrong)


# Files.

SERIES = """video_id,observed_at,views,likes,comments
aaaaaaaaaa0,2026-01-01T00:00:00Z,100,10,1
aaaaaaaaaa0,2026-01-01T01:00:00Z,90,,2
bbbbbbbbbb0,2026-01-02T00:00:00+00:00,5,1,0
"""


def test_recorded_series_show_their_latest_reading(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_text(SERIES)
    world = World(7, origin=ORIGIN, channels=10, videos_per_hour=20, history_days=1)
    world.add_replay(load_replay(path, world.replay_channel))
    video = world.find("aaaaaaaaaa0")
    assert video is not None
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert start - HOUR < world.published_at(video) < start
    assert world.public(video.id, start - HOUR) is None
    assert world.reading(video, start - timedelta(seconds=1)) == (0, 0, 0)
    assert world.reading(video, start + HOUR / 2) == (100, 10, 1)
    assert world.reading(video, start + HOUR) == (90, None, 2)
    uploads = world.uploads(world.replay_channel.id, NOW)
    assert [video.id for video in uploads] == ["bbbbbbbbbb0", "aaaaaaaaaa0"]
    assert world.published(start - DAY, start + DAY)[0] == video


def test_recorded_series_can_be_moved_in_time(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_text(SERIES)
    for moved in (
        load_replay(path, WORLD.replay_channel, start=NOW),
        load_replay(path, WORLD.replay_channel, shift=NOW - datetime(2026, 1, 1, tzinfo=UTC)),
    ):
        assert [video.moments[0] for video in moved] == [NOW, NOW + DAY]


@pytest.mark.parametrize("text", ["", "video_id,views\na,1\n", SERIES + "c,yesterday,1,1,1\n", SERIES[:48]])
def test_bad_series_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "series.csv"
    path.write_text(text)
    with pytest.raises(ReplayError, match=r"series\.csv"):
        load_replay(path, WORLD.replay_channel)


def test_the_state_file_keeps_the_universe(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.json"
    universe = Universe(7, 40, 30.0, 20.0, ORIGIN.isoformat())
    assert load(path) is None
    save(path, universe)
    assert load(path) == universe
    agree(universe, {"seed": 7, "channels": None}, path)
    with pytest.raises(StateError, match="seed 7, not 8"):
        agree(universe, {"seed": 8}, path)
    path.write_text("{}")
    with pytest.raises(StateError, match="cannot read"):
        load(path)
