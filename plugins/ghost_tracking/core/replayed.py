"""Errors that a policy of reading may be expected to leave, as replays have found them.

Source: docs/benchmarks.md, `policy`, the table of sixty days (`make bench ARGS=policy`): errors relative to reading
every slot, by the share of the tiers' readings that is made. Between two shares they are interpolated, logarithms along
logarithms. The replayed videos are synthetic: take it for an order of magnitude.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from ghost_tracking.core.policies import Policy


@dataclass(frozen=True, slots=True)
class Errors:
    """Mean errors of the last known count (`held`) and of the curve, in views and in per cent; 1: as in tiers."""

    held: float
    held_log: float
    curve: float
    curve_log: float

    def as_dict(self) -> dict[str, Any]:
        return {name: round(getattr(self, name), 2) for name in self.__dataclass_fields__}


_AS_TIERS: Final = Errors(1, 1, 1, 1)

REPLAYED: Final[Mapping[Policy, tuple[tuple[float, Errors], ...]]] = {
    Policy.TIERS: (
        (0.25, Errors(1.43, 2.68, 3.36, 7.31)),
        (0.51, Errors(1.10, 1.37, 1.25, 1.73)),
        (1.0, _AS_TIERS),
    ),
    Policy.THRIFTY: (
        (0.24, Errors(1.23, 2.47, 1.48, 2.66)),
        (0.47, Errors(1.01, 1.09, 1.01, 1.08)),
        (1.0, _AS_TIERS),
    ),
    Policy.ADAPTIVE: (
        (0.25, Errors(1.13, 3.08, 3.00, 9.88)),
        (0.51, Errors(0.62, 1.35, 0.83, 1.84)),
        (1.01, Errors(0.31, 0.58, 0.29, 0.75)),
    ),
}


def expected_errors(policy: Policy, share: float) -> Errors | None:
    """What a policy may be expected to leave where so many readings are made as a share of those of every slot.

    None below the smallest share that was replayed; above the largest one, as with that: nobody has tried more.
    """
    points = REPLAYED[policy]
    if share < points[0][0]:
        return None
    for (less, there), (more, here) in pairwise(points):
        if share <= more:
            part = math.log(share / less) / math.log(more / less)
            names = Errors.__dataclass_fields__
            return Errors(*(_between(getattr(there, name), getattr(here, name), part) for name in names))
    return points[-1][1]


def _between(one: float, other: float, part: float) -> float:
    return math.exp(math.log(one) * (1 - part) + math.log(other) * part)
