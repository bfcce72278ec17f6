from datetime import timedelta

import pandas as pd
import pytest

from local_stack.demo import _set_back
from local_stack.results import Results, ResultsReader


@pytest.fixture
def reader(ghost_postgres, tmp_path):
    return ResultsReader(f"host={ghost_postgres.host} user=postgres dbname={ghost_postgres.schema}", tmp_path)


def publish(vault, rows, hour="12"):
    partition = vault / "metrics" / "date=2026-01-15" / f"hour={hour}"
    partition.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"video_id": ["v"] * rows}).to_parquet(partition / "stats.parquet")


def watch(sql, video_id="dQw4w9WgXcQ"):
    sql.execute("INSERT INTO videos (id, discovered_at) VALUES (%s, now())", [video_id])
    sql.execute("INSERT INTO watchlist (video_id, next_track_at) VALUES (%s, now())", [video_id])


def test_rows_and_points_are_counted(reader, sql, tmp_path):
    watch(sql)
    publish(tmp_path, 3)
    publish(tmp_path, 4, hour="13")

    assert reader.read() == Results(videos=1, watchlist=1, roster=0, points=7)


def test_a_file_that_has_changed_is_counted_again(reader, tmp_path):
    publish(tmp_path, 3)
    reader.read()
    publish(tmp_path, 5)

    assert reader.read().points == 5


def test_without_tables_and_vault_there_is_nothing_yet(empty_database, tmp_path):
    reader = ResultsReader(f"host={empty_database.host} user=postgres dbname={empty_database.schema}", tmp_path)

    assert reader.read() == Results(videos=None, watchlist=None, roster=None, points=0)


def test_letting_time_pass_makes_every_time_older(sql):
    watch(sql)
    _set_back(sql, "videos", timedelta(days=8))
    _set_back(sql, "watchlist", timedelta(days=8))

    found = sql.execute("""
        SELECT now() - discovered_at >= interval '8 days', now() - next_track_at < interval '9 days', last_tracked_at
        FROM videos JOIN watchlist ON video_id = id
    """).fetchone()
    assert found == (True, True, None)
