"""What preparing movers costs the tracker, at two billion points a year: 228,000 an hour, 19,000 a run.

Two days of points at that load, the first compacted, the last in hours. So the window of a week has two days of points;
its gains are those of a week of full hours. Seconds are of processor time, for runs share their machine.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figures import Samples, figure, judged
from benchmarks.parts import folder, postgres_server, random_ids
from benchmarks.population import Population
from benchmarks.screen import Screen, Tell
from benchmarks.series import compact, in_a_process, write_hours
from connections import connection_of
from ghost_tracking.core.gains import WINDOWS, Interval
from ghost_tracking.core.partitions import Partition
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.page import movers as page
from ghost_tracking.page.context import PageContext
from ghost_tracking.services.movers import EVERY, MoversPreparation
from ghost_tracking.settings import Settings
from ghost_tracking.vault import layout
from ghost_tracking.vault.prepared import ranking
from ghost_tracking.vault.prepared.gains import MOST_KEPT

DAYS = 2
PER_HOUR = 228_000
RUNS_AN_HOUR = 12
BATCH = 5_000
CHANNELS = 300
RUN_SECONDS = 17.3
"""A run of 20,000 videos from its trigger to its end, as `make bench ARGS=tracker` has measured it."""
MOST_SHARE = 0.03
MOST_PAGE_MS = 100
_HOUR = timedelta(hours=1)


def bench(screen: Screen) -> None:
    """Make the gains from the points, prepare as a run does, ask for the page."""
    with (
        folder() as place,
        screen.busy(f"{DAYS} days of {PER_HOUR:,} points an hour") as tell,
        postgres_server(place) as server,
    ):
        root = place / "vault"
        start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
        points, _ = write_hours(root, Population(start, DAYS, PER_HOUR), tell)
        now = start + timedelta(days=DAYS)
        tell("compacting the first day")
        in_a_process(compact, root, start + timedelta(days=DAYS - 1, hours=1))
        tell("making gains from the points")
        made = in_a_process(_rebuild, root, now)
        full = _full_week(place / "week", now, tell)
        server.ensure_database("movers")
        with WatchlistHook(connection=connection_of(server.dsn("movers"))) as watchlist:
            watchlist.migrate()
            rows = _measured(watchlist, root, now, tell)
    screen.table(
        [f"movers over {points:,} points", "measured", "bound", ""],
        [
            ["gains made from points, once", f"{figure(made['busy'])} s, {made['memory']:,.0f} MB", "", ""],
            ["gains of a week of full hours, bytes", f"{full['bytes'] / 1e6:.1f} MB", "60 MB", ""],
            ["gains of a week of full hours, added up", f"{figure(full['busy'])} s, {full['memory']:,.0f} MB", "", ""],
            *rows,
        ],
    )


def _rebuild(root: Path, now: datetime) -> dict[str, Any]:
    return {"points": ParquetVaultHook(root=root).prepared.rebuild_gains(now)}


def _full_week(root: Path, now: datetime, tell: Tell) -> dict[str, Any]:
    """Eight days of hours with as many intervals as they may have, each window's from other videos."""
    tell("eight days of full hours of gains")
    vault = ParquetVaultHook(root=root)
    vault.identity(create=True)
    gains, dice = vault.prepared._writing, np.random.default_rng(3)
    ids = random_ids(200_000)
    for number in range(24 * 8):
        until = now - number * _HOUR
        chosen = dice.choice(len(ids), 3 * MOST_KEPT, replace=False)
        counts = np.exp(dice.normal(8, 2, len(chosen))).astype(int).tolist()
        lengths = [_HOUR, timedelta(days=1), timedelta(days=7)]
        made = [
            Interval(ids[place], until - lengths[n // MOST_KEPT], until, 10, 10 + count)
            for n, (place, count) in enumerate(zip(chosen.tolist(), counts, strict=True))
        ]
        gains.put_hour(Partition.of(until), ranking.table_of(made), {0: (1, 1, 1)}, ranking.NOTHING)
    gains.complete_since(now - timedelta(days=9))
    size = sum(bytes_ for _, bytes_ in vault._storage.walk(layout.GAINS))
    return in_a_process(_of_week, root, now) | {"bytes": size}


def _of_week(root: Path, now: datetime) -> dict[str, Any]:
    return {"videos": len(ParquetVaultHook(root=root).prepared.gains(WINDOWS["week"], now).ids)}


def _measured(watchlist: WatchlistHook, root: Path, now: datetime, tell: Tell) -> list[list[str]]:
    vault = ParquetVaultHook(root=root)
    _give_channels(vault, now)
    tell("a run's batches")
    staging, merging = Samples(), Samples()
    for _ in range(3):
        for batch in _batches(root, now):
            with staging.timed(time.process_time):
                vault.prepared.stage_gains(batch)
        with merging.timed(time.process_time):
            vault.prepared.publish_gains(now)
    preparation = MoversPreparation(watchlist, vault, now)
    of_window = {window: Samples() for window in WINDOWS}
    for _ in range(3):
        for window, samples in of_window.items():
            tell(f"preparing the {window}")
            before = vault.prepared.movers(window)
            with samples.timed(time.process_time):
                vault.prepared.put_movers(window, preparation.movers(window, before))
    with (changes := Samples()).timed(time.process_time):
        preparation._changes_if_due()
    a_run = PER_HOUR / RUNS_AN_HOUR / BATCH * staging.median + merging.median + changes.median
    an_hour = sum(of_window[window].median * (1 if EVERY[window] else RUNS_AN_HOUR) for window in WINDOWS)
    an_hour += RUNS_AN_HOUR * a_run
    share = an_hour / (RUNS_AN_HOUR * RUN_SECONDS)
    asked = _asked(watchlist, vault)
    return [
        ["a batch of 5,000 intervals staged", staging.text("ms", scale=1000), "", ""],
        ["a run's gains merged", merging.text("ms", scale=1000), "", ""],
        *[[f"movers of the {window} prepared", each.text("s"), "", ""] for window, each in of_window.items()],
        ["who came back or vanished", changes.text("ms", scale=1000), "", ""],
        judged(
            "all of it in an hour, of the tracker's time",
            f"{figure(an_hour)} s, {share:.1%}",
            f"{MOST_SHARE:.0%}",
            share <= MOST_SHARE,
        ),
        judged("the page", asked.text("ms", scale=1000), f"{MOST_PAGE_MS} ms", asked.median * 1000 < MOST_PAGE_MS),
    ]


def _give_channels(vault: ParquetVaultHook, now: datetime) -> None:
    """Metadata of the videos that may be movers and of some thousands of others, so that they are of a few channels."""
    ids = {each for window in WINDOWS.values() for each in vault.prepared.gains(window, now).ids[:120].to_pylist()}
    ids |= set(vault.read_table(now - _HOUR, now, columns=["video_id"])["video_id"][:6_000].to_pylist())
    published = vault.read_table(now - timedelta(days=1), now, ids, ["video_id", "published_at"]).to_pylist()
    known = {row["video_id"]: row["published_at"] for row in published}
    vault.archive_videos(
        [
            {"video_id": each, "title": each, "published_at": at, "channel_id": f"UC{n % CHANNELS}"}
            for n, (each, at) in enumerate(sorted(known.items()))
        ]
    )


def _batches(root: Path, now: datetime) -> list[list[Interval]]:
    """What a run gains: intervals of an hour between the counts of its videos, four batches of them."""
    hour = Partition.of(now - timedelta(minutes=1))
    table = pq.read_table(pa.BufferReader((root / layout.stats(hour)).read_bytes())).slice(0, 4 * BATCH)
    rows = zip(table["video_id"].to_pylist(), table["views"].to_pylist(), strict=True)
    made = [Interval(each, now - _HOUR, now, max(0, views - views // 99), views) for each, views in rows if views]
    return [made[start : start + BATCH] for start in range(0, len(made), BATCH)]


def _asked(watchlist: WatchlistHook, vault: ParquetVaultHook) -> Samples:
    context, asked = PageContext(watchlist, vault, Settings()), Samples()
    page.movers(context, "week")
    for number in range(100):
        page._movers.cache_clear()
        with asked.timed():
            page.movers(context, list(WINDOWS)[number % len(WINDOWS)])
    return asked
