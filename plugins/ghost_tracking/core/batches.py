"""How the due videos are shared out among mapped tasks, and among queues when quota is short."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ghost_tracking.core.budgets import IDS_PER_CALL, calls_for
from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.worth import INDEX_BORDERS

SMALLEST_BATCH = 500
LARGEST_BATCH = 5_000

MOST_WAITING = 200_000
"""Videos of the roster that one batch looks at, to ask for those that are worth it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of work for one mapped task: claim up to `limit` due videos of one queue.

    Chunks are asked for as a whole, so that a few more may be claimed, unless the limit is `strict`: then the rest of
    a chunk waits for its next read. `worth`: the share of their videos that is expected to be worth a reading.
    """

    queue: Queue
    limit: int
    strict: bool = False
    worth: float = 1.0

    @property
    def waiting(self) -> int:
        """How many waiting videos of the roster to look at, so that the limit is nearly always filled.

        Two standard deviations more than are expected to do so, or half of the calls would not be full.
        """
        if self.worth >= 1:
            return self.limit
        wanted = self.limit + 2 * math.sqrt(self.limit)
        return max(self.limit, math.ceil(min(wanted / max(self.worth, 1e-6), MOST_WAITING)))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"queue": self.queue.value}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Batch":
        return cls(Queue(given["queue"]), int(given["limit"]), bool(given["strict"]), float(given["worth"]))


def batch_size(due: int, parallel_tasks: int) -> int:
    """Videos a batch: about three batches for each task that runs at a time, within what one task can carry.

    A task instance costs Airflow about a second, so small ones waste it; big ones hold their locks too long.
    """
    wanted = -(-due // (3 * parallel_tasks))
    return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH)


def share_out(due: Mapping[Queue, Sequence[int]], budget: int) -> tuple[dict[Queue, int], float]:
    """How many videos of each queue to track when only `budget` can be, and the cut: the smallest index among them.

    `due[queue][i]` counts the due videos in class i of the index (see `worth.INDEX_BORDERS`). Classes are served from
    the largest index down; the class in which the budget ends is shared in proportion. The cut is 0 where all fit.
    """
    shares = dict.fromkeys(due, 0)
    for number, border in reversed(list(enumerate(INDEX_BORDERS))):
        counts = {queue: due[queue][number] for queue in due}
        total = sum(counts.values())
        if total <= budget:
            for queue, count in counts.items():
                shares[queue] += count
            budget -= total
            continue
        for queue, share in in_proportion(counts, budget).items():
            shares[queue] += share
        return shares, max(border, INDEX_BORDERS[1])
    return shares, 0.0


def in_whole_calls(shares: Mapping[Queue, int]) -> dict[Queue, int]:
    """Shares that fill their calls, of which none has videos of two queues: where calls are scarce, a half empty one
    is a loss.

    Rounded down: what is left over waits for the next run, with larger indexes, and the calls that it would take are
    left for it. A share that was rounded up would not fill its call, as nobody else of that queue is worth one. Where
    no share fills a call, the largest is kept as it is, or nobody would ever be read.
    """
    whole = {queue: share // IDS_PER_CALL * IDS_PER_CALL for queue, share in shares.items()}
    if any(whole.values()) or not shares:
        return whole
    largest = max(shares, key=lambda queue: shares[queue])
    return whole | {largest: shares[largest]}


def in_proportion(counts: Mapping[Queue, int], budget: int) -> dict[Queue, int]:
    """Split `budget` by largest remainder, which neither loses nor invents one."""
    total = sum(counts.values())
    shares = {queue: budget * count // total for queue, count in counts.items()}
    by_remainder = sorted(counts, key=lambda queue: -(budget * counts[queue] % total))
    for queue in by_remainder[: budget - sum(shares.values())]:
        shares[queue] += 1
    return shares


def make_batches(
    shares: Mapping[Queue, int], parallel_tasks: int, *, strict: bool = False, worth: float = 1.0
) -> list[Batch]:
    """Cut each queue's share into batches of nearly as many calls, of one queue each; the last of them may not be full.

    `worth`: the share of the roster's due videos that is worth a reading.

    Queues share the number of batches that all of the videos would take together, so that three of them take no more
    tasks than one; a queue with anything to do has one at least.
    """
    due = {queue: share for queue, share in shares.items() if share > 0}
    if not due:
        return []
    total = sum(due.values())
    together = -(-total // batch_size(total, parallel_tasks))
    more = in_proportion(due, max(0, together - len(due)))
    batches = []
    for queue, share in due.items():
        calls = calls_for(share)
        number = min(calls, max(1 + more[queue], -(-share // LARGEST_BATCH)))
        ends = [min(share, calls * place // number * IDS_PER_CALL) for place in range(number + 1)]
        of_queue = worth if queue is Queue.ROSTER else 1.0
        batches += [Batch(queue, end - begin, strict, of_queue) for begin, end in pairwise(ends)]
    return batches
