"""A hundred short histories of discovery in which anything may fail, each followed by some quiet hours.

Sources list late, are edited, and name what does not exist; YouTube, processes, machines and clocks fail; days and
weeks pass in between. In the end whatever a source, a list or a form has named is on the schedule, or gone with its
dates, or refused where somebody can see it. See `histories` for how one that failed is had again.
"""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from faults.discovery_parts import DAY, HOUR, LATEST, Backup, Discovery, Run, vault_is_empty
from faults.histories import HISTORIES, SEED
from fork_server import wait_for
from youtube_simulator import Bucket, Lateness, Simulator

pytestmark = pytest.mark.faults
pytest_plugins = ("faults.discovery_fixtures",)

STEPS_OF_A_RUN = 70
LONGEST = timedelta(days=30)
START = datetime(2026, 10, 24, 16, tzinfo=UTC)
"""All histories begin at the same time, so that a number means the same at whatever hour it is drawn."""
FIRST = SEED if "GHOST_FAULT_SEED" in os.environ else 80_000
"""Without a seed of somebody's the same hundred: what they find is a change's doing. Other seeds look further."""
PATIENCE = 1.0
"""Seconds that the runs of an hour have until the next hour begins without waiting for them."""

EXPECTED_ERRORS = ("DatabaseUnavailableError", "TransientError", "YouTubeFaultError", "RateLimitedError")
FAULTS: dict[str, dict[str, Any]] = {
    "http_error": {"retry_after": 0.01},
    "html_ok": {},
    "html_bad_gateway": {},
    "truncated_json": {},
    "not_an_object": {},
    "reset": {},
    "hang": {"seconds": 0.2},
    "rate_limited": {"retry_after": 0.01},
    "batch_missing": {},
    "share_missing": {"share": 0.5},
    "malformed_item": {},
    "bucket_empties": {"skip": 2},
    "daily_limit": {},
}
FORMS = ("text_count", "negative_count", "no_id", "no_statistics", "bad_publish_time", "not_an_object", "foreign_id")
ENDPOINTS = (None, "videos.list", "videos.list", "playlistItems.list", "playlistItems.list", "search.list")
STRANGERS = ("nobodyknew1", "nobodyknew2", "nobodyknew3", "nobodyknows", "zzzzzzzzzz8")
"""Ids that YouTube has never heard of."""


class History:
    """What happens to one deployment, drawn from the dice."""

    def __init__(self, discovery: Discovery, dice: random.Random, tally: Counter[str]) -> None:
        self._discovery = discovery
        self._dice = dice
        self._tally = tally
        self.problems: list[str] = []
        """What did not hold, in sentences."""
        self._told: list[str] = []
        self._backup: Backup | None = None
        self._start = discovery.now
        self._simulator = discovery.server.simulator
        self._may_be_refused = False
        self._is_restored = False
        self._lost: set[str] = set()

    def __str__(self) -> str:
        return "\n".join(self._told)

    def begin(self) -> None:
        """Some sources, and one hour in which nothing fails."""
        dice, world = self._dice, self._simulator.world
        channels = dice.sample(world.channels(), 3)
        playlists = dice.sample(world.playlists(), 2)
        self._discovery.sources = [
            {"channel": channels[0].id},
            {"channel": f"@{channels[1].handle}"},
            {"playlist": playlists[0].id},
            {"search": "a"} | dice.choice([{}, {"language": "en"}, {"category": "10"}]),
        ]
        self._spare = [
            {"channel": channels[2].id, "pages": dice.choice([1, 2, 400])},
            {"playlist": playlists[1].id, "every": True},
            {"chart": "mostPopular", "region": dice.choice(["US", "DE"])},
            {"videos": [*self._old_videos(3), dice.choice(STRANGERS)]},
            {"search": dice.choice(["e", "o"])},
        ]
        for quirk in ("fractions", "omit_empty_items", "summary", "search_repeats", "uploads_disorder"):
            self._simulator.quirks.update({quirk: dice.random() < 0.3})
        for _ in range(dice.randint(0, 2)):
            self.add_source()
        for work in ("hunt", "track", "clean"):
            self._run_alone(work, f"first {work}")

    def happen(self) -> None:
        """Hours, days and weeks in which anything may fail."""
        self._discovery.idle_seconds = 0.5
        for _ in range(self._dice.randint(3, 5)):
            self.pass_time()
            events = {
                self.fail: 5,
                self.fail_for_good: 2,
                self.heal: 2,
                self.take_down: 1,
                self.edit_playlist: 2,
                self.add_source: 1,
                self.sample_searches: 0.3,
            }
            for event in self._dice.choices(list(events), list(events.values()), k=self._dice.randint(0, 3)):
                event()
            runs = {
                self.hunt: 5,
                self.track: 3,
                self.clean: 2,
                self.bring_list: 1,
                self.name_in_form: 1,
                self.hunt_by_hand: 0.5,
                self.signal: 2,
            }
            for run in self._dice.choices(list(runs), list(runs.values()), k=self._dice.randint(1, 3)):
                run()
            self.wait()
            if self._dice.random() < 0.35:
                self.disaster()

    def disaster(self) -> None:
        """What befalls a machine while nothing else is under way."""
        self.let_go_on(PATIENCE)
        self.kill_all()
        disasters = [self.be_at_the_wrong_time, self.lose_the_mount, self.back_up, self.restore]
        self._dice.choice(disasters)()

    def end(self) -> None:
        """Nothing fails any more, who is still at work comes to an end, and some quiet hours pass."""
        discovery = self._discovery
        discovery.idle_seconds = 60
        self.heal()
        self.let_go_on(60)
        assert not discovery.running, "still at work"
        self._advance(26 * HOUR)  # a new day of quota has begun
        for bucket in Bucket:
            self._simulator.quota.set_remaining(bucket, 5_000, self._simulator.clock.now())
        self._run_alone("clean", "quiet clean")
        for hour in range(2):
            self._advance(HOUR)
            self._run_alone("hunt", f"quiet hunt {hour}")
            self._run_alone("track", f"quiet track {hour}")
        discovery.make_due()  # a second place of a video heals when it is read
        for work in ("track", "clean"):
            self._run_alone(work, f"last {work}")

    def judge(self) -> None:
        """What must hold in the end."""
        discovery = self._discovery
        self._hold(discovery.still_locked() == 0, "something is still locked")
        self._hold(discovery.overdue() == 0, "something has stayed due")
        checks = (discovery.check_invariant, discovery.check_points, discovery.check_times, discovery.check_ledger)
        for check in checks:
            try:
                check()
            except AssertionError as error:
                self._hold(False, f"{check.__name__}: {error}")

    # Time

    def pass_time(self) -> None:
        spans = {HOUR: 8, self._dice.randint(2, 7) * HOUR: 4, self._dice.randint(8, 30) * HOUR: 3}
        spans[self._dice.randint(2, 15) * DAY] = 2
        (span,) = self._dice.choices(list(spans), list(spans.values()))
        if self._discovery.now + span - self._start > LONGEST:
            span = HOUR
        if span > 8 * HOUR:  # the machines were down
            self.kill_all()
        self._advance(span)

    def _advance(self, span: timedelta) -> None:
        hour = self._discovery.now.replace(minute=0, second=0, microsecond=0)
        moment = hour + span + timedelta(minutes=self._dice.randint(1, 50))
        self._note("time", now=f"{moment:%m-%d %H:%M}")
        self._discovery.turn_to(moment)

    # Events

    def fail(self) -> None:
        kind, endpoint = self._dice.choice(list(FAULTS)), self._dice.choice(ENDPOINTS)
        settings = FAULTS[kind] | {"endpoint": endpoint, "count": self._dice.randint(1, 6)}
        if kind == "share_missing" and endpoint in (None, "search.list"):
            self._discovery.search_was_sampled = True  # nothing in an answer tells that it lacks some
        if kind == "malformed_item":
            settings["form"] = self._dice.choice(FORMS)
        self._fault(kind, settings)

    def fail_for_good(self) -> None:
        """One id, or one source, fails until somebody mends it."""
        if self._dice.random() < 0.3:
            source = self._discovery.about(self._dice.choice(self._discovery.sources))
            self._fault("http_error", {"retry_after": 0.01, "source": source, "status": self._dice.choice([500, 403])})
            return
        now = self._simulator.clock.now()
        videos = self._simulator.world.published(now - 2 * DAY, now + 2 * DAY)
        status = self._dice.choice([500, 503, 400, 403, 404])
        wanted = {"retry_after": 0.01, "video_id": self._dice.choice(videos).id, "status": status}
        self._fault("http_error", wanted | {"endpoint": self._dice.choice([None, "videos.list"])})

    def _fault(self, kind: str, settings: dict[str, Any]) -> None:
        self._note("fault", kind=kind, **settings)
        self._may_be_refused = self._may_be_refused or settings.get("status", 500) < 500
        self._simulator.faults.add(kind, **settings)

    def heal(self) -> None:
        self._note("heal")
        self._may_be_refused = bool(self._discovery.running) and self._may_be_refused
        self._simulator.faults.clear()

    def take_down(self) -> None:
        known = sorted(self._discovery.rows())
        ids = self._dice.sample(known, k=min(2, len(known)))
        self._note("take down", ids=ids)
        self._simulator.world.delete(ids)

    def edit_playlist(self) -> None:
        """Old videos and new ones come onto a playlist, and some leave it."""
        world, now = self._simulator.world, self._simulator.clock.now()
        playlist = self._dice.choice(world.playlists())
        new = self._dice.sample([video.id for video in world.published(now - DAY, now)], k=2)
        members = [video.id for video in world.curated(playlist, now)]
        # one that is there has been named before, and may be the playlist's past
        add = [video_id for video_id in (*new, *self._old_videos(2)) if video_id not in members]
        remove = self._dice.sample(members, k=min(len(members), self._dice.randint(0, 3)))
        self._note("playlist", id=playlist.id, add=add, remove=remove)
        world.edit_playlist(playlist.id, now, remove=remove)
        world.edit_playlist(playlist.id, now, add=add)

    def _old_videos(self, number: int) -> list[str]:
        world, now = self._simulator.world, self._simulator.clock.now()
        return [video.id for video in self._dice.sample(world.published(now - 11 * DAY, now - 8 * DAY), k=number)]

    def add_source(self) -> None:
        if self._spare:
            source = self._spare.pop(self._dice.randrange(len(self._spare)))
            self._note("source", **source)
            self._discovery.sources.append(source)

    def sample_searches(self) -> None:
        self._note("sampled searches")
        self._simulator.quirks.update({"search": "sampled"})
        self._discovery.search_was_sampled = True

    # Runs

    def hunt(self) -> None:
        self._start_run("hunt", **self._discovery.hunting())

    def hunt_by_hand(self) -> None:
        self._start_run("hunt", **self._discovery.hunting("manual"))

    def name_in_form(self) -> None:
        ids = [*self._old_videos(2), self._dice.choice(STRANGERS)]
        self._start_run("hunt", **self._discovery.hunting("manual", videos=ids))

    def bring_list(self) -> None:
        ids = [*self._old_videos(self._dice.choice([3, 40])), self._dice.choice(STRANGERS)]
        self._start_run("hunt", **self._discovery.hunting("manual", list="\n".join(ids)))

    def track(self) -> None:
        self._start_run("track", form={})

    def clean(self) -> None:
        self._start_run("clean")

    def signal(self) -> None:
        running = [run for run in self._discovery.running if not run.child.is_gone()]
        if running:
            number = self._dice.choice([signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT])
            run = self._dice.choice(running)
            self._note(number.name, work=run.work)
            run.child.send(number)

    def _start_run(self, work: str, **arguments: Any) -> None:
        fate = self._dice.random()
        if fate < 0.35:
            at = self._dice.randint(1, STEPS_OF_A_RUN)
            arguments |= {"at": at, "sent": "SIGKILL" if fate < 0.25 else "SIGSTOP"}
        self._note(work, **{name: value for name, value in arguments.items() if name != "interval"})
        self._discovery.begin(work, **arguments)

    def _run_alone(self, work: str, name: str) -> None:
        """A run that nothing disturbs, and that must be green."""
        self._note(name)
        arguments = {"hunt": self._discovery.hunting(), "track": {"form": {}}, "clean": {}}[work]
        run = self._discovery.begin(work, **arguments)
        wait_for(run.child.is_gone, 60)
        for _, told in self._discovery.over():
            assert told is not None
            self._hold(not told["errors"], f"{name}: {told['errors']}")
            self._look_at(run, told)
        if not self._is_restored:
            self._look_for_losses()

    def wait(self) -> None:
        """Until the hour's runs are over, or have been stopped or are slow."""
        try:
            wait_for(lambda: all(run.child.is_gone() for run in self._discovery.running), PATIENCE, every=0.01)
        except AssertionError:
            self._tally["still at work when the next hour began"] += 1
        self._collect()

    def let_go_on(self, within: float) -> None:
        """Wake whoever was stopped, and wait for all."""

        def are_gone() -> bool:
            for run in self._discovery.running:
                run.child.send(signal.SIGCONT)
            return all(run.child.is_gone() for run in self._discovery.running)

        try:
            wait_for(are_gone, within, every=0.02)
        except AssertionError:
            self._tally["had to be killed"] += 1
        self._collect()

    def kill_all(self) -> None:
        for run in self._discovery.running:
            run.child.end()
        self._collect()

    def _collect(self) -> None:
        for run, told in self._discovery.over():
            if told is None:
                self._tally["killed in the middle"] += 1
            else:
                self._look_at(run, told)
        if not self._discovery.running and not self._is_restored:
            self._look_for_losses()

    def _look_for_losses(self) -> None:
        """While nobody is at work: all that was named is there, but for lists, which wait."""
        promised = {
            video_id: why
            for video_id, why in self._discovery.promises.ids.items()
            if video_id not in self._lost and not why.startswith("a list")
        }
        lost = self._discovery.missing(promised)
        self._lost.update(lost)
        self._hold(not lost, f"{len(lost)} of {len(promised)} are off the schedule: {list(lost.values())[:5]}")
        self._discovery.remember()

    def _look_at(self, run: Run, told: dict[str, Any]) -> None:
        """A run that was not killed failed for a known reason; what a green hunt has named is to be on the schedule."""
        for name, error in told["errors"].items():
            self._tally[f"{run.work}: {name.split()[0]} ended with {error.partition(':')[0]}"] += 1
            self._note("error", work=run.work, task=name, error=error)
            refused = self._may_be_refused and error.startswith("AirflowFailException")
            refused = refused or (run.was_turned and error.startswith("ClockError"))
            self._hold(refused or error.startswith(EXPECTED_ERRORS), f"{run.work}, {name}: {error}")
        if run.work == "clean" and "move_to_roster" not in told["errors"]:
            self._is_restored = False
        if run.work != "hunt":
            return
        self._tally["green hunts" if not told["errors"] else "red hunts"] += 1
        self._discovery.learn(run, told)

    # Disasters

    def be_at_the_wrong_time(self) -> None:
        """A worker's clock is wrong: it must do nothing."""
        skew = self._dice.choice([-1, 1]) * self._dice.choice([60.0, 3600.0, 2 * 86400.0, 400 * 86400.0])
        self._refuse("the wrong time", skew=skew)

    def lose_the_mount(self) -> None:
        """The vault's folder is empty for a while: nobody may write into it, or take it for a new vault."""
        self._discovery.unmount()
        try:
            self._refuse("no mount")
            self._hold(vault_is_empty(self._discovery.vault), "something was written where the vault was")
        finally:
            self._discovery.mount()

    def _refuse(self, name: str, **arguments: Any) -> None:
        discovery, journal = self._discovery, self._simulator.journal
        work = self._dice.choice(["hunt", "track", "clean"])
        self._note(name, work=work, **arguments)
        arguments |= {"hunt": discovery.hunting(), "track": {"form": {}}, "clean": {}}[work]
        before = discovery.save_tables(), len(journal.calls())
        run = discovery.begin(work, **arguments)
        assert not run.child.was_killed()
        discovery.running.remove(run)
        told = run.child.result()
        self._note("refusal", errors=told["errors"])
        self._hold(bool(told["errors"]), f"{name}: {work} has not said a word")
        after = discovery.save_tables(), len(journal.calls())
        self._hold(after == before, f"{name}: {work} has worked: {told['messages']}")

    def back_up(self) -> None:
        self._note("backup")
        self._backup = self._discovery.back_up()

    def restore(self) -> None:
        if self._backup is not None:
            self._note("restore", at=f"{self._backup.at:%m-%d %H:%M}")
            self._discovery.restore(self._backup)
            self._is_restored = True

    def _hold(self, holds: bool, problem: str) -> None:
        """Go on whatever does not hold: one that fails tells all that it has found."""
        if not holds:
            self._note("PROBLEM", problem=problem)
            self.problems.append(problem)

    def _note(self, what: str, **more: object) -> None:
        self._tally[what.partition(" ")[0] if what[-1].isdigit() else what] += 1
        self._told.append(f"{what} {more or ''}")


def universe_of(dice: random.Random, origin: datetime) -> Simulator:
    """A small YouTube in which some videos come to light late."""
    lateness = Lateness(public_share=0.06, public_most=LATEST, listed_share=0.12, listed_most=LATEST)
    return Simulator(
        dice.randrange(1_000_000), origin=origin, channels=6, videos_per_hour=2, history_days=11, lateness=lateness
    )


@pytest.mark.parametrize("number", range(HISTORIES))
def test_whatever_happens_all_that_was_named_is_found(
    new_discovery: Callable[[Simulator, datetime], Discovery], tally: Counter[str], number: int
) -> None:
    dice = random.Random(FIRST + number)
    discovery = new_discovery(universe_of(dice, START), START + timedelta(minutes=5))
    history = History(discovery, dice, tally)
    try:
        history.begin()
        history.happen()
        history.end()
        history.judge()
        assert not history.problems, "\n".join(history.problems)
    finally:
        print(f"GHOST_FAULT_SEED={FIRST + number} GHOST_FAULT_HISTORIES=1:\n{history}")
