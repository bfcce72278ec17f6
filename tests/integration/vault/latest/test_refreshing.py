"""The shards of the newest points: written and refreshed a few a night, right whatever they have not seen yet."""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.latest import proof
from ghost_tracking.vault.latest.manifest import LatestManifest, Shard, load
from ghost_tracking.vault.storage import LocalStorage, Storage, object_store
from newest_points import HOUR, IDS, LATER, START, append, assert_newest, newest, points
from s3_server import folder_only
from vault_contents import expected, rows

MANY = [f"{letter}{number:02d}" for letter in "-AZ_az" for number in range(10)]
Counted = Callable[[], tuple[ParquetVaultHook, Any]]


def close(vault: ParquetVaultHook, *, months: bool = True, keep_hours: bool = True) -> None:
    vault.seal(LATER)
    assert vault.compact(LATER, months=months, keep_hours=keep_hours).problems == ()


def storage_of(vault: ParquetVaultHook) -> Storage:
    return vault._location.readable()


def shards_of(vault: ParquetVaultHook) -> tuple[Shard, ...]:
    return load(storage_of(vault))[0].shards


def refreshed(vault: ParquetVaultHook, most: int = 6) -> int:
    report = vault.refresh_latest(most_videos_a_shard=most)
    assert report.problems == ()
    return report.shards


def test_shards_cover_all_ids_and_their_files_are_plain_points(vault: ParquetVaultHook) -> None:
    known = append(vault, points([0, 30], MANY))
    close(vault)
    assert refreshed(vault, 15) == 6
    shards = shards_of(vault)
    assert (shards[0].first, shards[-1].end) == ("", None)
    assert all(before.end == after.first for before, after in itertools.pairwise(shards))
    assert [each.videos for each in shards] == [10] * 6
    assert vault.id_ranges() == [(each.first, each.end) for each in shards]
    assert_newest(vault, known)
    assert refreshed(vault, 15) == 0  # nothing has changed


@folder_only("pandas takes paths")
def test_a_shard_is_a_file_of_the_vaults_six_columns(vault_root: Path) -> None:
    import pandas as pd

    vault = ParquetVaultHook(root=vault_root)
    known = append(vault, points([0, 30]))
    close(vault)
    refreshed(vault)
    found = pd.concat(pd.read_parquet(vault_root / each.key) for each in shards_of(vault))
    assert dict(zip(found["video_id"], found["views"], strict=True)) == {
        each.video_id: each.views for each in newest(known)
    }


def test_a_night_writes_one_in_thirty_and_those_that_are_furthest_behind(vault: ParquetVaultHook) -> None:
    known = append(vault, points([0], MANY))
    close(vault)
    refreshed(vault, 2)
    shards = shards_of(vault)
    assert len(shards) == 60
    known += append(vault, points([30], MANY))
    close(vault)
    assert refreshed(vault, 2) == 2
    fresh = [each for each in shards_of(vault) if each not in shards]
    assert len(fresh) == 2
    assert [each.first for each in shards_of(vault)] == [each.first for each in shards]
    assert_newest(vault, known)
    known += append(vault, points([60], MANY))
    close(vault)
    for _ in range(29):  # the two that have seen a day more are the last
        assert refreshed(vault, 2) == 2
        assert [each for each in fresh if each in shards_of(vault)] == fresh
    assert [each for each in shards if each in shards_of(vault)] == []
    assert refreshed(vault, 2) == 2
    assert [each for each in fresh if each in shards_of(vault)] == []
    assert refreshed(vault, 2) == 0
    assert_newest(vault, known)


def test_a_shard_that_has_grown_too_large_becomes_two(vault: ParquetVaultHook) -> None:
    known = append(vault, points([0], IDS))
    close(vault)
    assert refreshed(vault, 100) == 1
    known += append(vault, points([30], MANY))
    close(vault)
    assert refreshed(vault, 100) == 1
    known += append(vault, points([60], IDS[:1]))
    close(vault)
    assert refreshed(vault, 60) == 2
    assert [each.videos for each in shards_of(vault)] == [34, 32]
    assert_newest(vault, known)


def test_a_shard_that_has_grown_far_too_large_becomes_as_many_as_it_takes(vault: ParquetVaultHook) -> None:
    known = append(vault, points([0], IDS))
    close(vault)
    assert refreshed(vault, 6) == 2
    known += append(vault, points([30], MANY))
    close(vault)
    for _ in range(3):
        refreshed(vault, 6)
    assert max(each.videos for each in shards_of(vault)) <= 8
    assert_newest(vault, known)


# What is read


def test_what_shards_have_seen_is_not_read_again_also_when_days_become_a_month(counted: Counted) -> None:
    vault, storage = counted()
    known = append(vault, points(range(0, 200, 24)))
    close(vault, months=False)
    refreshed(vault, 100)
    for _ in range(2):
        storage.read_keys.clear()
        assert rows(vault.read_latest()) == expected(newest(known))
        assert rows(vault.read_latest(IDS[:2])) == expected(each for each in newest(known) if each.video_id in IDS[:2])
        assert (storage.of(layout.LATEST), storage.of(layout.HISTORY), storage.of(layout.METRICS)) == (1, 0, 0)
        close(vault)  # now in months
    assert refreshed(vault, 100) == 0


def test_of_what_came_since_only_that_is_read(counted: Counted) -> None:
    vault, storage = counted()
    known = append(vault, points(range(0, 200, 24)))
    close(vault, months=False)
    refreshed(vault, 100)
    known += append(vault, points([3], ["late"], minute=7))
    known += append(vault, points([224], IDS[:2]))
    close(vault, months=False)
    storage.read_keys.clear()
    assert rows(vault.read_latest()) == expected(newest(known))
    assert (storage.of(layout.LATEST), storage.of(layout.HISTORY)) == (1, 2)
    storage.read_keys.clear()
    assert len(vault.read_latest(IDS[:2])) == 2
    assert (storage.of(layout.LATEST), storage.of(layout.HISTORY)) == (0, 1)
    storage.read_keys.clear()
    assert len(vault.read_latest(["late", IDS[3]])) == 2
    assert (storage.of(layout.LATEST), storage.of(layout.HISTORY)) == (1, 1)  # the day's ids are others


def test_one_video_is_found_by_reading_one_shard(counted: Counted) -> None:
    vault, storage = counted()
    append(vault, points([0], MANY))
    close(vault)
    refreshed(vault, 6)
    storage.read_keys.clear()
    assert len(vault.read_latest(["A05"])) == 1
    assert (storage.of(layout.LATEST), storage.of(layout.HISTORY)) == (1, 0)


def test_a_refresh_reads_the_shards_that_it_writes_and_what_they_lack(counted: Counted) -> None:
    vault, storage = counted()
    for day in range(10):
        append(vault, points([24 * day], MANY))
    close(vault, months=False)
    refreshed(vault, 6)
    append(vault, points([240], MANY))
    close(vault, months=False)
    storage.read_keys.clear()
    assert refreshed(vault, 6) == 1
    assert (storage.of(layout.LATEST), storage.of(layout.HISTORY)) == (1, 1)


# What goes


def test_forgotten_videos_leave_the_shards_and_the_others_are_not_read_again(counted: Counted) -> None:
    vault, storage = counted()
    known = append(vault, points(range(0, 100, 24)))
    close(vault)
    refreshed(vault, 100)
    assert {each.name: each.rows for each in vault.forget(IDS[:2]).layers}["newest points"] == 2
    vault.forget(IDS[:2], dry_run=False)
    assert vault.forget(IDS[:2]).rows == 0
    left = [each for each in known if each.video_id not in IDS[:2]]
    storage.read_keys.clear()
    assert rows(vault.read_latest()) == expected(newest(left))
    assert (storage.of(layout.LATEST), storage.of(layout.HISTORY)) == (1, 0)
    assert refreshed(vault, 100) == 0
    assert vault.verify().problems == ()


def test_a_refresh_between_the_layers_brings_no_forgotten_video_back(
    vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ghost_tracking.vault.maintenance.layers import NewestPoints

    append(vault, points(range(0, 100, 24)))
    close(vault)
    refreshed(vault, 100)
    keys = NewestPoints.keys
    monkeypatch.setattr(NewestPoints, "keys", lambda layer: (refreshed(vault, 100), keys(layer))[1])
    vault.forget(IDS[:2], dry_run=False)
    assert not set(vault.read_latest()["video_id"]) & set(IDS[:2])


def test_expired_points_are_left_out_at_once_and_leave_the_shards_with_the_next_refresh(counted: Counted) -> None:
    vault, storage = counted()
    known = append(vault, points([0], IDS)) + append(vault, points([30, 900], IDS[:3]))
    close(vault, keep_hours=False)
    refreshed(vault, 100)
    vault.expire(START + 20 * HOUR, dry_run=False)
    left = [each for each in known if each.timestamp >= START + 20 * HOUR]
    storage.read_keys.clear()
    assert rows(vault.read_latest()) == expected(newest(left))
    assert (storage.of(layout.LATEST), storage.of(layout.HISTORY)) == (1, 0)
    assert rows(vault.read_latest(IDS)) == expected(newest(left))
    assert shards_of(vault)[0].videos == len(IDS)
    assert vault.verify().problems == ()
    assert refreshed(vault, 100) == 1
    assert shards_of(vault)[0].videos == 3
    assert rows(vault.read_latest()) == expected(newest(left))
    assert refreshed(vault, 100) == 0


def test_no_more_files_are_open_than_are_merged_at_once(counted: Counted) -> None:
    vault, storage = counted()
    known = [each for day in range(90) for each in points([24 * day], [f"v{day:02d}", "all"])]
    append(vault, known)
    close(vault, months=False, keep_hours=False)
    storage.most_open = 0
    refreshed(vault, 20)
    assert rows(vault.read_latest()) == expected(newest(known))
    assert storage.most_open <= 64 + 1


# What is broken


@pytest.fixture
def made(vault_root: Path) -> tuple[ParquetVaultHook, list[MetricPoint], Path]:
    vault = ParquetVaultHook(root=vault_root, lock_timeout=5)
    known = append(vault, points([0, 30], MANY))
    close(vault)
    refreshed(vault, 15)
    return vault, known, vault_root / shards_of(vault)[2].key


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def turned(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(bytes(data))


@folder_only("files are damaged by their paths")
@pytest.mark.parametrize("damage", [cut, turned, Path.unlink])
def test_a_broken_shard_is_named_and_made_again(
    made: tuple[ParquetVaultHook, list[MetricPoint], Path], damage: Callable[[Path], None]
) -> None:
    vault, known, path = made
    damage(path)
    (problem,) = vault.verify().problems
    assert str(path.name) in problem
    recent = vault.verify(LATER).problems
    assert (len(recent) == 0) == (damage is turned)  # names and sizes tell nothing of that
    with pytest.raises((UnreadableFileError, FileNotFoundError)):
        vault.read_latest()
    report = vault.repair()
    assert (report.shards, report.problems, report.lost) == (1, (), ())
    assert vault.verify().problems == ()
    assert_newest(vault, known)


@folder_only("files are damaged by their paths")
def test_a_damaged_manifest_is_named_and_made_again(
    made: tuple[ParquetVaultHook, list[MetricPoint], Path],
) -> None:
    vault, known, path = made
    (path.parent / "manifest.json").write_bytes(b'{"shards": [')
    (problem,) = vault.verify().problems
    assert layout.LATEST_MANIFEST in problem
    with pytest.raises(UnreadableFileError):
        vault.read_latest()
    assert vault.repair().shards == 1  # of up to two million videos
    assert_newest(vault, known)


@folder_only("files are damaged by their paths")
def test_a_damaged_manifest_stops_no_retention(
    made: tuple[ParquetVaultHook, list[MetricPoint], Path],
) -> None:
    vault, known, path = made
    (path.parent / "manifest.json").write_bytes(b'{"shards": [')
    cutoff = START + 20 * HOUR
    report = vault.expire(cutoff, dry_run=False)
    assert (report.history_points, report.problems) == (len(MANY), ())
    vault.repair()
    assert_newest(vault, [each for each in known if each.timestamp >= cutoff])


@folder_only("files are moved by their paths")
def test_a_shard_that_cannot_be_compared_now_is_a_problem_and_stays(
    made: tuple[ParquetVaultHook, list[MetricPoint], Path],
) -> None:
    vault, known, path = made
    before = shards_of(vault)
    history = [*path.parents[1].glob("history/**/*.parquet")]
    for each in history:
        each.rename(each.with_suffix(".away"))
    report = proof.mend(storage_of(vault), LATER)
    assert report.shards == 0
    assert len(report.problems) == len(before)
    assert all(f"{each.key} cannot be compared now" in said for each, said in zip(before, report.problems, strict=True))
    for each in history:
        each.with_suffix(".away").rename(each)
    assert shards_of(vault) == before
    assert vault.verify().problems == ()
    assert_newest(vault, known)


def test_a_shard_that_is_replaced_while_it_is_proven_is_told_and_stays(
    s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = ParquetVaultHook(root=s3_root)
    append(vault, points([0, 30]))
    close(vault)
    refreshed(vault, 100)
    storage, before = storage_of(vault), shards_of(vault)
    opened = storage.open

    def gone(key: str) -> Any:
        """Somebody deletes it as soon as it is open."""
        file = opened(key)
        storage.move(key, f"{key}-away")
        return file

    monkeypatch.setattr(object_store, "_END", 8)  # or a file that is so small would be there with its end
    monkeypatch.setattr(storage, "open", gone)
    (problem,) = proof.mend(storage, LATER).problems
    assert problem.startswith(f"{before[0].key} cannot be compared now")
    assert "was replaced or deleted while it was read" in problem
    storage.move(f"{before[0].key}-away", before[0].key)
    assert proof.problem_of_bytes(storage, before[0]) == problem
    assert shards_of(vault) == before


@folder_only("files are damaged by their paths")
def test_a_deleted_layer_is_made_again_by_the_next_night(
    made: tuple[ParquetVaultHook, list[MetricPoint], Path],
) -> None:
    import shutil

    vault, known, path = made
    shutil.rmtree(path.parent)
    assert_newest(vault, known)
    assert vault.verify().problems == ()
    assert refreshed(vault, 15) == 6
    assert_newest(vault, known)


@folder_only("files are damaged by their paths")
def test_other_points_than_the_historys_are_named_and_made_again(
    made: tuple[ParquetVaultHook, list[MetricPoint], Path], tmp_path: Path
) -> None:
    vault, known, path = made
    other = ParquetVaultHook(root=tmp_path / "other")
    append(other, [*points([0], MANY), *points([2000], ["A05"])])
    close(other)
    refreshed(other, 15)
    (foreign,) = [each for each in shards_of(other) if each.first <= "A05" < (each.end or "~")]
    path.write_bytes((tmp_path / "other" / foreign.key).read_bytes())
    storage = LocalStorage(path.parent.parent, layout.SCRATCH)
    latest, version = load(storage)
    lying = latest.shards[2].model_copy(update={"hash": foreign.hash, "bytes": foreign.bytes})
    latest.with_shards([lying], [latest.shards[2]]).replace(storage, layout.LATEST_MANIFEST, expecting=version)
    (problem,) = vault.verify().problems
    assert "other points than the history" in problem
    assert vault.repair().shards == 1
    assert_newest(vault, known)


@folder_only("files are damaged by their paths")
def test_what_is_nobodys_is_named(made: tuple[ParquetVaultHook, list[MetricPoint], Path]) -> None:
    vault, _, path = made
    old = path.with_name("20200101T000000000000-0123456789ab.parquet")
    for each in (old, path.with_name("mine.parquet")):
        each.write_bytes(path.read_bytes())
    assert len(vault.verify().problems) == 2
    assert vault.refresh_latest().leftovers_deleted == 1
    assert not old.exists()
    assert len(vault.verify().problems) == 1


# The manifest


def shard(first: str, end: str | None) -> Shard:
    return Shard(
        name=f"20260101T000000000000-{random.Random(first).getrandbits(48):012x}.parquet",
        first=first,
        end=end,
        videos=1,
        bytes=1,
        hash="0" * 16,
        included={},
    )


def test_spans_are_the_shards_and_what_lies_between_them() -> None:
    manifest = LatestManifest(shards=(shard("", "b"), shard("d", "f"), shard("f", None)))

    def spans(first: str = "", end: str | None = None) -> list[tuple[str, str | None, bool]]:
        return [(each.first, each.end, each.shard is not None) for each in manifest.spans(first, end)]

    assert spans() == [("", "b", True), ("b", "d", False), ("d", "f", True), ("f", None, True)]
    assert spans("a", "c") == [("a", "b", True), ("b", "c", False)]
    assert spans("b", "d") == [("b", "d", False)]
    assert spans("g") == [("g", None, True)]
    assert spans("e", "e2") == [("e", "e2", True)]
    assert [manifest.shard_of(each) for each in ("c", "b")] == [None, None]
    assert [manifest.shard_of(each) for each in ("a", "d", "zz")] == list(manifest.shards)


@pytest.mark.parametrize(
    "shards", [(shard("", None), shard("b", None)), (shard("a", "c"), shard("b", "d")), (shard("b", "a"),)]
)
def test_shards_that_overlap_are_refused(shards: tuple[Shard, ...]) -> None:
    with pytest.raises(ValueError, match="shard"):
        LatestManifest(shards=shards)
