"""Parquet files that somebody else wrote: small ones that would become gigabytes, and footers of any bytes."""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.gains import Interval
from ghost_tracking.core.origins import Discovered, Origin, Place
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.source_memory import SourceMemory
from ghost_tracking.errors import GhostTrackingError, UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import availability, discoveries, import_queue, layout, roster_files, roster_memory
from ghost_tracking.vault import source_memory as sources
from ghost_tracking.vault.history.encoding import HISTORY_SCHEMA
from ghost_tracking.vault.history.files import HistoryWriter
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.parquet import Bounds
from ghost_tracking.vault.metadata import files as archive_files
from ghost_tracking.vault.metadata import words
from ghost_tracking.vault.metadata.rows import SCHEMA as ARCHIVE_SCHEMA
from ghost_tracking.vault.metadata.rows import table_of as archive_rows
from ghost_tracking.vault.points import files
from ghost_tracking.vault.points.tables import SCHEMA, table_of
from ghost_tracking.vault.prepared import gain_files, ranking
from ghost_tracking.vault.storage import LocalStorage

TEN = dt.datetime(2026, 1, 15, 10, tzinfo=dt.UTC)
AT_TEN = Partition.of(TEN)
DAY = Period.day(TEN.date())
VIDEO = "f6x1WVSR-4U"
KEY = "history/day=2026-01-15/20260116T000000-0123456789ab-000.parquet"
MOST_BYTES = 2 * 2**20


def points(number: int = 3) -> pa.Table:
    return table_of([MetricPoint(f"f6x1WVSR-{n:02}", TEN, n, None, n, TEN) for n in range(number)])


@dataclass(frozen=True)
class Layer:
    """A kind of file: its columns and bounds, where one stands, what reads it whole, and the bytes of a good one."""

    schema: pa.Schema
    bounds: Bounds
    key: str
    read: Callable[[ParquetVaultHook], Any]
    good: Callable[[], bytes]


def history_bytes() -> bytes:
    return written(lambda storage: HistoryWriter(storage, DAY), lambda writer: (writer.write(points()), writer.close()))


def written(make: Callable[[LocalStorage], Any], use: Callable[[Any], Any]) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        storage = LocalStorage(Path(folder), layout.SCRATCH)
        use(make(storage))
        key = next(key for key, _ in storage.walk("") if key.endswith(layout.SUFFIX))
        return storage.read(key).data


def archive_bytes() -> bytes:
    draft = archive_files.Draft()
    draft.write(archive_rows([{"video_id": VIDEO, "title": "A title", "tags": ["a", "b"], "discovered_at": TEN}], TEN))
    return draft.finish()


def memory() -> SourceMemory:
    return SourceMemory(
        as_of=TEN, named={VIDEO: TEN}, scheduled=frozenset({VIDEO}), complete_since=None, ended=True, next_token=None
    )


def table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return bytes(sink.getvalue())


def read_archive(vault: ParquetVaultHook) -> list[pa.Table]:
    with archive_files.opened(vault._storage, LAYERS["archive"].key) as file:
        return list(archive_files.groups(file))


def words_bytes() -> bytes:
    return words.encode(archive_rows([{"video_id": VIDEO, "title": "A title", "published_at": TEN}], TEN))


def read_words(vault: ParquetVaultHook) -> None:
    with words.opened(vault._storage, LAYERS["words"].key) as index:
        index.beginning("a")
        index.published()
        index.may_hold(words.digests_of(pa.array([VIDEO])))


def read_hour(vault: ParquetVaultHook) -> None:
    vault.read_table()
    vault.read_table(video_ids=[VIDEO])
    vault.read_latest()
    next(vault.read_batches(), None)


def read_roster_memory(vault: ParquetVaultHook) -> None:
    if np.isnan(roster_memory.load(vault._storage, "chunk", 2).seconds).all():
        raise UnreadableFileError(LAYERS["roster_memory"].key)


def read_source(vault: ParquetVaultHook) -> None:
    if sources.SourceMemories(vault._storage).load("some") is None:
        raise UnreadableFileError(LAYERS["source"].key)


def gains_bytes() -> bytes:
    interval = Interval(VIDEO, TEN - dt.timedelta(hours=1), TEN, 1, 2)
    return gain_files.encode_hour(gain_files.HourGains(ranking.table_of([interval])))


def read_history(vault: ParquetVaultHook) -> None:
    reader = HistoryReader(vault._storage, KEY)
    reader.check()
    reader.rows_of([VIDEO])
    list(reader.batches(1 << 19))
    list(reader.lasts_between())


LAYERS: dict[str, Layer] = {
    "hour": Layer(
        SCHEMA,
        parquet.POINTS,
        layout.stats(AT_TEN),
        read_hour,
        lambda: files.encode_sealed(points(), ["x.part"]),
    ),
    "history": Layer(HISTORY_SCHEMA, parquet.HISTORY, KEY, read_history, history_bytes),
    "archive": Layer(
        ARCHIVE_SCHEMA,
        parquet.ARCHIVE,
        "videos/20260115T000000000001-0123456789ab.parquet",
        read_archive,
        archive_bytes,
    ),
    "words": Layer(
        words.SCHEMA, parquet.WORDS, "videos/words/20260115T000000000001-0123456789ab.parquet", read_words, words_bytes
    ),
    "roster": Layer(
        roster_files.SCHEMA,
        parquet.ROSTER,
        layout.chunk("2026-01-15-x"),
        lambda vault: vault.stats.chunk("2026-01-15-x"),
        lambda: roster_files.encode([VIDEO, "other"]),
    ),
    "import_queue": Layer(
        import_queue.IDS,
        parquet.IMPORT_QUEUE,
        "import_queue/20260115T000000000001-0123456789ab.parquet",
        lambda vault: vault.import_queue._read("20260115T000000000001-0123456789ab.parquet", import_queue.IDS),
        lambda: table_bytes(pa.table([[VIDEO], [1]], schema=import_queue.IDS)),
    ),
    "roster_memory": Layer(
        roster_memory.SCHEMA,
        parquet.ROSTER,
        layout.roster_memory("chunk"),
        read_roster_memory,
        lambda: table_bytes(pa.table([[1, 2], [1, 2], [3, 4]], schema=roster_memory.SCHEMA)),
    ),
    "availability": Layer(
        availability.SCHEMA,
        parquet.AVAILABILITY,
        layout.availability(Period.month(TEN.date())),
        lambda vault: vault.read_availability(),
        lambda: availability.LAYER.encode(availability.table_of([AvailabilityEvent(VIDEO, TEN, TEN)])),
    ),
    "discoveries": Layer(
        discoveries.SCHEMA,
        parquet.DISCOVERIES,
        layout.discoveries(DAY),
        lambda vault: (vault.read_discoveries(), list(vault.read_discoveries_batches([VIDEO]))),
        lambda: discoveries.LAYER.encode(
            discoveries.table_of([Discovered(VIDEO, Origin("channel", "UC1"), TEN, Place(1, 1), "run")])
        ),
    ),
    "gains": Layer(
        ranking.SCHEMA,
        parquet.GAINS,
        layout.gains(AT_TEN),
        lambda vault: vault.prepared.gains(dt.timedelta(days=1), TEN),
        gains_bytes,
    ),
    "source": Layer(
        sources.SCHEMA,
        parquet.SOURCE,
        sources._place("some"),
        read_source,
        lambda: sources._encoded("some", memory()),
    ),
}


@pytest.fixture
def vault(tmp_path: Path) -> ParquetVaultHook:
    vault = ParquetVaultHook(root=tmp_path / "vault", lock_timeout=1)
    vault.identity(create=True)
    return vault


def place(vault: ParquetVaultHook, key: str, data: bytes) -> Path:
    path = Path(str(vault.get_conn())) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def value_of(field: pa.Field) -> Any:
    if pa.types.is_string(field.type):
        return VIDEO
    if pa.types.is_timestamp(field.type):
        return TEN
    if pa.types.is_boolean(field.type):
        return True
    return [] if pa.types.is_list(field.type) else 1


def bomb(schema: pa.Schema, rows: int, *, groups: int = 1) -> bytes:
    """A file of the same row over and over, which takes next to nothing."""
    columns = [pa.repeat(pa.scalar(value_of(field), field.type), rows) for field in schema]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd", store_schema=False) as writer:
        for _ in range(groups):
            writer.write_table(pa.table(columns, schema=schema), row_group_size=rows)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("name", LAYERS)
def test_what_a_layer_writes_is_within_its_bounds(vault: ParquetVaultHook, name: str) -> None:
    place(vault, LAYERS[name].key, LAYERS[name].good())
    LAYERS[name].read(vault)


@pytest.mark.parametrize("name", LAYERS)
def test_a_file_that_would_become_gigabytes_is_refused_by_its_footer(
    vault: ParquetVaultHook, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    layer = LAYERS[name]
    rows = layer.bounds.group_rows + 1
    data = bomb(layer.schema, rows)
    assert len(data) < MOST_BYTES
    place(vault, layer.key, data)
    before = pa.total_allocated_bytes(), pa.default_memory_pool().max_memory()
    with pytest.raises(UnreadableFileError) as caught:
        layer.read(vault)
    assert pa.default_memory_pool().max_memory() <= max(before[1], before[0] + 8 * MOST_BYTES)
    told = f"{caught.value.message} {caplog.text}"
    assert layer.key in told
    assert f"{rows:,}" in told


def test_rows_of_many_groups_are_added_up(vault: ParquetVaultHook) -> None:
    rows, groups = 1 << 20, 10
    data = bomb(SCHEMA, rows, groups=groups)
    place(vault, layout.stats(AT_TEN), data)
    with pytest.raises(UnreadableFileError, match=f"{rows * groups:,} rows, where 10,000,000 are the most"):
        vault.read_table()
    assert any("10,485,760 rows" in each for each in vault.health_check()["unreadable"])
    assert any("10,485,760 rows" in each for each in vault.verify().problems)
    repaired = vault.repair()
    assert len(repaired.quarantined) == 1
    assert not vault.verify().problems


def test_lists_in_few_rows_are_refused_too(vault: ParquetVaultHook) -> None:
    many = parquet.HISTORY.group_elements + 1
    row: dict[str, Any] = {field.name: [value_of(field)] for field in HISTORY_SCHEMA}
    row["seconds_to_next"] = [[0] * many]
    place(vault, KEY, table_bytes(pa.table(row, schema=HISTORY_SCHEMA)))
    with pytest.raises(UnreadableFileError, match=f"{many:,} list elements"):
        read_history(vault)


def test_long_texts_are_refused_by_their_bytes(vault: ParquetVaultHook) -> None:
    text = "x" * 3_000
    table = pa.table(
        {"number": pa.nulls(6_000, pa.uint64()), "other": pa.repeat(text, 6_000)}, schema=roster_files.SCHEMA
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    place(vault, LAYERS["roster"].key, bytes(sink.getvalue()))
    with pytest.raises(UnreadableFileError, match="uncompressed bytes in a row group"):
        LAYERS["roster"].read(vault)


@pytest.mark.parametrize("name", LAYERS)
def test_a_footer_of_gigabytes_is_not_fetched(vault: ParquetVaultHook, name: str) -> None:
    layer = LAYERS[name]
    path = place(vault, layer.key, layer.good())
    with path.open("r+b") as file:
        file.truncate(200 * 2**20)  # a hole, which takes no room
        file.seek(-8, 2)
        file.write((200 * 2**20 - 8).to_bytes(4, "little") + b"PAR1")
    if name == "hour":
        with pytest.raises(UnreadableFileError, match="a footer of"):
            files.footer_at(vault._storage, layer.key)
    elif name in {"history", "archive"}:
        with pytest.raises(UnreadableFileError, match="a footer of"):
            layer.read(vault)
    assert vault.health_check()["bytes"] >= 0


def test_an_hour_that_no_reader_would_take_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "POINTS", Bounds(3, 2**30, 3, 2**30))
    data = files.encode(points(3), [])
    for write in (
        lambda: files.encode_part(points(4)),
        lambda: files.encode_sealed(points(4), []),
        lambda: files.grow(data, points(1), []),
    ):
        with pytest.raises(OSError, match="holds up to 3 points, not 4"):
            write()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ParquetVaultHook, dict[str, bytes]]:
    vault = ParquetVaultHook(root=tmp_path_factory.mktemp("fuzzed") / "vault", lock_timeout=1)
    vault.identity(create=True)
    return vault, {name: layer.good() for name, layer in LAYERS.items()}


# pyarrow reads the statistics of columns for the other layers, and ends the process over some that cannot be
READ_WHOLE = ("roster", "import_queue", "roster_memory", "availability", "discoveries", "source")


@settings(max_examples=100)
@given(st.data())
@pytest.mark.parametrize("name", READ_WHOLE)
def test_any_bytes_in_a_footer_are_read_or_named(
    fuzzed: tuple[ParquetVaultHook, dict[str, bytes]], name: str, data: st.DataObject
) -> None:
    vault, good = fuzzed
    changed = bytearray(good[name])
    footer = int.from_bytes(changed[-8:-4], "little") + 8
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(1, footer))
        changed[-where] = data.draw(st.integers(0, 255))
    place(vault, LAYERS[name].key, bytes(changed))
    with suppress(GhostTrackingError):
        LAYERS[name].read(vault)


@settings(max_examples=60)
@given(
    notes=st.one_of(
        st.text(max_size=20),
        st.sampled_from(["[" * 50_000, "9" * 5_000, "null", "[[]]", '[{"a": 1}]', '{"a": 1}', "[null]", "\x1b[2J"]),
    ),
    moment=st.sampled_from(
        [0, -(2**62), 2**62, 1_768_471_200_000_000, -62_135_596_800_000_001, 253_402_300_800_000_000]
    ),
    video=st.one_of(st.none(), st.text(max_size=5)),
)
def test_any_notes_and_values_of_an_hour_are_read_or_named(
    fuzzed: tuple[ParquetVaultHook, dict[str, bytes]], notes: str, moment: int, video: str | None
) -> None:
    vault, _ = fuzzed
    schema = pa.schema([field.with_nullable(True) for field in SCHEMA])
    times = pa.array([moment], pa.int64()).cast(SCHEMA.field("timestamp").type)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, store_schema=False) as writer:
        writer.write_table(pa.table([pa.array([video], pa.string()), times, [1], [1], [1], times], schema=schema))
        writer.add_key_value_metadata({"ghost_tracking.parts": notes})
    place(vault, layout.stats(AT_TEN), bytes(sink.getvalue()))
    with suppress(GhostTrackingError):
        LAYERS["hour"].read(vault)
    vault.health_check()
    vault.verify()
