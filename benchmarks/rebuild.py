"""What it takes to rebuild the schedule of a lost database from the vault: time, memory, and what stands in SQL then.

The videos are read weekly, so their newest points lie in the last week: in history files of days, and hours. One in
fifty is young, one in five has a newest point that does not tell when it was published, as on the roster.
"""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.parts import folder, postgres_server
from benchmarks.screen import Screen, Tell
from benchmarks.series import compact, in_a_process
from connections import connection_of
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.sync import SyncToken
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.recovery import ScheduleReconciler
from ghost_tracking.vault import layout
from ghost_tracking.vault.points import files, tables

VIDEOS: Final = (1_000_000, 3_000_000)
MOST_MB: Final = 1_000
HOURS: Final = 168
NOW: Final = datetime(2026, 5, 20, 12, tzinfo=UTC)
_YEARS: Final = 3 * 365 * 86_400


def bench(screen: Screen) -> None:
    """A lost database; then one whose backup lacks nothing, which is compared all the same."""
    for videos in VIDEOS:
        rows = []
        with folder() as place, screen.busy(f"{videos:,} videos") as tell, postgres_server(place) as server:
            root = place / "vault"
            server.ensure_database("rebuilt")
            write(root, videos, tell)
            tell("compacting")
            in_a_process(compact, root, NOW - timedelta(days=1), False)
            for what in ("the database is lost", "nothing is missing"):
                tell(what)
                rows.append(_row(what, in_a_process(rebuild, root, server.dsn("rebuilt"))))
        screen.table([f"{videos:,} videos", "put back", "time", "busy", "memory of the process", "in SQL"], rows)


def _row(what: str, found: dict[str, Any]) -> list[str]:
    holds = "holds" if found["memory"] < MOST_MB else "BROKEN"
    return [
        what,
        f"{found['restored']:,}",
        f"{found['seconds']:.0f} s",
        f"{found['busy']:.0f} s",
        f"{found['memory']} MB (bound {MOST_MB}: {holds})",
        f"{found['chunks']:,} chunks, {found['rows']:,} rows, {found['bytes'] / 1e6:.0f} MB",
    ]


def write(root: Path, videos: int, tell: Tell) -> None:
    """Sealed hours of a week, in which each video is read once."""
    dice = np.random.default_rng(1)
    for number in range(HOURS):
        if number % 24 == 0:
            tell(f"{number // 24} of 7 days of hours")
        hour = NOW - timedelta(hours=HOURS - number)
        path = root / layout.stats(Partition.of(hour))
        path.parent.mkdir(parents=True)
        path.write_bytes(files.encode_sealed(_table(dice, hour, videos // HOURS), []))


def _table(dice: np.random.Generator, hour: datetime, number: int) -> pa.Table:
    octets = np.zeros((number, 9), dtype=np.uint8)
    octets[:, :8] = dice.integers(0, 256, (number, 8))
    text = base64.urlsafe_b64encode(octets.tobytes()).decode()
    start = int(hour.timestamp())
    seconds = start + dice.integers(0, 600, number)
    young = dice.random(number) < 0.02
    ages = np.where(young, dice.integers(0, 6 * 86_400, number), 7 * 86_400 + dice.integers(0, _YEARS, number))
    hidden = ~young & (dice.random(number) < 0.2)
    counts = dice.integers(0, 100_000, number)
    table = pa.table(
        {
            "video_id": [text[12 * place : 12 * place + 11] for place in range(number)],
            "timestamp": pa.array(seconds * 1_000_000).cast(pa.timestamp("us", "UTC")),
            "views": counts,
            "likes": counts // 20,
            "comments": counts // 200,
            "published_at": pa.array((seconds - ages) * 1_000_000, mask=hidden).cast(pa.timestamp("us", "UTC")),
        }
    ).cast(tables.SCHEMA)
    return table.sort_by("video_id")


def rebuild(root: Path, dsn: str) -> dict[str, Any]:
    """In a process of its own, since its memory is what is measured."""
    vault = ParquetVaultHook(root=root)
    with WatchlistHook(connection=connection_of(dsn)) as watchlist:
        watchlist.migrate()
        vault.set_sync_token(SyncToken("of another database", NOW))
        report = ScheduleReconciler(watchlist, vault, NOW).reconcile()
        queues = watchlist.status.queues()
        # the next comparison is one of all points
        watchlist.vault_link.set_sync_token(SyncToken("of a backup", datetime(2000, 1, 1, tzinfo=UTC)))
        return {
            "restored": report.restored,
            "chunks": len(watchlist.roster.all()),
            "rows": sum(number for queue, number in queues.items() if not queue.in_chunks),
            "bytes": watchlist.status.database_bytes(),
        }
