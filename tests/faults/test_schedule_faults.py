"""The schedule when its writers are killed, stopped and interleaved, and when PostgreSQL or YouTube fails them.

The children run the tasks' real bodies on a PostgreSQL of these tests' own, a real vault in a folder and a YouTube
that speaks HTTP. A child kills or stops itself right before its n-th step, for every n: a step is whatever others can
see or wait for.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from faults.cutting_relay import CuttingRelay, relaying
from faults.schedule_parts import DATABASE, DAY, WEEK, Saved, Schedule
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.vault import roster_memory
from local_stack.postgres import PORT, Postgres
from reading_plans import SEVEN_A_WEEK
from youtube_simulator import Bucket

pytestmark = pytest.mark.faults
pytest_plugins = ("faults.schedule_fixtures",)

SETTLED = 9 * DAY
YOUNG = 2 * DAY


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
    """Candidates that join a underfilled chunk, and make a new one."""
    ids = schedule.alive(60, SETTLED)
    schedule.settle(ids[:7])
    schedule.put_on_watchlist(ids[7:])


def underfilled_chunks(schedule: Schedule) -> None:
    """Two full chunks, of which most videos have left for the watchlist."""
    schedule.settle(schedule.alive(40, SETTLED))
    with schedule.sql() as sql, schedule.watchlist() as watchlist:
        for name, ids in schedule.members().items():
            watchlist.add_to_watchlist(ids[:15])
            positions = "{" + ",".join(map(str, range(15))) + "}"
            sql.execute("UPDATE roster SET removed_positions = %s::smallint[] WHERE chunk = %s", [positions, name])


def old_files(schedule: Schedule) -> None:
    """Chunks that were retired days ago, and a file that never had a row."""
    settled_rows(schedule)
    schedule.do("move_to_roster")
    schedule.vault.roster.write(schedule.alive(5, SETTLED, skip=200), (schedule.began_at - 9 * DAY).date())
    with schedule.sql() as sql:
        assert sql.execute("UPDATE retired_chunks SET retired_at = retired_at - INTERVAL '9 days'").rowcount


CASES: dict[str, tuple[Callable[[Schedule], None], str, dict[str, Any]]] = {
    "tracking rows": (due_rows, "track", {"queue": "DAILY"}),
    "tracking chunks": (due_chunks, "track", {"queue": "ROSTER"}),
    "moving to the roster": (settled_rows, "move_to_roster", {}),
    "merging underfilled chunks": (underfilled_chunks, "move_to_roster", {}),
    "sweeping": (old_files, "move_to_roster", {}),
}


def killed(
    new_schedule: Callable[[], Schedule], saved: Saved, work: str, arguments: dict[str, Any]
) -> Iterator[Schedule]:
    """The schedule after a kill before each step, one after the other."""
    for at in range(1, 100):
        schedule = new_schedule()
        schedule.load(saved)
        child = schedule.start(work, **arguments, at=at)
        if not child.was_killed():
            assert len(child.result()["steps"]) == at - 1
            return
        yield schedule
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_step_nobody_is_forgotten_and_no_row_stays_locked(
    schedule: Schedule, new_schedule: Callable[[], Schedule], kills: Counter[str], tmp_path: Path, name: str
) -> None:
    prepare, work, arguments = CASES[name]
    prepare(schedule)
    saved = schedule.save(tmp_path / "saved")
    for damaged in killed(new_schedule, saved, work, arguments):
        kills[name] += 1
        damaged.await_unlocked()
        damaged.check_healed()
    assert kills[name] >= 4


@pytest.mark.parametrize("lost", [False, True], ids=["restored", "lost"])
def test_a_database_of_yesterday_gets_everybody_back_wherever_it_is_killed(
    schedule: Schedule, new_schedule: Callable[[], Schedule], kills: Counter[str], tmp_path: Path, *, lost: bool
) -> None:
    settled = schedule.alive(40, SETTLED)
    schedule.settle(settled[:12])
    schedule.put_on_watchlist([*settled[12:20], *schedule.alive(10, YOUNG)])
    schedule.do("run_everything")
    yesterday = {} if lost else schedule.save_tables()
    schedule.put_on_watchlist([*settled[20:], *schedule.alive(10, YOUNG, skip=10)])
    schedule.do("run_everything")
    schedule.load_tables(yesterday)
    assert len(schedule.places()) == (0 if lost else 30)
    saved = schedule.save(tmp_path / "saved")
    name = f"moving to the roster in a database that is {'lost' if lost else 'restored'}"
    for damaged in killed(new_schedule, saved, "move_to_roster", {}):
        kills[name] += 1
        assert "error" not in damaged.do("move_to_roster")
        damaged.do("run_everything")
        assert damaged.places() == dict.fromkeys(schedule.population, 1)
        damaged.check_points()
    assert kills[name] >= 10


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
    schedule.put_on_watchlist(ids[:3])  # somebody has added them again, and the chunk's read sees that
    orphan = schedule.stopped("track", at=step, queue="ROSTER")
    schedule.await_unlocked(within=10)
    assert schedule.do("move_to_roster")["moved"] == 3
    orphan.send(signal.SIGCONT)
    assert "error" not in orphan.result()
    schedule.check_healed()


def test_one_that_is_frozen_while_it_reserves_quota_keeps_nobody_waiting_for_long(schedule: Schedule) -> None:
    schedule.idle_seconds = 1
    due_rows(schedule)
    frozen = schedule.stopped("track", at="quota_add", queue="DAILY")
    began = time.monotonic()
    schedule.idle_seconds = 20
    assert schedule.do("track", queue="DAILY")["tracked"] == 60
    assert time.monotonic() - began < 10
    frozen.send(signal.SIGCONT)
    assert frozen.result()["error"].startswith("DatabaseUnavailableError")
    schedule.check_healed()


# Two writers that meet


def test_a_chunk_that_is_made_anew_while_it_is_visited_forgets_nobody(schedule: Schedule) -> None:
    ids = settled_chunk(schedule)
    schedule.put_on_watchlist(ids)
    visitor = schedule.stopped("track", at="roster_reschedule", queue="ROSTER")
    janitor = schedule.start("move_to_roster")  # of the same ids, so of the same name
    time.sleep(1)
    visitor.send(signal.SIGCONT)
    assert "error" not in visitor.result()
    assert "error" not in janitor.result()
    schedule.check_healed()


def test_two_that_move_the_same_videos_forget_nobody(schedule: Schedule) -> None:
    ids = schedule.alive(15, SETTLED)
    schedule.put_on_watchlist(ids)
    with psycopg.connect(schedule.postgres.dsn(DATABASE)) as somebody:
        somebody.execute("SELECT FROM watchlist WHERE video_id = ANY(%s) FOR UPDATE", [ids[:5]])
        first = schedule.stopped("move_to_roster", at="commit of roster_insert")
    second = schedule.start("move_to_roster")
    time.sleep(1)
    first.send(signal.SIGCONT)
    assert "error" not in first.result()
    assert "error" not in second.result()
    schedule.check_healed()


def test_one_that_moves_what_another_has_moved_meanwhile_forgets_nobody(schedule: Schedule) -> None:
    ids = schedule.alive(15, SETTLED)
    schedule.settle(ids[:7])
    schedule.put_on_watchlist([ids[0], *ids[7:]])  # the first is in the chunk already
    late = schedule.stopped("move_to_roster", at="roster_enter_hour")
    with psycopg.connect(schedule.postgres.dsn(DATABASE)) as somebody:
        somebody.execute("SELECT FROM watchlist WHERE video_id = ANY(%s) FOR UPDATE", [ids[7:]])
        assert schedule.do("move_to_roster")["moved"] == 1
    late.send(signal.SIGCONT)
    assert late.result()["moved"] == len(ids) - 7
    schedule.check_healed()


@pytest.mark.parametrize(
    "step", ["roster_lock_hour", "roster_take", "write", "roster_insert", "commit of roster_insert", "carry"]
)
def test_videos_that_are_added_again_while_they_are_moved_keep_their_place(schedule: Schedule, step: str) -> None:
    """With rows, in an underfilled chunk that is rewritten, and in both places."""
    ids = schedule.alive(15, SETTLED)
    schedule.settle(ids[:7])
    schedule.put_on_watchlist([ids[0], *ids[7:]])
    janitor = schedule.stopped("move_to_roster", at=step)
    somebody = schedule.start("add", ids=ids)
    time.sleep(0.3)  # it may have to wait
    janitor.send(signal.SIGCONT)
    assert "error" not in somebody.result()
    assert "error" not in janitor.result()
    schedule.check_healed()


@pytest.mark.parametrize("step", ["insert_watchlist", "commit of insert_watchlist"])
def test_videos_that_are_moved_while_they_are_added_again_keep_their_place(schedule: Schedule, step: str) -> None:
    ids = schedule.alive(15, SETTLED)
    schedule.settle(ids[:7])
    schedule.put_on_watchlist([ids[0], *ids[7:]])
    somebody = schedule.stopped("add", at=step, ids=ids)
    janitor = schedule.start("move_to_roster")
    time.sleep(0.3)
    somebody.send(signal.SIGCONT)
    assert "error" not in somebody.result()
    assert "error" not in janitor.result()
    schedule.check_healed()


def hot_chunks(schedule: Schedule) -> set[str]:
    """An underfilled chunk whose videos gained nothing for a week, and candidates that join it; those now hot."""
    ids = schedule.alive(15, SETTLED)
    schedule.settle(ids[:7])
    schedule.put_on_watchlist(ids[7:])
    ((name, members),) = schedule.members().items()
    read_at = schedule.began_at - WEEK + timedelta(hours=1)
    rows = {id_: WatchlistEntry(id_, last_tracked_at=read_at, views=0, gain_per_hour=0) for id_ in members}
    schedule.vault.roster.remember(name, roster_memory.carried(members, [], rows))
    world, now = schedule.server.simulator.world, schedule.server.simulator.clock.now()
    return {video_id for video_id in members if world.reading(world.find(video_id), now).views >= 7}


def promoted(schedule: Schedule) -> set[str]:
    with schedule.sql() as sql:
        rows = sql.execute("SELECT video_id FROM watchlist WHERE promoted_until > now() AND tracking_tier = 'DAILY'")
        return {video_id for (video_id,) in rows}


@pytest.mark.parametrize("step", ["statistics", "roster_reschedule", "commit of roster_reschedule"])
def test_videos_that_are_promoted_while_others_are_moved_keep_their_place(schedule: Schedule, step: str) -> None:
    hot = hot_chunks(schedule)
    assert len(hot) >= 3
    visitor = schedule.stopped("track", at=step, queue="ROSTER", plan=SEVEN_A_WEEK.as_dict())
    janitor = schedule.start("move_to_roster")
    time.sleep(0.3)
    visitor.send(signal.SIGCONT)
    assert "error" not in janitor.result()
    assert visitor.result()["promoted"] == len(hot)
    assert promoted(schedule) == hot
    schedule.check_healed()
    assert promoted(schedule) == hot


@pytest.mark.parametrize("step", ["roster_take", "write", "commit of roster_insert", "carry"])
def test_videos_that_are_moved_to_the_roster_are_promoted_afterwards(schedule: Schedule, step: str) -> None:
    hot = hot_chunks(schedule)
    janitor = schedule.stopped("move_to_roster", at=step)
    visitor = schedule.start("track", queue="ROSTER", plan=SEVEN_A_WEEK.as_dict())
    assert "error" not in visitor.result()
    janitor.send(signal.SIGCONT)
    assert "error" not in janitor.result()
    assert "error" not in schedule.do("track", queue="ROSTER", plan=SEVEN_A_WEEK.as_dict())
    assert promoted(schedule) <= hot
    schedule.check_healed()


# YouTube fails


def rows_or_chunks(schedule: Schedule, queue: str, number: int) -> list[str]:
    ids = schedule.alive(number, SETTLED if queue == "ROSTER" else YOUNG)
    if queue == "ROSTER":
        schedule.settle(ids, anchor=schedule.began_at - SETTLED)
    else:
        schedule.put_on_watchlist(ids)
    return ids


both = pytest.mark.parametrize("queue", ["DAILY", "ROSTER"])


@both
@pytest.mark.parametrize("fault", ["hang", "rate_limited"])
def test_a_youtube_that_never_answers_costs_the_time_of_a_batch_and_no_claim(
    schedule: Schedule, queue: str, fault: str
) -> None:
    """Also one that asks to come back long after PostgreSQL would have ended the claim."""
    schedule.configure(tracker_batch_seconds=5, youtube_timeout_seconds=60)
    schedule.idle_seconds = 8
    rows_or_chunks(schedule, queue, 40)
    schedule.server.simulator.faults.add(fault, retry_after=3600)
    began = time.monotonic()
    done = schedule.do("track", queue=queue)
    assert 5 <= time.monotonic() - began < 8
    assert done["error"].startswith("TransientError")
    assert "40 videos stay due" in done["error"]
    schedule.await_unlocked()
    assert schedule.still_due() == 40
    schedule.server.simulator.faults.clear()
    schedule.check_healed()


@both
def test_fifty_of_fifty_missing_are_a_fault_of_youtube_and_move_nobody(schedule: Schedule, queue: str) -> None:
    schedule.chunk_size = 50
    rows_or_chunks(schedule, queue, 50)
    places = schedule.places()
    schedule.server.simulator.faults.add("batch_missing")
    assert schedule.do("track", queue=queue)["error"].startswith("YouTubeFaultError")
    assert schedule.places() == places
    assert schedule.one("SELECT coalesce(max(missed_count), 0), count(gone_at) FROM watchlist") == (0, 0)
    assert schedule.still_due() == 0
    schedule.server.simulator.faults.clear()
    schedule.check_healed()


@both
def test_one_odd_count_costs_no_reading(schedule: Schedule, queue: str) -> None:
    ids = rows_or_chunks(schedule, queue, 20)
    schedule.server.simulator.faults.add("malformed_item", form="bad_publish_time", video_id=ids[3])
    done = schedule.do("track", queue=queue)
    assert (done["tracked"], done["refused"], done["left_due"]) == (20, 0, 0)
    assert schedule.still_due() == 0
    schedule.server.simulator.faults.clear()
    schedule.check_healed()


@both
@pytest.mark.parametrize("threads", [1, 4])
def test_a_bucket_that_empties_leaves_due_what_was_not_asked_for(schedule: Schedule, queue: str, threads: int) -> None:
    """Of twenty calls the seventh: what was found is not asked for again."""
    schedule.configure(quota_general=0, youtube_threads=threads)
    schedule.chunk_size = 1_000
    ids = rows_or_chunks(schedule, queue, 1_000)
    simulator = schedule.server.simulator
    simulator.faults.add("bucket_empties", skip=6)
    done = schedule.do("track", queue=queue, strict=True)
    assert (done["tracked"], done["left_due"]) == (300, 700)
    simulator.faults.clear()
    simulator.quota.set_remaining(Bucket.STATISTICS, 5_000, simulator.clock.now())
    with schedule.sql() as sql:  # the next day
        sql.execute("UPDATE quota_ledger SET exhausted_at = NULL")
    assert schedule.still_due() == 700
    again = schedule.do("track", queue=queue)["tracked"]
    if queue == "ROSTER":  # those of calls under way beside the seventh, that came after one that failed
        again += schedule.do("track", queue="WEEKLY")["tracked"]
    assert again == 700
    assert schedule.still_due() == 0
    assert Counter(reading.video_id for reading in schedule.readings()) == dict.fromkeys(ids, 1)
    schedule.check_healed()


@pytest.mark.parametrize(("fault", "left"), [("rate_limited", 50), ("http_error", 0), ("unconfirmed", 0)])
def test_a_call_that_always_fails_keeps_a_chunk_from_nothing(schedule: Schedule, fault: str, left: int) -> None:
    """Nor does a bad id, nor a miss that no call is left to confirm: the chunk's other videos are asked for once."""
    schedule.chunk_size = 500
    ids = rows_or_chunks(schedule, "ROSTER", 500)
    (members,) = schedule.members().values()
    simulator = schedule.server.simulator
    if fault != "unconfirmed":
        simulator.faults.add(fault, video_id=members[3])
    else:
        schedule.configure(quota_general=0)
        simulator.world.delete(members[:1])
    schedule.configure(tracker_batch_seconds=5)
    schedule.do("track", queue="ROSTER")
    assert schedule.still_due() == left == len(schedule.rows())
    assert "error" not in schedule.do("track", queue="ROSTER")
    served = Counter(reading.video_id for reading in schedule.readings())
    bad = members[0] if fault == "unconfirmed" else members[3]
    assert served == dict.fromkeys(set(ids) - schedule.rows() - {bad}, 1)
    simulator.faults.clear()
    simulator.world.restore(members[:1])
    schedule.configure(quota_general=10_000)
    schedule.check_healed()


# PostgreSQL fails

CLAIM_STEPS = ["statistics", "stage", "reschedule", "commit of reschedule"]


@both
@pytest.mark.parametrize("step", CLAIM_STEPS)
def test_a_claim_outlives_a_crash_of_postgresql(schedule: Schedule, queue: str, step: str) -> None:
    rows_or_chunks(schedule, queue, 40)
    at = step.replace("reschedule", "roster_reschedule") if queue == "ROSTER" else step
    claim = schedule.stopped("track", at=at, queue=queue)
    schedule.restart_postgres(down_for=1.0, meanwhile=lambda: claim.send(signal.SIGCONT))
    assert claim.result(60).get("tracked") == 40
    assert schedule.still_due() == 0
    schedule.check_healed()


@pytest.mark.parametrize("step", ["roster_take", "write", "roster_insert", "commit of roster_insert", "carry"])
def test_moving_to_the_roster_outlives_a_crash_of_postgresql(schedule: Schedule, step: str) -> None:
    settled_rows(schedule)
    janitor = schedule.stopped("move_to_roster", at=step)
    schedule.restart_postgres(meanwhile=lambda: janitor.send(signal.SIGCONT))
    assert janitor.result(60).get("error", "DatabaseUnavailableError").startswith("DatabaseUnavailableError")
    schedule.check_healed()


@pytest.fixture
def relay(own_postgres: Postgres, short_lived_folder: Path) -> Iterator[CuttingRelay]:
    folder = short_lived_folder / f"relay{time.monotonic_ns()}"
    folder.mkdir()
    with relaying(folder, own_postgres.socket_folder / f".s.PGSQL.{PORT}") as relay:
        yield relay


@pytest.mark.parametrize("sent", [False, True], ids=["lost before it is sent", "sent and not acknowledged"])
@pytest.mark.parametrize("name", ["tracking rows", "tracking chunks", "moving to the roster"])
def test_a_connection_that_is_lost_at_any_commit_loses_nothing(
    schedule: Schedule,
    new_schedule: Callable[[], Schedule],
    relay: CuttingRelay,
    tmp_path: Path,
    name: str,
    *,
    sent: bool,
) -> None:
    prepare, work, arguments = CASES[name]
    prepare(schedule)
    due, saved = schedule.still_due(), schedule.save(tmp_path / "saved")
    outcomes: Counter[str] = Counter()
    for at in range(1, 50):
        schedule = new_schedule()
        schedule.load(saved)
        relay.cut(at, sent=sent)
        schedule.host = relay.folder
        done = schedule.do(work, **arguments)
        schedule.host = str(schedule.postgres.socket_folder)
        if not relay.was_cut:
            break
        outcomes[done.get("error", "done").partition(":")[0]] += 1
        if work == "track":
            assert schedule.still_due() == (due if "error" in done else 0)
            assert len(schedule.staged()) == (0 if "error" in done else done["tracked"])
        schedule.check_healed()
    assert "error" not in done
    assert relay.commits == at - 1
    assert outcomes.keys() <= {"done", "DatabaseUnavailableError"}
    assert work == "move_to_roster" or outcomes["done"] >= 2  # the claim, and giving back quota
