"""What a stack has achieved so far: counted in SQL and in the vault's files."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import psycopg


@dataclass(frozen=True)
class Results:
    """Rows and points at one moment; None where there is no table yet."""

    videos: int | None
    watchlist: int | None
    roster: int | None
    points: int

    @property
    def tracked(self) -> int:
        """Videos on the schedule, in both of its places."""
        return (self.watchlist or 0) + (self.roster or 0)

    @property
    def any(self) -> bool:
        """Whether there is something to look at."""
        return bool(self.points)

    def __str__(self) -> str:
        return (
            f"metadata of {self.videos or 0:,} videos · {self.watchlist or 0:,} on the watchlist"
            f" · {self.roster or 0:,} on the roster · {self.points:,} points in the vault"
        )


class ResultsReader:
    """Reads results again and again; a file that has not changed is not opened twice."""

    def __init__(self, dsn: str, vault: Path) -> None:
        self._dsn = dsn
        self.metrics = vault / "metrics"
        self._rows: dict[Path, tuple[int, int, int]] = {}

    def read(self) -> Results:
        """Count now. A database that does not answer counts as one without tables."""
        counts: dict[str, int | None] = dict.fromkeys(_COUNTS)
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self._dsn) as connection:
            for table in counts:
                counts[table] = _count(connection, table)
        return Results(**counts, points=sum(map(self._points, self.files())))

    def files(self) -> list[Path]:
        """The published partitions."""
        return sorted(self.metrics.glob("date=*/hour=*/stats.parquet"))

    def _points(self, path: Path) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            status = path.stat()
            known = self._rows.get(path)
            if known is None or known[:2] != (status.st_mtime_ns, status.st_size):
                rows: int = pq.read_metadata(path).num_rows
                known = self._rows[path] = (status.st_mtime_ns, status.st_size, rows)
        except (OSError, pa.ArrowException):  # compacted away under our eyes, or broken: the janitor's business
            return 0
        return known[2]


_COUNTS = {
    "videos": "SELECT count(*) FROM videos",
    "watchlist": "SELECT count(*) FROM watchlist",
    "roster": "SELECT coalesce(sum(videos), 0) FROM roster WHERE NOT gone",
}


def _count(connection: psycopg.Connection, table: str) -> int | None:
    exists = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    if not exists or not exists[0]:
        return None
    row = connection.execute(_COUNTS[table].encode()).fetchone()
    return row[0] if row else None
