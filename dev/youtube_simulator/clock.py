"""The simulator's clock: the wall clock with an offset, or a time that stands still."""

import threading
from datetime import UTC, datetime, timedelta


def as_utc(moment: datetime) -> datetime:
    """Give the moment in UTC; raise ValueError when it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone: give an aware datetime")
    return moment.astimezone(UTC)


class SimulatorClock:
    """Say what time it is in the simulated universe, always as an aware UTC datetime."""

    def __init__(self, frozen_at: datetime | None = None) -> None:
        """Follow the wall clock, or stand still at `frozen_at` (aware)."""
        self._lock = threading.Lock()
        self._offset = timedelta(0)
        self._frozen_at = None if frozen_at is None else as_utc(frozen_at)

    def now(self) -> datetime:
        """Give the present time, UTC."""
        with self._lock:
            return self._now()

    def _now(self) -> datetime:
        return self._frozen_at if self._frozen_at is not None else datetime.now(UTC) + self._offset

    @property
    def offset(self) -> timedelta:
        """How far the running clock is ahead of the wall clock."""
        return self._offset

    @property
    def frozen(self) -> bool:
        """Whether the clock stands still."""
        return self._frozen_at is not None

    def set_offset(self, offset: timedelta) -> None:
        """Let the clock run, `offset` ahead of the wall clock (negative: behind it)."""
        with self._lock:
            self._offset = offset
            self._frozen_at = None

    def freeze(self, at: datetime | None = None) -> None:
        """Stop the clock, at `at` (aware) or at the present time."""
        with self._lock:
            self._frozen_at = self._now() if at is None else as_utc(at)

    def resume(self) -> None:
        """Let a stopped clock run on from where it stands."""
        with self._lock:
            if self._frozen_at is not None:
                self._offset = self._frozen_at - datetime.now(UTC)
                self._frozen_at = None

    def advance(self, delta: timedelta) -> datetime:
        """Move the clock by `delta`, running or frozen, and give the new time (UTC)."""
        with self._lock:
            if self._frozen_at is not None:
                self._frozen_at += delta
            else:
                self._offset += delta
            return self._now()
