"""What `YouTubeHook.statistics` makes of its threads, against how long the waiting alone would take."""

from datetime import UTC, datetime, timedelta

from benchmarks.figures import Samples, figure
from benchmarks.parts import folder, youtube_connection, youtube_server
from benchmarks.screen import Screen
from ghost_tracking.core.budgets import calls_for
from ghost_tracking.hooks.youtube import YouTubeHook
from local_stack.simulator import Simulator

VIDEOS = 5_000
LATENCY = timedelta(milliseconds=50)
THREADS = (1, 4, 8)
ROUNDS = 3


def bench(screen: Screen) -> None:
    """Ask for 5,000 videos at 50 ms a call with 1, 4 and 8 threads, in turns."""
    with folder() as place, youtube_server(place, seed=7) as simulator:
        video_ids = _videos(simulator)
        simulator.control("POST", "latency", {"ms": LATENCY / timedelta(milliseconds=1)})
        seconds = {threads: Samples() for threads in THREADS}
        with screen.busy(f"statistics of {VIDEOS:,} videos") as tell:
            for turn in range(ROUNDS):
                for threads, samples in seconds.items():
                    tell(f"{threads} threads, {turn + 1} of {ROUNDS}")
                    _ask(simulator.url, video_ids, threads, samples)
    screen.table(
        ["threads", "seconds", "calls a second", "against waiting alone", "times as fast as 1"],
        [_row(threads, samples, seconds[1]) for threads, samples in seconds.items()],
    )


def _videos(simulator: Simulator) -> list[str]:
    """Videos of the simulator's universe, none of which is ever deleted."""
    now = datetime.now(UTC)
    week = timedelta(days=7)
    found = simulator.control("GET", "published", after=(now - week).isoformat(), before=now.isoformat())["videos"]
    video_ids = [video["id"] for video in found][:VIDEOS]
    simulator.control("POST", "return", {"ids": video_ids})
    return video_ids


def _ask(url: str, video_ids: list[str], threads: int, samples: Samples) -> None:
    youtube = YouTubeHook(connection=youtube_connection(url), threads=threads)
    try:
        with samples.timed():
            answer = youtube.statistics(video_ids)
    finally:
        youtube.close()
    if len(answer.found) != VIDEOS:
        raise RuntimeError(f"{len(answer.found):,} of {VIDEOS:,} videos were answered: {answer.failures[:1]}")


def _row(threads: int, samples: Samples, alone: Samples) -> list[str]:
    calls = calls_for(VIDEOS)
    waiting = Samples([-(-calls // threads) * LATENCY.total_seconds()])
    rate = figure(calls / samples.median)
    return [str(threads), samples.text("s"), rate, samples.over(waiting), alone.over(samples)]
