"""Samples of one quantity: what is printed is their median, with the lowest and the highest beside it."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Samples:
    """Measurements of one thing in one unit, in the order in which they were taken."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle of them; StatisticsError when there are none."""
        return statistics.median(self.values)

    def text(self, unit: str, *, scale: float = 1.0) -> str:
        """Such as `12.3 ms (11.9 to 14.0)`; `scale` turns the samples' unit into this one."""
        middle = f"{figure(self.median * scale)} {unit}"
        if len(self.values) == 1:
            return middle
        return f"{middle} ({figure(min(self.values) * scale)} to {figure(max(self.values) * scale)})"

    def over(self, other: "Samples") -> str:
        """How many times the other's median this one's is, such as `1.7 ×`."""
        return f"{figure(self.median / other.median)} ×"

    @contextmanager
    def timed(self, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
        """Add the seconds that the block takes, by this clock."""
        begin = clock()
        yield
        self.values.append(clock() - begin)


def timed(work: Callable[[], object], repeat: int) -> Samples:
    """The seconds of each of `repeat` calls."""
    samples = Samples()
    for _ in range(repeat):
        with samples.timed():
            work()
    return samples


def figure(value: float) -> str:
    """A number with about three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def judged(name: str, measured: str, bound: str, holds: bool) -> list[str]:
    """A row of a table: what was measured, what the project wants of itself, and whether it is so."""
    return [name, measured, bound, "holds" if holds else "MISSED"]
