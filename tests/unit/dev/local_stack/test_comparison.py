from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from local_stack.comparison import Point, compare, points_of_journal, points_of_vault

NOON = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)


def point(video_id="v", seconds=0.0, views=10, likes=1, comments=None):
    return Point(video_id, NOON + timedelta(seconds=seconds), views, likes, comments)


def test_points_that_were_served_match_though_their_seconds_differ_a_little():
    found = compare([point(seconds=1), point("w")], [point(seconds=0.4), point("w", seconds=-0.2)])

    assert (found.matched, found.invented, found.lost) == (2, [], [])


def test_a_point_is_served_once():
    found = compare([point(), point(seconds=1)], [point()])

    assert (found.matched, found.invented) == (1, [point(seconds=1)])


@pytest.mark.parametrize("other", [point(views=11), point(likes=None), point(seconds=60), point("w")])
def test_other_counts_another_video_or_another_time_is_invented(other):
    found = compare([other], [point()])

    assert (found.invented, found.lost) == ([other], [point()])


def test_what_pandas_reads_and_what_the_journal_lists_become_the_same_points(tmp_path):
    partition = tmp_path / "metrics" / "date=2026-01-15" / "hour=12"
    partition.mkdir(parents=True)
    frame = pd.DataFrame(
        {
            "video_id": ["v", "w"],
            "timestamp": [pd.Timestamp(NOON), pd.Timestamp(NOON)],
            "views": [10, 2**53 + 1],
            "likes": pd.array([1, None], dtype="Int64"),
            "comments": pd.array([None, None], dtype="Int64"),
        }
    )
    frame.to_parquet(partition / "stats.parquet")
    row = {"video_id": "v", "served_at": NOON.isoformat(), "views": 10, "likes": 1, "comments": None}

    points = points_of_vault(tmp_path / "metrics")

    assert points[0] == points_of_journal([row])[0]
    assert points[1].views == 2**53 + 1
    assert points[1].likes is None


def test_a_vault_without_points_is_empty(tmp_path):
    assert points_of_vault(tmp_path / "metrics") == []
