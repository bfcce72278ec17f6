"""When the newest point was read: of the footer of the last hour that has any, or of the history."""

import datetime as dt
import logging

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import CLOCK_SKEW, is_future
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.files import newest_of_hour
from ghost_tracking.vault.history.manifest import HistoryManifest, current
from ghost_tracking.vault.listing import published_dates, published_hours
from ghost_tracking.vault.maintenance.live import footer_of
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)


def newest_point(storage: Storage, now: dt.datetime) -> dt.datetime | None:
    """When the newest published point up to `now` (aware) was read; None: there is none.

    Of the footer of the last hour that has any, and of the history where it goes on for longer.
    """
    for date in reversed(published_dates(storage)):
        for hour in reversed(published_hours(storage, date)):
            footer = None if is_future(hour.starts_at, now) else footer_of(storage, hour)
            if isinstance(footer, tuple):
                found = newest_of_file(storage, hour, footer[0].newest, now)
                if found is not None:
                    return newest(storage, _current(storage), (hour, footer[0].rows, found), now)
    return newest(storage, _current(storage), None, now)


def newest(
    storage: Storage,
    manifest: HistoryManifest,
    of_files: tuple[Partition, int, dt.datetime] | None,
    now: dt.datetime,
) -> dt.datetime | None:
    """The newest point up to `now`; of files, the last hour that has one, its points and its newest are known.

    The last points of one period of the history are read only where that hour's file is not all there is of it.
    """
    last = manifest.last_hour(now + CLOCK_SKEW)
    if of_files is not None:
        hour, rows, found = of_files
        if last is None or hour > last or (hour == last and manifest.is_whole(hour, rows)):
            return found
    if last is None:
        return None
    try:
        of_history = newest_of_hour(storage, manifest, last, now + CLOCK_SKEW)
    except (UnreadableFileError, OSError) as error:
        log.warning("The newest point of the history is not known: %s", error)
        of_history = None
    return max(filter(None, [of_files and of_files[2], of_history]), default=None)


def newest_of_file(
    storage: Storage, hour: Partition, of_footer: dt.datetime | None, now: dt.datetime
) -> dt.datetime | None:
    """The newest point up to `now` of an hour's file; it is read only where its footer tells of later ones."""
    if of_footer is None or not is_future(of_footer, now):
        return of_footer
    key = layout.stats(hour)
    try:
        return tables.newest(files.decode(storage.read(key).data, hour), now + CLOCK_SKEW)
    except (UnreadableFileError, OSError):
        return None


def _current(storage: Storage) -> HistoryManifest:
    """The manifest as readers have it; an empty one in the place of a damaged one."""
    try:
        return current(storage)[0]
    except (UnreadableFileError, OSError) as error:
        log.warning("What is compacted is not known: %s", error)
        return HistoryManifest()
