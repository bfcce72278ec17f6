"""The schedule when its writers are killed, stopped and interleaved, and when PostgreSQL or YouTube fails them.

The children run the tasks' real bodies on a PostgreSQL of these tests' own, a real vault in a folder and a YouTube
that speaks HTTP. A child kills or stops itself right before its n-th step, for every n: a step is whatever others can
see or wait for. This file is also the program of the children, see `fork_server`.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import fork_server
from fork_server import Children, Server, forking
from ghost_tracking.hooks.watchlist import WatchlistHook
from integration.schedule_children import WORK, warm_up
from integration.schedule_parts import DATABASE, DAY, Schedule
from local_stack.postgres import Postgres
from real_parts import CANARY, connection_to
from youtube_simulator import Simulator, SimulatorServer, serve

pytestmark = pytest.mark.faults

SETTLED = 9 * DAY
YOUNG = 2 * DAY


@pytest.fixture(scope="module")
def own_postgres(short_lived_folder: Path) -> Iterator[Postgres]:
    """A server that tests may restart, with a migrated database."""
    folder = short_lived_folder / "own"
    folder.mkdir()
    server = Postgres(folder / "data", log=folder / "log", env=dict(os.environ))
    try:
        server.start()
        server.ensure_database(DATABASE)
        with WatchlistHook(connection=connection_to(str(server.socket_folder), DATABASE)) as hook:
            hook.migrate()
        yield server
    finally:
        server.stop(grace=5.0)


@pytest.fixture(scope="module")
def universe() -> Simulator:
    return Simulator(seed=7, channels=40, videos_per_hour=60, history_days=14, key=CANARY)


@pytest.fixture
def youtube_server(universe: Simulator) -> Iterator[SimulatorServer]:
    with serve(universe) as server:
        yield server
        universe.faults.clear()
        universe.world.restore(list(universe.world._deleted))


@pytest.fixture(scope="module")
def program() -> Iterator[Server]:
    with forking(__file__) as process:
        yield process


@pytest.fixture
def new_schedule(
    own_postgres: Postgres, youtube_server: SimulatorServer, program: Server, tmp_path: Path
) -> Iterator[Callable[[], Schedule]]:
    """Makes an empty schedule, as often as it is asked to."""
    children = Children(program, tmp_path / "answers")

    def make() -> Schedule:
        folder = tmp_path / f"schedule{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return Schedule(own_postgres, youtube_server, children, folder)

    yield make
    children.end()


@pytest.fixture
def schedule(new_schedule: Callable[[], Schedule]) -> Schedule:
    return new_schedule()


@pytest.fixture(scope="module")
def kills(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """By work, how often it was killed; told in the end."""
    counted: Counter[str] = Counter()
    yield counted
    each = ", ".join(f"{name} {number}" for name, number in counted.items())
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{counted.total()} kills: {each}")


# Killed at each step


def due_rows(schedule: Schedule) -> None:
    schedule.put_on_watchlist(schedule.alive(60, YOUNG))


def due_chunks(schedule: Schedule) -> None:
    """Two chunks, of which YouTube lacks one video."""
    schedule.settle([*schedule.alive(39, SETTLED), "nobodyknows"])


def settled_rows(schedule: Schedule) -> None:
    """Newcomers that join a thin chunk, and make a new one."""
    ids = schedule.alive(60, SETTLED)
    schedule.settle(ids[:7])
    schedule.put_on_watchlist(ids[7:])


def thin_chunks(schedule: Schedule) -> None:
    """Two full chunks, of which most videos have left for the watchlist."""
    schedule.settle(schedule.alive(40, SETTLED))
    with schedule.sql() as sql, schedule.watchlist() as watchlist:
        for name, ids in schedule.members().items():
            watchlist.add_to_watchlist(ids[:15])
            positions = "{" + ",".join(map(str, range(15))) + "}"
            sql.execute("UPDATE roster SET departed = %s::smallint[] WHERE chunk = %s", [positions, name])


def old_files(schedule: Schedule) -> None:
    """Chunks that were retired days ago, and a file that never had a row."""
    settled_rows(schedule)
    schedule.do("shelve")
    schedule.vault.roster.write(schedule.alive(5, SETTLED, skip=200), (schedule.began_at - 9 * DAY).date())
    with schedule.sql() as sql:
        assert sql.execute("UPDATE retired_chunks SET retired_at = retired_at - INTERVAL '9 days'").rowcount


CASES: dict[str, tuple[Callable[[Schedule], None], str, dict[str, Any]]] = {
    "tracking rows": (due_rows, "track", {"queue": "DAILY"}),
    "tracking chunks": (due_chunks, "track", {"queue": "ROSTER"}),
    "shelving": (settled_rows, "shelve", {}),
    "merging thin chunks": (thin_chunks, "shelve", {}),
    "sweeping": (old_files, "shelve", {}),
}


@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_step_nobody_is_forgotten_and_no_row_stays_locked(
    new_schedule: Callable[[], Schedule], kills: Counter[str], name: str
) -> None:
    prepare, work, arguments = CASES[name]
    for at in range(1, 100):
        schedule = new_schedule()
        prepare(schedule)
        child = schedule.start(work, **arguments, at=at)
        if not child.was_killed():
            break
        kills[name] += 1
        schedule.await_unlocked()
        schedule.check_healed()
    assert kills[name] == at - 1 == len(child.result()["steps"]) >= 4


# Stopped, and waking up when nobody counts on them any more


@pytest.mark.parametrize("step", ["statistics", "stage", "stage_availability", "reschedule", "commit of reschedule"])
def test_an_orphan_that_wakes_up_late_writes_over_nothing(schedule: Schedule, step: str) -> None:
    schedule.idle_seconds = 0.5
    due_rows(schedule)
    orphan = schedule.stopped("track", at=step, queue="DAILY")
    schedule.await_unlocked(within=10)
    assert schedule.still_due() == 60
    assert schedule.do("track", queue="DAILY")["tracked"] == 60
    with schedule.sql() as sql:
        before = sql.execute("SELECT * FROM watchlist ORDER BY video_id").fetchall()
    orphan.send(signal.SIGCONT)
    assert "error" not in orphan.result()
    with schedule.sql() as sql:
        assert sql.execute("SELECT * FROM watchlist ORDER BY video_id").fetchall() == before
    schedule.check_healed()


def settled_chunk(schedule: Schedule) -> list[str]:
    """Ids of one due chunk."""
    schedule.settle(schedule.alive(15, SETTLED))
    (ids,) = schedule.members().values()
    return ids


@pytest.mark.parametrize("step", ["statistics", "stage", "roster_reschedule", "commit of roster_reschedule"])
def test_an_orphan_with_a_chunk_that_wakes_up_late_forgets_nobody(schedule: Schedule, step: str) -> None:
    schedule.idle_seconds = 0.5
    ids = settled_chunk(schedule)
    schedule.put_on_watchlist(ids[:3])  # somebody has added them again, and the chunk's visit sees that
    orphan = schedule.stopped("track", at=step, queue="ROSTER")
    schedule.await_unlocked(within=10)
    assert schedule.do("shelve")["shelved"] == 3
    orphan.send(signal.SIGCONT)
    assert "error" not in orphan.result()
    schedule.check_healed()


# Two writers that meet


def test_a_chunk_that_is_made_anew_while_it_is_visited_forgets_nobody(schedule: Schedule) -> None:
    ids = settled_chunk(schedule)
    schedule.put_on_watchlist(ids)
    visitor = schedule.stopped("track", at="roster_reschedule", queue="ROSTER")
    janitor = schedule.start("shelve")  # of the same ids, so of the same name
    time.sleep(1)
    visitor.send(signal.SIGCONT)
    assert "error" not in visitor.result()
    assert "error" not in janitor.result()
    schedule.check_healed()


def test_two_that_shelve_the_same_videos_forget_nobody(schedule: Schedule) -> None:
    ids = schedule.alive(15, SETTLED)
    schedule.put_on_watchlist(ids)
    with psycopg.connect(schedule.postgres.dsn(DATABASE)) as somebody:
        somebody.execute("SELECT FROM watchlist WHERE video_id = ANY(%s) FOR UPDATE", [ids[:5]])
        first = schedule.stopped("shelve", at="commit of roster_insert")
    second = schedule.start("shelve")
    time.sleep(1)
    first.send(signal.SIGCONT)
    assert "error" not in first.result()
    assert "error" not in second.result()
    schedule.check_healed()


def test_one_that_shelves_what_another_has_shelved_meanwhile_forgets_nobody(schedule: Schedule) -> None:
    ids = schedule.alive(15, SETTLED)
    schedule.settle(ids[:7])
    schedule.put_on_watchlist([ids[0], *ids[7:]])  # the first is in the chunk already
    late = schedule.stopped("shelve", at="roster_lock_hour")
    with psycopg.connect(schedule.postgres.dsn(DATABASE)) as somebody:
        somebody.execute("SELECT FROM watchlist WHERE video_id = ANY(%s) FOR UPDATE", [ids[7:]])
        assert schedule.do("shelve")["shelved"] == 1
    late.send(signal.SIGCONT)
    assert late.result()["shelved"] == len(ids) - 7
    schedule.check_healed()


if __name__ == "__main__":
    warm_up()
    fork_server.serve(WORK)
