"""What is remembered of a chunk's videos says of each what its row on the watchlist would say."""

import logging
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.gains import STILL, Interval
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.schedule import WatchlistEntry, after_reading
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import LATE, Known, ReadingRule, Shares, Sums
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout, roster_memory
from ghost_tracking.vault.roster_memory import ChunkMemory
from ghost_tracking.vault.storage import LocalStorage, Storage

START = datetime(2026, 1, 1, tzinfo=UTC)
BORN = START - timedelta(days=40)
SECOND, HOUR, DAY, WEEK = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7)


@pytest.fixture
def storage(vault_root: Path | ObjectStoragePath) -> Storage:
    hook = ParquetVaultHook(root=vault_root)
    hook.identity(create=True)
    return hook._storage


views = st.none() | st.integers(0, 10**11)
gains = st.none() | st.just(0.0) | st.floats(STILL, 1e9)


def reading(video_id: str, at: datetime, count: int | None) -> Reading:
    return Reading(video_id, at, count, None, None, BORN)


def rows_of(memory: ChunkMemory) -> list[tuple[int | None, datetime | None, float | None]]:
    """Views, when they were read, and the gain an hour, to nine digits."""
    rows = (memory.row(position, "v") for position in range(len(memory)))
    return [(row.views, row.last_tracked_at, _rounded(row.gain_per_hour)) for row in rows]


def _rounded(gain: float | None) -> float | None:
    return None if gain is None else float(f"{gain:.9g}")


@st.composite
def memories(draw: st.DrawFn, length: int = 12) -> ChunkMemory:
    columns: list[list[float]] = []
    for _ in range(length):
        count, gain = draw(views), draw(gains)
        second = draw(st.none() | st.integers(0, 10**6).map(lambda back: START.timestamp() - back))
        if second is None:  # nothing is known of who was never read
            count = gain = None
        if count is None:
            gain = None
        columns.append([math.nan if each is None else float(each) for each in (count, second, gain)])
    return ChunkMemory(*np.array(columns).T)


plans = st.builds(
    ReadingPlan,
    st.sampled_from(Policy),
    st.builds(
        ReadingRule,
        st.builds(Sums, st.integers(1, 10**5), st.floats(0, 1e5), st.floats(1e-3, 1e3)),
        st.floats(0.1, 1e5) | st.just(math.inf),
        st.sampled_from([Shares(), Shares(1, 0, 0), Shares(0, 1, 0), Shares(0, 0, 1)]),
        st.sampled_from([14 * DAY, 365 * DAY]),
    ),
    st.sampled_from([0.0, 0.5]),
    st.none() | st.just(WEEK),
)


@pytest.mark.parametrize("seed", range(10))
def test_it_learns_what_a_row_would(seed: int) -> None:
    dice = random.Random(seed)
    ids = [f"v{number}" for number in range(200)]
    rows, memory = [WatchlistEntry(id_, Tier.WEEKLY, anchor_at=BORN) for id_ in ids], ChunkMemory.empty(len(ids))
    now = START
    for _ in range(8):
        now += dice.choice([timedelta(0), timedelta(minutes=1), HOUR, WEEK, WEEK, 40 * DAY])
        found = {}
        for place, row in enumerate(rows):
            if dice.random() < 0.8:
                at = now + dice.choice([0, 0, 1, 100]) * SECOND
                count = int((row.views or 1_000) * dice.choice([0.9, 1, 1, 1.001, 3])) + dice.choice([0, 0, 7])
                found[row.video_id] = reading(row.video_id, at, dice.choice([count, count, count, None]))
                rows[place] = after_reading(row, found[row.video_id])
        memory = roster_memory.after(ids, memory, found)
        expected = [(row.views, row.last_tracked_at, _rounded(row.gain_per_hour)) for row in rows]
        assert rows_of(memory) == expected
    assert len({gain for _, _, gain in expected}) > 50


@given(memories(), memories(), plans, st.sets(st.integers(0, 11)))
def test_who_is_promoted_is_told_as_of_each(
    before: ChunkMemory, counts: ChunkMemory, plan: ReadingPlan, read: set[int]
) -> None:
    ids = [f"v{number}" for number in range(len(before))]
    told = [None if np.isnan(count) else int(count) for count in counts.views]
    found = {ids[place]: reading(ids[place], START + HOUR, told[place]) for place in read}
    now = roster_memory.after(ids, before, found)
    expected = [
        place
        for place in sorted(read)
        if plan.promotes(before.row(place, ids[place]).known, now.row(place, ids[place]).known)
    ]
    assert roster_memory.promoted(plan, before, now).tolist() == expected


@given(memories(), plans)
def test_indexes_and_sums_are_those_of_the_rows(memory: ChunkMemory, plan: ReadingPlan) -> None:
    at = START + 3 * HOUR
    rows = [memory.row(place, "v") for place in range(len(memory))]
    waits = [None if row.last_tracked_at is None else at - row.last_tracked_at for row in rows]
    # at its visit a chunk is allowed for as late as the last one may have been, and for the one to come
    expected = [
        math.inf
        if wait is not None and wait + WEEK > plan.rule.longest_wait
        else plan.rule.index(row.known, None if wait is None else wait + LATE)
        for row, wait in zip(rows, waits, strict=True)
    ]
    assert memory.index(plan, at) == pytest.approx(expected, rel=1e-9)
    here = [1, 2, 5, 11]
    sums = memory.sums(at, here)
    unread = [Known(None, None, Tier.WEEKLY) if wait is None else rows[place].known for place, wait in enumerate(waits)]
    told = Sums.of((unread[place], waits[place] or HOUR) for place in here)
    assert (sums.videos, sums.root_gains, sums.root_relative) == pytest.approx(
        (told.videos, told.root_gains, told.root_relative), rel=1e-9
    )


@given(memories())
def test_it_is_kept_but_for_less_than_a_hundredth_of_a_gain(
    tmp_path_factory: pytest.TempPathFactory, memory: ChunkMemory
) -> None:
    storage = LocalStorage(tmp_path_factory.mktemp("memory"), layout.SCRATCH)
    roster_memory.save(storage, "chunk", memory)
    loaded = roster_memory.load(storage, "chunk", len(memory))
    assert np.array_equal(loaded.views, memory.views, equal_nan=True)
    assert np.array_equal(loaded.seconds, memory.seconds, equal_nan=True)
    assert np.array_equal(loaded.gain == 0, memory.gain == 0)
    assert loaded.gain == pytest.approx(memory.gain, rel=0.01, nan_ok=True)
    # and is not worn away by being kept again and again
    roster_memory.save(storage, "chunk", loaded)
    assert np.array_equal(roster_memory.load(storage, "chunk", len(memory)).gain, loaded.gain, equal_nan=True)


def test_it_is_remembered_until_it_is_forgotten(storage: Storage) -> None:
    assert rows_of(roster_memory.load(storage, "chunk", 3)) == [(None, None, None)] * 3
    memory = ChunkMemory(np.array([5, np.nan, 7]), np.array([100, 100, np.nan]), np.array([0.0, np.nan, np.nan]))
    roster_memory.save(storage, "chunk", memory)
    roster_memory.save(storage, "other", ChunkMemory.empty(1))
    assert rows_of(roster_memory.load(storage, "chunk", 3)) == rows_of(memory)
    assert roster_memory.remembered(storage) == ["chunk", "other"]
    roster_memory.forget(storage, ["chunk", "never"])
    assert rows_of(roster_memory.load(storage, "chunk", 3)) == [(None, None, None)] * 3
    assert roster_memory.remembered(storage) == ["other"]


def test_a_new_chunk_takes_over_what_is_known() -> None:
    def memory(*counts: int) -> ChunkMemory:
        return ChunkMemory(*(np.array(counts, dtype=np.float64) * times for times in (1, 10, 100)))

    before = [(["b", "x", "a"], memory(1, 2, 3)), (["c"], ChunkMemory.empty(1)), (["y"], memory(4))]
    carried = roster_memory.carried(["a", "b", "c", "d"], before, {})
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert rows_of(carried) == [
        (3, epoch + 30 * SECOND, 300.0),
        (1, epoch + 10 * SECOND, 100.0),
        (None, None, None),
        (None, None, None),
    ]


def test_a_chunk_begins_with_what_the_watchlist_knew() -> None:
    old = ChunkMemory(np.array([7.0]), np.array([70.0]), np.array([700.0]))
    row = WatchlistEntry("a", last_tracked_at=START, views=5, gain_per_hour=0.5)
    rows = {
        "a": row,
        "b": replace(row, video_id="b", views=6),
        "d": replace(row, video_id="d", views=None, gain_per_hour=None),
        "e": WatchlistEntry("e"),
        "other": row,
    }
    carried = roster_memory.carried(["a", "b", "c", "d", "e"], [(["b"], old)], rows)
    # what a chunk knows of how a video grew stays with its count
    assert rows_of(carried) == [
        (5, START, 0.5),
        (7, datetime(1970, 1, 1, 0, 1, 10, tzinfo=UTC), 700.0),
        (None, None, None),
        (None, START, None),
        (None, None, None),
    ]
    later = START + WEEK
    found = {each: reading(each, later, 12) for each in ("a", "c", "d", "e")}
    gained = roster_memory.intervals(["a", "b", "c", "d", "e"], carried, found)
    assert gained == [Interval("a", START, later, 5, 12)]


def test_what_is_taken_stays_in_its_order() -> None:
    memory = ChunkMemory(*(np.arange(4.0) + start for start in (1, 10, 100)))
    taken = roster_memory.taken(memory, [3, None, 0])
    assert [taken.views[0], taken.seconds[0], taken.gain[0]] == [4, 13, 103]
    assert rows_of(taken)[1] == (None, None, None)
    assert taken.views[2] == 1


def test_what_is_broken_is_no_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = LocalStorage(tmp_path, layout.SCRATCH)
    known = ChunkMemory(*(np.ones(3) for _ in range(3)))
    roster_memory.save(storage, "chunk", known)
    with caplog.at_level(logging.WARNING):
        assert rows_of(roster_memory.load(storage, "chunk", 4)) == [(None, None, None)] * 4
        file = tmp_path / layout.roster_memory("chunk")
        file.write_bytes(file.read_bytes()[:-9])
        assert rows_of(roster_memory.load(storage, "chunk", 3)) == [(None, None, None)] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "roster/memory/chunk.parquet has 3 videos" in caplog.messages[0]
    assert "roster/memory/chunk.parquet is not an intact Parquet file" in caplog.messages[1]


def test_a_chunk_takes_few_bytes(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path, layout.SCRATCH)
    dice = np.random.default_rng(1)
    counts = np.floor(np.exp(dice.normal(6, 2.5, 5_000)))
    gained = counts / 168 * np.exp(dice.normal(-6, 1.5, 5_000))
    seconds = 1_770_000_000.0 + np.repeat(np.arange(100), 50)
    roster_memory.save(storage, "chunk", ChunkMemory(counts, seconds, gained))
    assert (tmp_path / layout.roster_memory("chunk")).stat().st_size < 4 * 5_000


def test_nobody_is_promoted_without_a_policy_that_does_so() -> None:
    before = ChunkMemory(np.zeros(2), np.zeros(2), np.zeros(2))
    now = ChunkMemory(np.full(2, 1e6), np.full(2, 7e5), np.full(2, 1e6))
    assert roster_memory.promoted(EVERY_SLOT, before, now).tolist() == []
