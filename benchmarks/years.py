"""Five years: what each verb and each page costs at the age of one, two and five years of the reference load.

The vault is built once and kept, in the folder that GHOST_BENCH_DIR names (else `~/.cache/ghost-tracking`).
`years_vault` says what is there as often as at the reference load, and what is scaled down. Each measurement is taken
in a process of its own, which has nothing remembered: seconds, the most memory it grew by, and the most descriptors
that it had open.
"""

import json
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.figures import figure
from benchmarks.screen import Screen, Tell
from benchmarks.years_vault import Scale, aged, built

AGES: Final = (1, 2, 5)
MOST_GROWTH: Final = 1.10
_EVERY_SECONDS: Final = 0.01

Took = dict[str, Any]
Work = Callable[[Path], Any]


class Timed(NamedTuple):
    """What an operation returns of which only a part is to be timed: its seconds."""

    seconds: float


def bench(screen: Screen) -> None:
    """Build what is not there, then measure each operation at each age."""
    with screen.busy("five years") as tell:
        roots = _vaults(tell)
        rows = []
        for name, work, goal in OPERATIONS:
            tell(name)
            took = [_in_a_process(work, root) for root in roots.values()]
            rows.append([name, *map(_text, took), goal])
        night = [_in_a_process(a_night, root) for root in roots.values()]
    screen.table(["", *(f"{age} year{'s' * (age > 1)}" for age in roots), "goal at five years"], rows)
    growth = night[-1]["seconds"] / night[0]["seconds"]
    screen.note(f"a night with nothing unusual takes {figure(growth)} times as long after five years as after one")
    screen.table(["a night with nothing unusual", *(f"{age} y" for age in roots)], _parts_of(night))


def _vaults(tell: Tell) -> dict[int, Path]:
    """A vault of each age, the youngest first; each has had its first night."""
    place = Path(os.environ.get("GHOST_BENCH_DIR") or Path.home() / ".cache/ghost-tracking") / "years"
    scale = Scale(years=max(AGES))
    whole = place / "whole"
    fresh = built(whole, scale, datetime.now(UTC), tell)
    roots = {}
    for age in AGES:
        root = place / f"age-{age}"
        if fresh or not root.exists():
            tell(f"a vault of {age} years, and its first night")
            aged(whole, age, root)
            _in_a_process(a_first_night, root)
        roots[age] = root
    return roots


def _text(took: Took) -> str:
    return f"{figure(took['seconds'] * 1000)} ms, +{took['memory']} MB, {took['descriptors']} open"


def _parts_of(night: list[Took]) -> list[list[str]]:
    return [[name, *(f"{figure(each['result'][name])} s" for each in night)] for name in night[0]["result"]]


def _in_a_process(work: Work, root: Path) -> Took:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, root))


def _measured(work: Work, root: Path) -> Took:
    logging.disable(logging.WARNING)
    import pandas as pd  # noqa: F401 - imports are not measured
    import pyarrow.parquet  # noqa: F401

    from ghost_tracking.vault import scan  # noqa: F401

    before, watch = _resident("VmRSS"), _Descriptors()
    with watch:
        begin = time.perf_counter()
        result = work(root)
        seconds = result.seconds if isinstance(result, Timed) else time.perf_counter() - begin
    memory = _resident("VmHWM") - before
    return {"seconds": seconds, "memory": memory, "descriptors": watch.most, "result": result}


def _resident(name: str) -> int:
    """Megabytes of this process: VmRSS now, VmHWM at the most."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(name))
    return int(line.split()[1]) // 1024


class _Descriptors:
    """The most descriptors that were open at a time, as often as it looks."""

    def __init__(self) -> None:
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            with suppress(OSError):
                self.most = max(self.most, sum(1 for _ in Path("/proc/self/fd").iterdir()))


# What is measured


def _vault(root: Path) -> Any:
    from ghost_tracking.vault import Vault

    return Vault(root)


def _videos(root: Path) -> list[str]:
    return json.loads((root / "videos.json").read_text())


def a_first_night(root: Path) -> None:
    """All that a vault from before has made once."""
    vault, now = _vault(root), datetime.now(UTC)
    vault.publish()
    vault.seal(now)
    vault.compact(now)
    vault.refresh_latest()
    vault.measure()


def a_night(root: Path) -> dict[str, float]:
    """The janitor's verbs on the vault, each with its seconds, on a night after one with the same."""
    vault, now = _vault(root), datetime.now(UTC)
    steps: dict[str, Callable[[], object]] = {
        "archive": vault.archive_videos,
        "availability": vault.publish_availability,
        "publish": vault.publish,
        "seal": lambda: vault.seal(now),
        "compact": lambda: vault.compact(now),
        "newest points": vault.refresh_latest,
        "sizes": vault.measure,
        "check": lambda: vault.verify_share(now),
        "health": vault.health_check,
    }
    took = {}
    for name, step in steps.items():
        begin = time.perf_counter()
        step()
        took[name] = time.perf_counter() - begin
    return took


def a_cold_history(root: Path) -> int:
    return len(_vault(root).read_history(_videos(root)[0]))


def a_warm_history(root: Path) -> Timed:
    """What the second reading takes."""
    vault, video = _vault(root), _videos(root)[0]
    vault.read_history(video)
    begin = time.perf_counter()
    vault.read_history(video)
    return Timed(time.perf_counter() - begin)


def fifty_latest(root: Path) -> int:
    return len(_vault(root).read_latest(_videos(root)[:50]))


def everybodys_latest(root: Path) -> int:
    return sum(batch.num_rows for batch in _vault(root).read_latest_batches())


def a_title(root: Path) -> int:
    return len(_vault(root).find_videos("perfect evening", 25))


def health(root: Path) -> bool:
    return bool(_vault(root).health_check()["ok"])


def sizes(root: Path) -> int:
    return int(_vault(root).stats.size().points)


def a_day(root: Path) -> int:
    start = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    return len(_vault(root).read_metrics(start, start + timedelta(days=1)))


OPERATIONS: Final[tuple[tuple[str, Work, str], ...]] = (
    ("a video's history, nothing remembered", a_cold_history, "150 ms"),
    ("a video's history, the second time", a_warm_history, "10 ms"),
    ("fifty videos' latest", fifty_latest, ""),
    ("everybody's latest, streamed", everybodys_latest, "1 GB"),
    ("a title", a_title, "3 s"),
    ("a day of points", a_day, ""),
    ("sizes of the layers", sizes, ""),
    ("health", health, ""),
)
