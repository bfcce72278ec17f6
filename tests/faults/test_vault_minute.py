"""A minute of a vault with everybody at work at once: writers, a janitor without a pause, and readers of every kind.

This file is also the program of the other processes, see `fork_server`.
"""

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fork_server
from fork_server import Children
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import FileChangedError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.points import tables

pytestmark = pytest.mark.faults

SECONDS = 60
"""Twice: with hours that stay and with hours that go."""
NOW = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)
OPEN = NOW.replace(minute=0)
CLOSED = [datetime(2026, 1, 30, 21, tzinfo=UTC) + timedelta(hours=5 * number) for number in range(12)]
LOCK_TIMEOUT = 30.0
RETRIES = 10
MENDED_BY_A_RETRY = (
    OSError,
    ValueError,
    duckdb.Error,
    pa.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # how polars says that a file is shorter than its footer told
)
COLUMNS = ["video_id", "timestamp", "views"]


def moment(writer: int, number: int) -> datetime:
    """When point `number` of a writer was: of writer 0 in the open hour, of others late, here and there."""
    if writer == 0:
        return OPEN + timedelta(seconds=number % 3600)
    return CLOSED[number % len(CLOSED)] + timedelta(seconds=writer * 1000 + number // len(CLOSED))


def point(writer: int, number: int) -> MetricPoint:
    """Every fourth is of a video that has many."""
    name = f"steady-{writer}" if number % 4 == 0 else f"{writer}-{number}"
    return MetricPoint(name, moment(writer, number), number, None, 0, None)


# What the children do


def write_until(root: str, writer: int, ledger: str, stop: str, pause: float) -> int:
    """Stage and publish; each point that was acknowledged goes into a ledger."""
    hook = ParquetVaultHook(root=root, lock_timeout=LOCK_TIMEOUT)
    number = 0
    with Path(ledger).open("a") as acknowledged:
        while not Path(stop).exists():
            staged = hook.stage([point(writer, each) for each in range(number, number + 12)])
            number += 12
            report = hook.publish({each.partition for each in staged})
            assert report.complete, report
            print(writer, number, file=acknowledged, flush=True)
            time.sleep(pause)
    return number


def tidy_until(root: str, stop: str, keep_hours: bool) -> dict[str, int]:
    hook = ParquetVaultHook(root=root, lock_timeout=LOCK_TIMEOUT)
    done: Counter[str] = Counter()
    while not Path(stop).exists():
        sealed = hook.seal(NOW)
        assert not sealed.published.problems, sealed  # a part that comes meanwhile makes its hour unverified
        compacted = hook.compact(NOW, months=done["rounds"] % 3 == 2, keep_hours=keep_hours)
        assert compacted.problems == ()
        done.update(
            rounds=1, sealed=len(sealed.sealed), compacted=len(compacted.compacted), dropped=compacted.hours_deleted
        )
    return done


Way = Callable[[], pd.DataFrame]


def hook_ways(root: Path) -> dict[str, Way]:
    hook = ParquetVaultHook(root=root)

    def batches() -> pd.DataFrame:
        found = list(hook.read_batches())
        return pa.Table.from_batches(found, tables.SCHEMA).to_pandas()

    return {
        "read_metrics": hook.read_metrics,
        "read_batches": batches,
        "read_history": lambda: pd.concat([hook.read_history(f"steady-{writer}") for writer in range(2)]),
        "read_latest": hook.read_latest,
    }


def direct_ways(root: Path) -> dict[str, Way]:
    def query(pattern: str) -> pd.DataFrame:
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            return database.sql(f"SELECT video_id, timestamp, views FROM read_parquet('{root}/{pattern}')").df()

    return {
        "pandas": lambda: pd.read_parquet(root / layout.METRICS, columns=COLUMNS),
        "duckdb": lambda: query("metrics/**/*.parquet"),
        "duckdb over all": lambda: query("**/stats.parquet"),
        "polars": lambda: pl.read_parquet(root / "metrics/**/*.parquet", columns=COLUMNS).to_pandas(),
        "growing file": lambda: pd.read_parquet(root / layout.stats(Partition.of(OPEN)), columns=COLUMNS),
    }


def read_until(root: str, stop: str, ways: list[str], retried: bool, whole: bool) -> dict[str, int]:
    """Read by each way in turn, and check every number; how often, and how often again.

    :param retried: whether an error may be mended by reading again
    :param whole: whether what was seen before has to be seen again
    """
    chosen = {name: way for name, way in {**hook_ways(Path(root)), **direct_ways(Path(root))}.items() if name in ways}
    seen: dict[str, set[tuple[str, datetime]]] = {name: set() for name in ways}
    counts: Counter[str] = Counter()
    while not Path(stop).exists():
        for name, way in chosen.items():
            frame = _read(name, way, counts, retried=retried)
            found = {(row.video_id, row.timestamp): row.views for row in frame[COLUMNS].itertuples(index=False)}
            assert len(found) == len(frame), f"{name}: a duplicate"
            for (video_id, timestamp), views in found.items():
                writer = int(video_id.removeprefix("steady-").partition("-")[0])
                assert point(writer, int(views)).video_id == video_id, f"{name}: a wrong number"
                assert moment(writer, int(views)) == timestamp, f"{name}: a wrong number"
            # of read_latest: a newer point takes the place of an older one
            keys = {(video_id, OPEN) for video_id, _ in found} if name == "read_latest" else set(found)
            assert not whole or seen[name] <= keys, f"{name}: a gap"
            seen[name] = keys
            counts[name] += 1
    return counts


def _read(name: str, way: Way, counts: Counter[str], *, retried: bool) -> pd.DataFrame:
    for _ in range(RETRIES if retried else 0):
        try:
            return way()
        except MENDED_BY_A_RETRY:
            counts[f"{name} again"] += 1
    while True:
        try:
            return way()
        except FileChangedError:  # what read_batches says when a file went before its turn came
            assert name == "read_batches"
            counts["read_batches anew"] += 1


# How they are let loose


@pytest.mark.parametrize("keep_hours", [True, False])
def test_eight_processes_at_once_see_every_point_once(
    children: Children, tmp_path: Path, keep_hours: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root, stop, ledger = tmp_path / "vault", tmp_path / "stop", tmp_path / "ledger"
    hook = ParquetVaultHook(root=root)
    hook.stage([point(writer, number) for writer in range(3) for number in range(12)])
    hook.publish()
    common = {"root": str(root), "stop": str(stop)}
    writers = [
        # fewer publications than make a file be rewritten
        children.start(write_until, writer=writer, ledger=str(ledger), pause=pause, **common)
        for writer, pause in ((0, SECONDS / 55), (1, 0.05), (2, 0.3))
    ]
    janitor = children.start(tidy_until, keep_hours=keep_hours, **common)
    by_pattern = ["duckdb", "duckdb over all", "polars"]
    readers = [
        children.start(read_until, ways=ways, retried=retried, whole=whole, **common)
        for ways, retried, whole in (
            (["growing file"], False, True),
            (["read_metrics", "read_batches"], False, True),
            (["read_history", "read_latest"], False, True),
            (["pandas", *by_pattern] if keep_hours else by_pattern, True, keep_hours),
        )
    ]
    time.sleep(SECONDS)
    stop.touch()

    written = [writer.result(60) for writer in writers]
    tidied = janitor.result(60)
    counts = [reader.result(60) for reader in readers]
    with capsys.disabled():
        print(f"\n{sum(written):,} points, janitor {tidied}, readers {counts}")
    hook.publish()
    everything = {
        (p.video_id, p.timestamp) for w, n in enumerate(written) for p in (point(w, each) for each in range(n))
    }
    for _ in range(2):
        frame = hook.read_metrics()
        assert len(frame) == len(everything)
        assert set(zip(frame["video_id"], frame["timestamp"], strict=True)) == everything
        assert hook.seal(NOW).complete
        assert hook.compact(NOW, keep_hours=keep_hours).problems == ()
    assert hook.verify().problems == ()
    assert hook.health_check()["ok"]
    assert tidied["rounds"] >= 3
    assert tidied["compacted"] >= 3
    assert keep_hours or tidied["dropped"] > 0
    assert all(each >= 3 for count in counts for name, each in count.items() if not name.endswith(("again", "anew")))


if __name__ == "__main__":
    fork_server.serve({each.__name__: each for each in (write_until, tidy_until, read_until)})
