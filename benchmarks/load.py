"""Sixty people at Ghost Tracking's page at once, over a real API server: what the others of that Airflow notice of it.

Each asks expensive questions as fast as they are answered, no two the same; one that is told 429 asks again when the
answer says so, as the page does. Beside them one client opens what Airflow's own interface opens.
"""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psutil

from benchmarks.figures import Samples, figure, judged
from benchmarks.parts import folder
from benchmarks.screen import Screen
from benchmarks.titles import Library
from ghost_tracking.hooks.vault import ParquetVaultHook
from local_stack.stack import LocalStack

CLIENTS = 60
TITLES = 200_000
SECONDS = 30.0
WORDS = 36
MOST_SECONDS = 1.0
MOST_MEMORY = 500 * 2**20
AIRFLOWS = ("/api/v2/dags", "/ui/dags", "/api/v2/dags/ghost_tracker/dagRuns", "/api/v2/monitor/health", "/ui/config")
TOO_MANY = 429


@dataclass
class _Seen:
    """Seconds that Airflow's own routes took, the statuses of the page's, and the most memory of the API server."""

    airflow: Samples = field(default_factory=Samples)
    answers: Counter[int] = field(default_factory=Counter)
    memory: int = 0


def bench(screen: Screen) -> None:
    """Fill the archive, look at Airflow alone, then with sixty clients at the page."""
    with (
        folder() as place,
        screen.busy("load") as tell,
        LocalStack(place / "stack", seed=7, report=tell) as stack,
    ):
        stack.wait_for_dags(["ghost_hunter"])
        stack.wait_for_run("ghost_hunter", stack.run_soon("ghost_hunter"), timeout=240)
        tell(f"{TITLES:,} titles")
        library = Library()
        ParquetVaultHook(root=str(stack.vault)).archive_videos(list(library.videos(TITLES)))
        token = stack.api("POST", "/auth/token", {"username": stack.user, "password": stack.password})["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        server = psutil.Process(stack.processes["api-server"].pid)
        with _watched(server, stack.airflow_url, headers) as alone:
            tell("Airflow alone")
            time.sleep(SECONDS / 3)
        with _watched(server, stack.airflow_url, headers) as together:
            tell(f"{CLIENTS} clients")
            _storm(stack.airflow_url, headers, library.words["latin"], together.answers)
    _print(screen, alone, together)


def _print(screen: Screen, alone: _Seen, together: _Seen) -> None:
    slowest = max(together.airflow.values)
    more = together.memory - alone.memory
    said = ", ".join(f"{status}: {number:,}" for status, number in sorted(together.answers.items()))
    screen.table(
        [f"{CLIENTS} clients, {TITLES:,} titles, {SECONDS:.0f} s", "measured", "bound", ""],
        [
            ["a request of Airflow's own, nobody at the page", alone.airflow.text("ms", scale=1000), "", ""],
            ["a request of Airflow's own, all at the page", together.airflow.text("ms", scale=1000), "", ""],
            judged("the slowest of these", f"{figure(slowest)} s", f"{MOST_SECONDS:.0f} s", slowest < MOST_SECONDS),
            judged(
                "memory of the API server above what it has alone",
                f"{more / 2**20:.0f} MiB",
                f"{MOST_MEMORY / 2**20:.0f} MiB",
                more < MOST_MEMORY,
            ),
            ["what the page answered", said, "", ""],
        ],
    )


def _storm(url: str, headers: dict[str, str], words: list[str], answers: Counter[int]) -> None:
    end = time.monotonic() + SECONDS

    def client(number: int) -> None:
        dice = random.Random(number)
        with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as session:
            for turn in itertools.count():
                if time.monotonic() >= end:
                    return
                text = " ".join(dice.sample(words, WORDS if turn % 2 else 2))
                asked = (
                    f"/ghost/data/find?q={text}",
                    f"/ghost/data/movers?window=week&n={number}.{turn}",
                    f"/ghost/data/coverage?days=7&n={number}.{turn}",
                    "/ghost/data/overview",
                )
                answer = session.get(asked[(number + turn) % len(asked)] if number % 3 else asked[0])
                answers[answer.status_code] += 1
                if answer.status_code == TOO_MANY:
                    time.sleep(float(answer.headers["retry-after"]))

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client, number) for number in range(CLIENTS)]:
            done.result()


@contextmanager
def _watched(server: psutil.Process, url: str, headers: dict[str, str]) -> Iterator[_Seen]:
    """Opens Airflow's routes one after the other, and looks at the server's memory, until the end."""
    seen, ended = _Seen(), threading.Event()

    def watch() -> None:
        with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as session:
            for path in itertools.cycle(AIRFLOWS):
                if ended.wait(0.05):
                    return
                with seen.airflow.timed():
                    session.get(path).raise_for_status()
                together = [server, *server.children(recursive=True)]
                seen.memory = max(seen.memory, sum(each.memory_info().rss for each in together))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield seen
        finally:
            ended.set()
            watching.result()
