"""What people have written wrongly is told in their words."""

import json
from typing import Any

import pytest

from ghost_tracking.core.sources import parse_sources
from ghost_tracking.errors import BadSettingsError, BadSourcesError
from ghost_tracking.settings import parse_settings

CHANNEL = "UCEBb1b_L6zDS3xTUrIALZOw"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"quota_statistic": 1}, "no such setting 'quota_statistic' (did you mean 'quota_statistics'?)"),
        ({"x": 1, "quota_search": -1}, "quota_search: -1 is less than 0; no such setting 'x'"),
        ({"youtube_threads": 99}, "youtube_threads: 99 is more than 16"),
        ({"youtube_threads": None}, "youtube_threads: null is no whole number"),
        ({"quota_general": 1.5}, "quota_general: 1.5 is no whole number"),
        ({"policy": "lazy"}, "policy: 'lazy' is not 'tiers', 'thrifty' or 'adaptive'"),
        ({"policy": None}, "policy: null is not 'tiers', 'thrifty' or 'adaptive'"),
        ({"share_in_turn": 1.5}, "share_in_turn: 1.5 is more than 1.0"),
        (
            {"share_views_missed": 0.5, "share_percent_wrong": 0.5},
            "the shares of readings (0.5, 0.5 and 0.58) must make 1 together, and none may be negative; they make 1.58",
        ),
        ({"alert_quota_hours": "six"}, "alert_quota_hours: 'six' is no number"),
        ({"alert_promotions": "maybe"}, "alert_promotions: 'maybe' is neither true nor false"),
    ],
)
def test_settings(written: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSettingsError) as caught:
        parse_settings(json.dumps(written))
    assert caught.value.message == f"Airflow Variable 'ghost_settings': {said}"


@pytest.mark.parametrize("text", ["[1]", "5", "{", "null"])
def test_settings_that_are_no_object(text: str) -> None:
    with pytest.raises(BadSettingsError, match="'ghost_settings' is no JSON object: "):
        parse_settings(text)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"videos": []}, "videos: has no entry"),
        ({"videos": "x"}, "videos: 'x' is no list"),
        ({"videos": ["dQw4w9WgXcQ", 3]}, "videos, entry 2: 3 is no text"),
        ({"search": " "}, "search: is empty"),
        ({"search": "x" * 501}, "search: is longer than 500 characters"),
        ({"chart": "new"}, "chart: 'new' is not 'mostPopular'"),
        (
            {"chart": "mostPopular", "region": "usa"},
            "region: 'usa' is not a country in two capital letters, such as US",
        ),
        ({"channel": CHANNEL, "page": 3}, "a source with 'channel' has no 'page' (did you mean 'pages'?)"),
    ],
)
def test_sources(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSourcesError) as caught:
        parse_sources([entry], "sources.yaml")
    assert caught.value.message == f"sources.yaml: source 1: {said}"
