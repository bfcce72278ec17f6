"""A whole tracker run through the real scheduler: from the trigger to its end, and what it costs Airflow."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
from more_itertools import chunked

from benchmarks.figures import Samples, figure
from benchmarks.memory import TaskMemory
from benchmarks.parts import folder
from benchmarks.screen import Screen, Tell
from connections import connection_of
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier
from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack.results import ResultsReader
from local_stack.stack import LocalStack

DAG = "ghost_tracker"
RUNS = 3
RUN_SECONDS = 300.0
SLOT = timedelta(minutes=5)
CLEAR_OF_SLOT = timedelta(seconds=20)
"""A scheduled run that begins just before a triggered one would do its work."""

MOST_XCOM_BYTES = 10_000

_AGES = {
    Tier.HOURLY: (timedelta(hours=1), timedelta(hours=23, minutes=30)),
    Tier.DAILY: (timedelta(hours=25), timedelta(days=6, hours=20)),
    Tier.WEEKLY: (timedelta(days=8), timedelta(days=29)),
}
_PHASES = (
    "trigger to plan",
    "plan",
    "plan to first track",
    "all of track",
    "last track to publish",
    "publish",
    "publish to summary",
    "summary",
    "summary to the run's end",
)


@dataclass(frozen=True)
class _Load:
    """What is due, how slow YouTube is, and what a run may take: seconds, task instances, bytes of memory of a task."""

    videos: dict[Tier, int]
    latency_ms: int
    videos_per_hour: float
    most_seconds: float
    most_instances: int
    most_memory: int

    @property
    def due(self) -> int:
        return sum(self.videos.values())


_USUAL = _Load({Tier.HOURLY: 2_500, Tier.DAILY: 8_500, Tier.WEEKLY: 9_000}, 50, 120.0, 60.0, 16, 400 * 2**20)
_LARGE = _Load({Tier.HOURLY: 4_000, Tier.DAILY: 24_000, Tier.WEEKLY: 72_000}, 100, 260.0, 90.0, 30, 400 * 2**20)


@dataclass
class _Run:
    """One run. Seconds: `phases` add up to `seconds`, `tracks` has one for each track task. Bytes: `xcom`, `memory`."""

    seconds: float
    phases: list[float]
    tracks: list[float]
    instances: int
    xcom: int
    memory: int


def bench(screen: Screen) -> None:
    """Track 20,000 due videos three times, at 50 ms a call to YouTube."""
    _bench(screen, _USUAL)


def bench_large(screen: Screen) -> None:
    """Track 100,000 due videos three times, at 100 ms a call to YouTube."""
    _bench(screen, _LARGE)


def _bench(screen: Screen, load: _Load) -> None:
    runs = []
    with (
        folder() as place,
        screen.busy("tracker") as tell,
        LocalStack(place / "stack", seed=7, videos_per_hour=load.videos_per_hour, report=tell) as stack,
    ):
        tell(f"putting {load.due:,} videos on the watchlist")
        _fill_watchlist(stack, load)
        stack.simulator_control("POST", "latency", {"ms": load.latency_ms})
        stack.wait_for_dags([DAG])
        tell("a first run, which has nothing to do")
        stack.wait_for_run(DAG, stack.run_soon(DAG), timeout=RUN_SECONDS)
        for number in range(RUNS):
            _wait_for_quiet(stack, tell)
            tell(f"run {number + 1} of {RUNS}")
            runs.append(_measure(stack, load))
    _print(screen, load, runs)


def _fill_watchlist(stack: LocalStack, load: _Load) -> None:
    """Put real ids of the simulator's on the watchlist, in the three tiers, and keep them from being deleted.

    None is due before `_measure` makes it so: the run that unpausing the DAG starts has nothing to do.
    """
    now = datetime.now(UTC)
    entries = [entry for tier in Tier for entry in _videos(stack, tier, load.videos[tier], now)]
    stack.simulator_control("POST", "return", {"ids": [entry.video_id for entry in entries]})
    with WatchlistHook(connection=connection_of(stack.ghost_dsn)) as watchlist:
        watchlist.migrate()
        added = sum(len(watchlist.add_to_watchlist(some)) for some in chunked(entries, 5_000))
    if added != load.due:
        raise RuntimeError(f"{added:,} of {load.due:,} videos came onto the watchlist")


def _videos(stack: LocalStack, tier: Tier, count: int, now: datetime) -> list[WatchlistEntry]:
    youngest, oldest = _AGES[tier]
    window = {"after": (now - oldest).isoformat(), "before": (now - youngest).isoformat()}
    found = stack.simulator_control("GET", "published", **window)["videos"]
    return [
        WatchlistEntry(
            video["id"],
            tier,
            next_track_at=now + timedelta(days=1),
            anchor_at=datetime.fromisoformat(video["published_at"]),
        )
        for video in found[:count]
    ]


def _wait_for_quiet(stack: LocalStack, tell: Tell) -> None:
    """Wait until no run is under way and none is scheduled for the next seconds."""
    left = SLOT - timedelta(seconds=time.time() % SLOT.total_seconds())
    if left < CLEAR_OF_SLOT:
        tell("waiting for the scheduled run to pass")
        time.sleep(left.total_seconds() + 3.0)
    stack.wait_until_idle(DAG)


def _measure(stack: LocalStack, load: _Load) -> _Run:
    """Make everything due, trigger a run, wait for its end."""
    reader = ResultsReader(stack.ghost_dsn, stack.vault)
    with psycopg.connect(stack.ghost_dsn) as session:
        session.execute("UPDATE watchlist SET next_track_at = now() - random() * INTERVAL '5 minutes'")
    before = reader.read().points
    triggered_at = datetime.now(UTC)
    with TaskMemory(stack.processes["scheduler"].pid) as memory:
        run_id = stack.trigger(DAG)
        state = stack.wait_for_run(DAG, run_id, timeout=RUN_SECONDS)
    if state != "success":
        raise RuntimeError(f"run {run_id} {state}:\n{stack.explain(DAG, run_id)}")
    points = reader.read().points - before
    # a few hourly videos reach their next slot while a long run lasts, and are read again
    if not load.due <= points <= load.due * 1.01:
        raise RuntimeError(f"{points:,} points came into the vault, not {load.due:,}")
    return _described(stack, run_id, triggered_at, memory.peak)


def _described(stack: LocalStack, run_id: str, triggered_at: datetime, memory: int) -> _Run:
    run = stack.api("GET", f"dags/{DAG}/dagRuns/{run_id}")
    instances = stack.api("GET", f"dags/{DAG}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"]
    ended_at = _moment(run["end_date"])
    spans: dict[str, list[tuple[datetime, datetime]]] = {}
    for each in instances:
        spans.setdefault(each["task_id"], []).append((_moment(each["start_date"]), _moment(each["end_date"])))
    borders = [triggered_at]
    for task_id in ("plan", "track", "publish", "summary"):
        borders += [min(start for start, _ in spans[task_id]), max(end for _, end in spans[task_id])]
    borders.append(ended_at)
    return _Run(
        seconds=(ended_at - triggered_at).total_seconds(),
        phases=[(end - start).total_seconds() for start, end in pairwise(borders)],
        tracks=[(end - start).total_seconds() for start, end in spans["track"]],
        instances=len(instances),
        xcom=_xcom_bytes(stack, run_id),
        memory=memory,
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _xcom_bytes(stack: LocalStack, run_id: str) -> int:
    """What all tasks of a run have left in Airflow's table `xcom`, as text."""
    with psycopg.connect(stack.airflow_dsn) as session:
        row = session.execute(
            "SELECT coalesce(sum(octet_length(value::text)), 0) FROM xcom WHERE run_id = %s", [run_id]
        ).fetchone()
    assert row is not None
    return int(row[0])


def _print(screen: Screen, load: _Load, runs: list[_Run]) -> None:
    seconds = Samples([run.seconds for run in runs])
    instances, xcom = max(run.instances for run in runs), max(run.xcom for run in runs)
    memory = max(run.memory for run in runs)
    screen.table(
        [f"{load.due:,} due videos, {RUNS} runs", "measured", "bound", ""],
        [
            [
                "trigger to end",
                seconds.text("s"),
                f"{load.most_seconds:.0f} s",
                _holds(seconds.median < load.most_seconds),
            ],
            ["task instances", str(instances), str(load.most_instances), _holds(instances <= load.most_instances)],
            ["XCom of a run", f"{xcom:,} B", f"{MOST_XCOM_BYTES:,} B", _holds(xcom < MOST_XCOM_BYTES)],
            [
                "most memory of a task process",
                f"{memory / 2**20:.0f} MiB",
                f"{load.most_memory / 2**20:.0f} MiB",
                _holds(memory <= load.most_memory),
            ],
            ["points in the vault, each run", f"{load.due:,} or a few more", f"{load.due:,}", _holds(True)],
        ],
    )
    phases = [Samples([run.phases[number] for run in runs]) for number in range(len(_PHASES))]
    rows = [
        [name, samples.text("s"), f"{100 * samples.median / seconds.median:.0f} %"]
        for name, samples in zip(_PHASES, phases, strict=True)
    ]
    tracks = Samples([each for run in runs for each in run.tracks])
    screen.table(["where the time goes", "seconds", "of the run"], [*rows, ["one track task", tracks.text("s"), ""]])
    calls = sum(-(-count // 50) for count in load.videos.values())
    waiting = figure(calls * load.latency_ms / 1000 / 16)
    screen.note(
        f"{calls} calls of {load.latency_ms} ms, 16 at a time, are {waiting} s of waiting; "
        "the rest is computing and Airflow, on a machine that also runs Airflow's components and the simulator"
    )


def _holds(held: bool) -> str:
    return "holds" if held else "MISSED"
