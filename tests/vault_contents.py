"""What tests put into a vault, and how they compare what they read from it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa

from ghost_tracking.core.points import COLUMNS, MetricPoint
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault.points import tables

START = datetime(2026, 1, 31, 22, tzinfo=UTC)
"""When `video` and `found_video` were discovered."""
DAY = timedelta(days=1)


def rows(found: pd.DataFrame | pa.Table) -> set[tuple[Any, ...]]:
    table = found if isinstance(found, pa.Table) else pa.Table.from_pandas(found, schema=tables.SCHEMA)
    listed = [tuple(row.values()) for row in table.to_pylist()]
    assert len(listed) == len(set(listed))
    return set(listed)


def expected(points: Iterable[MetricPoint]) -> set[tuple[Any, ...]]:
    return {tuple(getattr(each, name) for name in COLUMNS) for each in points}


def assert_holds(vault: ParquetVaultHook, points: list[MetricPoint]) -> None:
    """Every way of reading gives these points, each once."""
    wanted = expected(points)
    assert rows(vault.read_metrics()) == wanted
    assert rows(pa.Table.from_batches(list(vault.read_batches()), tables.SCHEMA)) == wanted
    ids = {each.video_id for each in points}
    assert rows(vault.read_metrics(video_ids=ids)) == wanted
    some = sorted(ids)[::2]
    assert rows(vault.read_metrics(video_ids=some)) == expected(each for each in points if each.video_id in some)
    newest: dict[str, MetricPoint] = {}
    for each in sorted(points, key=lambda each: each.timestamp):
        newest[each.video_id] = each
    assert rows(vault.read_latest()) == expected(newest.values())
    assert rows(vault.read_latest(some)) == expected(newest[video] for video in some)
    for video_id in sorted(ids):
        history = vault.read_history(video_id)
        assert rows(history) == expected(each for each in points if each.video_id == video_id)
        assert history["timestamp"].is_monotonic_increasing


def video(video_id: str, title: str, discovered: int = 0) -> dict[str, Any]:
    return {"video_id": video_id, "title": f"Title {title}", "tags": ["a"], "discovered_at": START + discovered * DAY}


def found_video(video_id: str, title: str) -> Video:
    reading = Reading(video_id, START, 1, 1, 1, START)
    return Video(
        id=video_id,
        title=f"Title {title}",
        description="Long.",
        published_at=START,
        tags=("a",),
        channel_id="UC1",
        channel_title="Ch",
        category_id="1",
        duration=None,
        default_language="en",
        reading=reading,
    )
