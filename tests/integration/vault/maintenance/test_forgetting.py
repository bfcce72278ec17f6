"""Forgetting: a video goes from every layer, nobody else's points change, and readers never meet an error."""

import base64
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.gains import Interval
from ghost_tracking.core.origins import Discovered, Origin, Place
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.source_memory import SourceMemory
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout, roster_files, roster_memory
from ghost_tracking.vault.prepared.figures import PreparedMover, PreparedMovers
from ghost_tracking.vault.roster_memory import ChunkMemory
from vault_contents import assert_holds, expected, rows

START = datetime(2026, 1, 30, 22, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = datetime(2026, 3, 5, tzinfo=UTC)
GONE = ["AAAAAAAAAA0", "mmmmmmmmmm0"]
STAY = ["-aaaaaaaaa0", "bbbbbbbbbb0", "zzzzzzzzzz0"]
ALL = sorted([*GONE, *STAY])


def points(first: int, hours: int, ids: Iterable[str] = ALL, minute: int = 0) -> list[MetricPoint]:
    return [
        MetricPoint(each, START + hour * HOUR + timedelta(minutes=minute, seconds=second), 9 * hour, None, 1, START)
        for hour in range(first, first + hours)
        for second, each in enumerate(ids)
    ]


def video(video_id: str, channel: str = "UC1") -> Video:
    return Video(
        id=video_id,
        title=f"Title {video_id}",
        description="Long.",
        published_at=START,
        tags=("a",),
        channel_id=channel,
        channel_title="Ch",
        category_id="1",
        duration=None,
        default_language="en",
        reading=Reading(video_id, START, 1, 1, 1, START),
    )


def fill(vault: ParquetVaultHook) -> list[MetricPoint]:
    """A compacted month and day, late points, a sealed hour, an open one with parts, and staged points."""
    found = points(0, 40)
    vault.stage(found)
    vault.publish()
    vault.seal(LATER)
    vault.compact(LATER)
    vault.refresh_latest()
    late = points(3, 1, minute=30)
    vault.stage(late)
    vault.publish()
    vault.seal(LATER)
    sealed = points(780, 2)
    vault.stage(sealed)
    vault.publish()
    vault.seal(LATER)
    opened = points(902, 1)
    vault.stage(opened)
    vault.publish()
    vault.stage(points(902, 1, minute=30))
    return [*found, *late, *sealed, *opened, *points(902, 1, minute=30)]


def fill_others(vault: ParquetVaultHook) -> str:
    """All layers but points; the name of a chunk."""
    events = [AvailabilityEvent(each, START, START + DAY) for each in ALL]
    vault.stage_availability(events)
    vault.publish_availability()
    vault.stage_availability([AvailabilityEvent(each, START, START + DAY, START + 30 * DAY) for each in ALL])
    channel = Origin("channel", "UC1")
    vault.stage_discoveries(Discovered(each, channel, START, Place(rank, 1)) for rank, each in enumerate(ALL, 1))
    vault.publish_discoveries()
    vault.stage_discoveries(Discovered(each, channel, START + 30 * DAY) for each in ALL)
    vault.stage_videos([video(each) for each in ALL], START)
    vault.archive_videos()
    vault.stage_videos([video(each) for each in [GONE[0], "dddddddddd0"]], START)
    chunk = vault.roster.write(ALL, START.date())
    vault.roster.remember(chunk, ChunkMemory(*(np.arange(5.0) for _ in range(3))))
    vault.import_queue.submit([*ALL, f"see {GONE[1]}!", "nothing here"], "mine")
    vault.import_queue.submit(GONE, "theirs")
    vault.source_memory.save("channel:UC1", SourceMemory(LATER, dict.fromkeys(ALL)))
    fill_prepared(vault)
    return chunk


def fill_prepared(vault: ParquetVaultHook) -> None:
    """Gains of an hour, staged ones, and movers that are compared with each other."""
    gained = [Interval(each, START, START + HOUR, 1, 9) for each in ALL]
    vault.prepared.stage_gains(gained)
    vault.prepared.publish_gains(START + HOUR)
    vault.prepared.stage_gains(gained)
    seconds = {name: int(START.timestamp()) for name in ("since", "until")}
    movers = [
        PreparedMover(video_id=each, gain=8, first_count=1, last_count=9, channel=tuple(ALL), **seconds) for each in ALL
    ]
    vault.prepared.put_movers("day", PreparedMovers(as_of=START + HOUR, movers=tuple(movers)))


def set_aside(vault: ParquetVaultHook, table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    key = f"{layout.QUARANTINE}/date=2026-01-30/hour=22/x.part.broken"
    vault._storage.put(key, bytes(sink.getvalue()))
    return key


def test_a_video_goes_from_every_layer_and_nothing_else_does(vault: ParquetVaultHook) -> None:
    known, chunk = fill(vault), fill_others(vault)
    aside = set_aside(vault, pa.table({"video_id": ALL, "x": [1] * 5}))
    places = vault.roster.read(chunk)
    before = vault.forget(GONE)
    counts = {layer.name: layer.rows for layer in before.layers}
    assert counts == {
        "staged points": 4,
        "hours": 2 * 44,
        "history": 2 * 40,
        "newest points": 2,
        "staged availability": 2,
        "availability": 2,
        "staged discoveries": 2,
        "discoveries": 2,
        "staged metadata": 1,
        "metadata": 2,
        "roster": 2,
        "lists": 5,
        "sources": 2,
        "quarantine": 2,
        "staged gains": 2,
        "gains": 2,
        "figures": 2 + 5 * 2,
    }
    seen: list[tuple[str, int, int]] = []
    done = vault.forget(GONE, dry_run=False, progress=lambda *told: seen.append(told))
    assert {layer.name: layer.rows for layer in done.layers} == counts
    assert {name for name, _, _ in seen} == set(counts)
    assert all(1 <= number <= total for _, number, total in seen)
    proof = vault.forget(GONE)
    assert (proof.rows, proof.problems) == (0, ())
    assert all(layer.files for layer in proof.layers if layer.name != "staged metadata")

    left = [each for each in known if each.video_id in STAY]
    assert vault.verify().problems == ()
    vault.publish()
    assert_holds(vault, left)
    assert vault.seal(LATER).complete
    for _ in range(2):
        assert vault.compact(LATER, keep_hours=False).problems == ()
    assert vault.verify().problems == ()
    assert_holds(vault, left)
    assert vault.forget(GONE).rows == 0

    assert set(vault.read_availability()["video_id"]) == set(STAY)
    assert [set(day["video_id"]) for _, day in vault.read_discoveries().groupby("named_at")] == [set(STAY), set(STAY)]
    assert vault.read_discoveries(STAY, end=START + DAY)["rank"].to_list() == [
        rank for rank, each in enumerate(ALL, 1) if each in STAY
    ]
    shown = vault.prepared.movers("day").movers
    assert [each.video_id for each in shown] == STAY
    assert {each.channel for each in shown} == {tuple(STAY)}
    assert vault.prepared.gains(DAY, START + HOUR).ids.to_pylist() == STAY
    assert set(vault.read_videos([*ALL, "dddddddddd0"])["video_id"]) == {*STAY, "dddddddddd0"}
    assert vault.archive_videos().problems == ()
    ids = vault.roster.read(chunk)
    assert len(ids) == 5
    assert {each: ids[place] for place, each in enumerate(places) if each in STAY} == {each: each for each in STAY}
    assert set(ids) == set(STAY)
    assert [each.name for each in vault.import_queue.lists()] == ["mine"]
    (waiting,) = vault.import_queue.waiting(100)
    assert set(waiting.ids) == set(STAY)
    assert {each: waiting.ids[place] for place, each in enumerate(ALL) if each in STAY} == {each: each for each in STAY}
    assert [each.text for each in vault.import_queue.bad_lines("mine")] == ["nothing here"]
    memory = vault.source_memory.load("channel:UC1")
    assert memory is not None
    assert set(memory.named) == set(STAY)
    assert pq.read_table(pa.BufferReader(vault._storage.read(aside).data))["video_id"].to_pylist() == STAY
    for key, _ in vault._storage.walk(""):
        data = vault._storage.read(key).data
        assert not any(each.encode() in data for each in GONE), key


numbered = st.integers(0, 2**64 - 1).map(
    lambda number: base64.urlsafe_b64encode(number.to_bytes(8, "big")).decode().rstrip("=")
)
others = st.text("abcXYZ019-_", min_size=1, max_size=20).filter(lambda each: not roster_files._is_number(each))


def test_a_video_that_has_a_placeholders_id_is_forgotten_too() -> None:
    for ids, gone in ((["AAAAAAAAAAA", "0"], {"AAAAAAAAAAA"}), (["AAAAAAAAAAA", "-"], {"-"})):
        after = roster_files.decode(roster_files.encode(roster_files._with_neighbours(ids, gone)))
        assert gone.isdisjoint(after)
        assert len(after) == 2


@given(st.sets(numbered | others, min_size=1, max_size=12), st.data())
def test_every_other_video_of_a_chunk_keeps_its_position(ids: set[str], data: st.DataObject) -> None:
    before = roster_files.decode(roster_files.encode(ids))
    assert set(before) == ids
    gone = data.draw(st.sets(st.sampled_from(before)))
    after = roster_files.decode(roster_files.encode(roster_files._with_neighbours(before, gone)))
    assert gone.isdisjoint(after)
    if gone == ids:
        assert after == []
        return
    assert len(after) == len(before)
    assert all(new == old for old, new in zip(before, after, strict=True) if old not in gone)


def test_what_is_remembered_of_a_forgotten_video_goes_too(vault: ParquetVaultHook) -> None:
    chunk = fill_others(vault)
    ids, before = vault.roster.read(chunk), roster_memory.load(vault._storage, chunk, len(ALL))
    vault.forget(GONE, dry_run=False)
    after = roster_memory.load(vault._storage, chunk, len(ids))
    assert not np.isnan(before.views).any()
    known = dict(zip(ids, before.views, strict=True))
    assert [known[each] for each in vault.roster.read(chunk)] == list(after.views)


def test_a_list_keeps_how_far_it_is(vault: ParquetVaultHook) -> None:
    vault.import_queue.submit(ALL, "mine")
    vault.import_queue.mark_imported("mine", 2)
    (before,) = vault.import_queue.waiting(10)
    vault.forget(GONE, dry_run=False)
    (after,) = vault.import_queue.waiting(10)
    assert after.start == before.start
    assert all(new == old for old, new in zip(before.ids, after.ids, strict=True) if old in STAY)
    assert set(after.ids) <= set(STAY)
    # whoever was importing at this moment notes what it has done by the same position
    vault.import_queue.mark_imported("mine", before.stop)
    assert vault.import_queue.waiting(10) == []


def test_broken_files_are_named_and_stop_nothing(vault: ParquetVaultHook) -> None:
    known = fill(vault)
    hour = layout.stats(Partition.of(known[0].timestamp))
    data = vault._storage.read(hour).data
    vault._storage.put(hour, data[:-9])
    report = vault.forget(GONE, dry_run=False)
    (problem,) = report.problems
    assert problem.startswith(f"{hour} ")
    assert problem.endswith("mend it or delete it, then forget these videos again")
    vault._storage.put(hour, data)
    vault.forget(GONE, dry_run=False)
    assert (vault.forget(GONE).rows, vault.forget(GONE).problems) == (0, ())
    assert vault.verify().problems == ()


def test_only_what_came_since_is_looked_through(vault: ParquetVaultHook) -> None:
    fill(vault)
    channel = Origin("channel", "UC1")
    vault.stage_discoveries(Discovered(GONE[0], channel, START + hours * HOUR) for hours in (0, 690, 720))
    vault.publish_discoveries()
    since = START + 700 * HOUR
    report = vault.forget(GONE, since=since)
    files = {layer.name: layer.files for layer in report.layers}
    assert (files["hours"], files["history"], files["discoveries"]) == (3, 0, 1)
    assert {"roster", "lists"}.isdisjoint(files)


def test_readers_never_meet_an_error_while_videos_are_forgotten(vault: ParquetVaultHook) -> None:
    known = fill(vault)
    wanted = expected(each for each in known if each.video_id in STAY and each.timestamp < START + 900 * HOUR)
    vault.publish()
    stop = threading.Event()

    def read() -> int:
        number = 0
        while not stop.is_set():
            for found in (vault.read_metrics(), vault.read_metrics(video_ids=STAY)):
                assert wanted <= {each for each in rows(found) if each[0] in STAY}
            assert len(vault.read_history(STAY[0])) == len(known) // len(ALL)
            number += 1
        return number

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        for video_id in GONE:
            vault.forget([video_id], dry_run=False)
        stop.set()
        assert all(reader.result() > 0 for reader in readers)
    assert vault.forget(GONE).rows == 0
