"""Sharing out what is due: sizes, fairness, tokens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.batches import (
    LATENESS_BORDERS,
    Batch,
    batch_size,
    in_whole_calls,
    make_batches,
    share_out,
)
from ghost_tracking.core.tiers import Queue


@pytest.mark.parametrize(
    ("due", "size"), [(1, 500), (6_000, 500), (20_000, 1_667), (100_000, 5_000), (9_999_999, 5_000)]
)
def test_batch_size(due: int, size: int) -> None:
    assert batch_size(due, parallel_tasks=4) == size


@pytest.mark.parametrize("shares", [(20_000, 0, 0), (2_500, 8_500, 9_000), (12_000, 5_500, 2_500), (19_998, 1, 1)])
def test_twenty_thousand_due_videos_take_twelve_tasks_whatever_their_tiers(shares: tuple[int, ...]) -> None:
    batches = make_batches(dict(zip(Queue, shares, strict=False)), parallel_tasks=4)
    assert len(batches) == 12
    assert max(batch.limit for batch in batches) <= 2_500


@given(st.dictionaries(st.sampled_from(list(Queue)), st.integers(0, 300_000)), st.integers(1, 16))
def test_batches_cover_each_share_exactly(shares: dict[Queue, int], parallel: int) -> None:
    batches = make_batches(shares, parallel)
    for queue in Queue:
        assert sum(batch.limit for batch in batches if batch.queue is queue) == shares.get(queue, 0)
    assert all(0 < batch.limit <= 5_000 for batch in batches)


def test_a_token_is_small_plain_data() -> None:
    batch = Batch(Queue.DAILY, 500)
    token = json.loads(json.dumps(batch.as_dict()))
    assert token == {"queue": "DAILY", "limit": 500, "strict": False}
    assert Batch.from_dict(token) == batch


classes = st.lists(st.integers(0, 1_000), min_size=6, max_size=6)


@given(st.fixed_dictionaries(dict.fromkeys(Queue, classes)), st.integers(0, 20_000))
def test_a_budget_is_spent_whole_and_on_the_relatively_latest(due: dict[Queue, list[int]], budget: int) -> None:
    shares = share_out(due, budget)
    total = sum(map(sum, due.values()))
    assert sum(shares.values()) == min(budget, total)
    assert all(shares[queue] <= sum(due[queue]) for queue in Queue)
    served = {queue: served_by_class(due[queue], shares[queue]) for queue in Queue}
    waiting = [i for queue in Queue for i in range(6) if served[queue][i] < due[queue][i]]
    assert not any(served[queue][i] for queue in Queue for i in range(max(waiting, default=0)))


def served_by_class(counts: list[int], share: int) -> list[int]:
    """How a share falls on the classes of one queue, the latest first."""
    served = [0] * len(counts)
    for lateness in reversed(range(len(counts))):
        served[lateness] = min(share, counts[lateness])
        share -= served[lateness]
    return served


def test_a_weekly_video_a_day_late_waits_behind_an_hourly_one_two_hours_late() -> None:
    def lateness(ratio: float) -> int:
        return max(i for i, border in enumerate(LATENESS_BORDERS) if border <= ratio)

    due = {queue: [0] * len(LATENESS_BORDERS) for queue in Queue}
    due[Queue.HOURLY][lateness(2.0)] = 1
    due[Queue.WEEKLY][lateness(1 / 7)] = 1
    assert share_out(due, 1) == dict.fromkeys(Queue, 0) | {Queue.HOURLY: 1}


@given(st.dictionaries(st.sampled_from(list(Queue)), st.integers(0, 3_000)))
def test_scarce_calls_are_filled(shares: dict[Queue, int]) -> None:
    filled = in_whole_calls(shares)
    assert sum(filled.values()) == sum(shares.values()) // 50 * 50
    for queue, share in filled.items():
        assert share % 50 == 0
        assert abs(share - shares[queue]) < 50


def test_a_single_call_is_not_torn_apart() -> None:
    assert in_whole_calls({Queue.HOURLY: 30, Queue.DAILY: 20}) == {Queue.HOURLY: 50, Queue.DAILY: 0}
