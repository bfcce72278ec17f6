"""What tests put into a vault of which they ask the newest points, and how they compare what they get."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault.points import tables
from vault_contents import expected, rows

START = datetime(2026, 1, 29, 22, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = datetime(2026, 4, 5, tzinfo=UTC)
IDS = ["-a", "AAAAAAAAAAA", "b_", "zz", "z-Z", "_x"]


def points(hours: Iterable[int], ids: Iterable[str] = IDS, minute: int = 0) -> list[MetricPoint]:
    return [
        MetricPoint(each, START + hour * HOUR + timedelta(minutes=minute, seconds=second), 100 * hour, 1, None, START)
        for hour in hours
        for second, each in enumerate(ids)
    ]


def append(vault: ParquetVaultHook, found: list[MetricPoint]) -> list[MetricPoint]:
    vault.stage(found)
    assert vault.publish().complete
    return found


def newest(known: Iterable[MetricPoint], first: str = "", end: str | None = None) -> list[MetricPoint]:
    best = {each.video_id: each for each in sorted(known, key=lambda each: each.timestamp)}
    return [best[each] for each in sorted(best) if each >= first and (end is None or each < end)]


def batches(vault: ParquetVaultHook, *args: Any, **chosen: Any) -> pa.Table:
    return pa.Table.from_batches(list(vault.read_latest_batches(*args, **chosen)), tables.SCHEMA)


def assert_newest(vault: ParquetVaultHook, known: list[MetricPoint]) -> None:
    """Every way of asking for the newest points gives these, sorted and each once."""
    wanted = newest(known)
    found = batches(vault)
    assert found["video_id"].to_pylist() == [each.video_id for each in wanted]
    assert rows(found) == expected(wanted)
    assert rows(vault.read_latest()) == expected(wanted)
    ranges = vault.id_ranges()
    assert ranges[0][0] == ""
    assert ranges[-1][1] is None
    assert [end for _, end in ranges[:-1]] == [first for first, _ in ranges[1:]]
    by_range = pa.concat_tables(batches(vault, first=first, end=end) for first, end in ranges)
    assert by_range.equals(found)
    for first, end in [("", "A"), ("AAAAAAAAAAA", "AAAAAAAAAAA\0"), ("b", "z"), ("zz", None)]:
        assert rows(batches(vault, first=first, end=end)) == expected(newest(known, first, end))
    for some in (IDS[::2], [*IDS[1::2], "nobody"], ["nobody"], []):
        of_some = expected(each for each in wanted if each.video_id in some)
        assert rows(vault.read_latest(some)) == of_some
        assert rows(batches(vault, some)) == of_some
