"""What Spark needs to open the named days among years of hourly files: filtered, and the days' folders named.

A program of its own, for an environment that has pyspark (`make bench` makes it) on a machine with Java 17: it prints
one line of JSON, seconds of both. It takes the vault and the days.
"""

import json
import sys
import time
from collections.abc import Callable

from pyspark.sql import SparkSession


def main(root: str, days: list[str]) -> None:
    """Both ways, after a session has started and read one file."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    folders = [f"{root}/metrics/date={day}" for day in days]
    spark.read.parquet(f"{folders[0]}/hour=00").count()
    named = _seconds(lambda: spark.read.option("basePath", f"{root}/metrics").parquet(*folders).count())
    filtered = _seconds(lambda: spark.read.parquet(f"{root}/metrics").where(f"date >= '{days[0]}'").count())
    spark.stop()
    print(json.dumps([filtered, named]))


def _seconds(work: Callable[[], int]) -> float:
    begin = time.perf_counter()
    if not work():
        raise RuntimeError("no points were found")
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
