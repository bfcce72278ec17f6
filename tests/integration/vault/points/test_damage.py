"""The vault when files are broken, disks are full, and locks are held or missing."""

import errno
import fcntl
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from damage import damaged, foreign_file, full_disk
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import (
    BadInputError,
    ConfigurationError,
    PartitionBusyError,
    SchemaDriftError,
    UnreadableFileError,
)
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.storage import LocalStorage

TEN = datetime(2026, 1, 15, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
AT_TEN, AT_ELEVEN = Partition.of(TEN), Partition.of(TEN + HOUR)
LATER = TEN + timedelta(days=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root, lock_timeout=0.1)


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(root, layout.SCRATCH)


def points(*video_ids: str, at: datetime = TEN) -> list[MetricPoint]:
    return [MetricPoint(video_id, at, 1, None, 3, None) for video_id in video_ids]


def video_ids(vault: ParquetVaultHook) -> list[str]:
    return list(vault.read_metrics(TEN, TEN + 2 * HOUR)["video_id"])


WAYS = ["empty", "cut short", "without its end", "zeroed", "one bit turned in the data", "other columns", "no parquet"]


# Broken files


@pytest.mark.parametrize("how", WAYS)
def test_a_broken_part_is_set_aside_and_stops_nothing(vault: ParquetVaultHook, root: Path, how: str) -> None:
    (broken,) = vault.stage(points("lost"))
    vault.stage(points("a"))
    vault.stage(points("b", at=TEN + HOUR))
    path = root / broken.path
    path.write_bytes(damaged(path.read_bytes(), how))

    report = vault.publish()

    assert report.written == (AT_TEN, AT_ELEVEN)
    assert len(report.quarantined) == 1
    assert report.quarantined[0].startswith("_staging/quarantine/date=2026-01-15/hour=10/")
    assert (root / report.quarantined[0]).exists()
    assert not path.exists()
    assert broken.path in report.problems[0]
    assert not report.complete
    assert video_ids(vault) == ["a", "b"]
    assert vault.publish().complete
    assert vault.health_check()["quarantined"] == 1


def test_points_of_another_hour_are_not_let_in(vault: ParquetVaultHook, root: Path) -> None:
    (part,) = vault.stage(points("stray"))
    elsewhere = root / layout.part(AT_ELEVEN, "misplaced.part")
    elsewhere.parent.mkdir(parents=True)
    (root / part.path).rename(elsewhere)
    report = vault.publish()
    assert "points of another hour" in report.problems[0]
    assert report.written == ()


@pytest.mark.parametrize("how", [way for way in WAYS if way != "other columns"])
def test_a_broken_published_file_is_kept_aside_and_made_anew(vault: ParquetVaultHook, root: Path, how: str) -> None:
    vault.stage(points("a"))
    vault.publish()
    path = root / layout.stats(AT_TEN)
    broken = damaged(path.read_bytes(), how)
    path.write_bytes(broken)
    vault.stage(points("b"))
    vault.stage(points("c", at=TEN + HOUR))

    report = vault.publish()

    assert report.rebuilt == (AT_TEN,)
    assert (root / report.quarantined[0]).read_bytes() == broken
    assert "rebuilt from the staged parts" in report.problems[0]
    assert report.written == (AT_TEN, AT_ELEVEN)
    assert video_ids(vault) == ["a", "b", "c"]
    assert vault.publish().written == ()


@pytest.mark.parametrize("how", [way for way in WAYS if way != "other columns"])
def test_sealing_notices_a_broken_published_file_while_its_parts_are_there(
    vault: ParquetVaultHook, root: Path, how: str
) -> None:
    vault.stage(points("a"))
    vault.stage(points("b"))
    vault.publish()
    path = root / layout.stats(AT_TEN)
    path.write_bytes(damaged(path.read_bytes(), how))
    report = vault.seal(LATER)
    assert report.published.rebuilt == (AT_TEN,)
    assert report.sealed == (AT_TEN,)
    assert video_ids(vault) == ["a", "b"]


def test_a_published_file_of_another_version_is_left_alone(vault: ParquetVaultHook, root: Path) -> None:
    path = root / layout.stats(AT_TEN)
    path.parent.mkdir(parents=True)
    path.write_bytes(foreign_file())
    vault.stage(points("a"))
    vault.stage(points("b", at=TEN + HOUR))

    report = vault.publish()

    assert (report.failed, report.written) == ((AT_TEN,), (AT_ELEVEN,))
    assert "other columns than the vault's" in report.problems[0]
    assert "shares" in report.problems[0]
    assert path.read_bytes() == foreign_file()
    sealed = vault.seal(LATER)
    assert sealed.sealed == (AT_ELEVEN,)
    assert not sealed.complete
    assert vault.health_check()["staged_parts"] == 1


def test_a_broken_part_that_was_merged_before_loses_nothing(vault: ParquetVaultHook, root: Path) -> None:
    (part,) = vault.stage(points("a"))
    vault.stage(points("b"))
    vault.publish()
    (root / part.path).write_bytes(b"broken")
    report = vault.seal(LATER)
    assert report.sealed == (AT_TEN,)
    assert len(report.published.quarantined) == 1
    assert video_ids(vault) == ["a", "b"]


def test_nothing_is_sealed_that_is_not_proven(vault: ParquetVaultHook, root: Path, storage: LocalStorage) -> None:
    """A published file that lists a part without holding its points, as no program of ours makes it."""
    (part,) = vault.stage(points("a"))
    name = Path(part.path).name
    table = tables.table_of(points("b"))
    storage.put(layout.stats(AT_TEN), files.encode(table, [name]))
    assert vault.publish().written == ()
    report = vault.seal(LATER)
    assert report.published.points_added == 1
    assert report.sealed == (AT_TEN,)
    assert video_ids(vault) == ["a", "b"]


@pytest.mark.parametrize("how", WAYS)
def test_reading_and_health_name_a_broken_file(vault: ParquetVaultHook, root: Path, how: str) -> None:
    vault.append_metrics([{"video_id": "a", "timestamp": TEN}])
    vault.append_metrics([{"video_id": "b", "timestamp": TEN + HOUR}])
    path = root / layout.stats(AT_TEN)
    path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.raises(UnreadableFileError, match=r"hour=10/stats\.parquet cannot be read"):
        vault.read_history("a")
    health = vault.health_check()
    assert health["newest_point"] == "2026-01-15T11:00:00+00:00"
    if how != "one bit turned in the data":  # health reads footers only
        assert not health["ok"]
        assert len(health["unreadable"]) == 1
        assert "hour=10/stats.parquet" in health["unreadable"][0]


def test_any_damage_is_noticed_or_harmless() -> None:
    """Bytes turned at random never crash a reader, and never change a point where a checksum stands."""
    table = tables.table_of(points(*(f"v{number:05}" for number in range(500))))
    data = files.encode(table, ["part"])
    end_of_pages = len(data) - files.footer_length(data)
    dice = random.Random(5)
    for _ in range(400):
        position = dice.randrange(len(data))
        turned = bytearray(data)
        turned[position] ^= 1 << dice.randrange(8)
        try:
            found = files.decode(bytes(turned), AT_TEN)
        except UnreadableFileError:
            continue
        if position < end_of_pages:
            assert found.equals(table)


def test_the_schema_is_enforced_on_writing() -> None:
    with pytest.raises(SchemaDriftError, match="shares"):
        files.encode(pa.table({"video_id": ["a"], "shares": [1], "timestamp": [0]}), [])
    with pytest.raises(BadInputError, match="do not fit"):
        tables.table_of([MetricPoint("a", TEN, "many", None, None, None)])  # type: ignore[arg-type]
    with pytest.raises((UnreadableFileError, BadInputError), match="video_id"):
        tables.table_of([MetricPoint(None, TEN, 1, None, None, None)])  # type: ignore[arg-type]


def test_things_that_are_not_the_vaults_are_passed_over(vault: ParquetVaultHook, root: Path) -> None:
    vault.stage(points("a"))
    vault.publish()
    for stranger in ("metrics/README", "metrics/date=soon/hour=10/stats.parquet", "_staging/parts/notes/x", "x/y"):
        path = root / stranger
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("?")
    (root / "metrics/date=2026-01-16/hour=99").mkdir(parents=True)
    vault.stage(points("b"))
    assert vault.publish().complete
    assert vault.seal(LATER).complete
    assert video_ids(vault) == ["a", "b"]
    assert vault.health_check()["ok"]


# Disks


def many(prefix: str, count: int) -> list[MetricPoint]:
    dice = random.Random(1)
    return [
        MetricPoint(f"{prefix}{dice.randrange(10**9)}", TEN, dice.randrange(10**9), 1, 2, None) for _ in range(count)
    ]


def test_a_full_disk_loses_nothing_and_leaves_nothing_behind(vault: ParquetVaultHook, root: Path) -> None:
    first, second = many("a", 120), many("b", 120)
    vault.stage(first)
    vault.publish()
    vault.stage(second)
    with full_disk():
        report = vault.publish()
        with pytest.raises(OSError, match="File too large"):
            vault.stage(many("c", 1000))
    assert report.failed == (AT_TEN,)
    assert "its parts stay staged" in report.problems[0]
    assert list((root / layout.SCRATCH).iterdir()) == []
    assert len(video_ids(vault)) == 120
    assert vault.publish().points_added == 120


def test_a_part_that_cannot_be_read_now_stays_staged(vault: ParquetVaultHook, root: Path) -> None:
    """What the operating system refuses is no fault of the part."""
    vault.stage(points("a"))
    refused = root / layout.part(AT_TEN, "refused.part")
    refused.mkdir()
    report = vault.publish()
    assert "stays staged" in report.problems[0]
    assert (report.written, report.quarantined, report.complete) == ((AT_TEN,), (), False)
    sealed = vault.seal(LATER)
    assert (sealed.unverified, sealed.parts_deleted, sealed.complete) == ((AT_TEN,), 0, False)
    refused.rmdir()
    assert vault.seal(LATER).complete
    assert video_ids(vault) == ["a"]


def test_a_folder_that_vanishes_under_a_writer_is_made_again(storage: LocalStorage, root: Path) -> None:
    """Sealing removes an hour's empty folder at the moment in which a late part comes."""
    code = f"""
import sys, time, pathlib
folder = pathlib.Path({str(root / layout.parts(AT_TEN))!r})
while not pathlib.Path({str(root / "stop")!r}).exists():
    try:
        folder.rmdir(); folder.parent.rmdir()
    except OSError:
        pass
    time.sleep(0.0002)
"""
    root.mkdir()
    with subprocess.Popen([sys.executable, "-c", code]) as remover:
        try:
            for number in range(300):
                key = layout.part(AT_TEN, f"part{number}")
                storage.put(key, b"x")
                assert storage.read(key).data == b"x"
                storage.delete([key])
        finally:
            (root / "stop").touch()
        assert remover.wait(10) == 0


# Locks


def test_an_hour_that_is_held_is_busy_and_the_others_are_not(vault: ParquetVaultHook, storage: LocalStorage) -> None:
    vault.stage([*points("a"), *points("b", at=TEN + HOUR)])
    with storage.lock(layout.lock(AT_TEN), 1):
        report = vault.publish()
        sealed = vault.seal(LATER)
    assert (report.busy, report.written) == ((AT_TEN,), (AT_ELEVEN,))
    assert not report.complete
    assert (sealed.published.busy, sealed.sealed) == ((AT_TEN,), (AT_ELEVEN,))
    assert vault.publish().written == (AT_TEN,)


def test_all_waiting_together_takes_no_longer_than_the_timeout(root: Path, storage: LocalStorage) -> None:
    vault = ParquetVaultHook(root=root, lock_timeout=0.3)
    staged = vault.stage([point for hour in range(6) for point in points("a", at=TEN + hour * HOUR)])
    held = [storage.lock(layout.lock(part.partition), 1) for part in staged]
    for lock in held:
        lock.__enter__()
    began = time.monotonic()
    assert len(vault.publish().busy) == 6
    assert 0.3 <= time.monotonic() - began < 1.5
    for lock in held:
        lock.__exit__(None, None, None)
    assert vault.publish().complete


def test_a_lock_is_waited_for_and_its_file_goes_with_it(storage: LocalStorage, root: Path) -> None:
    with storage.lock("locks/x.lock", 1), pytest.raises(PartitionBusyError):
        storage.lock("locks/x.lock", 0.1).__enter__()
    assert list((root / "locks").iterdir()) == []
    with storage.lock("locks/x.lock", 0):
        pass


def test_a_file_system_without_locks_is_refused(vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.stage(points("a"))

    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", no_locks)
        with pytest.raises(ConfigurationError, match="has no file locks"):
            vault.publish()
    assert vault.publish().complete


def test_readers_that_hold_an_old_file_open_read_it_to_its_end(vault: ParquetVaultHook, root: Path) -> None:
    vault.stage(points("a"))
    vault.publish()
    with (root / layout.stats(AT_TEN)).open("rb") as old:
        vault.stage(points("b"))
        vault.publish()
        vault.seal(LATER)
        assert list(pd.read_parquet(old)["video_id"]) == ["a"]
    assert video_ids(vault) == ["a", "b"]


# A disk that is full


def test_a_vault_on_a_full_disk_is_not_called_writable(root: Path) -> None:
    """A few bytes often still find room where a part does not."""
    vault = ParquetVaultHook(root=root)
    vault.identity(create=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    try:
        health = vault.health_check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert (health["ok"], health["writable"]) == (False, False)
    assert health["problem"].startswith(
        f"The vault's root {root} is full: this process may write no file of that size."
    )
    assert vault.health_check()["ok"]
    assert list((root / layout.SCRATCH).iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte and a half, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_disk_says_that_it_has_no_space_left(small_disk: Path) -> None:
    vault = ParquetVaultHook(root=small_disk / "vault")
    vault.identity(create=True)
    assert vault.health_check()["writable"]
    (small_disk / "somebody's").write_bytes(bytes(1024 * 1024))
    health = vault.health_check()
    assert not health["writable"]
    assert "small/vault is full: its file system has no space, or no inodes, left. Make room" in health["problem"]
