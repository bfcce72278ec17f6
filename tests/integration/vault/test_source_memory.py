"""What is remembered of a source's listing comes back as it was, and its loss harms nobody."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ghost_tracking.core.source_memory import SourceMemory
from ghost_tracking.errors import BadInputError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "channel:UCuAXFkgsw1L7xaCfnd5JJOw"
MEMORY = SourceMemory(
    as_of=NOON,
    complete_since=NOON - timedelta(days=3),
    ended=False,
    next_token="CDIQAA",
    named={"9LfmrkyP81M": NOON - timedelta(hours=1), "lGGDIGizcQ0": None},
    scheduled=frozenset({"lGGDIGizcQ0"}),
)


def only_file(vault: ParquetVaultHook) -> str:
    (key,) = [key for key, _ in vault._storage.walk(layout.SOURCES)]
    return key


def test_it_comes_back_as_it_was(vault: ParquetVaultHook) -> None:
    memories = vault.source_memory
    assert memories.load(KEY) is None
    memories.save(KEY, MEMORY)
    bare = SourceMemory(NOON, ended=True)
    memories.save("search:ü?", bare)
    assert (memories.load(KEY), memories.load("search:ü?")) == (MEMORY, bare)

    later = replace(MEMORY, as_of=NOON + timedelta(hours=1), named={"9LfmrkyP81M": None}, scheduled=frozenset())
    memories.save(KEY, later)
    assert memories.load(KEY) == later

    memories.forget_all()
    assert (memories.load(KEY), memories.load("search:ü?")) == (None, None)
    memories.forget_all()


def test_times_of_other_zones_are_kept_in_utc(vault: ParquetVaultHook) -> None:
    tokyo = timezone(timedelta(hours=9))
    vault.source_memory.save(KEY, replace(MEMORY, as_of=NOON.astimezone(tokyo)))
    found = vault.source_memory.load(KEY)
    assert found == MEMORY
    assert found.as_of.tzinfo is UTC


def test_what_is_remembered_already_is_not_written_again(vault: ParquetVaultHook) -> None:
    vault.source_memory.save(KEY, MEMORY)
    before = vault._storage.version(only_file(vault))
    vault.source_memory.save(KEY, MEMORY)
    assert vault._storage.version(only_file(vault)) == before


@pytest.mark.parametrize("damage", ["cut", "columns", "silent", "of another source"])
def test_a_broken_file_is_no_memory(vault: ParquetVaultHook, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    memories = vault.source_memory
    memories.save("other" if damage == "of another source" else KEY, MEMORY)
    key = only_file(vault)
    data = vault._storage.read(key).data
    if damage == "cut":
        vault._storage.put(key, data[:-9])
    elif damage == "of another source":
        memories.save(KEY, MEMORY)
        (place,) = {key for key, _ in vault._storage.walk(layout.SOURCES)} - {key}
        vault._storage.put(place, data)
    else:
        table = pq.read_table(pa.BufferReader(data))
        sink = pa.BufferOutputStream()
        pq.write_table(table.select(["video_id"]) if damage == "columns" else table, sink, store_schema=False)
        vault._storage.put(key, bytes(sink.getvalue()))
    assert memories.load(KEY) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "sources/" in caplog.messages[0]
    assert vault.verify().problems == ()
    memories.save(KEY, MEMORY)
    assert memories.load(KEY) == MEMORY


def test_a_memory_that_fits_nothing_is_refused() -> None:
    with pytest.raises(BadInputError, match="has no time zone"):
        replace(MEMORY, as_of=NOON.replace(tzinfo=None))


def test_it_takes_few_bytes(tmp_path: Path) -> None:
    vault = ParquetVaultHook(root=tmp_path)
    ids = tuple(secrets.token_urlsafe(8) for _ in range(1_000))
    times = tuple(NOON - timedelta(hours=hour, seconds=hour * 7 % 3600) for hour in range(1_000))
    vault.source_memory.save(KEY, replace(MEMORY, named=dict(zip(ids, times, strict=True)), scheduled=frozenset()))
    assert (tmp_path / only_file(vault)).stat().st_size < 20 * 1_000
