"""The vault when its writers are killed: at every change they make to the file system, and at random moments.

A child kills itself right before the n-th change below the vault's root, for every n until its work comes to its end.
What a killed process leaves on disk is what it had changed by then, so that no state is left out; nothing is imitated.
After each kill, before anybody mends anything, readers find every acknowledged point once; the same work done again
finishes it; and then the vault is as if nobody had been killed.
"""

import itertools
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import fork_server
from faults.vault_deaths import Death, killed
from fork_server import Children
from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import load
from ghost_tracking.vault.latest.manifest import load as newest_points
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.roster_memory import ChunkMemory
from ghost_tracking.vault.storage import LocalStorage
from vault_contents import expected, found_video, rows, video

pytestmark = pytest.mark.faults

SEED = 20260131
RANDOM_KILLS = 60
START = datetime(2026, 1, 31, 22, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = datetime(2026, 3, 5, tzinfo=UTC)
CUTOFF = START + HOUR
EARLY_CUTOFF = START - 29 * HOUR
IDS = ["-a", "AAAAAAAAAAA", "zz"]
FORGOTTEN = "AAAAAAAAAAA"
CHUNK = ["aaaaaaaaaa0", "bbbbbbbbbb0", "cccccccccc0", "dddddddddd0"]


def points(first: int, hours: int, ids: Iterable[str] = IDS, minute: int = 0) -> list[MetricPoint]:
    """Points of some hours; from the third hour on, of February."""
    return [
        MetricPoint(
            each, START + hour * HOUR + timedelta(minutes=minute, seconds=second), 100 * hour + second, None, 0, None
        )
        for hour in range(first, first + hours)
        for second, each in enumerate(ids)
    ]


PUBLISHED = points(0, 3)
FRESH = points(1, 2, ["new", "zz"], minute=30)
LATE = points(1, 2, ["late"], minute=40)
EARLY = points(-30, 3)


# What is done, and in which vault


def opened(root: str | Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root, lock_timeout=5)


def published(vault: ParquetVaultHook) -> None:
    assert vault.publish(set() if not vault.stage(PUBLISHED) else None).complete


def with_staged(vault: ParquetVaultHook) -> None:
    published(vault)
    vault.stage(FRESH)


def sealed(vault: ParquetVaultHook) -> None:
    published(vault)
    assert vault.seal(LATER).complete


def compacted_days(vault: ParquetVaultHook) -> None:
    sealed(vault)
    vault.compact(LATER, months=False)


def compacted(vault: ParquetVaultHook) -> None:
    sealed(vault)
    vault.compact(LATER)


def compacted_only(vault: ParquetVaultHook) -> None:
    sealed(vault)
    vault.compact(LATER, keep_hours=False)


def with_newest(vault: ParquetVaultHook) -> None:
    compacted(vault)
    assert vault.refresh_latest().shards == 1


def behind(vault: ParquetVaultHook) -> None:
    """Newest points that have not seen what came late."""
    compacted_days(vault)
    assert vault.refresh_latest().shards == 1
    vault.stage(LATE)
    seal_and_compact(vault)


def break_newest(vault: ParquetVaultHook) -> None:
    with_newest(vault)
    for path in (Path(vault.get_conn().path) / layout.LATEST).glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-100])


def removed(vault: ParquetVaultHook) -> None:
    """Hours that are kept, and that somebody has removed by hand all the same."""
    compacted(vault)
    shutil.rmtree(Path(vault.get_conn().path) / layout.METRICS)


def late_into(before: Callable[[ParquetVaultHook], None], *, seal: bool) -> Callable[[ParquetVaultHook], None]:
    def prepare(vault: ParquetVaultHook) -> None:
        before(vault)
        vault.stage(LATE)
        vault.publish()
        if seal:
            assert vault.seal(LATER).complete

    return prepare


def expiring(before: Callable[[ParquetVaultHook], None]) -> Callable[[ParquetVaultHook], None]:
    """With staged points, and points set aside, that are to go as well."""

    def prepare(vault: ParquetVaultHook) -> None:
        before(vault)
        vault.stage(points(0, 1, ["staged"], minute=50))
        root = Path(vault.get_conn().path)
        aside = root / layout.QUARANTINE / "date=2026-01-31" / "hour=22" / "x.part.broken"
        aside.parent.mkdir(parents=True)
        aside.write_bytes(b"?")

    return prepare


def break_manifest(vault: ParquetVaultHook) -> None:
    compacted_only(vault)
    (Path(vault.get_conn().path) / layout.HISTORY_MANIFEST).write_bytes(b'{"files": [')


def break_hour_and_history(vault: ParquetVaultHook) -> None:
    compacted(vault)
    root = Path(vault.get_conn().path)
    for path in (
        root / layout.METRICS / "date=2026-01-31" / "hour=22" / "stats.parquet",
        *root.glob("history/month=2026-02/*"),
    ):
        path.write_bytes(path.read_bytes()[:-100])


def archived(vault: ParquetVaultHook) -> None:
    for number in range(3):  # a fourth file makes the archive merge them
        vault.archive_videos([video(f"kept{number}", "Before"), video(f"old{number}", "Old", -100)])
    vault.stage_videos([found_video("staged", "Before"), found_video("kept1", "After")], START + DAY)
    # an index that is missing: whatever is done, titles are found
    min((Path(vault.get_conn().path) / layout.WORDS).iterdir()).unlink()


def seal_and_compact(vault: ParquetVaultHook) -> None:
    vault.seal(LATER)
    vault.compact(LATER)


def take_rows(vault: ParquetVaultHook) -> None:
    vault.archive_videos([video("kept0", "After"), video("kept2", "After"), video("added", "After")])


def forget(vault: ParquetVaultHook) -> None:
    vault.forget([FORGOTTEN], dry_run=False)
    assert vault.forget([FORGOTTEN]).rows == 0


def listed(vault: ParquetVaultHook) -> None:
    vault.import_queue.submit([*CHUNK, f"{CHUNK[1]}?", "nobody"], "list")
    vault.import_queue.mark_imported("list", 3)
    vault.import_queue.submit([CHUNK[1]], "only")
    name = vault.roster.write(CHUNK, START.date())
    vault.roster.remember(name, ChunkMemory.empty(len(CHUNK)))
    vault.stage_availability([AvailabilityEvent(each, START, START + DAY) for each in CHUNK])
    vault.publish_availability()
    vault.stage_availability([AvailabilityEvent(each, START, START + DAY, START + 2 * DAY) for each in CHUNK])


def forget_listed(vault: ParquetVaultHook) -> None:
    vault.forget([CHUNK[1]], dry_run=False)
    assert vault.forget([CHUNK[1]]).rows == 0


@dataclass(frozen=True)
class Case:
    """Work that is killed, the vault in which it is, and which points are there before, and may be there after."""

    prepare: Callable[[ParquetVaultHook], None]
    work: Callable[[ParquetVaultHook], object]
    before: list[MetricPoint]
    new: tuple[MetricPoint, ...] = ()
    gone: tuple[MetricPoint, ...] = ()
    keep_hours: bool = True
    broken: bool = False
    """Readers may be told that a file is broken. What they are not told that of, they read whole."""
    leaving: str | None = None
    """A video that is being forgotten: some layers have it still, and others no longer."""


def late(before: Callable[[ParquetVaultHook], None], *, seal: bool, keep: bool, work: Callable[..., object]) -> Case:
    return Case(late_into(before, seal=seal), work, [*PUBLISHED, *LATE], keep_hours=keep)


def expiry(before: Callable[[ParquetVaultHook], None], *, keep: bool) -> Case:
    old = tuple(each for each in PUBLISHED if each.timestamp < CUTOFF)
    return Case(
        expiring(before), lambda vault: vault.expire(CUTOFF, dry_run=False), PUBLISHED, gone=old, keep_hours=keep
    )


def splitting(*, keep: bool) -> Case:
    """January has points of two days; a part of the first one goes."""

    def prepare(vault: ParquetVaultHook) -> None:
        vault.stage(EARLY)
        (compacted if keep else compacted_only)(vault)

    gone = tuple(each for each in EARLY if each.timestamp < EARLY_CUTOFF)
    return Case(
        prepare,
        lambda vault: vault.expire(EARLY_CUTOFF, dry_run=False),
        [*PUBLISHED, *EARLY],
        gone=gone,
        keep_hours=keep,
    )


def forgetting(before: Callable[[ParquetVaultHook], None], *, keep: bool) -> Case:
    """With staged points of two videos, one of which goes."""

    def prepare(vault: ParquetVaultHook) -> None:
        before(vault)
        vault.stage(points(1, 1, [FORGOTTEN, "late"], minute=40))
        vault.publish()

    known = [*PUBLISHED, *points(1, 1, [FORGOTTEN, "late"], minute=40)]
    gone = tuple(each for each in known if each.video_id == FORGOTTEN)
    return Case(prepare, forget, known, gone=gone, keep_hours=keep, leaving=FORGOTTEN)


CASES = {
    "stage": Case(published, lambda vault: vault.stage(FRESH), PUBLISHED),
    "publish": Case(with_staged, lambda vault: vault.publish(), PUBLISHED, tuple(FRESH)),
    "seal": Case(with_staged, lambda vault: vault.seal(LATER), PUBLISHED, tuple(FRESH)),
    "compact days": Case(sealed, lambda vault: vault.compact(LATER, months=False), PUBLISHED),
    "compact days and drop": Case(
        sealed, lambda vault: vault.compact(LATER, months=False, keep_hours=False), PUBLISHED, keep_hours=False
    ),
    "compact months": Case(compacted_days, lambda vault: vault.compact(LATER), PUBLISHED),
    "compact all and drop": Case(
        sealed, lambda vault: vault.compact(LATER, keep_hours=False), PUBLISHED, keep_hours=False
    ),
    "append late": Case(compacted, lambda vault: (vault.stage(LATE), vault.publish()), PUBLISHED, tuple(LATE)),
    "append late to compacted_only": Case(
        compacted_only, lambda vault: (vault.stage(LATE), vault.publish()), PUBLISHED, tuple(LATE), keep_hours=False
    ),
    "seal late": late(compacted, seal=False, keep=True, work=lambda vault: vault.seal(LATER)),
    "seal late of compacted_only": late(compacted_only, seal=False, keep=False, work=lambda vault: vault.seal(LATER)),
    "compact late": late(compacted, seal=True, keep=True, work=lambda vault: vault.compact(LATER)),
    "compact late and drop": late(
        compacted, seal=True, keep=False, work=lambda vault: vault.compact(LATER, keep_hours=False)
    ),
    "compact late of compacted_only": late(
        compacted_only, seal=True, keep=False, work=lambda vault: vault.compact(LATER, keep_hours=False)
    ),
    "append late to removed": Case(
        removed, lambda vault: (vault.stage(LATE), vault.publish()), PUBLISHED, tuple(LATE), keep_hours=False
    ),
    "seal and compact late of removed": late(removed, seal=False, keep=False, work=seal_and_compact),
    "seal and compact late days": late(compacted_days, seal=False, keep=True, work=seal_and_compact),
    "expire hours": expiry(sealed, keep=True),
    "expire hours and history": expiry(compacted, keep=True),
    "expire history": expiry(compacted_only, keep=False),
    "expire a part of a month in days": splitting(keep=True),
    "expire a part of a month that is in the history alone": splitting(keep=False),
    "forget in hours": forgetting(sealed, keep=True),
    "forget in hours and history": forgetting(compacted, keep=True),
    "forget in the history": forgetting(compacted_only, keep=False),
    "verify a share": Case(compacted, lambda vault: vault.verify_share(LATER), PUBLISHED),
    "measure": Case(compacted, lambda vault: vault.measure(), PUBLISHED),
    "make the newest points": Case(compacted, lambda vault: vault.refresh_latest(most_videos_a_shard=3), PUBLISHED),
    "refresh the newest points": Case(
        behind, lambda vault: vault.refresh_latest(most_videos_a_shard=3), [*PUBLISHED, *LATE]
    ),
    "forget in the newest points": forgetting(with_newest, keep=True),
    "expire the newest points": expiry(with_newest, keep=True),
    "repair the newest points": Case(break_newest, lambda vault: vault.repair(), PUBLISHED, broken=True),
    "repair a broken manifest": Case(
        break_manifest, lambda vault: vault.repair(), PUBLISHED, keep_hours=False, broken=True
    ),
    "repair hours and history": Case(break_hour_and_history, lambda vault: vault.repair(), PUBLISHED, broken=True),
}
ARCHIVE_CASES: dict[str, Callable[[ParquetVaultHook], object]] = {
    "archive staged": lambda vault: vault.archive_videos(),
    "archive rows": take_rows,
    "expire videos": lambda vault: vault.expire_videos(START - DAY),
    "forget videos": lambda vault: vault.forget(["kept0", "old0", "staged"], dry_run=False),
    "repair an index": lambda vault: vault.repair(),
}
LIST_CASES: dict[str, Callable[[ParquetVaultHook], object]] = {"forget in lists and chunks": forget_listed}


# What the children do


def die_at(root: str, case: str, at: int) -> int:
    """Returns the number of changes, when it gets so far."""
    vault = opened(root)
    work = CASES[case].work if case in CASES else {**ARCHIVE_CASES, **LIST_CASES}[case]
    death = Death(root, at)
    work(vault)
    return death.changes


def batch(number: int) -> list[MetricPoint]:
    """What a life stages: late points and early ones, of any hour."""
    dice = random.Random(SEED + number)
    return [
        MetricPoint(
            f"r{number}-{each}", START + dice.randrange(-30, 30) * HOUR + timedelta(seconds=number), number, 1, 2, None
        )
        for each in range(3)
    ]


def live(root: str, number: int, ledger: str) -> None:
    """All that is done to points, in an order of its own; what is staged and what is published goes into a ledger."""
    vault = opened(root)
    dice = random.Random(SEED + number)
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    vault.stage(batch(number))
    os.write(descriptor, f"staged {number}\n".encode())
    verbs: list[Callable[[], object]] = [
        vault.publish,
        lambda: vault.seal(LATER),
        lambda: vault.compact(LATER, months=dice.random() < 0.5, keep_hours=dice.random() < 0.7),
        vault.repair,
    ]
    for verb in dice.sample(verbs, k=4):
        verb()
        if verb is vault.publish:
            os.write(descriptor, f"published {number}\n".encode())


WORK: dict[str, Callable[..., Any]] = {each.__name__: each for each in (die_at, live)}


# How the tests handle them


@pytest.fixture(scope="module")
def kills(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """By work, how often it was killed; told in the end."""
    counted: Counter[str] = Counter()
    yield counted
    each = ", ".join(f"{name} {number}" for name, number in counted.items())
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{counted.total()} kills, seed {SEED}: {each}")


def all_ways(root: Path, *, keep_hours: bool, but: str | None = None) -> dict[str, set[tuple[Any, ...]]]:
    """What each way of reading finds, as points, `but` those of one video; each of them once."""
    vault = opened(root)

    def seen(found: pd.DataFrame | pa.Table) -> set[tuple[Any, ...]]:
        return {each for each in rows(found) if each[0] != but}

    everything = seen(vault.read_metrics())
    ids = sorted({each[0] for each in everything})
    if len(ids) > 20:
        ids = random.Random(len(ids)).sample(ids, 5)
    histories = [each for video_id in ids for each in seen(vault.read_history(video_id))]
    assert len(histories) == len(set(histories))
    found = {
        "read_metrics": everything,
        "read_history": set(histories) | {each for each in everything if each[0] not in ids},
        "read_batches": seen(pa.Table.from_batches(list(vault.read_batches()), tables.SCHEMA)),
        "by video": seen(vault.read_metrics(video_ids={*IDS, *(each[0] for each in everything)})),
    }
    newest = {each[0]: each for each in sorted(everything, key=lambda each: each[:2])}
    assert seen(vault.read_latest()) == set(newest.values())
    if keep_hours:
        found["pandas"] = seen(pd.read_parquet(root / layout.METRICS)[tables.SCHEMA.names])
    return found


def assert_readable(root: Path, case: Case) -> None:
    """Readers find all that was acknowledged, once, and nothing that nobody wrote, before anything is mended."""
    must = expected(each for each in case.before if each.video_id != case.leaving) - expected(case.gone)
    may = expected([*case.before, *case.new])
    try:
        ways = all_ways(root, keep_hours=case.keep_hours and not case.broken, but=case.leaving)
    except UnreadableFileError:
        assert case.broken
        return
    for way, found in ways.items():
        assert must <= found <= may, way


def shape(root: Path) -> dict[str, Any]:
    """What stands in a vault, but for names that are random, and digests of files that have such names in them."""
    storage = LocalStorage(root, layout.SCRATCH)
    manifest, _ = load(storage)
    return {
        "metrics": sorted(str(path.relative_to(root)) for path in (root / layout.METRICS).rglob("*")),
        "parts": sorted({str(path.parent.relative_to(root)) for path in (root / layout.PARTS).rglob("*.part")}),
        "quarantine": len(list((root / layout.QUARANTINE).rglob("*.part.broken"))),
        "history": [(each.period, each.points) for each in manifest.files],
        "days": {name: (day.rows, day.hash, day.compacted_only) for name, day in manifest.days.items()},
        "stale": manifest.stale,
        "latest": [(each.first, each.end, each.videos) for each in newest_points(storage)[0].shards],
    }


def assert_sound(root: Path) -> None:
    vault = opened(root)
    assert vault.verify().problems == ()
    health = vault.health_check()
    assert (health["ok"], health["unreadable"]) == (True, [])
    assert health["points"] == vault.stats.size().points == len(vault.read_metrics())


def finish(root: Path, *, keep_hours: bool) -> dict[str, Any]:
    """The next nights: nothing that was left may be in their way."""
    vault = opened(root)
    assert vault.publish().complete
    assert vault.seal(LATER).complete
    for _ in range(2):
        report = vault.compact(LATER, keep_hours=keep_hours)
        assert report.problems == ()
        assert vault.refresh_latest().problems == ()
    assert report.compacted == ()
    assert_sound(root)
    return shape(root)


@pytest.mark.parametrize("name", CASES)
def test_a_writer_killed_at_any_change_loses_nothing(
    children: Children, tmp_path: Path, kills: Counter[str], name: str
) -> None:
    case = CASES[name]
    template, untouched = tmp_path / "template", tmp_path / "untouched"
    case.prepare(opened(template))
    shutil.copytree(template, untouched)
    case.work(opened(untouched))
    done = shape(untouched)
    points_done = rows(opened(untouched).read_metrics())
    finished = finish(untouched, keep_hours=case.keep_hours)
    points_finished = all_ways(untouched, keep_hours=case.keep_hours)["read_metrics"]
    assert expected([*case.before, *case.new]) - expected(case.gone) <= points_finished

    for root in killed(children, die_at, tmp_path, template, name):
        kills[name] += 1
        assert_readable(root, case)
        case.work(opened(root))
        assert_sound(root)
        assert shape(root) == done
        assert rows(opened(root).read_metrics()) == points_done
        assert finish(root, keep_hours=case.keep_hours) == finished
        assert rows(opened(root).read_metrics()) == points_finished
    assert kills[name] >= 5


@pytest.mark.parametrize("name", ARCHIVE_CASES)
def test_an_archive_killed_at_any_change_loses_nothing(
    children: Children, tmp_path: Path, kills: Counter[str], name: str
) -> None:
    def titles(root: Path) -> dict[str, str]:
        frame = opened(root).read_videos([*known, "added"])
        assert frame["video_id"].is_unique
        return dict(zip(frame["video_id"], frame["title"], strict=True))

    def searched(root: Path) -> list[str]:
        return sorted(opened(root).find_videos("title")["video_id"])

    known = ["staged", *(f"{kind}{number}" for kind in ("kept", "old") for number in range(3))]
    template, untouched = tmp_path / "template", tmp_path / "untouched"
    archived(opened(template))
    shutil.copytree(template, untouched)
    before = titles(template)
    ARCHIVE_CASES[name](opened(untouched))
    after = titles(untouched)
    may_go = before.keys() - after.keys()

    for root in killed(children, die_at, tmp_path, template, name):
        kills[name] += 1
        found = titles(root)
        assert before.keys() - may_go <= found.keys() <= {*before, *after}
        assert all(title in {before.get(each), after.get(each)} for each, title in found.items())
        assert len(searched(root)) == len(set(searched(root)))
        ARCHIVE_CASES[name](opened(root))
        assert titles(root) == after
        assert searched(root) == searched(untouched)
        assert_sound(root)
        assert opened(root).health_check()["staged_videos"] == opened(untouched).health_check()["staged_videos"]
    assert kills[name] >= 5


@pytest.mark.parametrize("name", LIST_CASES)
def test_lists_and_chunks_killed_at_any_change_keep_every_place(
    children: Children, tmp_path: Path, kills: Counter[str], name: str
) -> None:
    """A position means the video that it meant before, or where that is forgotten its neighbour."""

    def places(root: Path) -> list[list[str]]:
        vault = opened(root)
        (chunk,) = vault.roster.names()
        first = vault.import_queue.waiting(10)[0]
        assert first.start == 3
        return [vault.roster.read(chunk[0]), list(first.ids), sorted(set(vault.read_availability()["video_id"]))]

    template = tmp_path / "template"
    listed(opened(template))
    for root in killed(children, die_at, tmp_path, template, name):
        kills[name] += 1
        chunk, waiting, events = places(root)
        assert [chunk[0], *chunk[2:]] == [CHUNK[0], *CHUNK[2:]]
        assert chunk[1] in {CHUNK[1], CHUNK[0]}
        assert (waiting, set(events) | {CHUNK[1]}) == ([CHUNK[3]], set(CHUNK))
        LIST_CASES[name](opened(root))
        left = [CHUNK[0], *CHUNK[2:]]
        assert places(root) == [[CHUNK[0], *left], [CHUNK[3]], left]
        assert_sound(root)
        assert [each.name for each in opened(root).import_queue.lists()] == ["list"]
        assert [each.text for each in opened(root).import_queue.bad_lines("list")] == ["nobody"]
    assert kills[name] >= 5


def test_a_whole_life_killed_at_random_moments_loses_nothing(
    children: Children, tmp_path: Path, kills: Counter[str]
) -> None:
    root, ledger = tmp_path / "vault", tmp_path / "ledger"
    dice = random.Random(SEED)
    published(opened(root))
    lives = itertools.count()
    while kills["at random"] < RANDOM_KILLS:  # however many live to their end: on a fast machine, more do
        number = next(lives)
        child = children.start(live, root=str(root), number=number, ledger=str(ledger))
        time.sleep(dice.uniform(0.002, 0.3))
        child.send(signal.SIGKILL)
        if child.was_killed():
            kills["at random"] += 1
        else:
            child.result()
        acknowledged = [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []
        seen = [point for word, each in acknowledged if word == "published" for point in batch(int(each))]
        may = [point for each in range(number + 1) for point in batch(each)]
        for way, found in all_ways(root, keep_hours=False).items():
            assert expected([*PUBLISHED, *seen]) <= found <= expected([*PUBLISHED, *may]), way
    finish(root, keep_hours=False)
    staged = [point for _, each in acknowledged for point in batch(int(each))]
    assert expected([*PUBLISHED, *staged]) <= rows(opened(root).read_metrics())


@pytest.mark.parametrize("name", ["expire hours", "expire hours and history", "expire history"])
def test_retention_killed_midway_is_finished_by_the_next(children: Children, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    template = tmp_path / "template"
    case.prepare(opened(template))
    left = expected(case.before) - expected(case.gone)
    for at in (4, 7, 10):
        root = tmp_path / str(at)
        shutil.copytree(template, root)
        assert children.start(die_at, root=str(root), case=name, at=at).was_killed()
        vault = opened(root)
        assert left <= rows(vault.read_metrics()) <= expected(case.before)
        vault.publish()
        case.work(vault)
        assert rows(vault.read_metrics()) == left
        assert vault.seal(LATER).complete
        assert vault.compact(LATER, keep_hours=case.keep_hours).problems == ()
        assert rows(vault.read_metrics()) == left
        assert list(LocalStorage(root, layout.SCRATCH).walk(layout.QUARANTINE)) == []


if __name__ == "__main__":
    fork_server.serve(WORK)
