"""Ninety days of 43 million points: what they weigh, and how long one video's history and everybody's latest take.

And, as a benchmark of its own (`month`), compacting a month of 100 million points, once and after all of its hours got
late points, repairing it and splitting it: how long, and in how much memory.
"""

import json
import logging
import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import psutil
import pyarrow.parquet as pq

from benchmarks.figures import Samples, figure
from benchmarks.parts import folder
from benchmarks.population import START, Population
from benchmarks.screen import Screen, Tell
from ghost_tracking.core.partitions import Period
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.files import HistoryWriter
from ghost_tracking.vault.history.manifest import load
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.storage import LocalStorage

DAYS = 90
PER_HOUR = 20_000
HISTORIES = 101
SLOW_HISTORIES = 2
MOST_BYTES = 4.7
"""A point, in the series of any month."""
MOST_MS = 5
"""For one video's history."""
TURNS = 3
MONTH_POINTS = 100_000_000
MOST_TIMES = 3
"""As long as reading and writing a month once takes, may compacting it take."""
MOST_MB = 2_000
MARCH_OPEN = datetime(2026, 3, 31, 1, tzinfo=UTC)
"""January and February are compacted to months then, March to days, and its last day stands in hours."""
ALL_CLOSED = datetime(2026, 4, 2, tzinfo=UTC)

_CLICKHOUSE = Path(__file__).with_name("clickhouse.py")
_CLICKHOUSE_PYTHON = Path(__file__).parents[1] / ".venv-bench/bin/python"


def bench(screen: Screen) -> None:
    """Write 90 days of hours, compact them, and read them from each layer."""
    with folder() as root, screen.busy(f"{DAYS} days of {PER_HOUR:,} points an hour") as tell:
        points, size = write_hours(root, Population(START, DAYS, PER_HOUR), tell)
        videos = _some_videos(root)
        tell("compacting to days and months, the last day left in hours")
        compacted = in_a_process(compact, root, MARCH_OPEN)
        mixed = _history_times(root, videos)
        tell("compacting the rest")
        in_a_process(compact, root, ALL_CLOSED)
        tell("histories")
        whole = _history_times(root, videos)
        slow = _slow_histories(root, videos)
        tell("everybody's latest")
        latest = _latest_times(root)
        tell("ClickHouse")
        rows = _sizes(root, points, size)
    screen.table(["bytes a point", "", ""], rows)
    screen.table(
        [f"one video's history over {points:,} points", "milliseconds", "against pandas"],
        [["all in months", whole.text("ms", scale=1000), _times_faster(slow["pandas"], whole)]]
        + [["", f"under {MOST_MS} ms: {_holds(whole.median * 1000 < MOST_MS)}", ""]]
        + [["30 days in days, 1 in hours", mixed.text("ms", scale=1000), _times_faster(slow["pandas"], mixed)]]
        + [[f"{name} over the hourly files", each.text("ms", scale=1000), ""] for name, each in slow.items()],
    )
    screen.table(
        ["latest count of every video", "seconds", "ratio"],
        [[name, each.text("s"), each.over(latest["DuckDB over the hourly files"])] for name, each in latest.items()],
    )
    screen.note(
        f"compacting {compacted['points']:,} points took {compacted['seconds']:.0f} s "
        f"and {compacted['memory']} MB at most"
    )


def write_hours(root: Path, population: Population, tell: Tell) -> tuple[int, int]:
    """Sealed hours, as the janitor leaves them; how many points and bytes."""
    points = size = 0
    for number, (hour, table) in enumerate(population.hours()):
        if number % 240 == 0:
            tell(f"{number // 24} of {population.days} days of hours")
        path = root / layout.stats(hour)
        path.parent.mkdir(parents=True)
        size += path.write_bytes(files.encode_sealed(table, []))
        points += table.num_rows
    return points, size


def in_a_process(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What `work` returns, its seconds, those of processor time, and the most memory (MB) of its own process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (work, *arguments))


def _measured(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    logging.disable(logging.INFO)
    begin, begin_busy = time.perf_counter(), time.process_time()
    found = work(*arguments)
    seconds, busy = time.perf_counter() - begin, time.process_time() - begin_busy
    # not ru_maxrss: that begins with what the parent had when it forked
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return found | {"seconds": seconds, "busy": busy, "memory": int(peak.split()[1]) // 1024}


def compact(root: Path, now: datetime, months: bool = True) -> dict[str, Any]:
    report = ParquetVaultHook(root=root).compact(now, months=months)
    if report.problems:
        raise RuntimeError(f"compaction failed: {report.problems}")
    return report.as_dict()


def _some_videos(root: Path) -> list[str]:
    """Videos found at different times: some of those read in hours spread over all the days."""
    dice = np.random.default_rng(1)
    found: list[str] = []
    for path in sorted(root.glob("metrics/date=*/hour=12/stats.parquet"))[:: DAYS // 9]:
        ids = pq.read_table(path, columns=["video_id"])["video_id"]
        found += [ids[int(row)].as_py() for row in dice.integers(0, len(ids), HISTORIES // 9 + 1)]
    return found[:HISTORIES]


def _history_times(root: Path, videos: list[str]) -> Samples:
    """Each video's history once, after one that has warmed the footers up."""
    vault = ParquetVaultHook(root=root)
    vault.read_history(videos[0])
    samples = Samples()
    for video in videos:
        with samples.timed():
            found = vault.read_history(video)
        if found.empty:
            raise RuntimeError(f"{video} has no history")
    return samples


def _slow_histories(root: Path, videos: list[str]) -> dict[str, Samples]:
    pattern = f"{root}/metrics/*/*/stats.parquet"
    ways: dict[str, Callable[[str], int]] = {
        "pandas": lambda video: len(pd.read_parquet(root / "metrics", filters=[("video_id", "==", video)])),
        "DuckDB": lambda video: len(duckdb.sql(f"FROM '{pattern}' WHERE video_id = '{video}'").fetchall()),
        "polars": lambda video: pl.scan_parquet(pattern).filter(pl.col("video_id") == video).collect().height,
    }
    expected = {video: len(ParquetVaultHook(root=root).read_history(video)) for video in videos[:SLOW_HISTORIES]}
    samples = {name: Samples() for name in ways}
    for video, points in expected.items():
        for name, way in ways.items():
            with samples[name].timed():
                found = way(video)
            if found != points:
                raise RuntimeError(f"{name} finds {found} points of {video}, not {points}")
    return samples


def _latest_times(root: Path) -> dict[str, Samples]:
    vault = ParquetVaultHook(root=root)
    query = f"""
        SELECT video_id, max(timestamp), arg_max(views, timestamp), arg_max(likes, timestamp),
               arg_max(comments, timestamp)
        FROM '{root}/metrics/*/*/stats.parquet' GROUP BY video_id
    """
    ways: dict[str, Callable[[], int]] = {
        "the hook": lambda: len(vault.read_latest()),
        "DuckDB over the hourly files": lambda: duckdb.sql(query).to_arrow_table().num_rows,
    }
    samples = {name: Samples() for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            with samples[name].timed():
                way()
    if len({way() for way in ways.values()}) != 1:
        raise RuntimeError("they find different numbers of videos")
    return samples


def _sizes(root: Path, points: int, size: int) -> list[list[str]]:
    """Bytes a point of hours, of each month's series, and of ClickHouse's table of January's points."""
    names = ParquetVaultHook(root=root).history_files(START, START + timedelta(days=31))
    storage = LocalStorage(root, layout.SCRATCH)
    plain = root / "january.parquet"
    count = 0
    with pq.ParquetWriter(plain, tables.SCHEMA, compression="zstd") as writer:
        for name in names:
            for table in HistoryReader(storage, str(Path(name).relative_to(root))).batches(1 << 20):
                writer.write_table(table)
                count += table.num_rows
    ours = sum(Path(name).stat().st_size for name in names) / count
    rows = [
        ["sealed hours", figure(size / points), ""],
        ["January as plain Parquet, zstd, sorted by video", figure(plain.stat().st_size / count), ""],
        *_months(storage, root),
    ]
    if not _CLICKHOUSE_PYTHON.exists():
        return [*rows, ["ClickHouse", "not measured", f"{_CLICKHOUSE_PYTHON} is missing"]]
    done = subprocess.run([_CLICKHOUSE_PYTHON, _CLICKHOUSE, plain], check=True, stdout=subprocess.PIPE, text=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    codecs = ", ".join(f"{name}: {codec}" for name, (codec, _) in theirs["columns"].items())
    total = theirs["bytes"] / count
    return [*rows, [f"January in ClickHouse ({codecs})", figure(total), f"{figure(total / ours)} × January's series"]]


def _months(storage: LocalStorage, root: Path) -> list[list[str]]:
    index, _ = load(storage)
    rows = []
    for period in index.periods:
        named = index.files_of(period)
        points = sum(each.points for each in named)
        weight = sum(each.bytes for each in named) / points
        segments = sum(pq.ParquetFile(root / each.path).metadata.num_rows for each in named)
        what = f"{period.first:%B} as series: {points:,} points, {points / segments:.1f} a segment"
        rows.append([what, figure(weight), f"at most {MOST_BYTES}: {_holds(weight <= MOST_BYTES)}"])
    return rows


def _holds(held: bool) -> str:
    return "holds" if held else "MISSED"


def _times_faster(slow: Samples, quick: Samples) -> str:
    return f"{slow.median / quick.median:,.0f} times faster"


def bench_month(screen: Screen) -> None:
    """Compact a month of 100 million points from days; against reading and writing its points once.

    Then compact it again with a late point in each hour, rebuild it with a broken file, and let 9 of its days expire.
    """
    crowds = MONTH_POINTS // (PER_HOUR * 24 * 30)
    with folder() as root, screen.busy(f"a month of {MONTH_POINTS:,} points") as tell:
        made = _write_big_hours(root, crowds + 1, tell)
        tell("compacting to days")
        days = in_a_process(compact, root, START + timedelta(days=31, hours=1), False)
        tell("reading and writing it once")
        once = in_a_process(_copy, root)
        tell("compacting to a month")
        month = in_a_process(compact, root, START + timedelta(days=32))
        tell("a late point in each hour")
        _add_late(root)
        late = in_a_process(compact, root, START + timedelta(days=32))
        tell("repairing it")
        repair = in_a_process(_repair, root)
        tell("letting 9 days expire, and then another one")
        split, day = (in_a_process(_expire, root, START + timedelta(days=days, hours=3)) for days in (9, 10))
    if not made == days["points"] == once["points"] == month["points"]:
        raise RuntimeError("points were lost on the way")
    screen.table(
        [f"a month of {made:,} points", "seconds", "of the processor", "MB of memory", "bytes a point"],
        [
            [what, f"{each['seconds']:.0f}", f"{each['busy']:.0f}", f"{each['memory']:,}", weight]
            for what, each, weight in [
                ("reading and writing it once", once, ""),
                ("compacting its days into a month", month, figure(month["bytes"] / made)),
                ("compacting its hours into days", days, ""),
                ("compacting it with all its hours, each with a late point", late, figure(late["bytes"] / made)),
                ("repairing it, one of its files broken", repair, ""),
                ("letting 9 days of it expire, which splits it", split, ""),
                ("letting another day expire", day, ""),
            ]
        ],
    )
    ratio, busier = (month[name] / once[name] for name in ("seconds", "busy"))
    screen.note(
        f"compacting a month takes {figure(ratio)} times as long as reading and writing it once (at most {MOST_TIMES}: "
        f"{_holds(ratio <= MOST_TIMES)}), and {figure(busier)} times the processor's time"
    )
    most = max(each["memory"] for each in (days, month, late, repair, split, day))
    screen.note(f"at most {MOST_MB:,} MB of memory: {_holds(most <= MOST_MB)}")
    screen.note(f"{psutil.virtual_memory().total / 2**30:.0f} GB of memory were there")


def _write_big_hours(root: Path, crowds: int, tell: Tell) -> int:
    populations = [Population(START, 31, PER_HOUR * 30 // 31, seed=seed).hours() for seed in range(crowds)]
    points = 0
    for number, hours in enumerate(zip(*populations, strict=True)):
        if number % 24 == 0:
            tell(f"{number // 24} of 31 days of hours")
        hour = hours[0][0]
        table = tables.merge(table for _, table in hours)
        path = root / layout.stats(hour)
        path.parent.mkdir(parents=True)
        path.write_bytes(files.encode_sealed(table, []))
        points += table.num_rows
    return points


def _add_late(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    hours = [START + timedelta(hours=number, seconds=1) for number in range(31 * 24)]
    vault.stage([MetricPoint("late_video_", hour, 1, None, None, None) for hour in hours])
    vault.seal(START + timedelta(days=32))


def _repair(root: Path) -> dict[str, Any]:
    """Break a byte of a file of the month, and have it rebuilt from the others and the hours."""
    vault = ParquetVaultHook(root=root)
    broken = Path(vault.history_files()[-1])
    data = bytearray(broken.read_bytes())
    data[len(data) // 3] ^= 1
    broken.write_bytes(data)
    report = vault.repair()
    if report.lost or report.problems or not report.recompacted:
        raise RuntimeError(f"not repaired: {report}")
    return {}


def _expire(root: Path, cutoff: datetime) -> dict[str, Any]:
    report = ParquetVaultHook(root=root).expire(cutoff, dry_run=False)
    if report.problems:
        raise RuntimeError(f"not expired: {report}")
    return {}


def _copy(root: Path) -> dict[str, Any]:
    """Read all days' series and write their points again, as a compaction would if there were nothing to merge."""
    storage = LocalStorage(root, layout.SCRATCH)
    elsewhere = LocalStorage(root / "copy", layout.SCRATCH)
    points = 0
    for name in ParquetVaultHook(root=root).history_files():
        writer = HistoryWriter(elsewhere, Period.month(START.date()))
        for table in HistoryReader(storage, str(Path(name).relative_to(root))).batches(1 << 18):
            writer.write(table)
        points += sum(each.points for each in writer.close())
    shutil.rmtree(root / "copy")
    return {"points": points}
