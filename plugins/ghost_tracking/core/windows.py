"""Which time a hunter run covers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ghost_tracking.core.tiers import as_utc


@dataclass(frozen=True, slots=True)
class Window:
    """Videos published at or after `start` and before `end` (aware, UTC)."""

    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    @property
    def is_empty(self) -> bool:
        return self.start >= self.end


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a hunter run was asked to do.

    `window` is its own data interval, or what the form says. `catches_up`: go back to each source's watermark,
    and move it. `all_sources`: hunt the sources without a window too.
    """

    window: Window
    catches_up: bool
    all_sources: bool

    def window_of(self, watermark: datetime | None) -> Window:
        """The window of one source: from its watermark on, however long ago that is.

        A source that is already hunted past the end gets an empty window.
        """
        if not self.catches_up or watermark is None:
            return self.window
        return Window(watermark, self.window.end)


def assign(
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
    form: Mapping[str, datetime | None],
    now: datetime,
) -> Assignment:
    """What a run covers, from its type, its data interval and the form's `window_start` and `window_end`.

    - A backfill covers exactly its interval, moves no watermark, and leaves sources without a window alone.
    - A scheduled run catches up from each source's watermark to the end of its interval.
    - A manual run with a window of its own covers that and moves no watermark; without one it catches up to `now`,
      from the last hour on where there is no watermark. Its interval may be missing.

    Raises ValueError for a window that ends before it starts or lies in the future.
    """
    start, end = (as_utc(moment) if moment else None for moment in interval)
    if run_type == "backfill":
        if start is None or end is None:
            raise ValueError("a backfill run needs a data interval")
        return Assignment(Window(start, end), catches_up=False, all_sources=False)
    if run_type == "scheduled" and start and end:
        return Assignment(Window(start, end), catches_up=True, all_sources=True)
    return _assign_manual(form, now, start)


def _assign_manual(form: Mapping[str, datetime | None], now: datetime, start: datetime | None) -> Assignment:
    asked_start, asked_end = form.get("window_start"), form.get("window_end")
    end = min(as_utc(asked_end), now) if asked_end else now
    if asked_start is None and asked_end is None:
        hour_ago = now - timedelta(hours=1)
        return Assignment(Window(min(start or hour_ago, hour_ago), now), catches_up=True, all_sources=True)
    begin = as_utc(asked_start) if asked_start else end - timedelta(hours=1)
    if begin >= end:
        raise ValueError(
            f"the window from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC is empty or in the future"
        )
    return Assignment(Window(begin, end), catches_up=False, all_sources=True)
