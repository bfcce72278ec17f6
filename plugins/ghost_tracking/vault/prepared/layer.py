"""The prepared layer of a vault: its verbs."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ghost_tracking.core.gains import WINDOWS, Interval
from ghost_tracking.vault.location import VaultLocation
from ghost_tracking.vault.prepared import figures
from ghost_tracking.vault.prepared.figures import PreparedChanges, PreparedMovers
from ghost_tracking.vault.prepared.gains import Gains, WindowGains
from ghost_tracking.vault.prepared.rebuild import Progress, rebuild
from ghost_tracking.vault.reports import GainsReport


class Prepared:
    """What runs prepare for the page, and the page reads. All times are aware."""

    def __init__(self, location: VaultLocation, lock_timeout: float) -> None:
        self._location = location
        self._lock_timeout = lock_timeout

    def stage_gains(self, intervals: Sequence[Interval]) -> None:
        """Write the largest gains of a batch durably; `publish_gains` merges them. OSError when the storage fails."""
        self._writing.stage(intervals)

    def publish_gains(self, now: datetime) -> GainsReport:
        """Merge what is staged into the gains of its hours, and let those of more than a week ago go; see `Gains`."""
        return self._writing.publish(now)

    def gains(self, window: timedelta, now: datetime) -> WindowGains:
        """Who gained how much in a window of `core.gains.WINDOWS`; see `Gains.of_window`."""
        return self._reading.of_window(window, now)

    def gains_begin_late(self, now: datetime) -> bool:
        """Whether gains are known of only a part of the last week; `rebuild_gains` mends that. Reads a small file."""
        since = self._reading.since()
        return since is None or since > now - max(WINDOWS.values())

    def lost_gains(self) -> int:
        """How many hours' gains are broken, or were, which `rebuild_gains` mends. Reads all of their files."""
        return len(self._reading.lost_hours())

    def rebuild_gains(self, now: datetime, progress: Progress | None = None) -> int:
        """Make the gains of the last days from the points of `REBUILT_FROM`, and how many those were; see `rebuild`."""
        return rebuild(self._location.writable(), self._lock_timeout, now, progress)

    def movers(self, window: str) -> PreparedMovers:
        """The movers of an hour, a day or a week. UnreadableFileError, naming the file, for a broken one."""
        return figures.movers(self._location.readable(), window)

    def changes(self) -> PreparedChanges:
        """Who came back to life, and who vanished. UnreadableFileError, naming the file, for a broken one."""
        return figures.changes(self._location.readable())

    def put_movers(self, window: str, found: PreparedMovers) -> None:
        """Replace the movers of a window. OSError when the storage fails."""
        figures.put_movers(self._location.writable(), window, found)

    def put_changes(self, found: PreparedChanges) -> None:
        """Replace who came back and who vanished. OSError when the storage fails."""
        figures.put_changes(self._location.writable(), found)

    @property
    def _reading(self) -> Gains:
        return Gains(self._location.readable(), self._lock_timeout)

    @property
    def _writing(self) -> Gains:
        return Gains(self._location.writable(), self._lock_timeout)
