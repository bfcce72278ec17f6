"""Discovery at risk: sources, lists and forms, all that they have named, and where each of it must be found in the end.

The clocks of database, YouTube and processes are one, which a test turns: weeks pass in seconds.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from faults import discovery_children
from faults.schedule_children import Where
from faults.schedule_parts import DAY, Schedule, Tables
from fork_server import Child, Children
from ghost_tracking.hooks.vault import ParquetVaultHook
from local_stack.postgres import Postgres
from shifted_clock import SharedShift
from youtube_simulator import NamedVideo, SimulatorServer
from youtube_simulator.search import Query
from youtube_simulator.videos import Video

HOUR = timedelta(hours=1)
DATABASE = "discovery"
LATEST = DAY
"""So long after its publish time a video may become public, and so long after that be listed by its channel."""
SECOND_AND_SOME = timedelta(seconds=5)

Source = dict[str, Any]
"""As it stands in a list of sources."""


@dataclass
class Promises:
    """What must be on the schedule: ids by the reason for it, and what sources have."""

    ids: dict[str, str] = field(default_factory=dict)
    known: dict[str, "Known"] = field(default_factory=dict)

    def copy(self) -> "Promises":
        return Promises(dict(self.ids), dict(self.known))


@dataclass(frozen=True)
class Known:
    """Since when a source is hunted: from what its first window published on, and by when that hunt was over.

    What a listing had before that is its past, which nobody has asked for.
    """

    since: datetime
    first_hunt_over_at: datetime

    def wants(self, published_at: datetime | None, came_at: datetime) -> bool:
        """Whether a video belongs on the schedule that was published then, and came onto the listing later."""
        return came_at >= self.first_hunt_over_at or (published_at or came_at) >= self.since


@dataclass
class Run:
    """A run that has been started. `sources`: those of its hunt. `alone`: no other hunter ran at any time of it.
    `was_turned`: the clocks were turned meanwhile, one after the other.
    """

    work: str
    child: Child
    arguments: dict[str, Any]
    began_at: datetime
    sources: Sequence[Source] = ()
    alone: bool = True
    was_turned: bool = False


@dataclass(frozen=True)
class Backup:
    """The database as it was, and what was promised then."""

    tables: Tables
    promises: Promises
    population: frozenset[str]
    seen: Counter[str]
    """Calls that YouTube had seen."""
    at: datetime


class Discovery(Schedule):
    """A schedule that comes of sources; its clock starts `long_ago` before the machine's."""

    program = discovery_children
    database = DATABASE

    def __init__(
        self,
        postgres: Postgres,
        server: SimulatorServer,
        children: Children,
        folder: Path,
        start: datetime,
    ) -> None:
        super().__init__(postgres, server, children, folder)
        self._clock_file = folder / "clock"
        self._away = folder / "away"
        self._jumps: list[tuple[datetime, datetime]] = []
        self.shift = SharedShift(self._clock_file)
        self.sources: list[Source] = []
        self.promises = Promises()
        self.running: list[Run] = []
        self.watermark = start.replace(minute=0)
        self.hunted_at = start
        self.search_was_sampled = False
        self.turn_to(start)
        self.began_at = start
        self.configure(
            roster_keep_days=40,
            vault_lock_seconds=1,
            youtube_timeout_seconds=1,
            tracker_batch_seconds=5,
            quota_search=100,
        )

    # Time

    @property
    def now(self) -> datetime:
        return self.shift.now()

    def turn_to(self, moment: datetime) -> None:
        """Make this the present, for database, YouTube and processes."""
        before, began_at = self.now, time.monotonic()
        for run in self.running:
            run.was_turned = True
        seconds = (moment - datetime.now(UTC)).total_seconds()
        with self.sql() as sql:
            sql.execute("UPDATE clock_shift SET seconds = %s", [seconds])
        self.shift.seconds = seconds
        self.server.simulator.clock.set_offset(timedelta(seconds=seconds))
        if moment > before:
            # until its clock was turned, the last of them, YouTube has served by the old one
            self._jumps.append((before + timedelta(seconds=time.monotonic() - began_at), moment))

    # Processes

    @property
    def where(self) -> Where:
        environment = self.environment | {"AIRFLOW_VAR_GHOST_SOURCES": json.dumps(self.sources)}
        return {
            "environment": environment,
            "diary": str(self._diary),
            "clock": str(self._clock_file),
            "youtube_port": self.server.port,
            "batch_seconds": self._settings["tracker_batch_seconds"],
            "idle_seconds": self.idle_seconds,
            "chunk_size": self.chunk_size,
        }

    def begin(self, work: str, **arguments: Any) -> Run:
        """Start a run, and keep it in mind until it is over."""
        began_at = self.now
        run = Run(work, self.start(work, **arguments), arguments, began_at)
        if work == "hunt":
            run.sources = _one_off(arguments["form"]) or list(self.sources)
            others = [each for each in self.running if each.work == "hunt" and not each.child.is_gone()]
            for each in (run, *others):
                each.alone = each.alone and not others
        self.running.append(run)
        return run

    def over(self) -> Iterator[tuple[Run, dict[str, Any] | None]]:
        """Runs that have come to an end, each once, and what they had to say: nothing when they were killed."""
        for run in [each for each in self.running if each.child.is_gone()]:
            self.running.remove(run)
            yield run, None if run.child.was_killed() else run.child.result()

    def hour(self) -> tuple[datetime, datetime]:
        """The data interval of a run that is scheduled now."""
        end = self.now.replace(minute=0, second=0, microsecond=0)
        return end - HOUR, end

    def hunting(self, run_type: str = "scheduled", **form: Any) -> dict[str, Any]:
        """The arguments of a run of the hunter."""
        interval = [moment.isoformat() for moment in self.hour()] if run_type == "scheduled" else [None, None]
        return {"run_type": run_type, "interval": interval, "form": form}

    # Promises

    def learn(self, run: Run, told: Mapping[str, Any]) -> None:
        """A run of the hunter is over: what it makes a promise of."""
        form, errors = run.arguments["form"], told["errors"]
        if "plan" in errors or run.arguments.get("skew"):
            return
        if form.get("list"):
            self._promise(form["list"].split(), "a list that was taken in")
            return
        if any(name.startswith("hunt") for name in errors):
            return
        by_hand = [video_id for each in run.sources for video_id in each.get("videos", ())]
        self._promise(by_hand, "a form" if form.get("videos") else "a source of videos")
        if not form.get("videos") and run.arguments["run_type"] == "scheduled":
            start, end = (datetime.fromisoformat(moment) for moment in run.arguments["interval"])
            if not told["left"]:  # else a watermark waits, and who was named is named again
                self.watermark = max(self.watermark, end)
                self.hunted_at = max(self.hunted_at, run.began_at)
            for source in run.sources:
                self.promises.known.setdefault(self.about(source), Known(start, self.now))
        if run.alone:
            first, stop = told["named"]
            named = self.server.simulator.journal.named_since(first)[: stop - first]
            for each in named:
                if self._is_wanted(each, run, left=told["left"] > 0):
                    named_by = f"named by {each.endpoint} of {each.about} at {each.at}, run green"
                    self._promise([each.video_id], f"{named_by}, {self.told_of(each.video_id)}")

    def _belongs_to_next(self, video_id: str) -> bool:
        """Whether a video was published after the window that was hunted last."""
        video = self.server.simulator.world.find(video_id)
        return video is not None and self.server.simulator.world.published_at(video) >= self.watermark

    def _promise(self, ids: Iterable[str], reason: str) -> None:
        for video_id in ids:
            self.promises.ids.setdefault(video_id, reason)

    def about(self, source: Source) -> str:
        """What YouTube is asked for to hunt a source."""
        if channel := source.get("channel"):
            known = self.server.simulator.world.channel_by_handle(channel) if channel.startswith("@") else None
            return "UU" + (known.id if known else channel)[2:]
        return str(source.get("playlist") or source.get("search") or source.get("region") or "videos")

    def _is_wanted(self, named: NamedVideo, run: Run, *, left: bool) -> bool:
        """Whether an id that a listing named belongs on the schedule now.

        The past of a source before its first hunt does not, unless `every` says so. Where the run has said that it
        `left` something, what sources with a watermark named may be that: the watermark waits, and they name it again.
        """
        every = any(self.about(source) == named.about and source.get("every") for source in run.sources)
        if every or named.endpoint == "videos.list":
            return True
        if left or named.endpoint == "search.list":
            return not left
        known = self.promises.known.get(named.about)
        published_at, added_at = _moment(named.published_at), _moment(named.added_at)
        video, world = self.server.simulator.world.find(named.video_id), self.server.simulator.world
        came_at = max(filter(None, (added_at or named.at, video and world.public_at(video))))
        return known is not None and known.wants(published_at, came_at)

    def promised(self) -> dict[str, str]:
        """Every id that must be on the schedule, by the reason for it."""
        found = dict(self.promises.ids)
        for source in self.sources:
            known = self.promises.known.get(self.about(source))
            if known is not None:
                reason = f"{self.about(source)} has it"
                had = (video.id for video in self._had(source, known))
                found |= {video_id: f"{reason}, {self.told_of(video_id)}" for video_id in had} | found
        return found

    def told_of(self, video_id: str) -> str:
        """What the universe knows of it."""
        world = self.server.simulator.world
        video = world.find(video_id)
        if video is None:
            return "which YouTube does not know"
        return (
            f"published {world.published_at(video)}, public after {world.public_at(video) - world.published_at(video)},"
            f" listed after {world.listed_at(video) - world.public_at(video)}"
        )

    def _had(self, source: Source, known: Known) -> Iterator[Video]:
        """What a source has had since its first hunt and still has, as far as it can be had."""
        world, until = self.server.simulator.world, self.watermark
        about, gaps = self.about(source), self._gaps(source)
        if "channel" in source:
            for video in world.uploads("UC" + about[2:], self.now):
                published = world.published_at(video)
                wanted = known.since <= published < until and not _within(published, gaps)
                # one that was away for days may come back further down than the hunter reads again
                if wanted and world.listed_at(video) <= self.hunted_at and self._has_stayed(video):
                    yield video
        elif playlist := world.playlist(source.get("playlist", "")):
            for video in world.curated(playlist, self.now):
                published, joined = world.published_at(video), world.added_at(playlist, video)
                wanted = source.get("every") or known.wants(published, joined)
                if wanted and max(published, joined) < until and world.available(video, self.now):
                    yield video
        elif "search" in source and not self.search_was_sampled:
            yield from self._findable(source, known.since, gaps)

    def _findable(self, source: Source, since: datetime, gaps: Sequence[tuple[datetime, datetime]]) -> Iterator[Video]:
        """What a search has to find: it looks back an hour, so nothing that is made public later than that, and nothing
        that was away for a while, perhaps just when it was asked.
        """
        world, now = self.server.simulator.world, self.now
        language = source.get("language", "").partition("-")[0].lower() or None
        words = tuple(source["search"].lower().split())
        query = Query(since, self._watermark(source), words, language, source.get("category"), None, None)
        tests = list(query.tests(world, now))
        for video in world.published(since, query.before):
            prompt = world.public_at(video) == world.published_at(video)
            if (
                prompt
                and self._has_stayed(video)
                and not _within(world.published_at(video), gaps)
                and all(test(video) for test in tests)
            ):
                yield video

    def _has_stayed(self, video: Video) -> bool:
        """Whether a video was public all the time; who is away is so for an hour and more."""
        world, moment, now = self.server.simulator.world, self.server.simulator.world.public_at(video), self.now
        while moment < now and world.available(video, moment):
            moment += HOUR / 4
        return moment >= now

    def _watermark(self, source: Source) -> datetime:
        """Up to when a search has been asked: it may take days to catch up."""
        (until,) = self.one(
            "SELECT min(watermark) FROM hunter_watermarks WHERE starts_with(source, 'search:' || %s || ':')",
            source["search"],
        )
        return min(until.astimezone(UTC), self.watermark)

    def _gaps(self, source: Source) -> list[tuple[datetime, datetime]]:
        """Hours of which the hunter has said that it could not have them."""
        kind, name = next(iter(source.items()))
        with self.sql() as sql:
            return sql.execute(
                "SELECT starts_at, ends_at FROM discovery_gaps WHERE starts_with(source, %s)", [f"{kind}:{name}"]
            ).fetchall()

    # Disasters

    def back_up(self) -> Backup:
        """Keep the database as it is now."""
        places = frozenset(self.places())
        seen = self._all_calls() - self._calls_before
        return Backup(self.save_tables(), self.promises.copy(), places, seen, self.now)

    def restore(self, backup: Backup) -> None:
        """Have the database as it was. What was promised since counts where the vault knows of it."""
        self.load_tables(backup.tables)
        known = {video_id for video_id, _ in self.staged()}
        since = {
            video_id: reason
            for video_id, reason in self.promises.ids.items()
            if video_id in known or reason.startswith("a list")
        }
        self.promises = Promises(since | backup.promises.ids, dict(backup.promises.known))
        self.population = set(backup.population) | (self.population & known)
        self._calls_before = self._all_calls() - backup.seen

    def unmount(self) -> None:
        """Leave an empty folder where the vault was."""
        vault = Path(self.vault.get_conn().path)
        vault.rename(self._away)
        vault.mkdir()

    def mount(self) -> None:
        """Have the vault again; what was written to its place meanwhile is lost."""
        vault = Path(self.vault.get_conn().path)
        shutil.rmtree(vault)
        self._away.rename(vault)

    # What must hold

    def missing(self, ids: Mapping[str, str]) -> dict[str, str]:
        """Those of these ids that are nowhere, in sentences.

        Not what was published after the window that was hunted last: the next run names it again.
        """
        places, excused = self.places(), self._excused()
        return {
            video_id: f"{video_id}: {reason}"
            for video_id, reason in ids.items()
            if not places[video_id] and video_id not in excused and not self._belongs_to_next(video_id)
        }

    def _excused(self) -> set[str]:
        """Ids that somebody can see on a list, with the reason why they are not on the schedule."""
        with self.sql() as sql:
            rows = sql.execute(
                "SELECT item FROM refused UNION ALL SELECT video_id FROM let_go WHERE state <> 'resumed'"
            ).fetchall()
        return {item for (item,) in rows}

    def remember(self) -> None:
        """Whatever is on the schedule now must stay on it."""
        self.population.update(self.places())

    def whereabouts(self, video_id: str) -> list[str]:
        """Where on the schedule a video is, for people."""
        with self.watchlist() as watchlist:
            chunks = {chunk.name: f"hour {chunk.hour_of_week}, gone: {chunk.gone}" for chunk in watchlist.roster.all()}
        found = [f"chunk {name}, {chunks[name]}" for name, ids in self.members().items() if video_id in ids]
        with self.sql() as sql:
            rows = sql.execute(
                "SELECT tracking_tier, anchor_at, next_track_at, missed_count, gone_at, deferred_until FROM watchlist"
                " WHERE video_id = %s",
                [video_id],
            ).fetchall()
        return [*found, *(f"row {row}" for row in rows), self.told_of(video_id)]

    def overdue(self) -> int:
        """Videos and chunks that were due some minutes ago."""
        late = "next_track_at <= now() - INTERVAL '5 minutes'"
        return self.one(
            f"SELECT (SELECT count(*) FROM watchlist WHERE {late}) + (SELECT count(*) FROM roster WHERE {late})"
        )[0]

    def check_invariant(self) -> None:
        """Whatever was named is on the schedule once, or gone with its dates, or refused where it can be seen.

        And the vault knows of all that is there which source has named it.
        """
        lost = self.missing(self.promised())
        assert not lost, f"{len(lost)} lost: " + "\n".join(list(lost.values())[:20])
        places = self.places()
        forgotten = sorted(self.population - places.keys() - self._excused())
        assert not forgotten, f"{len(forgotten)} were on the schedule and are not any more: {forgotten[:5]}"
        twice = [video_id for video_id, number in places.items() if number > 1]
        where = {video_id: self.whereabouts(video_id) for video_id in twice[:3]}
        assert not twice, f"{len(twice)} are on the schedule more than once: {where}"
        nowhere = sorted(places.keys() - set(self.vault.read_discoveries()["video_id"]))
        assert not nowhere, f"{len(nowhere)} are on the schedule that came from nowhere: {nowhere[:5]}"
        with self.sql() as sql:
            gone = {row[0] for row in sql.execute("SELECT video_id FROM watchlist WHERE gone_at IS NOT NULL")}
        gone.update(video_id for ids in self.members(gone=True).values() for video_id in ids)
        events = self.vault.read_availability(gone) if gone else None
        dated = set() if events is None else set(events["video_id"][events["state"] == "gone"])
        assert dated >= gone, f"gone without dates: {sorted(gone - dated)[:5]}"

    def _jumped(self, start: datetime, end: datetime) -> timedelta:
        """How much time the test has passed over between two moments: an answer may be on its way meanwhile."""
        over = (after - before for before, after in self._jumps if start <= before and after <= end + SECOND_AND_SOME)
        return sum(over, timedelta(0))

    def check_times(self) -> None:
        """No point has another time than that at which YouTube served it."""
        served: dict[tuple[Any, ...], list[datetime]] = {}
        for each in self.readings():
            served.setdefault((each.video_id, each.views, each.likes, each.comments), []).append(each.served_at)
        for point in self.vault.read_table().to_pylist():
            moments = served[point["video_id"], point["views"], point["likes"], point["comments"]]
            off = min(abs(point["timestamp"] - moment - self._jumped(moment, point["timestamp"])) for moment in moments)
            assert off < SECOND_AND_SOME, f"{point['video_id']} is stamped {off} off"


def _moment(text: str | None) -> datetime | None:
    """A time as a listing told it; None where it is none."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _within(moment: datetime, gaps: Sequence[tuple[datetime, datetime]]) -> bool:
    return any(start <= moment < end for start, end in gaps)


def _one_off(form: Mapping[str, Any]) -> list[Source]:
    return [{"videos": form["videos"]}] if form.get("videos") else []


def vault_is_empty(vault: ParquetVaultHook) -> bool:
    """Whether nothing lies in the vault's place."""
    return not any(Path(vault.get_conn().path).iterdir())
