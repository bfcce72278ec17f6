"""Airflow's page with a million videos in SQL and ninety days of 20,000 points an hour in the vault: each page's data.

In this process, as the API server asks for it, without HTTP and without Airflow's own tables (the last runs). What the
page remembers for some seconds is forgotten before each question.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow.parquet as pq

from benchmarks.figures import Samples, figure
from benchmarks.parts import folder, postgres_server
from benchmarks.population import Population
from benchmarks.screen import Screen
from benchmarks.series import compact, in_a_process, write_hours
from benchmarks.titles import Library
from connections import connection_of
from ghost_tracking.core.gains import WINDOWS
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.page import coverage, movers, overview, runs, video
from ghost_tracking.page.context import PageContext
from ghost_tracking.services.movers import prepare
from ghost_tracking.settings import Settings
from local_stack.postgres import Postgres

DAYS = 90
PER_HOUR = 20_000
ROWS = 1_000_000
TITLES = 300_000
REPEAT = 11
VIDEOS = 41
MOST_OVERVIEW_MS, MOST_VIDEO_MS, MOST_MOVERS_MS = 300, 200, 100

_FILL = """
    INSERT INTO watchlist (video_id, tracking_tier, last_tracked_at, next_track_at, created_at, anchor_at)
    SELECT translate(left(encode(sha256(number::text::bytea), 'base64'), 11), '+/', '-_'),
           tier, due - length, due, due - length, due - length
    FROM generate_series(1, %(rows)s) AS number
    CROSS JOIN LATERAL (SELECT mod(number, 3) AS third) AS thirds
    CROSS JOIN LATERAL (
        SELECT (ARRAY['HOURLY', 'DAILY', 'WEEKLY'])[third + 1] AS tier,
               (ARRAY['1 hour', '2 days', '14 days'])[third + 1]::interval AS length,
               now() + (random() - 0.01) * (ARRAY['1 hour', '1 day', '7 days'])[third + 1]::interval AS due
    ) AS drawn
    ON CONFLICT DO NOTHING
"""


def bench(screen: Screen) -> None:
    """Fill both, then ask for every page's data."""
    with (
        folder() as place,
        screen.busy(f"{DAYS} days of {PER_HOUR:,} points an hour") as tell,
        _without_airflow(),
        postgres_server(place) as server,
    ):
        root = place / "vault"
        start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
        points, _ = write_hours(root, Population(start, DAYS, PER_HOUR), tell)
        tell("compacting all but the last day")
        in_a_process(compact, root, start + timedelta(days=DAYS - 1, hours=1))
        tell(f"{ROWS:,} rows, {TITLES:,} titles")
        vault = ParquetVaultHook(root=root)
        vault.archive_videos(list(Library().videos(TITLES)))
        with WatchlistHook(connection=_filled(server)) as watchlist:
            context = PageContext(watchlist, vault, Settings())
            tell("asking")
            rows = _measure(context, root, start)
    screen.table([f"over {points:,} points", "milliseconds", ""], rows)


def _measure(context: PageContext, root: Path, start: datetime) -> list[list[str]]:
    videos = _some_videos(root, start)
    video.videos(context, videos[:1])  # footers and imports, once in a process
    one = Samples()
    for each in videos:
        with one.timed():
            video.videos(context, [each])
    together = _samples(lambda: video.videos(context, videos[:4]), REPEAT)
    first = _samples(
        lambda: overview.overview(context, runs.DAGS, True),
        REPEAT,
        overview.overview,
        overview._vault,
    )
    again = _samples(lambda: overview.overview(context, runs.DAGS, True), REPEAT, overview.overview)
    rows = [
        ["overview, nothing remembered", first.text("ms", scale=1000), _holds(first, MOST_OVERVIEW_MS)],
        ["overview, the vault's weight remembered (a minute)", again.text("ms", scale=1000), ""],
        ["a video", one.text("ms", scale=1000), _holds(one, MOST_VIDEO_MS)],
        ["four videos together", together.text("ms", scale=1000), ""],
    ]
    began = time.perf_counter()
    made = context.vault.prepared.rebuild_gains(context.watchlist.now())
    rows.append([f"gains of eight days, from {made:,} points, once", figure(1000 * (time.perf_counter() - began)), ""])
    began = time.perf_counter()
    prepare(context.watchlist, context.vault)
    rows.append(["movers of all windows, prepared by a run", figure(1000 * (time.perf_counter() - began)), ""])
    for window in WINDOWS:
        took = _samples(lambda window=window: movers.movers(context, window), REPEAT, movers._movers)
        rows.append([f"movers of {window}", took.text("ms", scale=1000), _holds(took, MOST_MOVERS_MS)])
    for days in coverage.DAYS:
        took = _samples(lambda days=days: coverage.coverage(context, days), 3, coverage._coverage)
        rows.append([f"coverage of {days} days (remembered for a minute)", took.text("ms", scale=1000), ""])
    found = _samples(lambda: video.find(context, "perfect"), 5)
    rows.append([f"a title among {TITLES:,}", found.text("ms", scale=1000), ""])
    return rows


def _samples(ask: Callable[[], Any], repeat: int, *remembering: Any) -> Samples:
    samples = Samples()
    ask()
    for _ in range(repeat):
        for each in remembering:
            each.cache_clear()
        with samples.timed():
            ask()
    return samples


def _holds(samples: Samples, most: float) -> str:
    held = "held" if samples.median * 1000 < most else "missed"
    return f"under {figure(most)} ms: {held}"


def _some_videos(root: Path, start: datetime) -> list[str]:
    """Videos read in hours spread over all the days."""
    dice = np.random.default_rng(1)
    found: list[str] = []
    for number in np.linspace(0, DAYS * 24 - 2, 7).astype(int).tolist():
        moment = start + timedelta(hours=number)
        path = root / f"metrics/date={moment:%Y-%m-%d}/hour={moment:%H}/stats.parquet"
        ids = pq.read_table(path, columns=["video_id"])["video_id"]
        found += [ids[int(row)].as_py() for row in dice.integers(0, len(ids), VIDEOS // 7 + 1)]
    return found[:VIDEOS]


def _filled(server: Postgres) -> Any:
    server.ensure_database("page")
    dsn = server.dsn("page")
    with WatchlistHook(connection=connection_of(dsn)) as watchlist:
        watchlist.migrate()
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(_FILL, {"rows": ROWS})
        session.execute("VACUUM ANALYZE watchlist")
    return connection_of(dsn)


@contextmanager
def _without_airflow() -> Iterator[None]:
    """Three DAGs that have not run yet, in the place of Airflow's tables."""
    asked = runs.dags
    runs.dags = lambda _: {dag_id: runs.Dag(dag_id, is_known=True, is_paused=False) for dag_id in runs.DAGS}
    try:
        yield
    finally:
        runs.dags = asked
