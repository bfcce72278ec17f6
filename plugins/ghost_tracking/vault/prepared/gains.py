"""The largest gains of each hour: staged by batches as parts, merged by publications into one small file an hour.

A video that is among the fastest of a window has gained most of it in intervals that were among the fastest of their
batch and of their hour. So a batch stages some thousand of its intervals, an hour keeps some thousands of all, and both
note how much those had gained at most that were left out: `WindowGains` tells from that what a video can have gained at
most that it does not name.

Hours are kept for eight days: at most 200 files of at most 12,000 rows, 60 MB together, and a fraction of that where
fewer videos are read.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
from more_itertools import chunked
from pydantic import AwareDatetime

from ghost_tracking.core.gains import WINDOWS, Interval
from ghost_tracking.core.partitions import Partition
from ghost_tracking.errors import FileChangedError, PartitionBusyError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.manifests import Manifest, edit
from ghost_tracking.vault.kit.staging import StagedParts, Trouble
from ghost_tracking.vault.prepared import gain_files, ranking
from ghost_tracking.vault.prepared.gain_files import HourGains, HourNotes, PartNotes
from ghost_tracking.vault.prepared.ranking import SCHEMA, PerWindow, Scaled
from ghost_tracking.vault.reports import GainsReport
from ghost_tracking.vault.storage import Storage, Version

log = logging.getLogger(__name__)

MOST_STAGED: Final = 1_000
"""Intervals of a batch that are staged, by the gain of each window."""
MOST_KEPT: Final = 4_000
"""Intervals of an hour that are kept, by the gain of each window."""
KEPT_FOR: Final = timedelta(days=8)
"""A week, and the hours that it begins and ends in."""

_PARTS_AT_A_TIME: Final = 64
_MICROSECOND: Final = timedelta(microseconds=1)
_LOST: Final = HourGains(notes=HourNotes(lost=True))


class GainsState(Manifest):
    """Since when every interval that a batch has found is among the gains, or below what they have left out."""

    since: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class WindowGains:
    """What is known of a window: videos and the sums of what their intervals gained in it, the largest first.

    `readings` with a count before them ended in it. A video that is not named can have gained `left` at most, one that
    is named so much more than its sum; None where nobody knows. `since` (aware): the gains begin within the window.
    """

    ids: pa.Array
    sums: Scaled
    readings: int
    left: float | None
    since: datetime | None


class Gains:
    """The layer on one storage."""

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout

    # Written by batches

    def stage(self, intervals: Sequence[Interval]) -> str | None:
        """Write the largest gains of a batch as one durable part; its key, or None where there are none.

        OSError when the storage fails. Holds the batch's intervals, some thousands.
        """
        if not intervals:
            return None
        table = ranking.table_of(intervals)
        kept, left = ranking.largest(table, MOST_STAGED)
        notes = PartNotes(at=max(each.until for each in intervals), counts=ranking.counts(table), left=left)
        return self._parts().stage(gain_files.encode(kept, notes, parquet.PART))

    # Merged by publications

    def publish(self, now: datetime) -> GainsReport:
        """Merge what is staged into the files of its hours, and delete those of hours before `now` (aware) less
        `KEPT_FOR`.

        A broken part is set aside; a broken file of an hour is kept aside, and its hour begins again with what is
        staged. An hour that cannot be written is reported and keeps its parts. Holds 64 parts and an hour at a time.
        OSError when the storage cannot be listed.
        """
        listed = self._parts().listed()
        report = self._begin(now) if listed else GainsReport()
        for keys in chunked(listed, _PARTS_AT_A_TIME):
            report += self._merge_parts(keys)
        self.expire(now - KEPT_FOR)
        return report

    def _begin(self, now: datetime) -> GainsReport:
        """Note that gains are kept from now on, unless they are already."""
        try:
            state, version = GainsState.load(self._storage, layout.GAINS_STATE)
        except UnreadableFileError as error:
            log.error("%s; the movers are complete again in a week, or after a repair", error.message)
            self.complete_since(now)
            return GainsReport(problems=(error.message,))
        if state.since is None:
            with suppress(FileChangedError):  # somebody else has begun
                _since(now).replace(self._storage, layout.GAINS_STATE, expecting=version)
        return GainsReport()

    def complete_since(self, moment: datetime) -> None:
        """Note that gains are complete from this moment (aware) on."""
        self._storage.put(layout.GAINS_STATE, _since(moment).encoded())

    def _merge_parts(self, keys: Sequence[str]) -> GainsReport:
        trouble = Trouble()
        hours: dict[Partition, dict[str, pa.Table]] = {}
        for key, table in self._parts().read(trouble, keys):
            hours.setdefault(Partition.of(gain_files.part_notes(table).at), {})[key] = table
        report = GainsReport(quarantined=tuple(trouble.quarantined), problems=tuple(trouble.problems))
        return report + GainsReport.combined([self._merge_hour(hour, parts) for hour, parts in sorted(hours.items())])

    def _merge_hour(self, hour: Partition, parts: Mapping[str, pa.Table]) -> GainsReport:
        """An hour that is held, or cannot be read or written, is reported and does not stop the others."""
        key = layout.gains(hour)
        named = {part.rpartition("/")[2]: table for part, table in parts.items()}
        try:
            aside = self._edit(hour, lambda before: self._with_parts(before, named))
        except (PartitionBusyError, FileChangedError):
            log.warning("%s is being written by somebody else: its gains stay staged", key)
            return GainsReport()
        except OSError as error:
            problem = f"{key} could not be written, its gains stay staged: {error}"
            log.error(problem)
            return GainsReport(problems=(problem,))
        self._storage.delete(parts)
        return GainsReport(hours=(hour,), parts_merged=len(parts)) + aside

    def _with_parts(self, before: HourGains, parts: Mapping[str, pa.Table]) -> HourGains:
        fresh = {name: table for name, table in parts.items() if name not in before.notes.parts}
        if not fresh:
            return before
        rows = [before.table, *(table.replace_schema_metadata(None) for table in fresh.values())]
        kept, left = ranking.largest(ranking.each_once(pa.concat_tables(rows)), MOST_KEPT)
        notes = before.notes.model_copy(update={"parts": self._still_staged(before.notes.parts)})
        return HourGains(
            kept, notes.with_parts({name: gain_files.part_notes(table) for name, table in fresh.items()}, left)
        )

    def put_hour(self, hour: Partition, table: pa.Table, counts: Mapping[int, Sequence[int]], left: PerWindow) -> None:
        """Put what the points tell of an hour in the place of what its file says: its largest gains, the `counts` of
        intervals by twelfths of the hour, what those `left` out had gained at most.

        The intervals of its file that are not among them and ended in this hour stay; each counts once. Of what its
        file had left out and of `left` the larger stays. Raises PartitionBusyError, OSError.
        """

        def made(before: HourGains) -> HourGains:
            # a batch that went on into this hour has put here what ended in the hour before, where it is found now
            known = ranking.ended_within(before.table, hour.starts_at - _MICROSECOND, hour.ends_at - _MICROSECOND)
            kept, more = ranking.largest(ranking.each_once(pa.concat_tables([table, known])), MOST_KEPT)
            bins = {place: tuple(each) for place, each in counts.items()}
            # points of what a batch has left out may be staged yet: then `left` does not bound them
            bound = ranking.joined(ranking.joined(left, more), before.notes.left)
            parts = self._still_staged(before.notes.parts)
            return HourGains(kept, HourNotes(bins=bins, left=bound, parts=parts))

        self._edit(hour, made)

    def forget(self, hour: Partition, left_of: Callable[[pa.Table], pa.Table]) -> None:
        """Keep of an hour what `left_of` leaves of its intervals; raises as `put_hour`, and UnreadableFileError."""
        key = layout.gains(hour)
        with self._storage.lock(layout.GAINS_LOCK, self._lock_timeout):
            edit(
                self._storage,
                key,
                partial(self._load, hour),
                lambda before: HourGains(left_of(before.table), before.notes),
                gain_files.encode_hour,
            )

    def begin_again(self, hour: Partition) -> str:
        """Keep an hour's broken file aside, and put one in its place that says that it was lost; where it is."""
        key = layout.gains(hour)
        with self._storage.lock(layout.GAINS_LOCK, self._lock_timeout):
            aside, version = copy_aside(self._storage, key)
            self._storage.replace(key, gain_files.encode_hour(_LOST), expecting=version)
        return aside

    def _still_staged(self, names: Sequence[str]) -> tuple[str, ...]:
        """Of merged parts those that whoever merged them has not deleted yet."""
        return tuple(name for name in names if self._storage.version(f"{layout.STAGED_GAINS}/{name}") is not None)

    def _edit(self, hour: Partition, change: Callable[[HourGains], HourGains]) -> GainsReport:
        """Change an hour's file; what was wrong with the one that was there."""
        key, broken = layout.gains(hour), GainsReport()

        def load() -> tuple[HourGains, Version | None]:
            nonlocal broken
            try:
                return self._load(hour)
            except UnreadableFileError as error:
                # until it is replaced it stays, so that nobody takes its hour for one in which nothing was gained
                aside, version = copy_aside(self._storage, key)
                problem = (
                    f"{error.message}; it was set aside as {aside}: its hour's movers may lack some until a repair"
                )
                log.error(problem)
                broken = GainsReport(quarantined=(aside,), problems=(problem,))
                return _LOST, version

        with self._storage.lock(layout.GAINS_LOCK, self._lock_timeout):
            edit(self._storage, key, load, change, gain_files.encode_hour)
        return broken

    # Read

    def of_window(self, window: timedelta, now: datetime) -> WindowGains:
        """The sums of the window of `WINDOWS` that ends `now` (aware). Reads its hours' files, 169 for a week.

        Holds their rows of this window, at most 12,000 an hour. Raises UnreadableFileError, naming the file.
        """
        number = list(WINDOWS.values()).index(window)
        begin = now - window
        readings, left, lost = 0, 0.0, False
        rows = [SCHEMA.empty_table()]
        for hour in self.hours():
            if hour.ends_at > begin and hour.starts_at <= now:
                each, _ = self._load(hour)
                rows.append(ranking.ended_within(each.table, begin, now))
                readings += each.notes.counted(hour, begin, now)[number]
                left += each.notes.left[number]
                lost = lost or each.notes.lost
        ids, sums = ranking.sums(pa.concat_tables(rows), window)
        since = self.since()
        covered = since is not None and since <= begin
        order = np.argsort(-sums, kind="stable")
        return WindowGains(
            ids.take(pa.array(order)),
            sums[order],
            readings,
            left if covered and not lost else None,
            None if covered else since or now,
        )

    def since(self) -> datetime | None:
        """Since when gains are kept; None where none ever were. Raises UnreadableFileError."""
        return GainsState.load(self._storage, layout.GAINS_STATE)[0].since

    def hours(self) -> list[Partition]:
        """The hours that have a file, in order."""
        return sorted(
            hour for name in self._storage.children(layout.GAINS) if (hour := gain_files.hour_of(name)) is not None
        )

    def lost_hours(self) -> list[Partition]:
        """The hours whose file is broken, or was and began again; raises OSError."""
        return [hour for hour in self.hours() if self._is_lost(hour) is not False]

    def broken_hours(self) -> list[Partition]:
        """The hours whose file is broken; raises OSError."""
        return [hour for hour in self.hours() if self._is_lost(hour) is None]

    def _is_lost(self, hour: Partition) -> bool | None:
        """Whether an hour began again; None where its file is broken."""
        try:
            return self._load(hour)[0].notes.lost
        except UnreadableFileError:
            return None

    def expire(self, cutoff: datetime) -> int:
        """Delete the files of hours that ended by `cutoff` (aware), and how many; parts merge into no older hour."""
        old = [layout.gains(hour) for hour in self.hours() if hour.ends_at <= cutoff]
        self._storage.delete(old)
        return len(old)

    def problems(self) -> Iterator[str]:
        """Read every file; a sentence for each that is broken."""
        loads: list[Callable[[], object]] = [self.since]
        loads += [partial(self._load, hour) for hour in self.hours()]
        for load in loads:
            try:
                load()
            except UnreadableFileError as error:
                yield error.message

    def _load(self, hour: Partition) -> tuple[HourGains, Version | None]:
        key = layout.gains(hour)
        try:
            blob = self._storage.read(key)
        except FileNotFoundError:
            return HourGains(), None
        table, notes = gain_files.decode(key, blob.data, HourNotes)
        return HourGains(table, notes), blob.version

    def _parts(self) -> StagedParts:
        return StagedParts(self._storage, layout.STAGED_GAINS, gain_files.decode_part)


def copy_aside(storage: Storage, key: str) -> tuple[str, Version | None]:
    """Copy a broken file of this layer to the quarantine; where that is, and which version of the file it was."""
    aside = layout.quarantined(key, f"-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    blob = storage.read(key)
    storage.put(aside, blob.data)
    return aside, blob.version


def _since(moment: datetime) -> GainsState:
    return GainsState(since=moment.astimezone(UTC))
