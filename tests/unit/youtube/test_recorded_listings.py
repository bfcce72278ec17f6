"""Recorded listings of playlists, searches and channels are read right."""

import json

import pytest

from connections import recorded
from ghost_tracking.core.video_ids import is_channel_id, is_video_id, uploads_playlist
from ghost_tracking.youtube.results import found_in_playlist, found_in_search, items_of, part_of


def body(name: str) -> dict:
    return json.loads(recorded(f"api/{name}").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name", ["playlistItems.list.0.json", "playlistItems.list.1.json", "playlistItems.list_next.0.json"]
)
def test_playlists(name: str) -> None:
    answer = body(name)
    found = [found_in_playlist(item) for item in items_of(answer)]
    assert len(found) == len(answer["items"]) > 0
    assert all(each is not None and is_video_id(each.video_id) for each in found)


def test_a_playlist_tells_when_its_videos_were_published() -> None:
    found = [found_in_playlist(item) for item in items_of(body("playlistItems.list.1.json"))]
    assert all(each.published_at is not None and each.published_at.utcoffset() is not None for each in found)
    assert found[0].video_id == "hNDFwVVKVk0"
    assert found[0].published_at.isoformat() == "2012-08-09T18:56:41+00:00"


@pytest.mark.parametrize("name", ["search.list.page1.json", "search.list.page2.json"])
def test_searches(name: str) -> None:
    answer = body(name)
    found = [each for item in items_of(answer) if (each := found_in_search(item)) is not None]
    assert len(found) == len(answer["items"]) > 0
    assert all(is_video_id(each.video_id) and each.published_at for each in found)


def test_the_uploads_of_recorded_channels_have_the_channels_id() -> None:
    channels = items_of(body("channels.list.0.json"))
    assert channels
    for channel in channels:
        uploads = part_of(part_of(channel, "contentDetails"), "relatedPlaylists").get("uploads")
        assert is_channel_id(channel["id"])
        assert uploads in (None, uploads_playlist(channel["id"]))


def test_a_dead_id_is_an_answer_without_items() -> None:
    assert items_of(body("videos.list.statistics_invalid.json")) == []
    assert items_of({}) == []
