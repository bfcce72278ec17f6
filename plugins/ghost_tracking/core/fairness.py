"""Who is read how often: by tier, from the coverage ledger, and by how much videos gain.

Only for people: nothing is decided by it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from ghost_tracking.core.audits import AuditErrors, Estimate
from ghost_tracking.core.policies import Policy
from ghost_tracking.core.tiers import Tier

GAIN_BORDERS: Final = (1.0, 10.0, 100.0, 1_000.0)
"""Views gained a day, between the classes of liveliness."""
UNKNOWN: Final = -1
"""The class of videos of which it is not known what they gain: of one count, or of none."""
CLASSES: Final = (*range(len(GAIN_BORDERS) + 1), UNKNOWN)

POLICIES: Final = {
    Policy.TIERS: "Every slot of every tier is read while the quota lasts. Where it does not, those slots are left out "
    "at which least is to be seen: the due videos with the largest index are read, and the index of a video follows "
    "how long it has waited, what it gained of late and how large it is.",
    Policy.THRIFTY: "A video is read at the slots of its tier and at no other time, but slots at which little is to be "
    "seen are left out, also where the quota would last: so many that the share of readings that is set in "
    "thrifty_saves is saved over the weeks. Curves stay comparable at the same age.",
    Policy.ADAPTIVE: "There are no slots: each video is read again after its own interval, which follows what it gains "
    "and lies between a run of the tracker and the longest wait. All of the day's quota is used, since what is left "
    "over at midnight Pacific time is worth nothing.",
}
"""Each policy in a paragraph."""


@dataclass(frozen=True, slots=True)
class TierSlots:
    """The slots of a tier in the last so many hours, and what became of them."""

    tier: Tier
    hours: int
    served: int = 0
    skipped: int = 0
    missed: int = 0

    @property
    def slots(self) -> int:
        return self.served + self.skipped + self.missed

    @property
    def skipped_share(self) -> float:
        """The share of the slots that were left out on purpose; 0 where there were none."""
        return self.skipped / self.slots if self.slots else 0.0

    @property
    def interval(self) -> timedelta | None:
        """How long videos really waited between two readings on average; None where there was no reading."""
        return self.tier.interval * (self.slots / self.served) if self.served else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data: seconds."""
        return {
            "tier": self.tier.value,
            "hours": self.hours,
            "served": self.served,
            "skipped": self.skipped,
            "missed": self.missed,
            "planned_seconds": round(self.tier.interval.total_seconds()),
            "interval_seconds": self.interval and round(self.interval.total_seconds()),
        }


@dataclass(frozen=True, slots=True)
class Liveliness:
    """Videos of a class: how many, and their means.

    `planned`: the interval of their tiers; `interval`: that which the policy gives them; `age`: of their newest count,
    None where none has one.
    """

    number: int
    videos: int
    planned: timedelta
    interval: timedelta
    age: timedelta | None

    @property
    def least(self) -> float | None:
        """Views gained a day, at least; None where that is not known."""
        if self.number == UNKNOWN:
            return None
        return GAIN_BORDERS[self.number - 1] if self.number else 0.0

    @property
    def below(self) -> float | None:
        """Views gained a day, less than these; None where that is not known, or without end."""
        return GAIN_BORDERS[self.number] if 0 <= self.number < len(GAIN_BORDERS) else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data: views a day, seconds."""
        return {
            "least_a_day": self.least,
            "below_a_day": self.below,
            "videos": self.videos,
            "planned_seconds": round(self.planned.total_seconds()),
            "interval_seconds": round(self.interval.total_seconds()),
            "age_seconds": None if self.age is None else round(self.age.total_seconds()),
        }


@dataclass(frozen=True, slots=True)
class ClassSums:
    """Over videos of a class: how many, hours of their tiers' intervals and of those that the policy gives them; over
    the `read` ones of them, the hours since their last readings."""

    videos: float = 0.0
    planned: float = 0.0
    interval: float = 0.0
    age: float = 0.0
    read: float = 0.0

    def plus(self, other: "ClassSums", times: float = 1.0) -> "ClassSums":
        """With what others are, so many times."""
        names = self.__dataclass_fields__
        return ClassSums(*(getattr(self, name) + times * getattr(other, name) for name in names))


@dataclass(frozen=True, slots=True)
class LivelinessSums:
    """The sums by class; those of parts add up."""

    classes: Mapping[int, ClassSums] = field(default_factory=dict)

    def __add__(self, other: "LivelinessSums") -> "LivelinessSums":
        return self.plus(other)

    def plus(self, other: "LivelinessSums", times: float = 1.0) -> "LivelinessSums":
        """With what others are, so many times: a sample of them stands for all."""
        nobody = ClassSums()
        return LivelinessSums(
            {
                number: self.classes.get(number, nobody).plus(other.classes.get(number, nobody), times)
                for number in CLASSES
            }
        )

    def means(self) -> list[Liveliness]:
        """The classes that have any video."""
        hour = timedelta(hours=1)
        return [
            Liveliness(
                number,
                round(each.videos),
                each.planned / each.videos * hour,
                each.interval / each.videos * hour,
                each.age / each.read * hour if each.read else None,
            )
            for number, each in self.classes.items()
            if round(each.videos)
        ]


@dataclass(frozen=True, slots=True)
class LivelinessCount:
    """What was counted by class at a time (aware), under a policy."""

    counted_at: datetime
    policy: str
    classes: Sequence[Liveliness]

    @property
    def videos(self) -> int:
        return sum(each.videos for each in self.classes)

    @property
    def is_known(self) -> bool:
        """Whether it is known of most of the videos what they gain."""
        return 2 * sum(each.videos for each in self.classes if each.number != UNKNOWN) >= self.videos > 0


@dataclass(frozen=True, slots=True)
class MeasuredError:
    """A mean error, as audits tell: in views and as a share of the count (0.01 is 1 %).

    Each with how far it may be off, in nineteen of twenty cases.
    """

    views: float
    views_within: float
    share: float
    share_within: float
    audits: int

    @classmethod
    def of(cls, views: Estimate | None, log: Estimate | None) -> "MeasuredError | None":
        """None where there are too few audits."""
        if views is None or log is None:
            return None
        return cls(views.mean, views.within, math.expm1(log.mean), math.exp(log.mean) * log.within, views.audits)

    def as_dict(self) -> dict[str, Any]:
        return {
            "views": round(self.views, 1),
            "views_within": round(self.views_within, 1),
            "percent": round(100 * self.share, 2),
            "percent_within": round(100 * self.share_within, 2),
            "audits": self.audits,
        }


@dataclass(frozen=True, slots=True)
class Fairness:
    """How readings are shared out: by which policy, and why slots are left out now; None: none is.

    `skipped`: the share of all slots that is left out in the long run.
    """

    policy: Policy
    why: str | None
    skipped: float
    tiers: Sequence[TierSlots]
    liveliness: LivelinessCount | None
    errors: AuditErrors

    @property
    def text(self) -> str:
        """The policy in a paragraph."""
        return POLICIES[self.policy]

    @property
    def held_error(self) -> MeasuredError | None:
        """How wrong the newest count of a video is at any moment."""
        return MeasuredError.of(self.errors.held, self.errors.held_log)

    @property
    def curve_error(self) -> MeasuredError | None:
        """How wrong the line between two readings of a video is."""
        return MeasuredError.of(self.errors.curve, self.errors.curve_log)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: times as ISO 8601, intervals in seconds, null for what is not known."""
        count, held, curve = self.liveliness, self.held_error, self.curve_error
        return {
            "policy": self.policy.value,
            "why": self.why,
            "tiers": [each.as_dict() for each in self.tiers],
            "liveliness": {
                "counted_at": count and count.counted_at.isoformat(),
                "classes": [each.as_dict() for each in count.classes] if count else [],
            },
            "error_of_last_count": held and held.as_dict(),
            "error_of_curve": curve and curve.as_dict(),
        }


def why_skipped(policy: Policy, skipped: float, *, is_short: bool, is_known: bool) -> str | None:
    """Why slots are left out now, in a sentence; None: none is."""
    if policy is Policy.ADAPTIVE:
        return "There are no slots: each video has its own interval."
    if is_short and not is_known:
        return f"Quota is short: {skipped:.0%} of all slots are left out, evenly until it is known what videos gain."
    if is_short:
        return f"Quota is short: {skipped:.0%} of all slots are left out, where least is to be seen."
    if policy is Policy.THRIFTY and skipped > 0:
        return f"To save quota, {skipped:.0%} of all slots are left out, where least is to be seen."
    return None


def video_reason(policy: Policy, *, leaves_out: bool, is_promoted: bool, on_roster: bool) -> str:
    """Why a video is read when it is, in a sentence."""
    if policy is Policy.ADAPTIVE:
        visits = " Settled videos are looked at once a week." if on_roster else ""
        return f"It is read after its own interval, which follows what it gains and how large it is.{visits}"
    if is_promoted:
        return "It came alive, and is read daily for a while."
    if not leaves_out:
        return "Every slot of its tier is read."
    saving = "To save quota" if policy is Policy.THRIFTY else "Quota is short"
    return f"{saving}: slots at which little is to be seen are left out, by what it gains and how large it is."
