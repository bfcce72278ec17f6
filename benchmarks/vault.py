"""What the vault's promises cost: staging against a bare durable write, twelve publications against one; and bytes."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd

from benchmarks.figures import Samples, figure
from benchmarks.parts import folder
from benchmarks.points import HOUR, Crowd
from benchmarks.screen import Screen
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault.points import files, tables

PARTITION = 1_000_000
CHUNK = 100_000
STAGED = 1_000
ROUNDS = 31
HOURLY = 1_000_000
SEALED = 100_000
RUNS = 12
PARTS_A_RUN = 12
HOURS = 3


def bench(screen: Screen) -> None:
    """Staging first, then an hour of publications, then what a sealed hour weighs."""
    _bench_staging(screen)
    _bench_publishing(screen)
    _bench_sealed(screen)


def _bench_staging(screen: Screen) -> None:
    """Stage 1,000 points beside a partition of a million; write the same bytes bare; in turns."""
    staging, computing, bare = Samples(), Samples(), Samples()
    with folder() as root:
        vault = ParquetVaultHook(root=root)
        with screen.busy(f"a partition of {PARTITION:,} points") as tell:
            for number in range(PARTITION // CHUNK):
                tell(f"{number * CHUNK:,} staged")
                vault.stage(Crowd(HOUR, CHUNK, seed=number).points())
            tell("publishing")
            published = vault.publish()
        few = Crowd(HOUR, STAGED, seed=PARTITION).points()
        size = 0
        for _ in range(ROUNDS):
            with staging.timed(), computing.timed(time.process_time):
                (part,) = vault.stage(few)
            data = (root / part.path).read_bytes()
            size = len(data)
            with bare.timed():
                _write_durably(root / "_staging" / "bare", data)
    screen.table(
        [f"{STAGED:,} points ({size / 1000:.0f} kB)", "milliseconds", "ratio"],
        [
            ["one bare durable write of the bytes", bare.text("ms", scale=1000), "1 ×"],
            [
                f"stage, beside {published.points_added:,} points",
                staging.text("ms", scale=1000),
                staging.over(bare),
            ],
            ["processor time of that (the rest waits for the disk)", computing.text("ms", scale=1000), ""],
        ],
    )


def _write_durably(path: Path, data: bytes) -> None:
    """The least that survives a power cut: write, fsync, rename, fsync of the folder."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bench_publishing(screen: Screen) -> None:
    """Publish the same million points in twelve runs and at once, in turns, each into a vault of its own."""
    twelve, last, once, bare = Samples(), Samples(), Samples(), Samples()
    with screen.busy(f"an hour of {HOURLY:,} points") as tell:
        runs = [Crowd(HOUR + run * timedelta(minutes=5), HOURLY // RUNS, seed=run).points() for run in range(RUNS)]
        for turn in range(HOURS):
            tell(f"{RUNS} runs against one, {turn + 1} of {HOURS}")
            with folder() as root:
                vault = ParquetVaultHook(root=root)
                seconds, written = _publish_each(vault, runs)
            twelve.values.append(sum(seconds.values))
            last.values.append(seconds.values[-1])
            with folder() as root:
                vault = ParquetVaultHook(root=root)
                seconds, written_once = _publish_each(vault, [[point for run in runs for point in run]])
            once.values += seconds.values
            with folder() as root:
                _sort_and_write(root / "hour.parquet", runs, bare)
    points = sum(map(len, runs))
    screen.table(
        [f"publishing {points:,} points", "milliseconds", "ratio", "MB written"],
        [
            ["once", once.text("ms", scale=1000), "1 ×", f"{written_once / 1e6:.1f}"],
            ["in twelve runs, together", twelve.text("ms", scale=1000), twelve.over(once), f"{written / 1e6:.1f}"],
            ["the twelfth of them", last.text("ms", scale=1000), last.over(once), ""],
            ["no vault: sort, encode, one durable write", bare.text("ms", scale=1000), bare.over(once), ""],
        ],
    )


def _sort_and_write(path: Path, runs: list[list[MetricPoint]], samples: Samples) -> None:
    """The least that makes one published file of these points, from a table of them."""
    table = tables.table_of([point for run in runs for point in run])
    with samples.timed():
        _write_durably(path, files.encode(table, []))


def _bench_sealed(screen: Screen) -> None:
    """What 100,000 points of an hour weigh as its file goes from part to sealed."""
    rows = []
    with folder() as root:
        vault = ParquetVaultHook(root=root)
        for run in range(RUNS):
            vault.stage(Crowd(HOUR + run * timedelta(minutes=5), -(-SEALED // RUNS), seed=run).points())
            vault.publish()
        (file,) = (root / "metrics").glob("date=*/hour=*/stats.parquet")
        frame = pd.read_parquet(file)
        rows.append(["published by twelve runs", figure(file.stat().st_size / len(frame))])
        vault.seal(HOUR + timedelta(days=1))
        rows.append(["sealed", figure(file.stat().st_size / len(frame))])
        frame.to_parquet(root / "pandas.parquet")
        rows.append(["as pandas writes it", figure((root / "pandas.parquet").stat().st_size / len(frame))])
    screen.table([f"an hour of {len(frame):,} points", "bytes a point"], rows)


def _publish_each(vault: ParquetVaultHook, runs: list[list[MetricPoint]]) -> tuple[Samples, int]:
    """Stage each run in twelve parts, publish it; the seconds of each publication, and the bytes written in all."""
    seconds, written = Samples(), 0
    for points in runs:
        size = -(-len(points) // PARTS_A_RUN)
        for start in range(0, len(points), size):
            vault.stage(points[start : start + size])
        with seconds.timed():
            report = vault.publish()
        if report.points_added != len(points):
            raise RuntimeError(f"{report.points_added:,} of {len(points):,} points were published: {report.problems}")
        written += report.bytes
    return seconds, written
