"""Streams sorted by id, merged to the newest point of each video: as a dictionary would do it, and holding little."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.vault.latest.merging import newest, newest_of, overlaid, within
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.points.runs import Runs

START = datetime(2026, 1, 31, 22, tzinfo=UTC)
Point = tuple[str, int, int | None]
"""The id of a video, the second of the point, and its views."""

ids = st.sampled_from(["-a", "AAAAAAAAAAA", "AAAAAAAAAAB", "_x", "b", "ba", "zz", "Z" * 20, "zzzzzzzzzz0"])
points = st.tuples(ids, st.integers(0, 5), st.none() | st.integers(0, 9))
streams = st.lists(st.lists(points, max_size=12), max_size=5)


def table_of(rows: Sequence[Point]) -> pa.Table:
    return tables.table_of(
        [MetricPoint(each, START + timedelta(seconds=second), views, None, 0, None) for each, second, views in rows]
    )


def rows_of(found: Iterator[pa.Table]) -> list[Point]:
    return [
        (row["video_id"], (row["timestamp"] - START) // timedelta(seconds=1), row["views"])
        for table in found
        for row in table.to_pylist()
    ]


def chunked(rows: Sequence[Point], size: int) -> Iterator[pa.Table]:
    for start in range(0, len(rows), size):
        yield table_of(rows[start : start + size])


def oracle(sources: Sequence[Sequence[Point]]) -> list[Point]:
    """The newest of each video; of equal times that of the first source, and of that the first."""
    best: dict[str, Point] = {}
    for source in sources:
        for each in source:
            if each[0] not in best or each[1] > best[each[0]][1]:
                best[each[0]] = each
    return [best[each] for each in sorted(best)]


def by_id(rows: Sequence[Point]) -> list[Point]:
    return sorted(rows, key=lambda each: each[0])


@given(streams, st.integers(1, 4))
def test_the_newest_point_of_each_video_is_left_sorted_by_id(sources: list[list[Point]], size: int) -> None:
    ordered = [by_id(source) for source in sources]
    assert rows_of(newest([chunked(source, size) for source in ordered])) == oracle(ordered)


@given(st.lists(st.lists(points, max_size=12), min_size=1, max_size=5))
def test_tables_in_any_order_give_the_same(sources: list[list[Point]]) -> None:
    assert rows_of(iter([newest_of([table_of(source) for source in sources])])) == oracle(sources)


@given(st.lists(points), st.lists(points), st.integers(1, 4), st.integers(1, 4))
def test_updates_are_laid_over_what_is_there(
    base: list[Point], updates: list[Point], size: int, other_size: int
) -> None:
    below, above = oracle([base]), oracle([updates])
    assert rows_of(overlaid(chunked(below, size), chunked(above, other_size))) == oracle([below, above])


@given(streams, st.integers(1, 10), st.integers(2, 4))
def test_runs_of_any_size_give_the_same(sources: list[list[Point]], most: int, fan_in: int) -> None:
    with Runs(most, fan_in, sort_tables=newest_of, merge_sources=newest) as runs:
        assert rows_of(runs.merge(runs.sort(table_of(source) for source in sources))) == oracle(sources)


@given(streams, st.integers(2, 4))
def test_more_streams_than_are_read_at_once_give_the_same(sources: list[list[Point]], fan_in: int) -> None:
    ordered = [by_id(source) for source in sources]
    with Runs(fan_in=fan_in, sort_tables=newest_of, merge_sources=newest) as runs:
        assert rows_of(runs.merge([chunked(source, 3) for source in ordered])) == oracle(ordered)


def test_no_more_than_a_table_of_each_stream_is_held() -> None:
    asked = [0, 0, 0]

    def counted(number: int) -> Iterator[pa.Table]:
        for start in range(0, 1000, 10):
            asked[number] += 1
            yield table_of([(f"v{row:05d}{number}", number, row) for row in range(start, start + 10)])

    yielded = 0
    for table in newest([counted(number) for number in range(3)]):
        yielded += table.num_rows
        assert sum(asked) * 10 - yielded <= 2 * 3 * 10
    assert yielded == 3000


@given(st.lists(points), ids, st.none() | ids)
def test_a_range_of_ids_is_half_open(rows: list[Point], first: str, end: str | None) -> None:
    wanted = [each for each in rows if each[0] >= first and (end is None or each[0] < end)]
    assert rows_of(iter([within(table_of(rows), first, end)])) == wanted
