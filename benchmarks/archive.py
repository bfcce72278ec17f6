"""The archive of metadata: what finding a video among three million costs, and what bringing more in does."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.figures import Samples, figure, timed
from benchmarks.parts import folder
from benchmarks.screen import Screen
from benchmarks.titles import WORDS, Library
from ghost_tracking.hooks.vault import ParquetVaultHook

VIDEOS = 3_000_000
A_DAY = 100_000
REPEAT = 9
BOUND = 1.0
"""Seconds that a search may take, opening included."""


def bench(screen: Screen) -> None:
    """Fill an archive day by day, search it, and read from it."""
    library = Library()
    with folder() as root:
        adding, written = _fill(root, library, screen)
        size = sum(file.stat().st_size for file in (root / "videos").glob("*.parquet"))
        files = len(list((root / "videos").glob("*.parquet")))
        screen.table(
            [f"{VIDEOS:,} videos, {A_DAY:,} a day", ""],
            [
                ["bytes a video", figure(size / VIDEOS)],
                ["files", str(files)],
                ["written in all, in units of what is there", f"{written / size:.2f} ×"],
                [f"archiving the first {A_DAY:,}", f"{figure(adding.values[0])} s"],
                [f"archiving the last {A_DAY:,}", f"{figure(adding.values[-1])} s"],
            ],
        )
        _search(root, library, screen)
        _read(root, screen)


def _fill(root: Path, library: Library, screen: Screen) -> tuple[Samples, int]:
    adding, written = Samples(), 0
    with screen.busy(f"an archive of {VIDEOS:,} videos") as tell:
        for number, day in enumerate(_days(library)):
            tell(f"{number * A_DAY:,} archived")
            with adding.timed():
                report = ParquetVaultHook(root=root).archive_videos(day)
            if report.added != len(day):
                raise RuntimeError(f"{report.added:,} of {len(day):,} videos were archived: {report.problems}")
            written += report.bytes
    return adding, written


def _days(library: Library) -> Iterator[list[dict[str, Any]]]:
    videos = library.videos(VIDEOS)
    while day := list(islice(videos, A_DAY)):
        yield day


def _search(root: Path, library: Library, screen: Screen) -> None:
    """Each query with a hook of its own, as a task or a notebook begins."""
    latin, japanese = library.words["latin"], library.words["japanese"]
    queries = {
        "the most frequent word": latin[0],
        "a word of every thousandth title": latin[700],
        "one of the rarest": latin[WORDS - 1],
        "two frequent words": f"{latin[0]} {latin[1]}",
        "a frequent and a rare one": f"{latin[0]} {latin[WORDS // 2]}",
        "a Japanese word, anywhere": japanese[200],
        "a word that no title has": "xylophonist",
    }
    rows = []
    for name, query in queries.items():
        everything = len(ParquetVaultHook(root=root).find_videos(query, limit=VIDEOS))
        seconds = timed(lambda query=query: ParquetVaultHook(root=root).find_videos(query), REPEAT)
        judgement = "holds" if seconds.median < BOUND else "MISSED"
        rows.append([name, f"{everything:,}", seconds.text("s"), f"{BOUND:.0f} s", judgement])
    screen.table([f"find_videos among {VIDEOS:,}", "matches", "measured", "bound", ""], rows)


def _read(root: Path, screen: Screen) -> None:
    """By id, also with a hook of its own each."""
    known = list(ParquetVaultHook(root=root).find_videos("2026", limit=1_000)["video_id"])
    wanted = {"one id": known[:1], f"{len(known):,} ids": known, "an id that is not there": ["00000000000"]}
    rows = []
    for name, ids in wanted.items():
        seconds = timed(lambda ids=ids: ParquetVaultHook(root=root).read_videos(ids), REPEAT)
        rows.append([name, seconds.text("ms", scale=1000)])
    screen.table([f"read_videos among {VIDEOS:,}", "milliseconds"], rows)
