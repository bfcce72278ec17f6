"""Titles among 30 and 180 million videos: finding them by words, by id, and those of a channel.

100,000 videos are invented, which make a file. It stands in the archive many times, under many names: its Parquet file
as the same file, its index as a copy, with publish times of its own, a day after those of the file before. So footers,
row groups, files and indexes are as many as they would be; what is read comes from the machine's memory, and each word
is in every file or in none. Processor time is told as well, of all threads: machines are busy.
"""

import os
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.figures import Samples, figure, judged, timed
from benchmarks.parts import folder
from benchmarks.screen import Screen, Tell
from benchmarks.titles import WORDS, Library
from ghost_tracking.vault import Vault, layout
from ghost_tracking.vault.kit.names import new_name
from ghost_tracking.vault.metadata import files
from ghost_tracking.vault.metadata.manifest import ArchivedFile, ArchiveManifest, month_bit, words_of
from ghost_tracking.vault.storage import LocalStorage

A_FILE = 100_000
DISTINCT = 1
AGES = {"30 million": (300, 1.0), "180 million": (1_800, 3.0)}
"""Files of so many videos, and the seconds that a search may take."""
REPEAT = 5
MOST_BYTES = 0.15
FIRST = datetime(2021, 1, 1, tzinfo=UTC)


def bench(screen: Screen) -> None:
    """Fill an archive, let it grow, and search it at each size."""
    library = Library()
    with folder() as place, screen.busy("an archive") as tell:
        sample = place / "sample"
        adding = _fill(sample, library, tell)
        storage = LocalStorage(sample, layout.SCRATCH)
        held = ArchiveManifest.of(storage)[0].files
        _print_size(screen, held, adding)
        for name, (number, bound) in AGES.items():
            tell(f"{name}: {number:,} files")
            root = place / name.replace(" ", "")
            _grow(storage, root, number)
            _print_search(screen, root, library, name, bound)
            _print_lookup(screen, root, name)


def _fill(root: Path, library: Library, tell: Tell) -> Samples:
    adding, vault = Samples(), Vault(root)
    for number, day in enumerate(_days(library)):
        tell(f"{number * A_FILE:,} archived")
        with adding.timed():
            vault.archive_videos(day)
    return adding


def _days(library: Library) -> Iterator[list[dict[str, Any]]]:
    videos = library.videos(DISTINCT * A_FILE)
    while day := list(islice(videos, A_FILE)):
        yield day


def _grow(sample: LocalStorage, root: Path, number: int) -> None:
    """An archive of so many files, each a day after the one before."""
    held = ArchiveManifest.of(sample)[0].files
    storage = LocalStorage(root, layout.SCRATCH)
    storage.prepare()
    (root / layout.WORDS).mkdir(parents=True)
    made: list[ArchivedFile] = []
    for day in range(number):
        like = held[day % len(held)]
        assert like.published is not None
        least, greatest = like.published
        assert least is not None
        assert greatest is not None
        shift = FIRST + timedelta(days=day) - least
        name = new_name(layout.SUFFIX)
        os.link(sample.root / like.key, root / layout.VIDEOS / name)
        words = sample.read(words_of(like.name)).data
        before, after = (str(int(at.timestamp())).encode() for at in (least, least + shift))
        assert words.count(before) == 1
        assert len(before) == len(after)
        (root / words_of(name)).write_bytes(words.replace(before, after))
        months = f"{month_bit(least + shift) | month_bit(greatest + shift):x}"
        published = least + shift, greatest + shift
        discovered = {"oldest": like.oldest + shift, "newest": (like.newest or like.oldest) + shift}
        made.append(like.model_copy(update={"name": name, "published": published, "months": months, **discovered}))
    ArchiveManifest(files=tuple(made)).replace(storage, layout.VIDEOS_MANIFEST, expecting=None)


def _print_size(screen: Screen, held: tuple[ArchivedFile, ...], adding: Samples) -> None:
    videos, size = sum(file.videos for file in held), sum(file.bytes for file in held)
    words = sum(file.words.bytes for file in held if file.words)
    screen.table(
        [f"{videos:,} videos in {len(held)} files", "measured", "bound", ""],
        [
            ["bytes a video", figure(size / videos), "", ""],
            judged(
                "bytes a video of indexes",
                f"{figure(words / videos)}, {100 * words / size:.1f} %",
                f"{MOST_BYTES:.0%}",
                words <= MOST_BYTES * size,
            ),
            [f"archiving {A_FILE:,}", adding.text("s"), "", ""],
        ],
    )


def _print_search(screen: Screen, root: Path, library: Library, name: str, bound: float) -> None:
    latin, japanese = library.words["latin"], library.words["japanese"]
    queries = {
        "the most frequent word": latin[0],
        "a word of every thousandth title": latin[700],
        "one of the rarest": latin[WORDS - 1],
        "two frequent words": f"{latin[0]} {latin[1]}",
        "a frequent and a rare one": f"{latin[0]} {latin[WORDS // 2]}",
        "the beginning of many words": latin[0][:2],
        "a Japanese word, anywhere": japanese[200],
        "a Japanese phrase": japanese[3] + japanese[40],
        "a word that no title has": "xylophonist",
    }
    rows = []
    for kind, query in queries.items():
        found = len(Vault(root).find_videos(query))
        before = time.process_time()
        seconds = timed(lambda query=query: Vault(root).find_videos(query), REPEAT)
        processor = f"{figure((time.process_time() - before) / REPEAT)} s"
        judgement = judged("", seconds.text("s"), f"{bound:.0f} s", seconds.median < bound)[1:]
        rows.append([kind, str(found), processor, *judgement])
    screen.table([f"find_videos among {name}", "shown", "processor", "measured", "bound", ""], rows)
    screen.note(f"peak memory so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def _print_lookup(screen: Screen, root: Path, name: str) -> None:
    storage = LocalStorage(root, layout.SCRATCH)
    manifest = ArchiveManifest.of(storage)[0]
    file = manifest.files[len(manifest.files) // 2]
    with files.opened(storage, file.key) as opened:
        some = opened.read_row_group(0, columns=["video_id", "channel_id"]).slice(0, 50)
    channel = str(some["channel_id"][0])
    known = dict.fromkeys(some["video_id"].to_pylist(), file.oldest)
    stats = Vault(root).stats
    asked = {
        "titles of 50 videos whose publish time is known": lambda: stats.titles(known),
        "titles of 50 videos, nothing known of them": lambda: stats.titles(list(known)),
        "an id that is not there, nothing known of it": lambda: stats.titles(["00000000000"]),
        "all videos of a channel": lambda: stats.videos_of_channels([channel]),
    }
    rows = []
    for kind, ask in asked.items():
        before = time.process_time()
        seconds = timed(ask, REPEAT)
        processor = f"{figure((time.process_time() - before) / REPEAT * 1000)} ms"
        rows.append([kind, processor, seconds.text("ms", scale=1000)])
    screen.table([f"among {name}", "processor", "measured"], rows)
