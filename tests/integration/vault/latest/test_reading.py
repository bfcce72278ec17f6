"""The newest point of every video, as a stream by id or of given videos, whichever layers have the points."""

import random
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import BadInputError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.storage import LocalStorage
from vault_contents import expected, rows

START = datetime(2026, 1, 29, 22, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = datetime(2026, 4, 5, tzinfo=UTC)
IDS = ["-a", "AAAAAAAAAAA", "b_", "zz", "z-Z", "_x"]


def points(hours: Iterable[int], ids: Iterable[str] = IDS, minute: int = 0) -> list[MetricPoint]:
    return [
        MetricPoint(each, START + hour * HOUR + timedelta(minutes=minute, seconds=second), 100 * hour, 1, None, START)
        for hour in hours
        for second, each in enumerate(ids)
    ]


def append(vault: ParquetVaultHook, found: list[MetricPoint]) -> list[MetricPoint]:
    vault.stage(found)
    assert vault.publish().complete
    return found


def newest(known: Iterable[MetricPoint], first: str = "", end: str | None = None) -> list[MetricPoint]:
    best = {each.video_id: each for each in sorted(known, key=lambda each: each.timestamp)}
    return [best[each] for each in sorted(best) if each >= first and (end is None or each < end)]


def batches(vault: ParquetVaultHook, *args: Any, **chosen: Any) -> pa.Table:
    return pa.Table.from_batches(list(vault.read_latest_batches(*args, **chosen)), tables.SCHEMA)


def assert_newest(vault: ParquetVaultHook, known: list[MetricPoint]) -> None:
    """Every way of asking for the newest points gives these, sorted and each once."""
    wanted = newest(known)
    found = batches(vault)
    assert found["video_id"].to_pylist() == [each.video_id for each in wanted]
    assert rows(found) == expected(wanted)
    assert rows(vault.read_latest()) == expected(wanted)
    ranges = vault.id_ranges()
    assert ranges[0][0] == ""
    assert ranges[-1][1] is None
    assert [end for _, end in ranges[:-1]] == [first for first, _ in ranges[1:]]
    by_range = pa.concat_tables(batches(vault, first=first, end=end) for first, end in ranges)
    assert by_range.equals(found)
    for first, end in [("", "A"), ("AAAAAAAAAAA", "AAAAAAAAAAA\0"), ("b", "z"), ("zz", None)]:
        assert rows(batches(vault, first=first, end=end)) == expected(newest(known, first, end))
    for some in (IDS[::2], [*IDS[1::2], "nobody"], ["nobody"], []):
        of_some = expected(each for each in wanted if each.video_id in some)
        assert rows(vault.read_latest(some)) == of_some
        assert rows(batches(vault, some)) == of_some


@pytest.mark.parametrize("months", [False, True])
def test_the_newest_point_is_found_in_whichever_layer_has_it(vault: ParquetVaultHook, *, months: bool) -> None:
    known = append(vault, points(range(0, 60, 7)))
    assert_newest(vault, known)
    vault.seal(LATER)
    vault.compact(LATER, months=months)
    assert_newest(vault, known)
    known += append(vault, points([300], IDS[:2]))  # a day of its own, which is not compacted
    known += append(vault, points([14], IDS[2:4], minute=5))  # late: its day is compacted
    known += append(vault, points([30], ["late"], minute=5))
    assert_newest(vault, known)
    vault.seal(LATER)
    vault.compact(LATER, months=months, keep_hours=False)
    assert_newest(vault, known)


def test_an_older_day_that_is_not_compacted_hides_no_newer_point(vault: ParquetVaultHook) -> None:
    known = append(vault, points([0, 30]))
    vault.seal(LATER)
    late = points([1], IDS[:3])
    vault.stage(late)
    vault.compact(LATER)
    known += append(vault, late)
    assert_newest(vault, known)


def test_columns_are_chosen_and_arguments_checked(vault: ParquetVaultHook) -> None:
    append(vault, points([0]))
    batch = next(vault.read_latest_batches(columns=["views", "video_id"]))
    assert batch.schema.names == ["views", "video_id"]
    for wrong in ({"columns": ["nothing"]}, {"first": "b", "end": "a"}, {"first": None}, {"end": 3}):
        with pytest.raises(BadInputError):
            vault.read_latest_batches(**wrong)  # type: ignore[arg-type]
    with pytest.raises(BadInputError):
        vault.read_latest_batches("AAAAAAAAAAA")


def test_an_empty_vault_has_no_newest_points(vault: ParquetVaultHook) -> None:
    vault.identity(create=True)
    assert list(vault.read_latest_batches()) == []
    assert vault.read_latest().empty
    assert vault.id_ranges() == [("", None)]


# Bounds, by counting


class Counting(LocalStorage):
    """A folder that notes which files are read or opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, layout.SCRATCH)
        self.read_keys: set[str] = set()

    def read(self, key: str, **how: Any) -> Any:
        self.read_keys.add(key)
        return super().read(key, **how)

    def open(self, key: str) -> Any:
        self.read_keys.add(key)
        return super().open(key)

    def of(self, layer: str) -> int:
        """How many files of a layer were."""
        return sum(1 for key in self.read_keys if key.startswith(layer) and "manifest" not in key)


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[ParquetVaultHook, Counting]]:
    def opened() -> tuple[ParquetVaultHook, Counting]:
        vault = ParquetVaultHook(root=tmp_path, lock_timeout=5)
        storage = Counting(tmp_path)
        monkeypatch.setattr(vault._location, "readable", lambda: storage)
        return vault, storage

    return opened


def test_given_videos_are_not_looked_for_beyond_the_newest_that_has_them(
    counting: Callable[[], tuple[ParquetVaultHook, Counting]],
) -> None:
    vault, storage = counting()
    for day in range(5):
        append(vault, points([24 * day]))
    vault.seal(LATER)
    vault.compact(LATER, months=False)
    append(vault, points([24 * 8 + hour for hour in range(3)], IDS[:1]))
    storage.read_keys.clear()
    assert len(vault.read_latest(IDS[:1])) == 1
    assert (storage.of(layout.METRICS), storage.of(layout.HISTORY)) == (1, 0)
    storage.read_keys.clear()
    assert len(vault.read_latest(IDS[1:2])) == 1
    assert storage.of(layout.METRICS) == 3
    assert storage.of(layout.HISTORY) == 1  # of five


# Whatever was done to the vault, in whichever order

verbs = st.lists(st.sampled_from(["append", "late", "seal", "compact days", "compact", "drop"]), min_size=2, max_size=8)


@settings(max_examples=10)
@given(verbs, st.integers(0, 1000))
def test_every_order_of_verbs_gives_the_newest_points(
    tmp_path_factory: pytest.TempPathFactory, done: list[str], seed: int
) -> None:
    root = tmp_path_factory.mktemp("vault")
    vault = ParquetVaultHook(root=root, lock_timeout=5)
    dice = random.Random(seed)
    known = append(vault, points([0]))
    for number, verb in enumerate(done):
        if verb == "append":
            known += append(vault, points([20 * number + dice.randrange(20)], dice.sample(IDS, 3)))
        elif verb == "late":
            known += append(vault, points([dice.randrange(100)], dice.sample([*IDS, f"n{number}"], 2), 1 + number))
        elif verb == "seal":
            vault.seal(LATER)
        else:
            vault.compact(LATER, months=verb != "compact days", keep_hours=verb != "drop")
    assert_newest(vault, known)
    shutil.rmtree(root)
