"""How the due videos are shared out among mapped tasks, and among tiers when quota is short."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ghost_tracking.core.tiers import Tier

SMALLEST_BATCH = 500
LARGEST_BATCH = 5_000

LATENESS_BORDERS: tuple[float, ...] = (0.0, *(2.0 ** (step / 4) for step in range(-20, 57)))
"""Borders of the classes of relative lateness (time overdue ÷ interval of the tier), 19 % apart."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A token for one mapped task: claim up to `limit` due videos of one tier."""

    tier: Tier
    limit: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tier": self.tier.value}

    @classmethod
    def from_dict(cls, token: Mapping[str, Any]) -> "Batch":
        return cls(Tier(token["tier"]), int(token["limit"]))


def batch_size(due: int, parallel_tasks: int) -> int:
    """Videos a batch: about three batches for each task that runs at a time, within what one task can carry.

    A task instance costs Airflow about a second, so small ones waste it; big ones hold their locks too long.
    """
    wanted = -(-due // (3 * parallel_tasks))
    return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH)


def share_out(due: Mapping[Tier, Sequence[int]], budget: int) -> dict[Tier, int]:
    """How many videos of each tier to track when only `budget` can be: the relatively latest first.

    `due[tier][i]` counts the due videos in lateness class i (see LATENESS_BORDERS), all tiers with the same
    number of classes. Classes are served from the latest down; the class in which the budget ends is shared in
    proportion. So a weekly video a day late waits behind an hourly one two hours late.
    """
    shares = dict.fromkeys(due, 0)
    classes = max((len(counts) for counts in due.values()), default=0)
    for lateness in reversed(range(classes)):
        counts = {tier: due[tier][lateness] for tier in due}
        total = sum(counts.values())
        if total <= budget:
            for tier, count in counts.items():
                shares[tier] += count
            budget -= total
            continue
        for tier, share in _in_proportion(counts, budget).items():
            shares[tier] += share
        break
    return shares


def _in_proportion(counts: Mapping[Tier, int], budget: int) -> dict[Tier, int]:
    """Split `budget` by largest remainder, which neither loses nor invents one."""
    total = sum(counts.values())
    shares = {tier: budget * count // total for tier, count in counts.items()}
    by_remainder = sorted(counts, key=lambda tier: -(budget * counts[tier] % total))
    for tier in by_remainder[: budget - sum(shares.values())]:
        shares[tier] += 1
    return shares


def make_batches(shares: Mapping[Tier, int], parallel_tasks: int) -> list[Batch]:
    """Cut each tier's share into batches of nearly equal size, of one tier each.

    Tiers share the number of batches that all of the videos would take together, so that three tiers take no more
    tasks than one; a tier with anything to do has one at least.
    """
    due = {tier: share for tier, share in shares.items() if share > 0}
    if not due:
        return []
    total = sum(due.values())
    together = -(-total // batch_size(total, parallel_tasks))
    more = _in_proportion(due, max(0, together - len(due)))
    batches = []
    for tier, share in due.items():
        number = max(1 + more[tier], -(-share // LARGEST_BATCH))
        base, longer = divmod(share, number)
        batches += [Batch(tier, base + (index < longer)) for index in range(number)]
    return batches
