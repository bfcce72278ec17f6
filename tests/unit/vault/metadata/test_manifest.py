"""Which files of the archive become one."""

import random
from datetime import UTC, datetime

import pytest

from ghost_tracking.vault.kit.names import named_at, new_name
from ghost_tracking.vault.metadata.manifest import LARGEST, ArchivedFile, ArchiveManifest

DAY = datetime(2026, 1, 15, tzinfo=UTC)


def name(number: int, other: int = 0) -> str:
    """A name as the archive gives it."""
    return f"20260115T000000{number:06}-{other:012x}.parquet"


def manifest(*sizes: int) -> ArchiveManifest:
    return ArchiveManifest(
        files=tuple(
            ArchivedFile(name=name(number), videos=1, bytes=size, oldest=DAY) for number, size in enumerate(sizes)
        )
    )


def test_few_files_or_full_ones_stay() -> None:
    assert manifest().mergeable() == ()
    assert manifest(1000, 1000, 1000, 500_000, 500_000, 500_000).mergeable() == ()
    assert manifest(*[LARGEST // 2] * 50).mergeable() == ()


def test_four_of_a_size_become_one_the_oldest_first() -> None:
    assert [file.name for file in manifest(9_000, 90_000, LARGEST, 900, 90, 9).mergeable()] == [
        name(0),
        name(1),
        name(3),
        name(4),
        name(5),
    ]


def test_no_merged_file_is_larger_than_the_largest() -> None:
    size = LARGEST // 2 - 1
    merged = manifest(size, size, size, size).mergeable()
    assert [file.bytes for file in merged] == [size, size]


@pytest.mark.parametrize("largest_batch", [20_000, 2_000_000, 40_000_000])
def test_files_stay_few_and_are_written_few_times(largest_batch: int) -> None:
    dice = random.Random(largest_batch)
    held, came, written = manifest(), 0, 0
    for number in range(1_000):
        file = ArchivedFile(name=name(number), videos=1, bytes=dice.randrange(1, largest_batch), oldest=DAY)
        held, came, written = held.with_files([file], ()), came + file.bytes, written + file.bytes
        while group := held.mergeable():
            assert len(group) >= 2
            size = sum(each.bytes for each in group)
            assert size <= LARGEST
            one = ArchivedFile(name=name(number, size), videos=1, bytes=size, oldest=DAY)
            held, written = held.with_files([one], {each.name for each in group}), written + size
        full = sum(file.bytes >= LARGEST // 2 for file in held.files)
        assert len(held.files) - full <= 3 * 5
        assert sum(file.bytes for file in held.files) == came
    assert written < 8 * came


def test_names_tell_when_they_were_given() -> None:
    before = datetime.now(UTC)
    names = [new_name(".parquet"), new_name(".part")]
    assert all(before <= (named_at(name) or DAY) <= datetime.now(UTC) for name in names)
    assert len(set(names)) == 2
    assert [named_at(name) for name in ("manifest.json", "x.parquet", names[0] + "x", "data.part")] == [None] * 4
