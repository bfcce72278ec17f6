"""What stands where in a vault: dates, hours and parts, told by names alone."""

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import staging
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)


def published_dates(storage: Storage, spans: Sequence[tuple[dt.date, dt.date]] | None = None) -> list[dt.date]:
    """The dates that have a folder under `metrics/`, in order; names that are no date are passed over.

    With `spans`, those alone that lie from the first to the last date of one of them: the names of other dates are not
    looked at, and of an object store not fetched.
    """
    if spans is None:
        names = storage.children(layout.METRICS)
    else:
        names = storage.children_between(layout.METRICS, [(_folder(first), _folder(last)) for first, last in spans])
    found = (_partition(f"{name}/hour=00") for name in names)
    return [partition.date for partition in found if partition is not None]


def published_hours(storage: Storage, date: dt.date) -> list[Partition]:
    """The hours of a date that have a folder under `metrics/`, in order."""
    folder = _folder(date)
    found = (_partition(f"{folder}/{name}") for name in storage.children(f"{layout.METRICS}/{folder}"))
    return [partition for partition in found if partition is not None]


def hours_between(storage: Storage, start: dt.datetime | None, end: dt.datetime | None) -> Iterator[Partition]:
    """The hours under `metrics/` that meet [start, end), in order."""
    last = dt.date.max if end is None else end.astimezone(dt.UTC).date()
    for date in published_dates(storage, [(dt.date.min if start is None else start.astimezone(dt.UTC).date(), last)]):
        if Period.day(date).meets(start, end):
            yield from (hour for hour in published_hours(storage, date) if hour.meets(start, end))


def staged_hours(storage: Storage) -> list[Partition]:
    """The hours that have a folder for parts, in order."""
    hours: list[Partition] = []
    for date in storage.children(layout.PARTS):
        for name in storage.children(f"{layout.PARTS}/{date}"):
            partition = _partition(f"{date}/{name}")
            if partition is None:
                log.warning("%s/%s/%s is no partition of the vault", layout.PARTS, date, name)
            else:
                hours.append(partition)
    return hours


def published_sizes(storage: Storage, date: dt.date | None = None) -> dict[Partition, int]:
    """The size in bytes of the published file of each hour of a date (None: of all), in order; one flat listing."""
    folder = layout.METRICS if date is None else f"{layout.METRICS}/date={date.isoformat()}"
    found: dict[Partition, int] = {}
    for key, size in storage.walk(folder):
        _, _, place = key.partition("/")
        path, _, name = place.rpartition("/")
        if name == layout.STATS and (hour := _partition(path)) is not None:
            found[hour] = size
    return dict(sorted(found.items()))


def staged_names(storage: Storage) -> dict[Partition, list[str]]:
    """The names of the staged parts of each hour that has any, in the order of merging; one flat listing."""
    return names_by_hour(key for key, _ in storage.walk(layout.PARTS))


def names_by_hour(keys: Iterable[str]) -> dict[Partition, list[str]]:
    """The names of those of these files that are staged parts of an hour, as `staged_names` has them."""
    found: dict[Partition, list[str]] = {}
    for key in keys:
        path, _, name = key.removeprefix(f"{layout.PARTS}/").rpartition("/")
        if (
            key.startswith(f"{layout.PARTS}/")
            and name.endswith(layout.PART_SUFFIX)
            and (hour := _partition(path)) is not None
        ):
            found.setdefault(hour, []).append(name)
    return {hour: sorted(names) for hour, names in sorted(found.items())}


def part_names(storage: Storage, partition: Partition) -> list[str]:
    """The names of an hour's staged parts, in the order in which they are merged."""
    return staging.part_names(storage, layout.parts(partition))


def _folder(date: dt.date) -> str:
    return f"date={date.isoformat()}"


@lru_cache(maxsize=1 << 14)  # every reading meets the same names again
def _partition(path: str) -> Partition | None:
    try:
        return Partition.parse(path)
    except ValueError:
        return None
