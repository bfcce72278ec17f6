"""Health and sizes are told by names and sizes: what notes and manifests say is taken where a file's size agrees."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from damage import damaged
from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.points.counts import MOST_HOURS, HourCount, HourCounts
from ghost_tracking.vault.storage import LocalStorage
from vault_contents import assert_holds, found_video

START = datetime(2026, 1, 30, 22, tzinfo=UTC)
LATER = datetime(2026, 3, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
IDS = ("-a", "_b", "c")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root)


def point(video_id: str, at: datetime, views: int = 1) -> MetricPoint:
    return MetricPoint(video_id, at, views, None, 3, None)


def fill(vault: ParquetVaultHook, hours: int) -> list[MetricPoint]:
    points = [point(video, START + hour * HOUR, hour) for hour in range(hours) for video in IDS]
    vault.stage(points)
    vault.publish()
    return points


def noted(root: Path) -> HourCounts:
    return HourCounts.of(LocalStorage(root, layout.SCRATCH))[0]


def counted(vault: ParquetVaultHook) -> tuple[int, int]:
    """The points by both ways of counting, which agree."""
    health = vault.health_check()
    assert vault.stats.size().points == health["points"] == sum(vault.stats.points_by_hour().values())
    assert len(vault.stats.points_by_hour()) == health["partitions"]
    return health["points"], health["partitions"]


def test_notes_hold_the_last_hours_that_were_written_and_no_more() -> None:
    counts = HourCounts()
    hours = [Partition.of(START + number * HOUR) for number in range(MOST_HOURS + 5)]
    count = HourCount(bytes=1, rows=1, newest=None, sealed=False, parts="0" * 16)
    for hour in hours:
        counts = counts.with_hours({hour: count})
    counts = counts.with_hours({hours[7]: count._replace(rows=2)})
    assert len(counts.hours) == MOST_HOURS
    assert list(counts.hours)[-1] == hours[7].path
    assert hours[4].path not in counts.hours
    assert counts.count(hours[7], 1) == count._replace(rows=2)
    assert counts.count(hours[7], 2) is None
    assert len(counts.encoded()) < 25_000


def test_each_publication_notes_what_it_has_written(vault: ParquetVaultHook, root: Path) -> None:
    fill(vault, 2)
    first = noted(root).hours[Partition.of(START).path]
    assert (first.rows, first.sealed, first.newest_at) == (3, False, START)
    assert first.bytes == (root / layout.stats(Partition.of(START))).stat().st_size
    vault.stage([point("late", START + timedelta(minutes=5))])
    vault.publish()
    vault.seal(LATER)
    sealed = noted(root).hours[Partition.of(START).path]
    assert (sealed.rows, sealed.sealed, sealed.newest_at) == (4, True, START + timedelta(minutes=5))


def test_counts_never_depend_on_notes(vault: ParquetVaultHook, root: Path) -> None:
    """Notes that are older than the files, lost or damaged cost requests and no truth; the next publication mends."""
    fill(vault, 3)
    before = (root / layout.HOUR_COUNTS).read_bytes()
    vault.stage([point("more", START + number * HOUR) for number in range(3)])
    vault.publish()
    contents = (before, b"", b"{", b'{"hours":{"date=soon":[1,1,1,true,""]}}', None)
    for number, content in enumerate(contents):
        if content is None:
            (root / layout.HOUR_COUNTS).unlink()
        else:
            (root / layout.HOUR_COUNTS).write_bytes(content)
        assert counted(vault) == (12 + number, 3)
        assert vault.stats.newest_point(LATER) == START + 2 * HOUR
        assert vault.publish().written == ()
        vault.stage([point(f"again{number}", START)])
        assert vault.publish().complete
        assert noted(root).hours[Partition.of(START).path].rows == 5 + number


def test_a_note_of_a_time_that_no_calendar_has_is_none(vault: ParquetVaultHook, root: Path) -> None:
    fill(vault, 1)
    notes = json.loads((root / layout.HOUR_COUNTS).read_text())
    (count,) = notes["hours"].values()
    count[HourCount._fields.index("newest")] = 10**30
    (root / layout.HOUR_COUNTS).write_text(json.dumps(notes))
    assert vault.stats.newest_point(LATER) == START
    vault.stage([point("more", START)])
    assert vault.publish().complete
    assert noted(root).hours[Partition.of(START).path].newest_at == START


def test_notes_that_cannot_be_written_lose_no_points(vault: ParquetVaultHook, root: Path) -> None:
    fill(vault, 1)
    (root / layout.HOUR_COUNTS).unlink()
    (root / layout.HOUR_COUNTS).mkdir()
    vault.stage([point("more", START)])
    report = vault.publish()
    assert (report.complete, report.points_added) == (True, 1)
    assert counted(vault) == (4, 1)


def test_parts_that_a_note_knows_are_published_and_no_others(vault: ParquetVaultHook) -> None:
    fill(vault, 2)
    assert vault.health_check()["staged_parts"] == 0
    vault.stage([point("more", START + HOUR)])
    health = vault.health_check()
    assert (health["staged_parts"], health["staged_hours"]) == (1, [Partition.of(START + HOUR).path])
    assert vault.publish().written == (Partition.of(START + HOUR),)
    assert vault.health_check()["staged_parts"] == 0


@pytest.mark.parametrize("keep_hours", [True, False])
def test_counts_are_those_of_the_points_whatever_their_layer(vault: ParquetVaultHook, keep_hours: bool) -> None:
    points = fill(vault, 30)
    assert counted(vault) == (90, 30)
    vault.seal(LATER)
    assert counted(vault) == (90, 30)
    vault.compact(START + 2 * HOUR + timedelta(minutes=20), keep_hours=keep_hours)
    assert counted(vault) == (90, 30)
    vault.compact(LATER, keep_hours=keep_hours)
    assert counted(vault) == (90, 30)
    late = point("late", START + 3 * HOUR)
    vault.stage([late])
    vault.publish()
    assert counted(vault) == (91, 30)
    vault.seal(LATER)
    assert counted(vault) == (91, 30)
    vault.compact(LATER, keep_hours=keep_hours)
    assert counted(vault) == (91, 30)
    assert_holds(vault, [*points, late])


def test_a_compacted_hour_is_opened_only_where_its_size_has_changed(vault: ParquetVaultHook, root: Path) -> None:
    fill(vault, 30)
    vault.seal(LATER)
    vault.compact(LATER)
    path = root / layout.stats(Partition.of(START + HOUR))
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    assert vault.health_check()["unreadable"] == []  # of the same size: that is what `verify` reads it for
    assert any("hour=23" in each for each in vault.verify().problems)
    path.write_bytes(damaged(whole, "cut short"))
    health = vault.health_check()
    assert not health["ok"]
    assert "hour=23/stats.parquet" in health["unreadable"][0]
    assert health["points"] == 90  # the history has them


def test_a_file_of_the_history_that_is_missing_or_of_another_size_is_named(vault: ParquetVaultHook, root: Path) -> None:
    fill(vault, 60)
    vault.seal(LATER)
    vault.compact(LATER)
    first, second = sorted((root / "history").rglob("*.parquet"))
    first.write_bytes(first.read_bytes() + b"more")
    second.unlink()
    found = vault.health_check()["unreadable"]
    assert len(found) == 2
    assert "bytes where the manifest says" in found[0]
    assert f"{second.relative_to(root)} is missing, though the manifest names it" in found[1]


def test_sizes_are_measured_once_a_night_but_for_what_changes_all_day(vault: ParquetVaultHook, root: Path) -> None:
    fill(vault, 30)
    vault.stage_videos([found_video("a", "one")], START)
    vault.archive_videos()
    first = vault.stats.size()
    assert first.measured_at is None
    assert sum(first.bytes.values()) == bytes_below(root)
    vault.measure()
    vault.seal(LATER)
    vault.compact(LATER)
    vault.stage_videos([found_video("b", "two")], START)
    vault.archive_videos()
    second = vault.stats.size()
    assert second.measured_at is not None
    assert second.bytes["metadata"] == first.bytes["metadata"]
    assert second.bytes["hours"] == bytes_below(root / "metrics")
    assert second.bytes["history"] == bytes_below(root / "history") - (root / layout.HISTORY_MANIFEST).stat().st_size
    vault.measure()
    assert vault.stats.size().bytes["metadata"] == bytes_below(root / "videos")
    (root / layout.SIZES).write_bytes(b"{")
    assert vault.stats.size().measured_at is None
    vault.measure()
    assert vault.stats.size().measured_at is not None


def test_events_are_counted_again_only_in_months_that_have_changed(vault: ParquetVaultHook, root: Path) -> None:
    def publish(*events: AvailabilityEvent) -> None:
        vault.stage_availability(events)
        vault.publish_availability()

    publish(AvailabilityEvent("a", START, START), AvailabilityEvent("b", START, START + 9 * DAY))
    vault.measure()
    january = root / layout.availability(Period.month(START.date()))
    whole = january.read_bytes()
    january.write_bytes(bytes(len(whole)))
    assert vault.health_check()["layers"]["availability"]["events"] == 2
    january.write_bytes(whole)
    publish(AvailabilityEvent("c", START, START))
    assert vault.health_check()["layers"]["availability"]["events"] == 3


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
