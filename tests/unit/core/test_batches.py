"""Sharing out what is due: sizes, fairness, tokens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.batches import (
    Batch,
    batch_size,
    in_whole_calls,
    make_batches,
    share_out,
)
from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.worth import INDEX_BORDERS


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
    # in as many calls as if there were one batch
    for queue, share in shares.items():
        assert sum(-(-batch.limit // 50) for batch in batches if batch.queue is queue) == -(-share // 50)


def test_a_token_is_small_plain_data() -> None:
    batch = Batch(Queue.DAILY, 500)
    token = json.loads(json.dumps(batch.as_dict()))
    assert token == {"queue": "DAILY", "limit": 500, "strict": False, "worth": 1.0}
    assert Batch.from_dict(token) == batch


classes = st.lists(st.integers(0, 1_000), min_size=6, max_size=6).map(
    lambda six: [0] * 40 + six + [0] * (len(INDEX_BORDERS) - 46)
)


@given(st.fixed_dictionaries(dict.fromkeys(Queue, classes)), st.integers(0, 20_000))
def test_a_budget_is_spent_whole_and_on_the_largest_indexes(due: dict[Queue, list[int]], budget: int) -> None:
    shares, cut = share_out(due, budget)
    total = sum(map(sum, due.values()))
    assert sum(shares.values()) == min(budget, total)
    assert all(shares[queue] <= sum(due[queue]) for queue in Queue)
    served = {queue: served_by_class(due[queue], shares[queue]) for queue in Queue}
    waiting = [i for queue in Queue for i, number in enumerate(due[queue]) if served[queue][i] < number]
    assert not any(served[queue][i] for queue in Queue for i in range(max(waiting, default=0)))
    assert cut == (INDEX_BORDERS[max(waiting)] if waiting else 0)


def served_by_class(counts: list[int], share: int) -> list[int]:
    """How a share falls on the classes of one queue, the largest index first."""
    served = [0] * len(counts)
    for number in reversed(range(len(counts))):
        served[number] = min(share, counts[number])
        share -= served[number]
    return served


def test_who_deserves_it_more_comes_first_wherever_it_waits() -> None:
    def number(index: float) -> int:
        return max(i for i, border in enumerate(INDEX_BORDERS) if border <= index)

    due = {queue: [0] * len(INDEX_BORDERS) for queue in Queue}
    due[Queue.HOURLY][number(0.2)] = 1
    due[Queue.ROSTER][number(1.1)] = 1
    shares, cut = share_out(due, 1)
    assert shares == dict.fromkeys(Queue, 0) | {Queue.ROSTER: 1}
    assert INDEX_BORDERS[number(0.2)] == cut <= 0.2
    assert share_out(due, 2) == (dict.fromkeys(Queue, 0) | {Queue.HOURLY: 1, Queue.ROSTER: 1}, 0)


@pytest.mark.parametrize(("worth", "waiting"), [(1.0, 500), (0.5, 1_090), (0.01, 54_473), (1e-9, 200_000)])
def test_a_batch_looks_at_as_many_as_fill_it(worth: float, waiting: int) -> None:
    assert Batch(Queue.ROSTER, 500, strict=True, worth=worth).waiting == waiting


def test_only_the_roster_has_videos_that_are_not_worth_it() -> None:
    batches = make_batches({Queue.ROSTER: 700, Queue.DAILY: 700}, 4, strict=True, worth=0.25)
    assert {batch.queue: batch.worth for batch in batches} == {Queue.ROSTER: 0.25, Queue.DAILY: 1.0}


@given(st.dictionaries(st.sampled_from(list(Queue)), st.integers(0, 3_000)))
def test_scarce_calls_are_filled(shares: dict[Queue, int]) -> None:
    filled = in_whole_calls(shares)
    assert filled.keys() == shares.keys()
    if max(shares.values(), default=0) < 50:
        assert sum(filled.values()) == max(shares.values(), default=0)
        return
    for queue, share in filled.items():
        assert share % 50 == 0
        assert 0 <= shares[queue] - share < 50


def test_a_single_call_is_not_torn_apart() -> None:
    assert in_whole_calls({Queue.HOURLY: 30, Queue.DAILY: 20}) == {Queue.HOURLY: 30, Queue.DAILY: 0}
