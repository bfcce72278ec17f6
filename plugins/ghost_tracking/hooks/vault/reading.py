"""Reading the vault: every point once, whichever layer it lies in.

A day that is folded is read from its series, any other from its hours. Of a folded day's hours those are read as well
that may hold more than the series: the late ones, and those with staged parts. Where one question is for all videos
of a span and the hourly files are there, they are read instead: they are by time, as the question is.

What is read is of one moment. The index is looked at before and after the names are listed, and a file that has gone
since means that it was folded, dropped or expired: then all is read anew.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import pandas as pd
import pyarrow as pa
from more_itertools import chunked
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import COLUMNS
from ghost_tracking.errors import BadInputError, FileChangedError, UnreadableFileError
from ghost_tracking.hooks.vault import files, layout, tables
from ghost_tracking.hooks.vault.index import SeriesFile, SeriesIndex, current
from ghost_tracking.hooks.vault.listing import hours_between, part_names, published_dates, published_hours, staged_hours
from ghost_tracking.hooks.vault.series import SeriesReader, files_of_videos, latest_of, points_of
from ghost_tracking.hooks.vault.storage import Storage, Version
from ghost_tracking.hooks.vault.tables import Tally

_ATTEMPTS: Final = 50
_BATCH: Final = 1 << 20
_TIME: Final = tables.SCHEMA.field("timestamp").type
_PANDAS: Final[dict[pa.DataType, Any]] = {
    pa.string(): pd.StringDtype(na_value=float("nan")),
    pa.int64(): pd.Int64Dtype(),
    _TIME: pd.DatetimeTZDtype("us", "UTC"),
}

Result = TypeVar("Result")
Span = tuple[dt.datetime | None, dt.datetime | None]


@dataclass(frozen=True, slots=True)
class Question:
    """Which points: of [start, end), None being open, and of these videos, sorted (None: of all)."""

    start: dt.datetime | None
    end: dt.datetime | None
    video_ids: tuple[str, ...] | None

    @classmethod
    def checked(
        cls, start: dt.datetime | None, end: dt.datetime | None, video_ids: Collection[str] | None
    ) -> "Question":
        """BadInputError for a time without a zone, or for one id in the place of a list."""
        for moment in (start, end):
            if moment is not None and moment.utcoffset() is None:
                raise BadInputError(f"{moment!r} has no time zone")
        if isinstance(video_ids, str):
            raise BadInputError(f"video_ids is the text {video_ids!r}: give a list of ids")
        return cls(start, end, None if video_ids is None else tuple(sorted(set(video_ids))))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to read for a question: the files of these hours, and these files of series.

    Of a `whole` hour the file has all points, so what the series have of it is left out. Of a `partial` one, which
    was dropped and got late points, it has only those; the value is what the series have, by an index of `version`.
    """

    hours: tuple[Partition, ...]
    files: tuple[SeriesFile, ...]
    whole: frozenset[Partition] = frozenset()
    partial: Mapping[Partition, Tally | None] = field(default_factory=dict)
    version: Version | None = None


def chosen_columns(columns: Sequence[str] | None) -> list[str]:
    """The columns asked for (None: all six); BadInputError for one that the vault does not have."""
    chosen = list(columns or COLUMNS)
    if unknown := [name for name in chosen if name not in COLUMNS]:
        raise BadInputError(f"The vault has no column {unknown[0]!r}, only {', '.join(COLUMNS)}")
    return chosen


def read_table(storage: Storage, question: Question, columns: Sequence[str] | None) -> pa.Table:
    """The points as one table, by hour, and by video_id and timestamp within an hour."""
    chosen = chosen_columns(columns)
    table = _at_one_moment(lambda: tables.concat(_points(storage, question, _fitting_plan(storage, question))))
    if table.num_rows:
        table = _by_hour(table)
    return table.select(chosen)


def read_history(storage: Storage, video_id: str, start: dt.datetime | None, end: dt.datetime | None) -> pa.Table:
    """All points of one video in [start, end), sorted by time."""
    question = Question.checked(start, end, [video_id])
    table = _at_one_moment(lambda: tables.concat(_points(storage, question, _plan(storage, question))))
    return table.take(pa.array(tables.numbers(table["timestamp"]).argsort(kind="stable")))


def read_batches(storage: Storage, question: Question, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """The points in batches of at most a million, in no promised order, with little more than one in memory.

    What the batches hold together is of one moment. FileChangedError when a file went before its turn came: with
    batches already handed out, only the caller can begin anew.
    """
    chosen = chosen_columns(columns)
    plan = _at_one_moment(lambda: _fitting_plan(storage, question))
    try:
        for table in _points(storage, question, plan):
            yield from table.select(chosen).to_batches(max_chunksize=_BATCH)
    except FileNotFoundError as error:
        raise FileChangedError(
            f"{error.filename or 'A file'} was folded or expired while it was read: read again"
        ) from error


def read_latest(storage: Storage, video_ids: Collection[str] | None) -> pa.Table:
    """The newest point of each video, in no promised order."""
    question = Question.checked(None, None, video_ids)

    def newest() -> pa.Table:
        plan = _plan(storage, question)
        keys = [each.path for each in plan.files]
        found = tables.latest(latest_of(storage, keys, question.video_ids))
        for day in chunked(_from_hours(storage, question, plan), 24):
            found = tables.latest(tables.concat([found, *(table for _, table in day)]))
        return found

    return _at_one_moment(newest)


def series_files(storage: Storage, start: dt.datetime | None, end: dt.datetime | None) -> list[str]:
    """The keys of the files of series that meet [start, end)."""
    index, _ = current(storage)
    return [each.path for each in index.files if Period.parse(each.period).meets(start, end)]


def frame(table: pa.Table) -> pd.DataFrame:
    """A table of points as pandas has it, with nullable integers: a column's type never depends on its content.

    What `to_pandas` makes of it, in half the time where there are few.
    """
    columns: dict[str, Any] = {}
    for name in table.column_names:
        columns[name] = _PANDAS[table[name].type].__from_arrow__(table[name])
        if table[name].type == _TIME:
            columns[name] = columns[name].copy()  # else nobody may write to it
    return pd.DataFrame(columns, copy=False)


def _at_one_moment(read: Callable[[], Result]) -> Result:
    retrying = Retrying(
        retry=retry_if_exception_type((FileNotFoundError, FileChangedError)),
        wait=wait_random(0, 0.1),
        stop=stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )
    return retrying(read)


def _fitting_plan(storage: Storage, question: Question) -> _Plan:
    return _plan(storage, question, by_time=question.video_ids is None)


def _plan(storage: Storage, question: Question, *, by_time: bool = False) -> _Plan:
    """What to read: hours where they are there (`by_time`), or series where they are there."""
    index, version = current(storage)
    changed = {hour for hour in staged_hours(storage) if index.holds(hour.date) and part_names(storage, hour)}
    changed |= {Partition.parse(path) for path in index.late}
    changed = {hour for hour in changed if hour.meets(question.start, question.end)}
    plan = (_by_time if by_time else _by_video)(storage, question, index, changed)
    if current(storage)[1] != version:
        raise FileChangedError("the series were folded anew while the vault was being listed")
    partial = {hour: index.tally(hour) for hour in plan.hours if index.is_dropped(hour)}
    whole = frozenset(hour for hour in plan.hours if index.holds(hour.date) and hour not in partial)
    return replace(plan, whole=whole, partial=partial, version=version)


def _by_video(storage: Storage, question: Question, index: SeriesIndex, changed: set[Partition]) -> _Plan:
    """Folded days from their series, other days from their hours; of folded days the hours that may have more."""
    start, end = question.start, question.end
    hours = set(changed)
    for date in published_dates(storage):
        if not index.holds(date) and Period.day(date).meets(start, end):
            hours |= {hour for hour in published_hours(storage, date) if hour.meets(start, end)}
    series = [each for each in index.files if Period.parse(each.period).meets(start, end)]
    wanted = series if question.video_ids is None else files_of_videos(series, question.video_ids)
    return _Plan(tuple(sorted(hours)), tuple(wanted))


def _by_time(storage: Storage, question: Question, index: SeriesIndex, changed: set[Partition]) -> _Plan:
    """Hours from their files where they have one, and from the series what has none, or not all of it."""
    start, end = question.start, question.end
    hours = {hour for hour in hours_between(storage, start, end) if hour in changed or not index.is_dropped(hour)}
    series: list[SeriesFile] = []
    for period in index.periods:
        if period.meets(start, end) and any(
            hour.meets(start, end) and (hour not in hours or index.is_dropped(hour)) for hour in index.tallies(period)
        ):
            series += index.files_of(period)
    return _Plan(tuple(sorted(hours)), tuple(series))


def _points(storage: Storage, question: Question, plan: _Plan) -> Iterator[pa.Table]:
    """The tables of a plan, no point in two of them. Where a partial hour repeats what series hold, theirs stays."""
    doubled: list[pa.Table] = []
    for table in _from_series(storage, question, plan.files):
        apart = tables.not_of_hours(table, plan.whole) if plan.whole else table
        if plan.partial:
            doubled.append(tables.of_hours(apart, plan.partial))
        yield apart
    known = tables.concat(doubled)
    for hour, table in _from_hours(storage, question, plan):
        yield tables.without(table, known) if hour in plan.partial else table


def _from_hours(storage: Storage, question: Question, plan: _Plan) -> Iterator[tuple[Partition, pa.Table]]:
    """The hours of a plan. Those whose file has gone since, or is no longer whole, are read from the series.

    FileChangedError when a partial hour has been folded since: what its file had then stands in other series now.
    """
    gone: set[Partition] = set()
    for hour in plan.hours:
        table = _hour(storage, hour, question)
        index, version = current(storage)
        if hour in plan.partial:
            if version != plan.version and index.tally(hour) != plan.partial[hour]:
                raise FileChangedError(f"{hour} was folded while it was being read")
            if table is not None:
                yield hour, table
        elif table is None or (version != plan.version and index.is_dropped(hour)):
            # an hour is noted as dropped before its file goes, and whatever stands there later is not all of it
            gone.add(hour)
        else:
            yield hour, table
    index, _ = current(storage) if gone else (SeriesIndex(), None)
    for period in index.periods:
        if lacking := {hour for hour in gone if hour in period}:
            for table in _from_series(storage, question, index.files_of(period)):
                yield min(lacking), tables.of_hours(table, lacking)


def _from_series(storage: Storage, question: Question, series: Sequence[SeriesFile]) -> Iterator[pa.Table]:
    keys = [each.path for each in series]
    if question.video_ids is not None:
        yield tables.within(points_of(storage, keys, question.video_ids), question.start, question.end)
        return
    for key in keys:
        for table in SeriesReader(storage, key).batches(_BATCH):
            yield tables.within(table, question.start, question.end)


def _hour(storage: Storage, hour: Partition, question: Question) -> pa.Table | None:
    """The points of an hour's published file; None where there is none."""
    key = layout.stats(hour)
    try:
        table = files.read(storage.read(key).data, COLUMNS, question.video_ids)
    except FileNotFoundError:
        return None
    except UnreadableFileError as error:
        raise type(error)(f"{key} cannot be read: {error.message}", key=key) from error
    start = question.start if question.start is not None and question.start > hour.starts_at else None
    end = question.end if question.end is not None and question.end < hour.ends_at else None
    return tables.within(table, start, end)


def _by_hour(table: pa.Table) -> pa.Table:
    ordered = tables.sort(table)
    return ordered.take(pa.array(tables.hours(ordered).argsort(kind="stable")))
