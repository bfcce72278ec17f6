"""What to hunt, as people write it, and the window that a run covers."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.sources import ChannelSource, ChartSource, PlaylistSource, VideosSource, parse_sources
from ghost_tracking.core.video_ids import is_video_id, parse_brought_video, parse_video_reference
from ghost_tracking.core.windows import Window, assign
from ghost_tracking.errors import BadSourcesError
from ghost_tracking.settings import parse_yaml

CHANNEL = "UCEBb1b_L6zDS3xTUrIALZOw"
NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_shipped_sources_parse() -> None:
    file = Path(__file__).parents[3] / "include" / "sources.yaml"
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
        ({"channel": "youtube.com/c/mitocw"}, "open the page, and write the handle"),
        ({"channel": True}, "channel: YAML reads this word as true: write it in quotes"),
        ({"channel": ["@a"]}, "no text"),
        ({"search": "x", "channel": "@mitocw"}, "'@mitocw' is not the id of a channel"),
        ({"search": "x", "language": False}, "language: YAML reads this word as false: write it in quotes"),
        ({"chart": "mostPopular", "region": False}, "region: YAML reads this word as false: write it in quotes"),
        ({"playlist": "https://youtu.be/9LfmrkyP81M"}, "is not the id of a playlist"),
        ({"videos": "https://www.youtube.com/@mitocw"}, 'videos, entry 1: .* channel: "@mitocw"'),
        ({"videos": {"a": 1}}, "no list"),
        ({7: 8}, "names none of"),
        ({"search": "x", 7: 8}, "a source with 'search' has no '7'"),
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


def test_channels_playlists_and_videos_by_url() -> None:
    assert parse_sources(
        [
            {"channel": f"https://www.youtube.com/channel/{CHANNEL}"},
            {"channel": "youtube.com/@mitocw/videos"},
            {"playlist": "https://www.youtube.com/watch?v=9LfmrkyP81M&list=PLE7DDD91010BC51F8"},
            {"search": "x", "channel": f"https://www.youtube.com/channel/{CHANNEL}"},
            {"videos": "https://youtu.be/9LfmrkyP81M"},
            {"videos": [12345678901]},
        ],
        "a test",
    ) == parse_sources(
        [
            {"channel": CHANNEL},
            {"channel": "@mitocw"},
            {"playlist": "PLE7DDD91010BC51F8"},
            {"search": "x", "channel": CHANNEL},
            {"videos": ["9LfmrkyP81M"]},
            {"videos": ["12345678901"]},
        ],
        "a test",
    )


def test_every_of_a_channel_is_a_window_too_and_moves_no_watermark() -> None:
    (plain,) = parse_sources([{"channel": CHANNEL}], "a test")
    (every,) = parse_sources([{"channel": CHANNEL, "every": True}], "a test")
    assert isinstance(plain, ChannelSource)
    assert isinstance(every, ChannelSource)
    assert (plain.every, every.every) == (False, True)
    assert plain.windowed
    assert every.windowed
    # what deployments have in their watermark tables
    assert plain.key == every.key == "channel:UCEBb1b_L6zDS3xTUrIALZOw:3f864a621f04"
    for twice in ([plain, every], [every, plain]):
        (one,) = parse_sources([source.model_dump() for source in twice], "a test")
        assert one == every
    window, whole = parse_sources([{"playlist": "PLE7DDD91010BC51F8", "every": each} for each in (False, True)], "x")
    assert window.key == "playlist:PLE7DDD91010BC51F8:2ab45f8a3a61"
    assert whole.key == "playlist:PLE7DDD91010BC51F8:6c8c1b032ccf"


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("- chart: mostPopular\n  region: NO", [{"chart": "mostPopular", "region": "NO"}]),
        ("- chart: mostPopular\n  region: us", [{"chart": "mostPopular", "region": "US"}]),
        (
            "- videos: [12345678901, 01234567012, -1234567890]",
            [{"videos": ["12345678901", "01234567012", "-1234567890"]}],
        ),
        ("- videos: 9LfmrkyP81M", [{"videos": ["9LfmrkyP81M"]}]),
        ("- search: 2024", [{"search": "2024"}]),
        ("- search: 2026-13-01\n  language: no\n  pages: 2", [{"search": "2026-13-01", "language": "no", "pages": 2}]),
        (f"- channel: {CHANNEL}\n  every: yes", [{"channel": CHANNEL, "every": True}]),
        ("- &a {search: x}\n- <<: *a\n  pages: 3", [{"search": "x", "pages": 3}]),
        ('[{"playlist": "PLx12", "every": true, "pages": 3}]', [{"playlist": "PLx12", "every": True, "pages": 3}]),
    ],
)
def test_words_in_yaml_are_words(text: str, sources: list[dict[str, object]]) -> None:
    assert parse_sources(parse_yaml(text, "F"), "F") == parse_sources(sources, "F")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- channel: @mitocw # mine", 'line 1: a handle stands in quotes: "@mitocw"'),
        ("sources:\n  - channel: x\n  - channel: [@mitocw]", 'line 3: a handle stands in quotes: "@mitocw"'),
        (
            "- videos: [https://www.youtube.com/watch?v=9LfmrkyP81M]",
            "line 1, '- videos: [https://www.youtube.com/watch?v=9LfmrkyP81M]': expected ',' or ']', but got '?' "
            "(a URL within brackets stands in quotes)",
        ),
        ("- a: [", "line 1, '- a: [': expected the node content, but found '<stream end>'"),
        ("- search: !!timestamp 2026-13-45", "month must be in 1..12"),
        ("[" * 9_999, "it is nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_told_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(BadSourcesError) as caught:
        parse_yaml(text, "sources.yaml")
    assert caught.value.message == f"sources.yaml is not YAML: {said}"


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=12), st.binary(max_size=3)
)
words = st.sampled_from(["channel", "search", "playlist", "chart", "videos", "every", "region", "pages", "sources"])
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | scalars, inner, max_size=3)
)


@given(documents)
def test_any_document_has_sources_or_is_refused_in_words(document: object) -> None:
    with contextlib.suppress(BadSourcesError):
        assert all(source.key for source in parse_sources(document, "a test"))


@given(st.text(st.sampled_from("-:@[]{}!&*?|>'\"#% \n\tax01~<"), max_size=40) | st.text(max_size=40))
def test_any_text_is_yaml_or_refused_in_words(text: str) -> None:
    with contextlib.suppress(BadSourcesError):
        parse_sources(parse_yaml(text, "a test"), "a test")


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
