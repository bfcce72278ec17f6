"""Sealing, compacting, expiry and the archive when disks are full or read-only, files broken or foreign, clocks wrong.

This file is also the program of another process, see `fork_server`: one that may write less than the tests.
"""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import fork_server
from damage import damaged, foreign_file, full_disk
from fork_server import Children, forking
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import ConfigurationError, UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from vault_contents import assert_holds, expected, found_video, rows, video

START = datetime(2026, 1, 30, 22, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = datetime(2026, 3, 5, tzinfo=UTC)
JANUARY, FEBRUARY = Period.parse("2026-01"), Period.parse("2026-02")
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root, lock_timeout=0.5)


def some_points(hours: int = 30, count: int = 4, seed: int = 1) -> list[MetricPoint]:
    """Points of January's last days and, from the 26th hour on, of February; nothing repeats that could be packed."""
    dice = random.Random(seed)
    return [
        MetricPoint(
            f"{seed}-{dice.randrange(10**12)}",
            START + hour * HOUR + timedelta(seconds=dice.randrange(3600)),
            dice.randrange(10**12),
            dice.randrange(10**12),
            None,
            None,
        )
        for hour in range(hours)
        for _ in range(count)
    ]


def late_point(hour: int = 0, name: str = "late") -> MetricPoint:
    return MetricPoint(name, START + hour * HOUR + timedelta(minutes=59), 7, None, 0, None)


def append(vault: ParquetVaultHook, *points: MetricPoint) -> None:
    assert vault.append_metrics([{name: getattr(each, name) for name in each.__slots__} for each in points]).complete


def fill(vault: ParquetVaultHook, points: list[MetricPoint]) -> None:
    vault.stage(points)
    assert vault.publish().complete


def compact(vault: ParquetVaultHook, *, keep_hours: bool = True) -> None:
    assert vault.seal(LATER).complete
    assert vault.compact(LATER, keep_hours=keep_hours).problems == ()


def hour_file(root: Path, hour: int) -> Path:
    return root / layout.stats(Partition.of(START + hour * HOUR))


def assert_well(vault: ParquetVaultHook) -> None:
    assert [problem for problem in vault.verify().problems if "was left by a killed compaction" not in problem] == []
    health = vault.health_check()
    assert (health["ok"], health["stale_hours"]) == (True, [])


def leftovers(root: Path) -> list[str]:
    return [path.name for path in (root / layout.SCRATCH).iterdir()]


# Full disks


def test_sealing_on_a_full_disk_names_the_hour_and_loses_nothing(vault: ParquetVaultHook, root: Path) -> None:
    points = some_points(hours=2, count=300)
    fill(vault, points)
    with full_disk():
        report = vault.seal(LATER)
    assert (len(report.published.failed), report.sealed, report.complete) == (2, (), False)
    assert "date=2026-01-30/hour=22 could not be published" in report.published.problems[0]
    assert "File too large" in report.published.problems[0]
    assert leftovers(root) == []
    assert rows(vault.read_metrics()) == expected(points)
    assert len(vault.seal(LATER).sealed) == 2
    assert rows(vault.read_metrics()) == expected(points)


@pytest.mark.parametrize("keep_hours", [True, False])
def test_compacting_on_a_full_disk_names_the_periods_and_loses_nothing(
    vault: ParquetVaultHook, root: Path, keep_hours: bool
) -> None:
    points = some_points(count=80)
    fill(vault, points)
    vault.seal(LATER)
    with full_disk():
        report = vault.compact(LATER, keep_hours=keep_hours)
    assert report.compacted == ()
    assert [str(each) for each in report.failed] == ["2026-01-30", "2026-01-31", "2026-02-01"]
    assert (
        "2026-01-30 could not be compacted and is read from its hours: [Errno 27] File too large" in report.problems[0]
    )
    assert leftovers(root) == []
    assert rows(vault.read_metrics()) == expected(points)
    vault.compact(LATER, months=False)
    with full_disk():
        assert vault.compact(LATER, keep_hours=keep_hours).failed == (JANUARY, FEBRUARY)
    assert rows(vault.read_metrics()) == expected(points)
    compact(vault, keep_hours=keep_hours)
    assert rows(vault.read_metrics()) == expected(points)
    assert_well(vault)


def test_expiry_on_a_full_disk_names_the_period_and_goes_on_afterwards(vault: ParquetVaultHook, root: Path) -> None:
    points = some_points(count=40)
    fill(vault, points)
    compact(vault)
    cutoff = START + 10 * HOUR
    with full_disk():
        report = vault.expire(cutoff, dry_run=False)
    assert len(report.problems) == 1
    assert "the history of 2026-01 keeps points past their age: [Errno 27] File too large" in report.problems[0]
    left = expected(each for each in points if each.timestamp >= cutoff)
    assert left <= rows(vault.read_metrics()) <= expected(points)
    assert vault.expire(cutoff, dry_run=False).problems == ()
    assert rows(vault.read_metrics()) == left
    assert_well(vault)


def test_archiving_on_a_full_disk_keeps_what_is_staged(vault: ParquetVaultHook, root: Path) -> None:
    dice = random.Random(3)
    titles = {f"v{number}": f"{dice.randrange(10**30)}" for number in range(400)}
    vault.archive_videos([video("first", "First")])
    for some in (list(titles)[:30], list(titles)[30:60]):
        vault.stage_videos([found_video(each, titles[each]) for each in some], START)
    with full_disk():
        with pytest.raises(OSError, match="File too large"):
            vault.archive_videos()
        with pytest.raises(OSError, match="File too large"):
            vault.archive_videos([video(each, title) for each, title in titles.items()])
    assert leftovers(root) == []
    assert vault.health_check()["staged_videos"] == 2
    assert len(vault.read_videos(["first", *titles])) == 61
    assert vault.archive_videos().added == 60
    assert vault.archive_videos([video(each, title) for each, title in titles.items()]).complete
    assert len(vault.read_videos(["first", *titles])) == 401
    assert_well(vault)


# Folders that may not be written


def as_nobody(root: str, verb: str) -> list[str]:
    """What a user hears who owns the vault, but for folders that were made read-only."""
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    vault = ParquetVaultHook(root=root, lock_timeout=0.5)
    verbs: dict[str, Callable[[], Any]] = {
        "seal": lambda: vault.seal(LATER).published.problems,
        "compact": lambda: vault.compact(LATER).problems,
        "expire": lambda: vault.expire(START + 10 * HOUR, dry_run=False).problems,
        "archive": lambda: vault.archive_videos([video("a", "A")]).problems,
        "repair": lambda: vault.repair().problems,
        "read": lambda: [str(len(vault.read_metrics()))],
    }
    try:
        return list(verbs[verb]())
    except (OSError, ConfigurationError) as error:
        return [f"{type(error).__name__}: {error}"]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def nobody(shared: Path) -> Iterator[Callable[[str], list[str]]]:
    """Let a verb be done to the vault in `shared` by somebody who is not root."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    with forking(__file__) as server:
        children = Children(server, shared / "answers")
        (shared / "answers").chmod(0o777)
        yield lambda verb: children.start(as_nobody, root=str(shared / "vault"), verb=verb).result()
        children.end()


def give_away(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


def test_a_vault_that_may_not_be_written_is_named_by_every_verb(
    shared: Path, nobody: Callable[[str], list[str]]
) -> None:
    vault = ParquetVaultHook(root=shared / "vault")
    fill(vault, some_points())
    before = {path: path.stat().st_mtime_ns for path in (shared / "vault").rglob("*")}
    for verb in ("seal", "compact", "expire", "archive", "repair"):
        (said,) = nobody(verb)
        assert said.startswith(f"ConfigurationError: The vault's root {shared / 'vault'} cannot be written by user")
        assert "Permission denied" in said
    assert nobody("read") == ["120"]
    assert {path: path.stat().st_mtime_ns for path in (shared / "vault").rglob("*")} == before


def test_a_layer_that_may_not_be_written_is_named_and_the_others_go_on(
    shared: Path, nobody: Callable[[str], list[str]]
) -> None:
    root = shared / "vault"
    vault = ParquetVaultHook(root=root)
    points = some_points()
    fill(vault, points)
    vault.seal(LATER)
    vault.compact(LATER, months=False)
    give_away(root)
    (root / "history").chmod(0o555)
    said = nobody("compact")
    assert [each[:7] for each in said] == ["2026-01", "2026-02"]
    assert all("could not be compacted" in each and "Permission denied" in each for each in said)
    assert rows(vault.read_metrics()) == expected(points)
    (said,) = nobody("expire")
    assert "the history of 2026-01-30, 2026-01-31 keeps points past their age" in said
    assert "Permission denied" in said
    (root / "history").chmod(0o755)
    assert nobody("expire") == nobody("compact") == []
    assert rows(vault.read_metrics()) == expected(each for each in points if each.timestamp >= START + 10 * HOUR)
    assert_well(vault)


# Broken files


def test_a_truncated_history_file_is_named_stops_no_other_period_and_is_rebuilt(
    vault: ParquetVaultHook, root: Path
) -> None:
    points = some_points()
    fill(vault, points)
    compact(vault)
    (january,) = root.glob("history/month=2026-01/*.parquet")
    january.write_bytes(january.read_bytes()[:300])
    late = [late_point(0), late_point(27)]
    append(vault, *late)
    vault.seal(LATER)
    with pytest.raises(UnreadableFileError, match=r"history/month=2026-01/.*\.parquet is not an intact"):
        vault.read_history(points[0].video_id)
    assert rows(vault.read_history("late", start=START + 26 * HOUR)) == expected(late[1:])
    report = vault.compact(LATER)
    assert (report.compacted, report.failed) == ((FEBRUARY,), (JANUARY,))
    assert f"{january.relative_to(root)} is not an intact Parquet file" in report.problems[0]
    expiry = vault.expire(START + HOUR, dry_run=False)
    assert "the history of 2026-01 keeps points past their age" in expiry.problems[0]
    vault.repair()
    assert vault.expire(START + HOUR, dry_run=False).problems == ()
    compact(vault)
    assert_holds(vault, [each for each in [*points, *late] if each.timestamp >= START + HOUR])
    assert_well(vault)


@pytest.mark.parametrize("manifest", ["sound", "damaged"])
def test_a_history_file_that_does_not_tell_its_borders_is_set_aside_and_rebuilt(
    vault: ParquetVaultHook, root: Path, manifest: str
) -> None:
    points = some_points()
    fill(vault, points)
    compact(vault)
    (january,) = root.glob("history/month=2026-01/*.parquet")
    pq.write_table(pq.read_table(january, partitioning=None), january, store_schema=False, write_statistics=False)
    if manifest == "damaged":
        (root / layout.HISTORY_MANIFEST).write_bytes(b"{")
    report = vault.repair()
    assert (len([each for each in report.quarantined if january.name in each]), report.lost) == (1, ())
    compact(vault)
    assert_holds(vault, points)
    assert_well(vault)


@pytest.mark.parametrize("verb", ["publish", "seal"])
@pytest.mark.parametrize("how", ["cut short", "empty", "without its end"])
def test_a_late_point_into_a_broken_hour_that_is_compacted_takes_the_rest_from_the_history(
    vault: ParquetVaultHook, root: Path, how: str, verb: str
) -> None:
    points = some_points()
    fill(vault, points)
    compact(vault)
    path = hour_file(root, 5)
    path.write_bytes(damaged(path.read_bytes(), how))
    late = late_point(5)
    vault.stage([late])
    report = vault.publish() if verb == "publish" else vault.seal(LATER).published
    assert len(report.quarantined) == 1
    assert str(path.relative_to(root)) in report.problems[0]
    everything = [*points, late]
    assert rows(vault.read_metrics()) == expected(everything)
    assert len(pd.read_parquet(root / layout.METRICS)) == len(everything)
    compact(vault)
    assert_holds(vault, everything)
    assert_well(vault)


def test_an_hour_that_lost_points_behind_the_vaults_back_is_made_whole_from_its_history(
    vault: ParquetVaultHook, root: Path
) -> None:
    points = some_points()
    fill(vault, points)
    compact(vault)
    other = ParquetVaultHook(root=root.parent / "other")
    fill(other, [late_point(5), *(each for each in points if Partition.of(each.timestamp) == Partition.of(START))])
    hour_file(root, 5).write_bytes(hour_file(root.parent / "other", 5).read_bytes())
    assert "repair the vault" in vault.verify().problems[0]
    vault.repair()
    compact(vault)
    everything = [*points, late_point(5)]
    assert_holds(vault, everything)
    assert len(pd.read_parquet(root / layout.METRICS)) == len(everything)
    assert_well(vault)


def test_what_a_killed_compaction_left_is_no_problem_for_a_day(vault: ParquetVaultHook, root: Path) -> None:
    fill(vault, some_points())
    compact(vault)
    young, old = datetime.now(UTC) - timedelta(hours=23), datetime.now(UTC) - timedelta(hours=25)
    left = {at: root / f"history/day=2026-01-30/{at:%Y%m%dT%H%M%S}-da12bf3a4ab9-000.parquet" for at in (young, old)}
    for path in left.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(foreign_file())
    assert vault.verify().problems == (
        f"{left[old].relative_to(root)} was left by a compaction that was killed more than a day ago: the next one "
        "deletes it",
    )
    assert vault.compact(datetime.now(UTC)).problems == ()
    assert [path.exists() for path in left.values()] == [True, False]
    assert vault.verify().problems == ()


@pytest.mark.parametrize("keep_hours", [True, False])
def test_foreign_files_are_left_alone_and_told(vault: ParquetVaultHook, root: Path, keep_hours: bool) -> None:
    points = some_points()
    fill(vault, points)
    compact(vault)
    strangers = {
        hour_file(root, 3).parent / "mine.parquet": foreign_file(),
        hour_file(root, 3).parent / "notes.txt": b"?",
        root / "metrics/date=2026-01-29/notes.txt": b"?",
        root / "metrics/date=2026-01-29/hour=07/notes.txt": b"?",
        root / "history/day=2026-01-30/mine.parquet": foreign_file(),
        root / "history/month=2026-01/notes.txt": b"?",
        root / "history/notes.txt": b"?",
    }
    for path, data in strangers.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    late = late_point(3)
    append(vault, late)
    compact(vault, keep_hours=keep_hours)
    assert_holds(vault, [*points, late])
    assert sorted(vault.verify().problems) == sorted(
        f"{path.relative_to(root)} is in no manifest and none of the vault's files: it is left alone; remove it"
        for path in strangers
        if path.is_relative_to(root / "history")
    )
    assert vault.repair().problems == ()
    assert vault.expire(START + HOUR, dry_run=False).problems == ()
    assert {path: path.read_bytes() for path in strangers} == strangers
    assert_holds(vault, [each for each in [*points, late] if each.timestamp >= START + HOUR])


def test_a_history_without_its_manifest_is_no_empty_vault(vault: ParquetVaultHook, root: Path) -> None:
    points = some_points()
    fill(vault, points)
    compact(vault, keep_hours=False)
    (root / layout.HISTORY_MANIFEST).unlink()
    with pytest.raises(UnreadableFileError, match=r"history/manifest\.json is missing"):
        vault.read_metrics()
    assert any("manifest.json is missing" in each for each in vault.verify().problems)
    assert not vault.health_check()["ok"]
    with pytest.raises(UnreadableFileError, match="repair the vault"):
        vault.compact(LATER + 3 * DAY)
    vault.repair()
    assert_holds(vault, points)
    assert_well(vault)


# Clocks


@pytest.mark.parametrize("keep_hours", [True, False])
def test_a_clock_that_jumps_back_undoes_nothing(vault: ParquetVaultHook, root: Path, keep_hours: bool) -> None:
    points = some_points()
    fill(vault, points)
    compact(vault, keep_hours=keep_hours)
    late = late_point(2)
    (part,) = vault.stage([late])
    renamed = root / part.path
    renamed.rename(renamed.with_name(f"29990101T000000000000-0123456789ab{layout.PART_SUFFIX}"))
    before = START - DAY
    assert vault.seal(before).sealed == ()
    report = vault.compact(before, keep_hours=keep_hours)
    assert (report.compacted, report.problems, report.leftovers_deleted) == ((), (), 0)
    assert vault.expire(before, dry_run=False).points == 0
    vault.stage([MetricPoint(late.video_id, late.timestamp, 99, None, 0, None)])  # by the right clock: staged before
    assert vault.publish().complete
    (found,) = rows(vault.read_history("late"))
    assert found[2] == 99
    vault.seal(before)
    assert len(vault.read_metrics()) == len(points) + 1
    compact(vault, keep_hours=keep_hours)
    assert rows(vault.read_metrics()) == expected(
        [*points, MetricPoint(late.video_id, late.timestamp, 99, None, 0, None)]
    )
    assert_well(vault)


def test_a_retention_that_was_announced_by_a_later_clock_waits(vault: ParquetVaultHook, root: Path) -> None:
    assert not vault.retention_was_announced(400)
    told = root / layout.RETENTION
    year = datetime.now(UTC).year
    told.write_text(told.read_text().replace(str(year), str(year + 1)))
    assert not vault.retention_was_announced(400)
    told.write_text(told.read_text().replace(str(year + 1), str(year - 1)))
    assert vault.retention_was_announced(400)


# Late points


@pytest.mark.parametrize("state", ["open", "sealed", "compacted days", "compacted months", "dropped"])
def test_late_points_are_read_at_once_and_by_every_layer_in_the_end(
    vault: ParquetVaultHook, root: Path, state: str
) -> None:
    points = some_points()
    fill(vault, points)
    if state != "open":
        vault.seal(LATER)
    if state not in {"open", "sealed"}:
        vault.compact(LATER, months=state != "compacted days", keep_hours=state != "dropped")
    everything = [*points]
    for number, hour in enumerate((0, 5, 5, 27)):
        late = late_point(hour, f"late{number}")
        append(vault, late)
        append(vault, late)  # again changes nothing
        everything.append(late)
        assert rows(vault.read_metrics()) == expected(everything)
        assert rows(vault.read_history(late.video_id)) == expected([late])
        assert len(vault.read_latest([late.video_id])) == 1
    compact(vault, keep_hours=state != "dropped")
    assert_holds(vault, everything)
    assert_well(vault)
    if state == "dropped":
        assert list((root / layout.METRICS).rglob("*.parquet")) == []
    else:
        assert len(pd.read_parquet(root / layout.METRICS)) == len(everything)


if __name__ == "__main__":
    fork_server.serve({"as_nobody": as_nobody})
