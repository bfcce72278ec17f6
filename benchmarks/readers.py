"""What an analyst's tools need to open a day among five years of hourly files: in a folder, and on an S3 server.

Each call is made twice in a process of its own: as one would write it first, and with the days named before anything is
listed. The S3 server is the tests' (moto, in Python): what it takes to list 43,800 files says more about it than about
S3, so the requests are counted as well.
"""

import json
import multiprocessing
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.figures import figure
from benchmarks.parts import folder
from benchmarks.population import random_video_ids
from benchmarks.screen import Screen, Tell
from ghost_tracking.core.partitions import Partition
from ghost_tracking.vault import layout
from ghost_tracking.vault.points import files, tables
from s3_server import S3Server, serving_s3

HOURS: Final = 43_800
POINTS: Final = 20
DAYS: Final = ("2026-10-30", "2026-10-31")
"""What is asked for: the last two days of the five years."""
END: Final = datetime(2026, 11, 1, tzinfo=UTC)
BUCKET: Final = "s3://vault/years"
PATIENCE: Final = 900.0
_UPLOADS: Final = 8

_SPARK: Final = Path(__file__).with_name("spark.py")
_BENCH_PYTHON: Final = Path(__file__).parents[1] / ".venv-bench/bin/python"


@dataclass(frozen=True)
class Place:
    """Where the hours are; `options` as s3fs takes them, None for a folder."""

    root: str
    options: dict[str, Any] | None = None


def bench(screen: Screen) -> None:
    """Write the hours, ask in the folder; copy them to the S3 server, ask there."""
    with folder() as root, screen.busy(f"{HOURS:,} hourly files") as tell:
        _write(root, tell)
        here = _measured(FOLDER_CALLS, Place(str(root)), tell)
        here["Spark"] = _spark(root, tell)
        with serving_s3(root / "s3.log", keys_a_page=1_000) as server:
            _upload(root, server, tell)
            there = _measured(BUCKET_CALLS, Place(BUCKET, server.options), tell, server)
    screen.table(
        ["a folder", "all of metrics/, filtered", "the days named"],
        [[name, *(_seconds(each) for each in took)] for name, took in here.items()],
    )
    screen.table(
        ["an S3 server", "all of metrics/, filtered", "requests", "the days named", "requests"],
        [[name, _seconds(a), _requests(a), _seconds(b), _requests(b)] for name, (a, b) in there.items()],
    )


Took = dict[str, Any]
Call = Callable[[Place], int]


def _seconds(took: Took) -> str:
    return took["problem"] if "problem" in took else f"{figure(took['seconds'])} s"


def _requests(took: Took) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(took.get("requests", {}).items()))


def _write(root: Path, tell: Tell) -> None:
    dice = np.random.default_rng(1)
    ids = random_video_ids(dice, POINTS)
    for number in range(HOURS):
        if number % 8_760 == 0:
            tell(f"{number:,} written")
        hour = Partition.of(END - timedelta(hours=HOURS - number))
        begin = int(hour.starts_at.timestamp())
        columns = {
            "video_id": ids,
            "timestamp": pa.array((begin + np.arange(POINTS) * 60) * 1_000_000),
            "views": pa.array(dice.integers(0, 10**6, POINTS)),
            "likes": pa.array(dice.integers(0, 10**4, POINTS)),
            "comments": pa.array(dice.integers(0, 10**3, POINTS)),
            "published_at": pa.array(np.full(POINTS, begin - 3_600) * 1_000_000),
        }
        path = root / layout.stats(hour)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files.encode_sealed(pa.table(columns).cast(tables.SCHEMA), []))


def _upload(root: Path, server: S3Server, tell: Tell) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.key,
        aws_secret_access_key=server.secret,
        region_name="us-east-1",
    )
    paths = sorted(root.glob("metrics/*/*/stats.parquet"))
    prefix = BUCKET.removeprefix("s3://vault/")

    def put(path: Path) -> None:
        client.put_object(Bucket="vault", Key=f"{prefix}/{path.relative_to(root).as_posix()}", Body=path.read_bytes())

    with ThreadPoolExecutor(_UPLOADS) as threads:
        for number, _ in enumerate(threads.map(put, paths)):
            if number % 8_760 == 0:
                tell(f"{number:,} copied to the S3 server")


def _measured(
    calls: dict[str, tuple[Call, Call]], place: Place, tell: Tell, server: S3Server | None = None
) -> dict[str, tuple[Took, Took]]:
    found = {}
    for name, pair in calls.items():
        tell(f"{name} in {place.root}")
        took = [_counted(call, place, server) for call in pair]
        found[name] = (took[0], took[1])
    return found


def _counted(call: Call, place: Place, server: S3Server | None) -> Took:
    if server is None:
        return _in_a_process(call, place)
    server.requests_by_kind()  # those before this call
    took = _in_a_process(call, place)
    return took | {"requests": server.requests_by_kind()}


def _in_a_process(call: Call, place: Place) -> Took:
    """How long a call takes in a fresh process, imports left out, and that it finds every point of the days."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            return pool.apply_async(_timed, (call, place)).get(PATIENCE)
        except multiprocessing.TimeoutError:
            return {"problem": f"more than {PATIENCE:.0f} s"}


def _timed(call: Call, place: Place) -> Took:
    import duckdb  # noqa: F401 - imports are not measured
    import pandas as pd  # noqa: F401
    import polars as pl  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    begin = time.perf_counter()
    points = call(place)
    seconds = time.perf_counter() - begin
    if points != len(DAYS) * 24 * POINTS:
        raise RuntimeError(f"{points} points of {len(DAYS) * 24 * POINTS} were found")
    return {"seconds": seconds}


def _spark(root: Path, tell: Tell) -> tuple[Took, Took]:
    if not _BENCH_PYTHON.exists():
        return {"problem": f"{_BENCH_PYTHON} is missing"}, {"problem": ""}
    tell("Spark")
    done = subprocess.run([_BENCH_PYTHON, _SPARK, root, *DAYS], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"problem": "Spark did not work (does this machine have Java 17?)"}, {"problem": ""}
    first, named = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": first}, {"seconds": named}


# The calls, as the documentation has them


def pandas_filtered(place: Place) -> int:
    import pandas as pd

    return len(
        pd.read_parquet(
            f"{place.root}/metrics", filters=[("date", ">=", DAYS[0])], storage_options=_pandas_options(place)
        )
    )


def pandas_of_days(place: Place) -> int:
    import pandas as pd

    folders = [f"{place.root}/metrics/date={day}" for day in DAYS]
    return len(pd.concat(pd.read_parquet(each, storage_options=_pandas_options(place)) for each in folders))


def _pandas_options(place: Place) -> dict[str, Any] | None:
    return place.options


def polars_filtered(place: Place) -> int:
    import polars as pl

    scan = pl.scan_parquet(f"{place.root}/metrics/", hive_partitioning=True, storage_options=_polars_options(place))
    return scan.filter(pl.col("date") >= date.fromisoformat(DAYS[0])).collect().height


def polars_of_days(place: Place) -> int:
    import polars as pl

    patterns = [f"{place.root}/metrics/date={day}/*/stats.parquet" for day in DAYS]
    return pl.scan_parquet(patterns, hive_partitioning=True, storage_options=_polars_options(place)).collect().height


def _polars_options(place: Place) -> dict[str, str] | None:
    if place.options is None:
        return None
    return {
        "aws_access_key_id": place.options["key"],
        "aws_secret_access_key": place.options["secret"],
        "aws_endpoint_url": place.options["endpoint_url"],
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
        "aws_virtual_hosted_style_request": "false",
    }


def duckdb_filtered(place: Place) -> int:
    import duckdb

    found = duckdb.sql(
        f"SELECT count(*) FROM read_parquet('{place.root}/metrics/*/*/stats.parquet', hive_partitioning = true) "
        f"WHERE date >= DATE '{DAYS[0]}'"
    )
    return int(found.fetchall()[0][0])


def duckdb_of_days(place: Place) -> int:
    import duckdb

    patterns = [f"{place.root}/metrics/date={day}/*/stats.parquet" for day in DAYS]
    found = duckdb.sql(f"SELECT count(*) FROM read_parquet({patterns}, hive_partitioning = true)")
    return int(found.fetchall()[0][0])


def library(place: Place) -> int:
    from ghost_tracking.vault import Vault

    vault = Vault(place.root, storage_options=place.options)
    return len(vault.read_metrics(start=datetime.fromisoformat(f"{DAYS[0]}T00:00:00+00:00")))


FOLDER_CALLS: Final[dict[str, tuple[Call, Call]]] = {
    "pandas": (pandas_filtered, pandas_of_days),
    "polars": (polars_filtered, polars_of_days),
    "DuckDB": (duckdb_filtered, duckdb_of_days),
    "the library, read_metrics(start)": (library, library),
}
BUCKET_CALLS: Final[dict[str, tuple[Call, Call]]] = {
    name: calls for name, calls in FOLDER_CALLS.items() if name != "DuckDB"
}
"""DuckDB's extension for S3 does not come with it."""
