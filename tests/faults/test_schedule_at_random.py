"""A hundred short histories of a schedule in which anything may fail, each followed by one quiet run of everything.

Under each policy of reading.

See `histories` for how one that failed is had again.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from faults.histories import HISTORIES, SEED
from faults.schedule_parts import DAY, Schedule
from fork_server import Child, wait_for
from ghost_tracking.core.audits import AuditPick
from ghost_tracking.core.policies import Policy, ReadingPlan
from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.worth import ReadingRule, Sums
from ghost_tracking.services import auditing
from youtube_simulator import Bucket

pytestmark = pytest.mark.faults
pytest_plugins = ("faults.schedule_fixtures",)

STEPS_OF_A_TASK = 35
EXPECTED_ERRORS = ("DatabaseUnavailableError", "TransientError", "YouTubeFaultError")
FAULTS: dict[str, dict[str, float]] = {
    "http_error": {},
    "rate_limited": {"retry_after": 0.1},
    "batch_missing": {},
    "share_missing": {"share": 0.9},
    "malformed_item": {},
    "truncated_json": {},
    "reset": {},
    "hang": {"seconds": 0.3},
    "bucket_empties": {},
}


class History:
    """What happens to one schedule, drawn from the dice."""

    def __init__(self, schedule: Schedule, dice: random.Random, tally: Counter[str]) -> None:
        self._schedule = schedule
        self._dice = dice
        self._tally = tally
        self._running: list[Child] = []
        self._told: list[str] = []
        self._policy = dice.choice(list(Policy))
        self._note(self._policy)
        schedule.configure(tracker_batch_seconds=5, youtube_timeout_seconds=1, policy=self._policy)

    def begin(self) -> None:
        """Thirty videos on the roster and twenty that belong there; ten young ones.

        Six of the roster are gone, of whom three are back; of the others YouTube lacks one.
        """
        settled = self._schedule.alive(46, 9 * DAY)
        gone = ["nobodyknew1", "nobodyknew2", "nobodyknew3", *settled[:3]]
        self._schedule.put_on_watchlist(gone)
        with self._schedule.sql() as sql:
            sql.execute(
                "UPDATE watchlist SET gone_at = now(), first_missed_at = now(), missed_count = 3,"
                " anchor_at = anchor_at - INTERVAL '28 days'"
            )
        self._schedule.settle([*settled[3:26], "nobodyknows"])
        self._schedule.put_on_watchlist([*settled[26:], *self._schedule.alive(10, 2 * DAY)])

    def happen(self) -> None:
        """A few things, some at the same time."""
        self._schedule.idle_seconds = 0.5
        doings = {
            self.track: 5,
            self.audit: 1,
            self.move_to_roster: 4,
            self.add_again: 3,
            self.fail: 3,
            self.take_down: 1,
            self.kill: 3,
            self.stop: 2,
            self.go_on: 2,
            self.wait: 2,
            self.make_due: 2,
        }
        for doing in self._dice.choices(list(doings), list(doings.values()), k=self._dice.randint(5, 9)):
            doing()
            time.sleep(self._dice.choice([0, 0, 0.01, 0.05, 0.1]))
        if self._dice.random() < 0.04:
            self.restart_postgres()

    def end(self) -> None:
        """Nothing fails any more, and who is still at work comes to an end."""
        self._schedule.idle_seconds = 60
        simulator = self._schedule.server.simulator
        simulator.faults.clear()
        simulator.world.restore(list(simulator.world._deleted))
        for bucket in Bucket:
            simulator.quota.set_remaining(bucket, 5_000, simulator.clock.now())
        wait_for(self._are_gone, 60, every=0.02)
        for child in self._running:
            if child.was_killed():
                self._tally["killed in the middle"] += 1
            else:
                self._look_at(child.result())
        with self._schedule.sql() as sql:  # as if a day had passed
            sql.execute("UPDATE quota_ledger SET exhausted_at = NULL")
            sql.execute("UPDATE watchlist SET first_missed_at = NULL, missed_count = NULL WHERE gone_at IS NULL")

    def __str__(self) -> str:
        return "\n".join(self._told)

    # Doings

    def track(self) -> None:
        queue = self._dice.choice(["ROSTER", "ROSTER", "WEEKLY", "DAILY", "HOURLY", "GONE"])
        limit = self._dice.choice([10, 30, 1_000])
        plan = self._plan() if self._dice.random() < 0.7 else None  # without one every slot is read
        self._start("track", queue=queue, limit=limit, strict=self._dice.random() < 0.3, plan=plan)

    def audit(self) -> None:
        ids = self._dice.sample(sorted(self._schedule.population), k=5)
        held_at = self._schedule.began_at - DAY
        picks = [AuditPick(id_, self._dice.choice(list(Queue)), 1, held_at) for id_ in ids]
        self._start("audit", picks=auditing.as_data(picks), plan=self._plan())

    def _plan(self) -> dict[str, Any]:
        """By which some of the videos are worth a reading and others are not."""
        sums = Sums(60, *self._dice.choice([(60.0, 6.0), (600.0, 60.0)]))
        rule = ReadingRule(sums, self._dice.choice([0.1, 1.0, 10.0, 100.0]))
        cut = self._dice.choice([0.0, 0.01, 1.0, 100.0])
        lasts = self._dice.choice([None, DAY])
        return ReadingPlan(self._policy, rule, cut, lasts).as_dict()

    def move_to_roster(self) -> None:
        self._start("move_to_roster")

    def add_again(self) -> None:
        ids = self._dice.sample(sorted(self._schedule.population), k=self._dice.choice([1, 3, 15]))
        if self._dice.random() < 0.5:
            self._note("put back as settled", number=len(ids))
            self._schedule.put_on_watchlist(ids)
        else:
            self._start("add", ids=ids)

    def fail(self) -> None:
        kind = self._dice.choice(list(FAULTS))
        self._note("fault", kind=kind)
        self._schedule.server.simulator.faults.add(kind, count=self._dice.randint(1, 3), **FAULTS[kind])

    def take_down(self) -> None:
        ids = self._dice.sample(sorted(self._schedule.population), k=2)
        self._note("take down", ids=ids)
        self._schedule.server.simulator.world.delete(ids)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        for child in self._running:
            child.send(signal.SIGCONT)

    def wait(self) -> None:
        time.sleep(self._dice.uniform(0.1, 0.7))

    def make_due(self) -> None:
        self._note("make due")
        self._schedule.make_due()

    def restart_postgres(self) -> None:
        self._note("restart PostgreSQL")
        self._schedule.restart_postgres()

    def _start(self, work: str, **arguments: object) -> None:
        fate = self._dice.random()
        if fate < 0.4:
            at = self._dice.randint(1, STEPS_OF_A_TASK)
            arguments |= {"at": at, "sent": "SIGKILL" if fate < 0.25 else "SIGSTOP"}
        self._note(work, **arguments)
        self._running.append(self._schedule.start(work, **arguments))

    def _signal(self, number: signal.Signals) -> None:
        if self._running:
            place = self._dice.randrange(len(self._running))
            self._note(number.name, child=place)
            self._running[place].send(number)

    def _note(self, what: str, **more: object) -> None:
        self._tally[what] += 1
        self._told.append(f"{what} {more or ''}")

    def _are_gone(self) -> bool:
        """Whether all have come to an end; one may have stopped itself just now."""
        self.go_on()
        return all(child.is_gone() for child in self._running)

    def _look_at(self, result: object) -> None:
        if isinstance(result, dict) and (error := result.get("error")):
            self._tally[f"ended with {error.partition(':')[0]}"] += 1
            assert error.startswith(EXPECTED_ERRORS), error


@pytest.mark.parametrize("number", range(HISTORIES))
def test_whatever_happens_one_quiet_run_heals_the_schedule(
    new_schedule: Callable[[], Schedule], tally: Counter[str], number: int
) -> None:
    history = History(new_schedule(), random.Random(SEED + number), tally)
    history.begin()
    try:
        history.happen()
        history.end()
    finally:
        print(f"GHOST_FAULT_SEED={SEED + number}:\n{history}")
    history._schedule.check_healed()
