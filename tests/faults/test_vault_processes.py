"""The vault under several processes at once: interleaved, stopped, resumed late, killed, and read all the while.

This file is also the program of the other processes, see `fork_server`.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import psutil
import pyarrow.parquet as pq
import pytest

import fork_server
from fork_server import Child, Children, wait_for
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.publishing import Publisher
from ghost_tracking.vault.storage import LocalStorage

pytestmark = pytest.mark.faults

START = datetime(2026, 1, 15, 10, tzinfo=UTC)
HOURS = 3
WAYS = ("file", "directory", "filtered", "hook", "duckdb", "polars")
LOCK_TIMEOUT = 20.0


# What the children do


def point(writer: int, number: int) -> MetricPoint:
    """Point `number` of a writer: over three hours, and each one different."""
    hour, second = number % HOURS, (number // HOURS) % 3600
    return MetricPoint(f"w{writer}-{number}", START + timedelta(hours=hour, seconds=second), number, None, 0, START)


def stage_until(root: str, writer: int, ledger: str, stop: str) -> int:
    """Stage batches; after each one that was acknowledged, write its ids into `ledger`."""
    hook = ParquetVaultHook(root=root)
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    number = 0
    while not Path(stop).exists():
        batch = [point(writer, number + offset) for offset in range(7)]
        hook.stage(batch)
        os.write(descriptor, "".join(f"{each.video_id}\n" for each in batch).encode())
        number += len(batch)
        time.sleep(0.002)
    return number


def publish_until(root: str, stop: str, pause: float = 0) -> int:
    hook = ParquetVaultHook(root=root, lock_timeout=LOCK_TIMEOUT)
    rounds = 0
    while not Path(stop).exists():
        report = hook.publish()
        assert not report.problems, report
        rounds += 1
        time.sleep(pause)
    return rounds


def read_until(root: str, stop: str, way: str) -> int:
    """Read, and check that nothing is there twice and nothing that was seen before is missing."""
    hook = ParquetVaultHook(root=root)
    file = Path(root) / layout.stats(Partition.of(START))
    ways: dict[str, Callable[[], pd.DataFrame]] = {
        "file": lambda: pd.read_parquet(file),
        "directory": lambda: pd.read_parquet(Path(root) / "metrics"),
        "filtered": lambda: pd.read_parquet(Path(root) / "metrics", filters=[("date", ">=", "2026-01-01")]),
        "duckdb": lambda: duckdb.sql(f"SELECT * FROM '{root}/metrics/**/*.parquet'").df(),
        "polars": lambda: pl.read_parquet(Path(root) / "metrics").to_pandas(),
        "hook": lambda: hook.read_metrics(START, START + timedelta(days=1)),
    }
    seen: set[str] = set()
    rounds = 0
    while not Path(stop).exists() or rounds == 0:
        found = list(ways[way]()["video_id"])
        assert len(found) == len(set(found)), "a duplicate"
        assert seen.issubset(found), "a gap"
        seen.update(found)
        rounds += 1
        time.sleep(0.005)
    return rounds


class Stopping(LocalStorage):
    """Stops its own process at one point of the publication of an hour, as if the machine had frozen it there."""

    def __init__(self, root: str, at: str, *, locks: bool) -> None:
        super().__init__(Path(root), layout.SCRATCH)
        self._at = at
        self._locks = locks

    def _reach(self, place: str, key: str) -> None:
        if place == self._at and key != layout.HOUR_COUNTS:  # what it notes of the hours comes after them
            os.kill(os.getpid(), signal.SIGSTOP)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        if not self._locks:
            yield
            return
        with super().lock(key, timeout):
            self._reach("locked", key)
            yield
            self._reach("unlocking", key)

    def replace(self, key: str, data: bytes, *, expecting: Any) -> None:
        self._reach("merged", key)
        super().replace(key, data, expecting=expecting)
        self._reach("replaced", key)

    def _install(self, source: Path, key: str) -> None:
        self._reach("checked", key)
        super()._install(source, key)


def publish_stopping(root: str, at: str, locks: bool) -> dict[str, Any]:
    return Publisher(Stopping(root, at, locks=locks), LOCK_TIMEOUT).publish(None).as_dict()


WORK: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (stage_until, publish_until, read_until, publish_stopping)
}


def serve() -> None:
    fork_server.serve(WORK)


# How the tests handle them


def is_stopped(child: Child) -> bool:
    return psutil.Process(child.pid).status() == psutil.STATUS_STOPPED


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "vault")


def video_ids(root: str) -> list[str]:
    return list(pd.read_parquet(Path(root) / "metrics")["video_id"])


def row_groups(root: str) -> int:
    return int(pq.read_metadata(Path(root) / layout.stats(Partition.of(START))).num_row_groups)


def assert_tidy(root: str) -> None:
    """Under metrics/ stands nothing but published files, whatever was killed."""
    files = [path for path in (Path(root) / "metrics").rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {"stats.parquet"}


def test_publishers_writers_and_readers_interleave(children: Children, root: str, tmp_path: Path) -> None:
    stop, ledger = tmp_path / "stop", tmp_path / "ledger"
    hook = ParquetVaultHook(root=root)
    first = [point(9, number) for number in range(6)]
    hook.stage(first)
    hook.publish()
    common = {"root": root, "stop": str(stop)}
    writers = [children.start(stage_until, writer=n, ledger=str(ledger), **common) for n in range(2)]
    publishers = [children.start(publish_until, pause=0.15, **common) for _ in range(2)]
    readers = [children.start(read_until, way=way, **common) for way in WAYS]
    wait_for(lambda: row_groups(root) >= 15, 120)
    stop.touch()

    staged = sum(writer.result() for writer in writers)
    assert sum(publisher.result() for publisher in publishers) > 10
    assert sum(reader.result() for reader in readers) > 20
    assert row_groups(root) <= 64  # more would have been sorted into few, under the readers' feet
    hook.publish()
    found = video_ids(root)
    assert len(found) == len(set(found)) == staged + len(first)
    assert set(ledger.read_text().split()) <= set(found)
    assert_tidy(root)
    sealed = hook.seal(datetime.now(UTC))
    assert len(sealed.sealed) == HOURS
    assert sealed.complete
    assert sorted(video_ids(root)) == sorted(found)


def test_publishers_stopped_and_resumed_at_random(children: Children, root: str, tmp_path: Path) -> None:
    stop, ledger = tmp_path / "stop", tmp_path / "ledger"
    common = {"root": root, "stop": str(stop)}
    writer = children.start(stage_until, writer=0, ledger=str(ledger), **common)
    publishers = [children.start(publish_until, **common) for _ in range(2)]
    dice = random.Random(7)
    for _ in range(40):
        victim = dice.choice(publishers)
        victim.send(signal.SIGSTOP)
        time.sleep(dice.uniform(0, 0.1))
        victim.send(signal.SIGCONT)
        time.sleep(dice.uniform(0, 0.02))
    stop.touch()
    staged = writer.result()
    for publisher in publishers:
        publisher.result()
    ParquetVaultHook(root=root).publish()
    found = video_ids(root)
    assert len(found) == len(set(found)) == staged
    assert_tidy(root)


@pytest.mark.parametrize("at", ["locked", "merged", "checked", "replaced", "unlocking"])
def test_a_publisher_frozen_with_the_lock_makes_its_hour_busy(children: Children, root: str, at: str) -> None:
    hook = ParquetVaultHook(root=root, lock_timeout=0.2)
    hook.stage([point(0, 0), point(0, 1)])
    frozen = children.start(publish_stopping, root=root, at=at, locks=True)
    wait_for(lambda: is_stopped(frozen), 10)
    hook.stage([point(1, 0), point(1, 1), point(1, 2)])

    report = hook.publish()

    held = Partition.of(START)
    assert report.busy == (held,)
    assert set(report.written) == {held_later for held_later in hours() if held_later != held}
    for _ in range(3):  # a place is reached once for each hour
        frozen.send(signal.SIGCONT)
        time.sleep(0.1)
    frozen.end()
    hook.publish()
    assert sorted(video_ids(root)) == ["w0-0", "w0-1", "w1-0", "w1-1", "w1-2"]
    assert_tidy(root)


@pytest.mark.parametrize("at", ["merged", "checked"])
def test_a_publisher_that_wakes_up_late_without_locks_loses_nothing(children: Children, root: str, at: str) -> None:
    hook = ParquetVaultHook(root=root)
    hook.stage([point(0, 0)])
    late = children.start(publish_stopping, root=root, at=at, locks=False)
    wait_for(lambda: is_stopped(late), 10)
    hook.stage([point(1, 0)])
    hook.publish()
    assert sorted(video_ids(root)) == ["w0-0", "w1-0"]

    late.send(signal.SIGCONT)
    assert late.result()["problems"] == []

    if at == "checked":  # nothing told it: it has put an older file over a newer one
        assert video_ids(root) == ["w0-0"]
    hook.publish()
    assert sorted(video_ids(root)) == ["w0-0", "w1-0"]
    assert hook.health_check()["staged_parts"] == 0


def test_nothing_staged_is_lost_when_everybody_is_killed_at_random(
    children: Children, root: str, tmp_path: Path
) -> None:
    stop, ledger = tmp_path / "stop", tmp_path / "ledger"
    hook = ParquetVaultHook(root=root)
    hook.stage([point(99, number) for number in range(HOURS)])
    hook.publish()
    reader = children.start(read_until, root=root, stop=str(stop), way="directory")
    own_reader = children.start(read_until, root=root, stop=str(stop), way="hook")
    dice = random.Random(11)
    for attempt in range(30):
        victims = [
            children.start(stage_until, root=root, writer=attempt, ledger=str(ledger), stop=str(stop)),
            children.start(publish_until, root=root, stop=str(stop)),
        ]
        time.sleep(dice.uniform(0.02, 0.25))
        for victim in dice.sample(victims, k=2):
            victim.end()

    report = ParquetVaultHook(root=root, lock_timeout=1).publish()

    assert report.complete, report
    found = video_ids(root)
    assert len(found) == len(set(found))
    acknowledged = set(ledger.read_text().split())
    assert len(acknowledged) > 100
    assert acknowledged <= set(found)
    assert_tidy(root)
    stop.touch()
    assert reader.result() + own_reader.result() > 3
    for left in (Path(root) / layout.SCRATCH).iterdir():  # as if two days had passed
        os.utime(left, times=(time.time() - 2 * 86_400,) * 2)
    assert hook.seal(datetime.now(UTC)).complete
    assert list((Path(root) / layout.SCRATCH).iterdir()) == []
    assert sorted(video_ids(root)) == sorted(found)


def hours() -> list[Partition]:
    return [Partition.of(START + timedelta(hours=hour)) for hour in range(HOURS)]


if __name__ == "__main__":
    serve()
