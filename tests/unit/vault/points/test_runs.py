"""Sorting and merging more points than are held at once."""

import errno
import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.vault.points import runs, tables
from ghost_tracking.vault.points.runs import Runs

START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = ["-a", "AAAAAAAAAAA", "b_", "zz", "z-Z", "_x"]


def table(rows: list[tuple[str, int]], views: int = 0) -> pa.Table:
    return tables.table_of(
        [MetricPoint(each, START + timedelta(seconds=at), views, None, 1, None) for each, at in rows]
    )


rows = st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 9)), max_size=30)


@settings(max_examples=100)
@given(st.lists(rows, max_size=6), st.lists(rows, max_size=12), st.integers(1, 12), st.integers(2, 4))
def test_runs_are_merged_as_all_would_be_at_once(
    files: list[list[tuple[str, int]]], hours: list[list[tuple[str, int]]], most: int, fan_in: int
) -> None:
    """However many runs there are, and however few are merged at once: of equal keys the first source stays."""
    sorted_files = [tables.merge([table(each, number)]) for number, each in enumerate(files)]
    unsorted = [table(each, 100 + number) for number, each in enumerate(hours)]
    with Runs(most, fan_in) as spilling:
        sources = [iter([each]) for each in sorted_files]
        found = list(spilling.merge([*sources, *spilling.sort(unsorted)]))
    wanted = tables.merge([*sorted_files, *unsorted])
    assert tables.concat(found).equals(wanted)


def open_files() -> list[str]:
    """What this process has open, but for the folder that tells it."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(each.readlink()))
    return found


def counted(points: Iterator[pa.Table], held: list[int], at: int) -> Iterator[pa.Table]:
    for each in points:
        held[at] = each.num_rows
        yield each
    held[at] = 0


@pytest.mark.parametrize("hours", [40, 400])
def test_what_is_held_does_not_grow_with_what_is_sorted(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Counted in points: of a run while it is sorted, and of the heads of sources while they are merged."""
    dice = random.Random(hours)
    monkeypatch.setattr(runs, "BATCH", 50)
    most = {"sorted": 0, "sources": 0, "batch": 0}
    merge, merge_sorted = tables.merge, tables.merge_sorted

    def sorting(pieces: Iterable[pa.Table]) -> pa.Table:
        listed = list(pieces)
        most["sorted"] = max(most["sorted"], sum(each.num_rows for each in listed))
        return merge(listed)

    def merging(sources: list[Iterator[pa.Table]]) -> Iterator[pa.Table]:
        most["sources"] = max(most["sources"], len(sources))
        held = [0] * len(sources)
        for each in merge_sorted([counted(source, held, at) for at, source in enumerate(sources)]):
            most["batch"] = max(most["batch"], *held)
            yield each

    monkeypatch.setattr(runs.tables, "merge", sorting)
    monkeypatch.setattr(runs.tables, "merge_sorted", merging)
    ids = [f"v{number:03}" for number in range(200)]
    points = [table([(each, 100 * hour) for each in dice.sample(ids, 100)]) for hour in range(hours)]
    descriptors = len(open_files())
    with Runs(most_points=500, fan_in=8) as spilling:
        found = 0
        for each in spilling.merge(spilling.sort(iter(points))):
            found += each.num_rows
            assert len(open_files()) <= descriptors + 4
    assert found == 100 * hours
    assert most == {"sorted": 500, "sources": 8, "batch": 50}
    assert len(open_files()) == descriptors


def test_one_run_is_not_spilled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    with Runs(100) as spilling:
        assert [each.num_rows for each in spilling.merge(spilling.sort([table([("a", 1)]), table([("a", 2)])]))] == [2]
        assert spilling.sort([]) == []


def test_temporary_files_have_no_name_and_stand_where_they_are_told_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    points = [table([(each, at) for each in IDS]) for at in range(9)]
    with Runs(10) as spilling:
        sources = spilling.sort(points)
        assert sum(each.startswith(str(tmp_path)) for each in open_files()) == 1
        assert list(tmp_path.iterdir()) == []
        assert tables.concat(spilling.merge(sources)).num_rows == 9 * len(IDS)


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with Runs(10) as spilling, pytest.raises(OSError, match="where points are sorted: let TMPDIR name") as raised:
        spilling.sort([table([(each, at) for each in IDS]) for at in range(9)])
    assert raised.value.errno == errno.ENOSPC


@given(st.lists(rows, max_size=6), st.integers(1, 12))
def test_rows_are_kept_apart_in_their_order(given: list[list[tuple[str, int]]], batch: int) -> None:
    whole = tables.merge([table(each) for each in given])
    with pytest.MonkeyPatch.context() as patched, Runs() as spilling:
        patched.setattr(runs, "BATCH", batch)
        pieces = iter([whole.slice(start, 7) for start in range(0, whole.num_rows, 7)])
        found = spilling.apart(pieces, lambda each: tables.numbers(each["timestamp"]) // 1_000_000 % 3)
        got = {kind: tables.concat(source) for kind, source in found.items()}
    kinds = tables.numbers(whole["timestamp"]) // 1_000_000 % 3
    assert got.keys() == set(kinds.tolist())
    for kind, each in got.items():
        assert each.equals(whole.filter(pa.array(kinds == kind)))
