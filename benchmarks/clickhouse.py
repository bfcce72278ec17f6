"""What a month of points weighs in ClickHouse: each column with the codec that makes it smallest.

A program of its own, for an environment that has chdb (`make bench` makes it): it prints one line of JSON.
"""

import json
import sys
import tempfile
from pathlib import Path

from chdb import session

TYPES = {
    "video_id": "String",
    "timestamp": "DateTime",
    "views": "Nullable(Int64)",
    "likes": "Nullable(Int64)",
    "comments": "Nullable(Int64)",
    "published_at": "Nullable(DateTime)",
}
KEY = ("video_id", "timestamp")
CODECS = (
    "ZSTD(9)",
    "Delta, ZSTD(9)",
    "DoubleDelta, ZSTD(9)",
    "T64, ZSTD(9)",
    "T64('bit'), ZSTD(9)",
    "Delta, T64, ZSTD(9)",
)


def main(source: Path) -> None:
    """Try every codec on every column of `source`, a Parquet file with a vault's points."""
    with tempfile.TemporaryDirectory(prefix="ghost-clickhouse-") as place:
        database = session.Session(place)
        database.query("CREATE DATABASE bench")
        best = {}
        for name in TYPES:
            sizes = {codec: _size(database, source, name, codec) for codec in CODECS if _fits(name, codec)}
            best[name] = min(sizes.items(), key=lambda item: item[1])
        print(json.dumps({"bytes": sum(size for _, size in best.values()), "columns": best}))


def _fits(name: str, codec: str) -> bool:
    return TYPES[name] != "String" or codec == "ZSTD(9)"


def _size(database: session.Session, source: Path, name: str, codec: str) -> int:
    """Bytes of the column, compressed, with its map of nulls, in a table sorted by key in one part."""
    columns = dict.fromkeys([*KEY, name])
    declared = ", ".join(f"{each} {TYPES[each]}" + (f" CODEC({codec})" if each == name else "") for each in columns)
    database.query("DROP TABLE IF EXISTS bench.points")
    database.query(
        f"CREATE TABLE bench.points ({declared}) ENGINE = MergeTree ORDER BY (video_id, timestamp) "
        "SETTINGS min_bytes_for_wide_part = 0"
    )
    database.query(f"INSERT INTO bench.points SELECT {', '.join(columns)} FROM file('{source}', Parquet)")
    database.query("OPTIMIZE TABLE bench.points FINAL")
    answer = database.query(
        "SELECT sum(column_data_compressed_bytes) FROM system.parts_columns "
        f"WHERE database = 'bench' AND table = 'points' AND active AND column = '{name}'",
        "JSONCompact",
    )
    return int(json.loads(str(answer))["data"][0][0])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
