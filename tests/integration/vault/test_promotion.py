"""What is remembered of a chunk's videos says what the rule says, and is nobody's loss."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from airflow.sdk import ObjectStoragePath

from ghost_tracking.core.gains import Interval
from ghost_tracking.core.promotion import PromotionRule
from ghost_tracking.core.videos import Reading
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.services.tracking import promotion_rule
from ghost_tracking.settings import parse_settings
from ghost_tracking.vault import layout, promotion
from ghost_tracking.vault.storage import LocalStorage, Storage
from promotion_oracle import Trend, is_hot, trend_after

START = datetime(2026, 1, 1, tzinfo=UTC)
RULE = PromotionRule(2, 100, timedelta(days=7))


@pytest.fixture
def storage(vault_root: Path | ObjectStoragePath) -> Storage:
    hook = ParquetVaultHook(root=vault_root)
    hook.identity(create=True)
    return hook._storage


def test_the_rule_is_set_or_off() -> None:
    assert promotion_rule(parse_settings("{}")) == PromotionRule(5, 1_000, timedelta(days=7))
    assert promotion_rule(parse_settings('{"promotion_factor": null}')) is None


def trends(memory: promotion.TrendState) -> list[Trend | None]:
    return [
        None
        if views == promotion.UNKNOWN
        else Trend(int(views), datetime.fromtimestamp(seconds, UTC), None if gain == promotion.UNKNOWN else int(gain))
        for views, seconds, gain in zip(memory.views, memory.seconds, memory.gain_a_day, strict=True)
    ]


def test_both_rules_agree_whatever_is_read() -> None:
    ids = [f"v{number}" for number in range(500)]
    for seed in range(20):
        dice = random.Random(seed)
        expected: list[Trend | None] = [None] * len(ids)
        memory, hot_ones = None, 0
        views, now = [dice.choice([0, 10, 10_000, 10**10]) for _ in ids], START
        for _ in range(8):
            now += timedelta(days=dice.choice([0, 0.5, 1, 7, 7, 7, 40]))
            views = [int(count * dice.choice([0.9, 1, 1, 1.01, 1.1, 3])) + dice.choice([0, 5_000]) for count in views]
            found = {
                video_id: Reading(video_id, at, dice.choice([count, count, count, None]), None, None, None)
                for video_id, count in zip(ids, views, strict=True)
                if dice.random() < 0.8
                for at in [now + timedelta(seconds=dice.choice([0, 1, 100]))]
            }
            counts, seconds = promotion.counted(ids, found)
            read = [found.get(video_id) or Reading(video_id, now, None, None, None, None) for video_id in ids]
            hot = [
                position
                for position, (trend, each) in enumerate(zip(expected, read, strict=True))
                if is_hot(trend, each.views, each.observed_at, RULE)
            ]
            assert promotion.promoted(memory, counts, seconds, RULE).tolist() == hot
            hot_ones += len(hot)
            memory = promotion.after(memory, counts, seconds)
            expected = [trend_after(t, r.views, r.observed_at) for t, r in zip(expected, read, strict=True)]
            assert trends(memory) == expected
        assert hot_ones > 50
        assert promotion.promoted(memory, counts, seconds, None).tolist() == []


def test_it_is_remembered_until_it_is_forgotten(storage: Storage) -> None:
    assert promotion.load(storage, "chunk", 3) is None
    memory = promotion.after(None, np.array([5, promotion.UNKNOWN, 7]), np.array([100, promotion.UNKNOWN, 200]))
    promotion.save(storage, "chunk", memory)
    promotion.save(storage, "other", promotion.TrendState.empty(1))
    loaded = promotion.load(storage, "chunk", 3)
    assert loaded is not None
    assert trends(loaded) == trends(memory)
    assert promotion.remembered(storage) == ["chunk", "other"]
    promotion.forget(storage, ["chunk", "never"])
    assert (promotion.load(storage, "chunk", 3), promotion.remembered(storage)) == (None, ["other"])


def test_a_new_chunk_takes_over_what_is_known() -> None:
    def memory(*views: int) -> promotion.TrendState:
        return promotion.TrendState(np.array(views), np.array(views) * 10, np.array(views) * 100)

    carried = promotion.carried(
        ["a", "b", "c", "d"], [(["b", "x", "a"], memory(1, 2, 3)), (["c"], None), (["y"], memory(4))], {}
    )
    assert carried.views.tolist() == [3, 1, promotion.UNKNOWN, promotion.UNKNOWN]
    assert carried.seconds.tolist() == [30, 10, promotion.UNKNOWN, promotion.UNKNOWN]
    assert carried.gain_a_day.tolist() == [300, 100, promotion.UNKNOWN, promotion.UNKNOWN]


def test_a_chunk_begins_with_the_last_counts_of_the_watchlist() -> None:
    read_at = datetime(2026, 1, 1, tzinfo=UTC)
    old = promotion.TrendState(np.array([7]), np.array([70]), np.array([700]))
    carried = promotion.carried(["a", "b", "c"], [(["b"], old)], {"a": (5, read_at), "b": (6, read_at)})
    # what a chunk knows of how a video grew stays with its count
    assert carried.views.tolist() == [5, 7, promotion.UNKNOWN]
    assert carried.seconds.tolist() == [int(read_at.timestamp()), 70, promotion.UNKNOWN]
    assert carried.gain_a_day.tolist() == [promotion.UNKNOWN, 700, promotion.UNKNOWN]
    later = read_at + timedelta(days=7)
    found = {"a": Reading("a", later, 12, None, None, None), "c": Reading("c", later, 9, None, None, None)}
    assert promotion.intervals(["a", "b", "c"], carried, found) == [Interval("a", read_at, later, 5, 12)]


def test_what_is_broken_is_no_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = LocalStorage(tmp_path, layout.SCRATCH)
    promotion.save(storage, "chunk", promotion.TrendState.empty(3))
    assert promotion.load(storage, "chunk", 4) is None
    file = tmp_path / layout.promotion("chunk")
    file.write_bytes(file.read_bytes()[:-9])
    assert promotion.load(storage, "chunk", 3) is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "roster/promotion/chunk.parquet has 3 videos" in caplog.messages[0]
    assert "roster/promotion/chunk.parquet is not an intact Parquet file" in caplog.messages[1]


def test_a_chunk_takes_few_bytes(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path, layout.SCRATCH)
    dice = np.random.default_rng(1)
    views = np.exp(dice.normal(6, 2.5, 5_000)).astype(np.int64)
    gains = (views * np.exp(dice.normal(-6, 1.5, 5_000))).astype(np.int64)
    promotion.save(storage, "chunk", promotion.TrendState(views, 1_770_000_000 + np.repeat(np.arange(100), 50), gains))
    assert (tmp_path / layout.promotion("chunk")).stat().st_size < 4 * 5_000
