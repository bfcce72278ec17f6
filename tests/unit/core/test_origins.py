"""How sources are told in discoveries."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ghost_tracking.core.origins import Discovered, Origin, origin_of, origin_of_list
from ghost_tracking.core.sources import parse_source

CHANNEL = "UCEBb1b_L6zDS3xTUrIALZOw"
VIDEOS = {"videos": ["9LfmrkyP81M", "lGGDIGizcQ0"]}


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ({"channel": CHANNEL, "every": True, "pages": 2}, Origin("channel", CHANNEL)),
        ({"channel": "@mitocw"}, Origin("channel", "@mitocw")),
        ({"playlist": "PLE7DDD91010BC51F8"}, Origin("playlist", "PLE7DDD91010BC51F8")),
        ({"chart": "mostPopular"}, Origin("chart", "mostPopular", "US")),
        ({"chart": "mostPopular", "region": "de", "category": 10}, Origin("chart", "mostPopular", "DE", None, "10")),
        ({"search": "linear algebra"}, Origin("search", "linear algebra")),
        (
            {"search": "x", "region": "GB", "language": "en", "category": "27", "channel": CHANNEL},
            Origin("search", "x", "GB", "en", "27", CHANNEL),
        ),
    ],
)
def test_a_source_is_told_by_what_it_was_asked_for(source: dict[str, Any], origin: Origin) -> None:
    assert origin_of(parse_source(source)) == origin_of(parse_source(source), is_own=False) == origin


def test_lists_of_videos_are_told_apart_as_their_watermarks_are() -> None:
    first, second = (origin_of(parse_source({"videos": VIDEOS["videos"][:number]})) for number in (1, 2))
    assert first.kind == second.kind == "videos"
    assert first.key != second.key
    assert parse_source(VIDEOS).key.endswith(f":{second.key}")
    assert origin_of(parse_source(VIDEOS), is_own=False) == Origin("form", "videos")
    assert origin_of_list("mine") == Origin("list", "mine")


def test_a_time_without_a_zone_is_no_time() -> None:
    with pytest.raises(ValueError, match="9LfmrkyP81M: a time without a time zone"):
        Discovered("9LfmrkyP81M", origin_of_list("mine"), datetime(2026, 1, 1))  # noqa: DTZ001
    Discovered("9LfmrkyP81M", origin_of_list("mine"), datetime(2026, 1, 1, tzinfo=UTC))
