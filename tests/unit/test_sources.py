"""What to hunt, as people write it, and the window that a run covers."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.sources import ChartSource, PlaylistSource, VideosSource, parse_sources
from ghost_tracking.core.video_ids import is_video_id, parse_brought_video, parse_video_reference
from ghost_tracking.core.windows import Window, assign
from ghost_tracking.errors import BadSourcesError

CHANNEL = "UCEBb1b_L6zDS3xTUrIALZOw"
NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_shipped_sources_parse() -> None:
    file = Path(__file__).parents[2] / "include" / "sources.yaml"
    assert parse_sources(yaml.safe_load(file.read_text(encoding="utf-8")), str(file))


def test_every_kind() -> None:
    sources = parse_sources(
        [
            {"channel": CHANNEL},
            {"channel": "@mitocw"},
            {"search": "linear algebra", "region": "US", "language": "en", "category": 27, "channel": CHANNEL},
            {"playlist": "PLE7DDD91010BC51F8"},
            {"playlist": "PLE7DDD91010BC51F8", "every": True},
            {"chart": "mostPopular", "region": "GB"},
            {"videos": ["9LfmrkyP81M", " https://youtu.be/lGGDIGizcQ0?t=3 "]},
        ],
        "a test",
    )
    assert [source.windowed for source in sources] == [True, True, True, True, False, False, False]
    assert len({source.key for source in sources}) == 7
    assert sources[-1].videos == ("9LfmrkyP81M", "lGGDIGizcQ0")
    assert [source.label for source in sources][-1] == "videos 2 videos"


def test_the_same_source_twice_is_hunted_once_and_pages_do_not_matter() -> None:
    assert len(parse_sources([{"channel": CHANNEL}, {"channel": CHANNEL, "pages": 3}], "a test")) == 1


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("UCx", "no mapping"),
        ({}, "names none of"),
        ({"channel": "UCx"}, "begins with UC"),
        ({"channel": CHANNEL, "regoin": "US"}, "regoin"),
        ({"search": " "}, "search"),
        ({"chart": "trending"}, "chart"),
        ({"chart": "mostPopular", "region": "usa"}, "region"),
        ({"playlist": "a b"}, "playlist"),
        ({"videos": []}, "videos"),
        ({"videos": ["https://example.com/watch?v=9LfmrkyP81M"]}, "neither a video id nor the URL"),
    ],
)
def test_a_bad_entry_is_named_with_its_place_and_number(entry: object, reason: str) -> None:
    with pytest.raises(BadSourcesError, match=reason) as caught:
        parse_sources({"sources": [{"channel": CHANNEL}, entry]}, "include/sources.yaml")
    assert str(caught.value).startswith("include/sources.yaml: source 2: ")


@pytest.mark.parametrize("document", [None, "text", {"source": []}, 7])
def test_what_is_no_list_is_refused(document: object) -> None:
    with pytest.raises(BadSourcesError, match="expected a list"):
        parse_sources(document, "Airflow Variable 'ghost_sources'")


@pytest.mark.parametrize(
    "text",
    [
        "9LfmrkyP81M",
        "https://www.youtube.com/watch?v=9LfmrkyP81M&list=PLx&t=10s",
        "youtube.com/watch?v=9LfmrkyP81M",
        "https://m.youtube.com/watch?app=desktop&v=9LfmrkyP81M",
        "https://music.youtube.com/watch?v=9LfmrkyP81M",
        "http://youtu.be/9LfmrkyP81M?si=abc",
        "https://www.youtube.com/shorts/9LfmrkyP81M",
        "https://www.youtube.com/live/9LfmrkyP81M?feature=share",
        "https://www.youtube-nocookie.com/embed/9LfmrkyP81M",
    ],
)
def test_ids_in_urls(text: str) -> None:
    assert parse_video_reference(text) == "9LfmrkyP81M"


@pytest.mark.parametrize(
    "text", ["", "https://youtube.com/", "https://youtu.be/", "https://www.youtube.com/@mitocw", "a b"]
)
def test_what_names_no_video(text: str) -> None:
    with pytest.raises(ValueError, match="neither a video id nor the URL"):
        parse_video_reference(text)


@pytest.mark.parametrize("text", ["hello", "x" * 12, "https://youtu.be/hello"])
def test_what_is_stored_may_have_an_id_of_another_length_and_what_is_brought_may_not(text: str) -> None:
    assert is_video_id(parse_video_reference(text))
    with pytest.raises(ValueError, match="ids have 11 letters, digits, - or _"):
        parse_brought_video(text)


@given(st.text(max_size=30))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert is_video_id(parse_video_reference(text))


INTERVAL = (NOW - 2 * HOUR, NOW - HOUR)


def test_a_backfill_covers_exactly_its_interval() -> None:
    assignment = assign("backfill", INTERVAL, {}, NOW)
    assert not assignment.catches_up
    assert not assignment.all_sources
    assert assignment.window_of(NOW - 9 * HOUR) == Window(*INTERVAL)


def test_a_scheduled_run_goes_back_to_the_watermark_however_old_it_is() -> None:
    assignment = assign("scheduled", INTERVAL, {}, NOW)
    assert assignment.window_of(None) == Window(*INTERVAL)
    for hours in (9, 99, 9_999):
        assert assignment.window_of(NOW - hours * HOUR) == Window(NOW - hours * HOUR, NOW - HOUR)
    assert assignment.window_of(NOW).is_empty  # a manual run has been there already


def test_a_manual_run_without_a_window_catches_up_to_now() -> None:
    for interval in ((None, None), INTERVAL):
        assignment = assign("manual", interval, {}, NOW)
        assert assignment.catches_up
        assert assignment.window.end == NOW
        assert assignment.window.start <= NOW - HOUR


def test_a_manual_run_with_a_window_moves_no_watermark() -> None:
    assignment = assign("manual", (None, None), {"window_start": NOW - 9 * HOUR, "window_end": NOW + HOUR}, NOW)
    assert assignment.window == Window(NOW - 9 * HOUR, NOW)
    assert not assignment.catches_up


@pytest.mark.parametrize("window", [(NOW, NOW - HOUR), (NOW + HOUR, NOW + 2 * HOUR), (NOW - HOUR, NOW - HOUR)])
def test_a_window_that_is_empty_or_in_the_future_is_refused(window: tuple[datetime, datetime]) -> None:
    with pytest.raises(ValueError, match="empty or in the future"):
        assign("manual", (None, None), dict(zip(("window_start", "window_end"), window, strict=True)), NOW)


def test_playlists_and_charts_keep_their_options() -> None:
    playlist, chart = parse_sources([{"playlist": "PLx12"}, {"chart": "mostPopular"}], "a test")
    assert isinstance(playlist, PlaylistSource)
    assert not playlist.every
    assert isinstance(chart, ChartSource)
    assert chart.region == "US"
    assert not issubclass(VideosSource, ChartSource)
