"""Two janitors at once in an object store, which has no locks to keep one of them out, and publishers beside them.

This file is also the program of the other processes, see `fork_server`.
"""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk import ObjectStoragePath

import fork_server
from fork_server import Children
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import FileChangedError
from ghost_tracking.hooks.vault import ParquetVaultHook
from s3_server import S3Server
from vault_contents import assert_holds

pytestmark = pytest.mark.faults

START = datetime(2026, 1, 31, 22, tzinfo=UTC)
LATER = datetime(2026, 3, 5, tzinfo=UTC)
HOURS = 5
ROUNDS = 6


def points(writer: int, number: int) -> list[MetricPoint]:
    """Some of every hour: late ones, once the janitors were there."""
    return [
        MetricPoint(
            f"{writer}-{hour}", START + timedelta(hours=hour, seconds=60 * writer + number), number, 1, None, None
        )
        for hour in range(number % 2, HOURS, 2)
    ]


# What the children do


def publish(root: str, connection: str, writer: int) -> int:
    os.environ["AIRFLOW_CONN_TEST_S3"] = connection
    vault = ParquetVaultHook(root=root)
    for number in range(1, ROUNDS):
        vault.stage(points(writer, number))
        vault.publish()
    return ROUNDS


def tidy(root: str, connection: str, keep_hours: bool) -> dict[str, int]:
    """Seal and compact, over and over; what somebody else was faster with is left to him."""
    os.environ["AIRFLOW_CONN_TEST_S3"] = connection
    vault = ParquetVaultHook(root=root)
    done: Counter[str] = Counter()
    for _ in range(ROUNDS):
        vault.seal(LATER)
        try:
            report = vault.compact(LATER, keep_hours=keep_hours)
        except FileChangedError:
            done["overtaken"] += 1
            continue
        assert all("replaced" in each or "gone" in each or "No such" in each for each in report.problems), report
        done.update(compacted=len(report.compacted), dropped=report.hours_deleted, overtaken=len(report.failed))
    return done


# How the tests handle them


@pytest.mark.parametrize("keep_hours", [True, False])
def test_two_janitors_at_once_lose_nothing(
    children: Children, s3: S3Server, s3_root: ObjectStoragePath, keep_hours: bool
) -> None:
    vault = ParquetVaultHook(root=s3_root)
    vault.stage([each for writer in range(2) for each in points(writer, 0)])
    vault.publish()
    common = {"root": str(s3_root), "connection": s3.connection()}
    publishers = [children.start(publish, writer=writer, **common) for writer in range(2)]
    janitors = [children.start(tidy, keep_hours=keep_hours, **common) for _ in range(2)]
    for publisher in publishers:
        publisher.result(240)
    done = [janitor.result(240) for janitor in janitors]
    assert sum(each["compacted"] for each in done) > 0

    vault.publish()
    assert vault.seal(LATER).complete
    assert vault.compact(LATER, keep_hours=keep_hours).problems == ()

    written = [each for writer in range(2) for number in range(ROUNDS) for each in points(writer, number)]
    assert_holds(vault, written)
    assert vault.verify().problems == ()
    health = vault.health_check()
    assert (health["ok"], health["staged_parts"], health["stale_hours"]) == (True, 0, [])
    print(done)


if __name__ == "__main__":
    fork_server.serve({each.__name__: each for each in (publish, tidy)})
