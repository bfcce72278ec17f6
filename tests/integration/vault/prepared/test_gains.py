"""The largest gains of each hour: what batches stage is merged once, stays small, and bounds what it leaves out."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import ObjectStoragePath
from benchmarks.buckets import CountingBucket, vault_on
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.gains import WINDOWS, Interval
from ghost_tracking.core.partitions import Partition
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.prepared import gains, ranking
from ghost_tracking.vault.prepared.gains import Gains
from ghost_tracking.vault.storage import LocalStorage, Storage

NOW = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOURLY, DAILY, WEEKLY = WINDOWS.values()


@pytest.fixture
def storage(vault_root: Path | ObjectStoragePath) -> Storage:
    hook = ParquetVaultHook(root=vault_root)
    hook.identity(create=True)
    return hook._storage


@pytest.fixture
def layer(storage: Storage) -> Gains:
    return Gains(storage, 5)


def interval(video_id: str, until: datetime, gain: int, length: timedelta = HOUR) -> Interval:
    return Interval(video_id, until - length, until, 1_000, 1_000 + gain)


def summed(layer: Gains, window: timedelta, now: datetime = NOW) -> dict[str, float]:
    found = layer.of_window(window, now)
    return dict(zip(found.ids.to_pylist(), found.sums.tolist(), strict=True))


def complete(layer: Gains) -> Gains:
    layer.complete_since(NOW - 30 * DAY)
    return layer


def test_what_batches_gained_is_summed_by_video_over_each_window(layer: Gains) -> None:
    layer.stage([interval("a", NOW - 5 * MINUTE, 10), interval("b", NOW - 5 * MINUTE, 7)])
    layer.stage([interval("a", NOW - 65 * MINUTE, 20), interval("c", NOW - 30 * HOUR, 40, DAY)])
    layer.stage([interval("d", NOW - 3 * DAY, 70, 7 * DAY), interval("fell", NOW - DAY / 2, -9)])
    report = layer.publish(NOW)
    assert (report.parts_merged, report.problems) == (3, ())
    assert summed(layer, HOURLY) == {"a": 10, "b": 7}
    assert summed(layer, DAILY) == {"a": 30, "b": 7}
    assert summed(layer, WEEKLY) == {"a": 30, "b": 7, "c": 40, "d": 70}
    assert layer.publish(NOW).parts_merged == 0


def test_the_largest_sum_stands_first(layer: Gains) -> None:
    layer.stage([interval(name, NOW - MINUTE, gain) for name, gain in (("x", 1), ("y", 3), ("z", 2))])
    layer.publish(NOW)
    found = layer.of_window(DAILY, NOW)
    assert (found.ids.to_pylist(), found.sums.tolist(), found.readings) == (["y", "z", "x"], [3, 2, 1], 3)


def test_an_interval_that_began_too_early_tells_nothing_of_a_window(layer: Gains) -> None:
    layer.stage([interval("weekly", NOW - MINUTE, 700, 7 * DAY), interval("late", NOW - MINUTE, 90, 90 * MINUTE)])
    layer.publish(NOW)
    assert summed(layer, HOURLY) == {"late": 60}  # scaled down
    assert summed(layer, DAILY) == {"late": 90}
    assert summed(layer, WEEKLY) == {"late": 90, "weekly": 700}
    assert [layer.of_window(window, NOW).readings for window in WINDOWS.values()] == [1, 1, 2]


def test_a_part_that_is_merged_twice_counts_once(layer: Gains, storage: Storage) -> None:
    key = layer.stage([interval("a", NOW - MINUTE, 10)])
    assert key is not None
    data = storage.read(key).data
    layer.publish(NOW)
    storage.put(key, data)  # whoever was killed before it deleted what it had merged
    assert layer.publish(NOW).parts_merged == 1
    assert (summed(layer, DAILY), layer.of_window(DAILY, NOW).readings) == ({"a": 10}, 1)


def test_nothing_is_staged_where_nothing_was_read(layer: Gains, storage: Storage) -> None:
    assert layer.stage([]) is None
    assert list(storage.walk("")) == [each for each in storage.walk("") if layout.IDENTITY in each]


def test_gains_begin_with_the_first_publication_and_say_so(layer: Gains) -> None:
    assert layer.of_window(DAILY, NOW).since == NOW
    layer.stage([interval("a", NOW - MINUTE, 10)])
    layer.publish(NOW)
    found = layer.of_window(DAILY, NOW + 23 * HOUR)
    assert (found.since, found.left) == (NOW, None)
    later = layer.of_window(DAILY, NOW + 25 * HOUR)
    assert (later.since, later.left) == (None, 0)


# Bounds


def test_a_batch_stages_some_and_says_what_the_others_gained_at_most(layer: Gains) -> None:
    batch = [interval(f"v{number:05d}", NOW - MINUTE, number) for number in range(5_000)]
    random.Random(1).shuffle(batch)
    layer.stage(batch)
    complete(layer).publish(NOW)
    found = layer.of_window(DAILY, NOW)
    assert len(found.ids) == gains.MOST_STAGED
    assert found.ids[0].as_py() == "v04999"
    assert (found.readings, found.left) == (5_000, 3_999)


def test_an_hour_that_is_put_keeps_the_larger_bound_of_each_window(layer: Gains) -> None:
    layer.stage([interval(f"v{number:05d}", NOW - MINUTE, number) for number in range(5_000)])
    complete(layer).publish(NOW)
    found = ranking.table_of([interval("v04999", NOW - MINUTE, 4_999)])
    layer.put_hour(Partition.of(NOW), found, {5: (1, 1, 1)}, (0.0, 5_000.0, 7.0))
    assert [layer.of_window(window, NOW).left for window in (HOURLY, DAILY, WEEKLY)] == [3_999, 5_000, 3_999]


def test_an_hour_stays_small_however_many_batches_it_has(layer: Gains, storage: Storage) -> None:
    dice = np.random.default_rng(2)
    for batch in range(24):
        length = [HOUR, DAY, 7 * DAY][batch % 3]
        many = np.exp(dice.normal(4, 2.5, 5_000)).astype(int).tolist()
        layer.stage([interval(f"{batch:02d}x{n:08d}", NOW - MINUTE, gain, length) for n, gain in enumerate(many)])
    complete(layer).publish(NOW)
    key = layout.gains(Partition.of(NOW))
    with storage.open(key) as file:
        assert pq.ParquetFile(file).metadata.num_rows <= len(WINDOWS) * gains.MOST_KEPT
    assert dict(storage.walk(layout.GAINS))[key] < 300_000
    found = layer.of_window(HOURLY, NOW)
    assert found.left is not None
    assert found.left <= found.sums[gains.MOST_KEPT - 1]


def test_old_hours_go_and_nothing_grows_with_age(layer: Gains, storage: Storage) -> None:
    for hours in range(0, 24 * 10, 16):
        layer.stage([interval("a", NOW - hours * HOUR, 1)])
    layer.publish(NOW)
    assert len(layer.hours()) == 24 * 8 // 16 + 1
    assert layer.hours()[0].ends_at > NOW - gains.KEPT_FOR
    layer.publish(NOW + 20 * DAY)
    assert list(storage.walk(layout.GAINS)) == []


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 40), st.integers(-50, 5_000), st.sampled_from([1, 24])),
        max_size=60,
    ),
    st.integers(1, 5),
)
def test_what_is_left_out_gained_no_more_than_the_bound_says(
    readings: list[tuple[str, int, int, int]], most: int
) -> None:
    each_once = {(name, hours): (gain, length) for name, hours, gain, length in readings}
    table = ranking.table_of(
        [interval(name, NOW - hours * HOUR, gain, length * HOUR) for (name, hours), (gain, length) in each_once.items()]
    )
    kept, left = ranking.largest(table, most)
    keys = set(zip(kept["video_id"].to_pylist(), kept["until"].to_pylist(), strict=True))
    for number, window in enumerate(WINDOWS.values()):
        gained = ranking.scaled(table, window)
        for row, gain in zip(table.to_pylist(), gained.tolist(), strict=True):
            if (row["video_id"], row["until"]) not in keys and gain == gain:
                assert gain <= left[number]
        assert np.count_nonzero(np.nan_to_num(gained) > 0) <= most or len(keys) >= most


def test_intervals_are_counted_by_twelfths_of_an_hour(layer: Gains) -> None:
    for minutes in range(0, 120, 5):
        layer.stage([interval(f"v{minutes}", NOW - minutes * MINUTE, 1)])
    layer.publish(NOW)
    assert layer.of_window(HOURLY, NOW).readings in {12, 13}
    assert layer.of_window(HOURLY, NOW - HOUR).readings in {12, 13}
    assert layer.of_window(DAILY, NOW).readings == 24


# What goes wrong


def test_a_broken_part_is_set_aside_and_stops_no_other(layer: Gains, storage: Storage) -> None:
    bad = layer.stage([interval("a", NOW - MINUTE, 10)])
    layer.stage([interval("b", NOW - MINUTE, 10)])
    assert bad is not None
    storage.put(bad, b"PAR1 and nothing else")
    report = layer.publish(NOW)
    assert (report.parts_merged, len(report.quarantined)) == (1, 1)
    assert bad in report.problems[0]
    assert summed(layer, DAILY) == {"b": 10}
    assert [key for key, _ in storage.walk(layout.QUARANTINE)] == list(report.quarantined)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 nothing PAR1"])
def test_a_broken_hour_begins_again_and_nobody_calls_it_complete(
    layer: Gains, storage: Storage, content: bytes
) -> None:
    complete(layer).stage([interval("a", NOW - MINUTE, 10)])
    layer.publish(NOW)
    storage.put(layout.gains(Partition.of(NOW)), content)
    assert len(list(layer.problems())) == 1
    assert layer.lost_hours() == [Partition.of(NOW)]
    layer.stage([interval("b", NOW - MINUTE, 10)])
    report = layer.publish(NOW)
    assert len(report.quarantined) == len(report.problems) == 1
    found = layer.of_window(DAILY, NOW)
    assert (found.ids.to_pylist(), found.left) == (["b"], None)
    assert layer.lost_hours() == [Partition.of(NOW)]
    assert list(layer.problems()) == []


def test_a_damaged_state_begins_again(layer: Gains, storage: Storage) -> None:
    storage.put(layout.GAINS_STATE, b"{")
    assert any(layout.GAINS_STATE in problem for problem in layer.problems())
    layer.stage([interval("a", NOW - MINUTE, 10)])
    assert layout.GAINS_STATE in layer.publish(NOW).problems[0]
    assert layer.since() == NOW


def test_files_of_others_are_passed_over(layer: Gains, storage: Storage) -> None:
    for name in ("notes.txt", "2026-03-05T99.parquet", "x.parquet"):
        storage.put(f"{layout.GAINS}/{name}", b"?")
    assert (layer.hours(), list(layer.problems())) == ([], [])


# What is opened


class Counting(LocalStorage):
    """Tells what was read and written."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, layout.SCRATCH)
        self.touched: list[str] = []

    def read(self, key: str, **more: int | None):  # type: ignore[no-untyped-def]
        self.touched.append(key)
        return super().read(key, **more)

    def replace(self, key: str, data: bytes, **more: object) -> None:
        self.touched.append(key)
        super().replace(key, data, **more)  # type: ignore[arg-type]


def staged(layer: Gains, hours: Iterable[int]) -> Iterator[str | None]:
    for hour in hours:
        yield layer.stage([interval("a", NOW - hour * HOUR, 1)])


def test_a_publication_touches_what_is_new_and_a_window_its_hours(tmp_path: Path) -> None:
    storage = Counting(tmp_path)
    layer = Gains(storage, 5)
    assert all(staged(layer, range(24 * 8)))
    layer.publish(NOW)
    for hour in (0, 0, 0):
        assert all(staged(layer, [hour]))
    storage.touched.clear()
    layer.publish(NOW)
    assert len(storage.touched) == 1 + 3 + 2  # since when, three parts, the hour once read and once written
    for window, most in ((HOURLY, 2), (DAILY, 25), (WEEKLY, 169)):
        storage.touched.clear()
        layer.of_window(window, NOW)
        assert len(storage.touched) == most + 1


def test_the_schema_is_what_the_documentation_says(layer: Gains, storage: Storage) -> None:
    layer.stage([interval("a", NOW - MINUTE, 10)])
    layer.publish(NOW)
    table = pq.read_table(pa.BufferReader(storage.read(layout.gains(Partition.of(NOW))).data))
    assert table.schema.names == ["video_id", "since", "until", "before", "after"]


def test_a_run_on_an_object_store_sends_few_requests_at_any_age() -> None:
    bucket = CountingBucket()
    vault = vault_on(bucket)
    for hours in range(24 * 7, 0, -1):
        vault.prepared.stage_gains([interval("a", NOW - hours * HOUR, 1)])
    vault.prepared.publish_gains(NOW)
    for _ in range(4):
        vault.prepared.stage_gains([interval("a", NOW, 1)])
    with bucket.counted() as requests:
        vault.prepared.publish_gains(NOW)
    assert requests == Counter(LIST=2, GET=1 + 4 + 1, PUT=1, DELETE=1)
    with bucket.counted() as requests:
        vault.prepared.gains(HOURLY, NOW)
    assert requests == Counter(LIST=2, GET=2 + 1)  # one, once, to see that the vault is there
    for window, hours_read in ((HOURLY, 2), (DAILY, 25), (WEEKLY, 169)):
        with bucket.counted() as requests:
            vault.prepared.gains(window, NOW)
        assert requests == Counter(LIST=1, GET=hours_read + 1)
    with bucket.counted() as requests:  # what the page asks for
        vault.prepared.movers("week")
        vault.prepared.changes()
    assert sum(requests.values()) <= 4
