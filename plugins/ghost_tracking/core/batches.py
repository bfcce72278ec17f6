"""How the due videos are shared out among mapped tasks, and among queues when quota is short."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ghost_tracking.core.budgets import IDS_PER_CALL
from ghost_tracking.core.tiers import Queue

SMALLEST_BATCH = 500
LARGEST_BATCH = 5_000

LATENESS_BORDERS: tuple[float, ...] = (0.0, *(2.0 ** (step / 4) for step in range(-20, 57)))
"""Borders of the classes of relative lateness (time overdue ÷ interval of the queue), 19 % apart."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of work for one mapped task: claim up to `limit` due videos of one queue.

    Chunks are asked for as a whole, so that a few more may be claimed, unless the limit is `strict`: then the rest of
    a chunk waits for its next read.
    """

    queue: Queue
    limit: int
    strict: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"queue": self.queue.value}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Batch":
        return cls(Queue(given["queue"]), int(given["limit"]), bool(given["strict"]))


def batch_size(due: int, parallel_tasks: int) -> int:
    """Videos a batch: about three batches for each task that runs at a time, within what one task can carry.

    A task instance costs Airflow about a second, so small ones waste it; big ones hold their locks too long.
    """
    wanted = -(-due // (3 * parallel_tasks))
    return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH)


def share_out(due: Mapping[Queue, Sequence[int]], budget: int) -> dict[Queue, int]:
    """How many videos of each queue to track when only `budget` can be: the relatively latest first.

    `due[queue][i]` counts the due videos in lateness class i (see LATENESS_BORDERS), all queues with the same
    number of classes. Classes are served from the latest down; the class in which the budget ends is shared in
    proportion. So a weekly video a day late waits behind an hourly one two hours late.
    """
    shares = dict.fromkeys(due, 0)
    classes = max((len(counts) for counts in due.values()), default=0)
    for lateness in reversed(range(classes)):
        counts = {queue: due[queue][lateness] for queue in due}
        total = sum(counts.values())
        if total <= budget:
            for queue, count in counts.items():
                shares[queue] += count
            budget -= total
            continue
        for queue, share in _in_proportion(counts, budget).items():
            shares[queue] += share
        break
    return shares


def in_whole_calls(shares: Mapping[Queue, int]) -> dict[Queue, int]:
    """Shares that fill as many calls as they are worth together: where calls are scarce, a half empty one is a loss.

    Rounded by largest remainder. A queue that gets nothing for it is relatively later in the next run, and goes first.
    """
    full = {queue: share // IDS_PER_CALL for queue, share in shares.items()}
    calls = sum(shares.values()) // IDS_PER_CALL
    by_remainder = sorted(shares, key=lambda queue: -(shares[queue] % IDS_PER_CALL))
    more = by_remainder[: calls - sum(full.values())]
    return {queue: IDS_PER_CALL * (number + (queue in more)) for queue, number in full.items()}


def _in_proportion(counts: Mapping[Queue, int], budget: int) -> dict[Queue, int]:
    """Split `budget` by largest remainder, which neither loses nor invents one."""
    total = sum(counts.values())
    shares = {queue: budget * count // total for queue, count in counts.items()}
    by_remainder = sorted(counts, key=lambda queue: -(budget * counts[queue] % total))
    for queue in by_remainder[: budget - sum(shares.values())]:
        shares[queue] += 1
    return shares


def make_batches(shares: Mapping[Queue, int], parallel_tasks: int, *, strict: bool = False) -> list[Batch]:
    """Cut each queue's share into batches of nearly equal size, of one queue each.

    Queues share the number of batches that all of the videos would take together, so that three of them take no more
    tasks than one; a queue with anything to do has one at least.
    """
    due = {queue: share for queue, share in shares.items() if share > 0}
    if not due:
        return []
    total = sum(due.values())
    together = -(-total // batch_size(total, parallel_tasks))
    more = _in_proportion(due, max(0, together - len(due)))
    batches = []
    for queue, share in due.items():
        number = max(1 + more[queue], -(-share // LARGEST_BATCH))
        base, longer = divmod(share, number)
        batches += [Batch(queue, base + (index < longer), strict) for index in range(number)]
    return batches
