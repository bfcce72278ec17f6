"""The schedule behind PgBouncer in transaction mode, with fewer connections than tasks."""

from collections import Counter
from pathlib import Path

import pytest

from connections import connection_to
from faults.pooler import pooling
from faults.schedule_parts import DATABASE, DAY, Schedule
from ghost_tracking.hooks.watchlist import WatchlistHook

pytestmark = pytest.mark.faults
pytest_plugins = ("faults.schedule_fixtures",)


def test_eight_tasks_share_three_connections_and_read_each_video_once(
    schedule: Schedule, short_lived_folder: Path
) -> None:
    schedule.chunk_size = 100
    young, settled = schedule.alive(2_000, 2 * DAY), schedule.alive(400, 9 * DAY)
    schedule.settle(settled, anchor=schedule.began_at - 9 * DAY)
    schedule.put_on_watchlist(young)
    schedule.server.simulator.latency_ms = 50
    with pooling(schedule.postgres, short_lived_folder / "pooler", connections=3) as schedule.host:
        tasks = [
            schedule.start("track", queue=queue, limit=limit, strict=True)
            for queue, limit in [("DAILY", 350)] * 6 + [("ROSTER", 200)] * 2
        ]
        reports = [task.result(120) for task in tasks]
        assert [report.get("error") for report in reports] == [None] * 8
        schedule.server.simulator.latency_ms = 0
        assert sum(report["tracked"] for report in reports) == 2_400
        assert schedule.still_due() == 0
        served = Counter(reading.video_id for reading in schedule.readings())
        assert served == dict.fromkeys([*young, *settled], 1)
        schedule.check_healed()


def test_the_schema_is_set_up_through_a_pooler(schedule: Schedule, short_lived_folder: Path) -> None:
    schedule.postgres.ensure_database("fresh")
    with (
        pooling(schedule.postgres, short_lived_folder / "pooler of one", connections=1) as host,
        WatchlistHook(connection=connection_to(host, "fresh")) as watchlist,
    ):
        assert watchlist.migrate() == watchlist.migrate()
        watchlist.add_to_watchlist("a")
        assert watchlist.status.count() == 1


def test_a_claim_ends_in_time_behind_a_pooler_too(schedule: Schedule, short_lived_folder: Path) -> None:
    """Its bounds are the transaction's own, and none of them stays on the connection that others get next."""
    schedule.idle_seconds = 0.5
    schedule.put_on_watchlist(schedule.alive(40, 2 * DAY))
    with pooling(schedule.postgres, short_lived_folder / "pooler for long", connections=1) as schedule.host:
        orphan = schedule.stopped("track", at="stage", queue="DAILY")
        schedule.await_unlocked(within=10)
        assert schedule.do("track", queue="DAILY")["tracked"] == 40
        with WatchlistHook(connection=connection_to(schedule.host, DATABASE)) as watchlist:
            (row,) = watchlist.database._session.execute("SHOW idle_in_transaction_session_timeout").fetchall()
        assert set(row.values()) == {"0"}
        orphan.end()
        schedule.check_healed()
