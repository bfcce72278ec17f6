"""Ids of videos, channels and playlists, in whatever people copy."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.video_ids import (
    NO_VIDEO,
    is_channel_id,
    is_usual_video_id,
    parse_brought_video,
    parse_channel_reference,
    parse_playlist_reference,
)

CHANNEL = "UCEBb1b_L6zDS3xTUrIALZOw"
PLAYLIST = "PLE7DDD91010BC51F8"

FORMS = [
    "{}",
    "https://www.youtube.com/watch?v={}",
    "https://www.youtube.com/watch?v={}&list=PLabc&index=3&t=42s",
    "https://www.youtube.com/watch?list=PLabc&v={}",
    "https://www.youtube.com/watch?app=desktop&v={}#t=1",
    "https://www.youtube.com/watch?v={}&amp;list=PLx",
    "https://www.youtube.com/watch?list=PLx&amp;v={}",
    "https://www.youtube.com/watch?v={}?feature=share",
    "https://www.youtube.com/watch/{}",
    "http://youtube.com/watch/?v={}",
    "https://www.youtube.com/?v={}",
    "HTTPS://WWW.YOUTUBE.COM/watch?v={}",
    "https://www.youtube.com:443/watch?v={}",
    "https://www.youtube.com./watch?v={}",
    "www.youtube.com/watch?v={}",
    "//www.youtube.com/embed/{}",
    "youtu.be/{}",
    "https://youtu.be/{}?si=abc&t=10",
    "https://www.youtu.be/{}",
    "https://youtu.be/watch?v={}",
    "https://m.youtube.com/watch?v={}&feature=share",
    "https://music.youtube.com/watch?v={}&list=RDAMVM",
    "https://gaming.youtube.com/watch?v={}",
    "https://tv.youtube.com/watch/{}",
    "https://de.youtube.com/watch?v={}",
    "https://studio.youtube.com/video/{}/edit",
    "https://www.youtube.com/shorts/{}?feature=share",
    "https://www.youtube.com/live/{}?si=x",
    "https://www.youtube.com/embed/{}",
    "https://www.youtube-nocookie.com/embed/{}",
    "https://www.youtube.com/v/{}",
    "https://www.youtube.com/v/{}&hl=en_US&fs=1",
    "https://www.youtube.com/e/{}",
    "https://www.youtube.com/vi/{}",
    "https://www.youtube.com/video/{}",
    "https://i.ytimg.com/vi/{}/hqdefault.jpg",
    "https://i9.ytimg.com/vi_webp/{}/maxresdefault.webp",
    "https://img.youtube.com/vi/{}/0.jpg",
    "https://www.youtubekids.com/watch?v={}",
    "https://youtube.googleapis.com/v/{}",
    "https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3D{}%26feature%3Dshare",
    "https://www.youtube.com/oembed?url=https://www.youtube.com/watch?v={}",
    "https://www.youtube.com/oembed?format=json&url=https%3A%2F%2Fyoutu.be%2F{}",
]

ids = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=11, max_size=11).filter(
    lambda text: text not in ("videoseries", "live_stream")
)
around = st.text(" \t\"'<>(),;.\u200b\u200e\u2060\ufeff\u00a0“”", max_size=3)


@pytest.mark.parametrize("form", FORMS)
def test_every_url_of_a_video_is_one(form: str) -> None:
    for video_id in ("dQw4w9WgXcQ", "-tJYN-eG1zk", "_aaaaaaaaa-"):
        assert parse_brought_video(form.format(video_id)) == video_id


@given(st.sampled_from(FORMS), ids, around, around)
def test_whatever_stands_around_it(form: str, video_id: str, before: str, behind: str) -> None:
    assert parse_brought_video(before + form.format(video_id) + behind) == video_id


@pytest.mark.parametrize(
    "text",
    [
        "https://youtube.com.evil.com/watch?v={}",
        "youtube.com.evil.com/watch?v={}",
        "https://evilyoutube.com/watch?v={}",
        "https://evil.com/https://youtu.be/{}",
        "https://youtube.com@evil.com/watch?v={}",
        "https://evil.com/?u=youtube.com/watch?v={}",
        "ftp://evil/{}",
        "https://www.youtube.com/redirect?q={}",
        "https://www.youtube.com/oembed?url=https://evil.com/watch?v={}",
        "https://www.youtube.com/attribution_link?u=/attribution_link?u=/watch?v={}",
        "https://www.youtube.com/clip/{}",
        "https://www.youtube.com/watch?x={}",
        "https://[bad/{}",
        "https://www.youtube.com/watch?v={}x",
        "{}.mp4",
        "my {}",
    ],
)
def test_what_is_no_video_of_youtube(text: str) -> None:
    with pytest.raises(ValueError, match="neither a video id nor the URL of a video"):
        parse_brought_video(text.format("dQw4w9WgXcQ"))


@pytest.mark.parametrize(
    "text",
    [
        "https://www.youtube.com/embed/videoseries?list=PLE7DDD91010BC51F8",
        "https://www.youtube.com/embed/live_stream?channel=UCEBb1b_L6zDS3xTUrIALZOw",
        "https://www.youtube.com/watch?v=dQw4w9\tWgXcQ",
        "https://www.youtube.com/watch?v=dQw4w9\nWgXcQ",
    ],
)
def test_no_id_is_made_up(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        parse_brought_video(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://www.youtube.com/@mitocw", 'channel: "@mitocw"'),
        (f"youtube.com/channel/{CHANNEL}/videos", f'channel: "{CHANNEL}"'),
        (f"https://www.youtube.com/playlist?list={PLAYLIST}", f'playlist: "{PLAYLIST}"'),
    ],
)
def test_a_channel_in_the_place_of_a_video_is_told_apart(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=NO_VIDEO) as caught:
        parse_brought_video(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        (CHANNEL, CHANNEL),
        (f" {CHANNEL}\u200b", CHANNEL),
        (f"https://www.youtube.com/channel/{CHANNEL}", CHANNEL),
        (f"m.youtube.com/channel/{CHANNEL}/videos?view=0", CHANNEL),
        (f"https://studio.youtube.com/channel/{CHANNEL}", CHANNEL),
        ("@mitocw", "@mitocw"),
        ("@mit-ocw.2_0", "@mit-ocw.2_0"),
        ("@日本語", "@日本語"),
        ("https://www.youtube.com/@mitocw", "@mitocw"),
        ("<https://www.youtube.com/@mitocw/videos>", "@mitocw"),
        ("https://www.youtube.com/@%E6%97%A5%E6%9C%AC", "@日本"),
        ("youtube.com/@mitocw?si=x", "@mitocw"),
    ],
)
def test_channels(text: str, channel: str) -> None:
    assert parse_channel_reference(text) == channel


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mitocw", 'write "@mitocw" if mitocw is a handle'),
        ("UCx", "begins with UC"),
        ("@", "begins with UC"),
        ("@a b", "begins with UC"),
        ("", "begins with UC"),
        ("youtube.com/c/mitocw", "write the handle that it shows"),
        ("https://www.youtube.com/user/MIT", "write the handle that it shows"),
        ("https://youtu.be/dQw4w9WgXcQ", "written under 'videos'"),
        ("https://evil.com/@mitocw", "begins with UC"),
    ],
)
def test_what_is_no_channel_is_told_how_to_be_one(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_channel_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        PLAYLIST,
        f"https://www.youtube.com/playlist?list={PLAYLIST}",
        f"https://www.youtube.com/watch?v=dQw4w9WgXcQ&list={PLAYLIST}&index=2",
        f"https://youtu.be/dQw4w9WgXcQ?list={PLAYLIST}",
        f"https://music.youtube.com/playlist?list={PLAYLIST}&amp;si=x",
        f"https://www.youtube.com/embed/videoseries?list={PLAYLIST}",
    ],
)
def test_playlists(text: str) -> None:
    assert parse_playlist_reference(text) == PLAYLIST


@pytest.mark.parametrize(
    "text", ["a b", "", "https://youtu.be/dQw4w9WgXcQ", f"https://evil.com/playlist?list={PLAYLIST}"]
)
def test_what_is_no_playlist(text: str) -> None:
    with pytest.raises(ValueError, match="is not the id of a playlist, such as PLE7DDD91010BC51F8, nor its URL"):
        parse_playlist_reference(text)


urls = st.builds(
    "{}{}/{}{}".format,
    st.sampled_from(["", "//", "https://", "http://user:x@", "x://"]),
    st.sampled_from(["youtube.com", "youtu.be", "WWW.youtube.com:x", "[::1]", "i.ytimg.com", "\u2100.youtube.com"]),
    st.sampled_from(["watch", "attribution_link", "oembed", "@", "channel/", "v/", "%00", ""]),
    st.text(max_size=40),
)


@given(st.one_of(st.text(max_size=60), urls))
def test_any_text_is_an_id_or_refused_with_a_reason(text: str) -> None:
    with suppress(ValueError):
        assert is_usual_video_id(parse_brought_video(text))
    with suppress(ValueError):
        channel = parse_channel_reference(text)
        assert is_channel_id(channel) or channel.startswith("@")
    with suppress(ValueError):
        assert len(parse_playlist_reference(text)) > 1
