"""How fast the vault is on this machine: `PYTHONPATH=plugins python tests/bench/bench_vault.py`.

Wall and CPU milliseconds of each verb. Not a test: pytest does not collect it.
"""

import random
import string
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from ghost_tracking.core.points import COLUMNS, MetricPoint, parse_points
from ghost_tracking.hooks.vault import ParquetVaultHook

START = datetime(2026, 1, 15, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
T = TypeVar("T")
dice = random.Random(1)


def points(count: int) -> list[MetricPoint]:
    """Points of different videos within one hour, at whole seconds, with counts like YouTube's."""
    alphabet = string.ascii_letters + string.digits + "-_"
    return [
        MetricPoint(
            "".join(dice.choices(alphabet, k=11)),
            START + timedelta(seconds=dice.randrange(3600)),
            int(dice.paretovariate(0.5) * 100),
            dice.randrange(1000),
            dice.randrange(50),
            START - timedelta(seconds=dice.randrange(864_000)),
        )
        for _ in range(count)
    ]


def timed(label: str, work: Callable[[], T], repeat: int = 1) -> T:
    """Do `work`, and print what one repetition took."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeat):
        result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{label:45} {wall / repeat * 1000:9.1f} ms {cpu / repeat * 1000:9.1f} ms CPU")
    return result


def one_large_hour(folder: str) -> None:
    vault = ParquetVaultHook(root=folder)
    vault.stage(points(1))
    thousand, five_thousand, ten_thousand, million = (points(n) for n in (1_000, 5_000, 10_000, 1_000_000))
    timed("stage 1,000 points", lambda: vault.stage(thousand), 20)
    timed("stage 5,000 points", lambda: vault.stage(five_thousand))
    timed("publish 22 parts", vault.publish)
    timed("publish nothing new", vault.publish, 20)
    timed("stage 1,000,000 points", lambda: vault.stage(million))
    report = timed("publish 1,000,000 points", vault.publish)
    print(f"{'':45} {report.bytes / report.points_added:9.1f} bytes a point")
    vault.stage(ten_thousand)
    timed("publish 10,000 onto 1,000,000 points", vault.publish)
    rows = [{name: getattr(point, name) for name in COLUMNS} for point in million[:100_000]]
    timed("parse 100,000 rows", lambda: parse_points(rows, datetime.now(UTC)))
    timed("read the hour", lambda: vault.read_metrics(START, START + HOUR))
    timed("read one video's history of the hour", lambda: vault.read_history(million[0].video_id))
    timed("seal the hour", lambda: vault.seal(datetime.now(UTC)))


def many_small_hours(folder: str) -> None:
    vault = ParquetVaultHook(root=folder)
    videos = [point.video_id for point in points(300)]
    for hour in range(1440):
        vault.stage([MetricPoint(video_id, START + hour * HOUR, 1, 2, 3, START) for video_id in videos])
    timed("publish 1,440 hours of 300 points", vault.publish)
    timed("publish nothing new, 1,440 hours unsealed", vault.publish)
    timed("health of 1,440 hours", vault.health_check)
    timed("one video's history over 1,440 hours", lambda: vault.read_history(videos[0]))
    timed("seal 1,440 hours", lambda: vault.seal(datetime.now(UTC)))


if __name__ == "__main__":
    for bench in (one_large_hour, many_small_hours):
        with tempfile.TemporaryDirectory() as folder:
            bench(folder)
