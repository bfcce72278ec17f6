"""Lists that somebody brings are in the vault once, whole or not at all, and are imported in order, each id once."""

import random
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from airflow.sdk import ObjectStoragePath

from ghost_tracking.core.lists import BadLine, _kept
from ghost_tracking.errors import BadInputError, FileChangedError, UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import import_queue, layout
from ghost_tracking.vault.import_queue import ImportQueue
from ghost_tracking.vault.storage import LocalStorage
from s3_server import S3Server


@pytest.fixture
def vault(vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch) -> ParquetVaultHook:
    monkeypatch.setattr(import_queue, "IDS_A_FILE", 4)
    return vault


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    monkeypatch.setattr(import_queue, "IDS_A_FILE", 4)
    return LocalStorage(tmp_path / "vault", layout.SCRATCH)


def ids(*numbers: int) -> list[str]:
    return [f"video{number:06d}" for number in numbers]


def all_of(box: ImportQueue) -> dict[str, list[str]]:
    """Every id that is not imported, by list."""
    return {each.name: list(each.ids) for each in box.waiting(10**9)}


def files(box: ImportQueue) -> set[str]:
    return set(box._storage.children(layout.IMPORT_QUEUE)) - {"manifest.json"}


def consistent(box: ImportQueue) -> bool:
    """No file is missing, none is left over."""
    return files(box) == import_queue.ImportQueueManifest.load(box._storage, layout.IMPORT_QUEUE_MANIFEST)[0].named


def test_a_list_is_brought_once_and_imported_in_order(vault: ParquetVaultHook) -> None:
    box = vault.import_queue
    assert (box.lists(), box.waiting(5)) == ([], [])
    told: list[tuple[int, int]] = []
    brought = [*ids(*range(10, 0, -1)), "", "https://youtu.be/video000003", "no video", "# end"]
    report = box.submit(brought, progress=lambda *done: told.append(done))
    assert (report.ids, report.new, report.duplicates, report.bad) == (10, 10, 1, 1)
    assert str(report.bad_lines[0]).startswith("line 13: 'no video': neither")
    assert told == [(4, 4), (8, 8), (13, 10)]
    assert consistent(box)
    before = files(box)

    again = box.submit(random.sample(brought, len(brought)))

    assert (again.name, again.ids, again.new) == (report.name, 10, 0)
    assert files(box) == before
    other = box.submit(ids(3, 11), name="other")
    assert (other.ids, other.new) == (2, 2)
    (first,) = box.waiting(3)
    assert (first.name, first.start, first.stop, list(first.ids)) == (report.name, 0, 3, ids(10, 9, 8))
    assert box.waiting(3) == [first]
    box.mark_imported(first.name, first.stop)
    box.mark_imported(first.name, first.stop)
    box.mark_imported(first.name, 1)
    assert [(each.start, list(each.ids)) for each in box.waiting(8)] == [(3, ids(*range(7, 0, -1))), (0, ids(3))]
    assert list(box.waiting(2)[0].ids) == ids(7, 6)
    for each in box.waiting(99):
        box.mark_imported(each.name, each.stop)
    assert box.waiting(99) == []
    assert [(each.name, each.ids, each.imported, each.waiting, each.bad) for each in box.lists()] == [
        (report.name, 10, 10, 0, 1),
        ("other", 2, 2, 0, 0),
    ]
    assert [each.number for each in box.bad_lines(report.name)] == [13]
    assert box.submit(brought).new == 0
    assert box.waiting(99) == []


def test_a_list_of_a_name_gets_what_it_does_not_have(vault: ParquetVaultHook) -> None:
    box = vault.import_queue
    box.submit([*ids(*range(10)), "no video"], name="mine")
    box.mark_imported("mine", 6)
    report = box.submit([*ids(*range(5, 15)), "no", "?"], name="mine")
    assert (report.ids, report.new, report.bad) == (10, 5, 2)
    assert list(box.waiting(99)[0].ids) == ids(*range(6, 15))
    (status,) = box.lists()
    assert (status.ids, status.imported, status.bad) == (15, 6, 3)
    assert [each.text for each in box.bad_lines("mine")] == ["no video", "no", "?"]
    assert consistent(box)
    assert box.submit(ids(*range(15)), name="mine").new == 0
    assert consistent(box)


def test_what_cannot_be_is_said(vault: ParquetVaultHook) -> None:
    box = vault.import_queue
    nothing = box.submit(["?", ""])
    assert (nothing.ids, nothing.bad, box.lists()) == (0, 1, [])
    for name in ("", "a/b", "x" * 81, "ü"):
        with pytest.raises(BadInputError, match="is no name for a list"):
            box.submit(ids(1), name=name)
    with pytest.raises(BadInputError, match="no column"):
        box.submit(["title,id", f"x,{ids(1)[0]}"], column="video")
    box.submit(ids(1), name="one")
    for name, upto in (("two", 1), ("one", 2)):
        with pytest.raises(BadInputError, match="has no list"):
            box.mark_imported(name, upto)
    with pytest.raises(BadInputError, match="has no list"):
        box.bad_lines("two")
    assert box.bad_lines("one") == []


def test_bad_lines_are_kept_up_to_a_number_and_all_counted(
    vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_queue, "MOST_BAD_LINES", 15)
    report = vault.import_queue.submit([*["?\ud800"] * 20, *ids(1)], name="x")
    assert (report.bad, len(report.bad_lines), len(vault.import_queue.bad_lines("x"))) == (20, 10, 15)
    assert vault.import_queue.bad_lines("x")[0].text == "??"


def test_a_bad_line_stays_on_its_list_until_it_can_be_read(vault: ParquetVaultHook) -> None:
    box = vault.import_queue
    box.submit([*ids(1), "title,no id", "? ?"], name="mine")
    for brought in ([*ids(1), "title,no id", "? ?"], [*ids(1, 2), "? ?"], ["? ?"], [*ids(2)]):
        box.submit(brought, name="mine")
    assert [(each.number, each.text) for each in box.bad_lines("mine")] == [(2, "title,no id"), (3, "? ?")]
    assert box.submit([*ids(1), "another"], name="mine").new == 0
    assert box.submit(["and one more"], name="mine").ids == 0
    assert [each.text for each in box.bad_lines("mine")] == ["title,no id", "? ?", "another", "and one more"]
    assert box.lists()[0].bad == 4
    assert consistent(box)


def test_bad_lines_are_tried_again_by_the_rules_of_now(
    vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = vault.import_queue
    old = [
        "title,dQw4w9WgXcQ",
        "nothing here",
        "https://gaming.youtube.com/watch?v=x_BjvhMW9TE",
        "x" * 600 + " https://youtu.be/-tJYN-eG1zk",
        "https://youtu.be/video000001",
    ]
    with monkeypatch.context() as before:
        before.setattr(
            import_queue,
            "read_list",
            lambda lines, _: (
                (number, line) if line.startswith("video") else BadLine(number, line[:80], "not read", _kept(line))
                for number, line in enumerate(lines, 1)
            ),
        )
        box.submit([*ids(1), *old], name="mine")
    box.mark_imported("mine", 1)
    assert box.lists()[0].bad == 5

    report = box.retry("mine")

    assert (report.ids, report.new, report.duplicates, report.bad) == (3, 2, 0, 2)
    assert [each.number for each in report.bad_lines] == [3, 5]
    assert all_of(box) == {"mine": ["dQw4w9WgXcQ", "x_BjvhMW9TE"]}
    (status,) = box.lists()
    assert (status.ids, status.imported, status.bad) == (3, 1, 2)
    assert [each.text for each in box.bad_lines("mine")] == ["nothing here", "x" * 80]
    assert consistent(box)
    before_again = files(box)
    assert (box.retry("mine").new, files(box)) == (0, before_again)
    with pytest.raises(BadInputError, match="has no list 'other'"):
        box.retry("other")


def test_bad_lines_are_tried_again_with_a_column(vault: ParquetVaultHook) -> None:
    box = vault.import_queue
    rows = "dQw4w9WgXcQ,x_BjvhMW9TE"
    box.submit(["video_id,related", f"no,{rows}", "-tJYN-eG1zk,no"], name="mine")
    assert [each.kept for each in box.bad_lines("mine")] == [f"no,{rows}"]
    with pytest.raises(BadInputError, match="The columns 2 and 3"):
        box.retry("mine")
    assert box.retry("mine", "2").new == 1
    assert (all_of(box), box.bad_lines("mine"), box.lists()[0].bad) == ({"mine": ["-tJYN-eG1zk", "dQw4w9WgXcQ"]}, [], 0)
    assert box.retry("mine").bad == 0
    assert consistent(box)


def test_several_bring_lists_and_import_at_once(vault_root: Path | ObjectStoragePath) -> None:
    def bring(number: int) -> int:
        box = ParquetVaultHook(root=vault_root, lock_timeout=30).import_queue
        new = box.submit(ids(*range(50)), name="both").new + box.submit(ids(*range(50))).new
        box.submit(ids(number), name=f"own{number}")
        for each in box.waiting(20):
            box.mark_imported(each.name, each.stop)
        return new

    with ThreadPoolExecutor(3) as pool:
        new = sum(pool.map(bring, range(3)))
    box = ParquetVaultHook(root=vault_root).import_queue
    lists = {each.name: each for each in box.lists()}
    assert new == 100
    assert sorted(each.ids for each in lists.values()) == [1, 1, 1, 50, 50]
    assert lists["both"].imported >= 20
    assert consistent(box)


def test_an_answer_of_a_bucket_that_gets_lost(s3: S3Server, s3_root: ObjectStoragePath) -> None:
    box = ParquetVaultHook(root=s3_root).import_queue
    box.submit(ids(1, 2), name="x")
    for lost in range(1, 5):
        s3.fail(times=lost, how="lost answer", method="PUT")
        with suppress(OSError, FileChangedError):
            box.submit(ids(*range(1, 3 + lost)), name="x")
        s3.fail(times=0, how="lost answer", method="PUT")
        box.submit(ids(*range(1, 3 + lost)), name="x")
        assert all_of(box) == {"x": ids(*range(1, 3 + lost))}
    assert import_queue.ImportQueueManifest.load(box._storage, layout.IMPORT_QUEUE_MANIFEST)[0].named <= files(box)


class Failing(LocalStorage):
    """Stops at the n-th step of what it is asked, before or after it is done."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__(root, layout.SCRATCH)
        self.steps = 0
        self._at = at

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            raise KeyboardInterrupt

    def read(self, key: str, *, last: int | None = None) -> Any:
        self._step()
        return super().read(key, last=last)

    def sync(self, key: str) -> None:
        self._step()
        super().sync(key)

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self._step()
            super().delete([key])

    def _write_scratch(self, data: bytes) -> Path:
        self._step()
        return super()._write_scratch(data)

    def _install(self, source: Path, key: str) -> None:
        self._step()
        super()._install(source, key)
        self._step()


def test_whoever_is_stopped_at_any_step_has_brought_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_queue, "IDS_A_FILE", 4)
    monkeypatch.setattr(import_queue, "LIST_LEFTOVER_AGE", timedelta(0))

    def run(storage: LocalStorage) -> None:
        box = ImportQueue(storage, 1)
        box.submit(["video_id,title", *(f"{each},x" for each in ids(*range(6))), f"?,{ids(20)[0]}"], name="a")
        box.submit(["??", *ids(*range(3, 12))], name="a")
        box.mark_imported("a", 5)
        box.submit(ids(1, 2))
        box.retry("a")

    counted = Failing(tmp_path / "counted", 0)
    run(counted)
    steps, expected = counted.steps, all_of(ImportQueue(counted, 1))
    assert steps > 60
    for step in range(1, steps + 1):
        root = tmp_path / f"stopped{step}"
        with pytest.raises(KeyboardInterrupt):
            run(Failing(root, step))
        box = ImportQueue(LocalStorage(root, layout.SCRATCH), 1)
        held = [each.ids for each in box.lists()]
        assert held in ([], [6], [12], [12, 2], [13, 2]), step
        all_of(box)
        run(LocalStorage(root, layout.SCRATCH))
        assert all_of(box) == expected, step
        assert consistent(box), step


def test_leftovers_are_swept_when_nobody_can_be_about_to_name_them(storage: LocalStorage) -> None:
    box = ImportQueue(storage, 1)
    names = [
        f"{datetime.now(UTC) - age:%Y%m%dT%H%M%S%f}-0123456789ab.parquet"
        for age in (
            import_queue.LIST_LEFTOVER_AGE + timedelta(hours=1),
            import_queue.LIST_LEFTOVER_AGE - timedelta(hours=1),
        )
    ]
    for name in [*names, "notes.txt"]:
        storage.put(f"{layout.IMPORT_QUEUE}/{name}", b"left over")
    box.submit(ids(1))
    assert {"notes.txt", names[1]} <= files(box)
    assert names[0] not in files(box)


def test_what_is_broken_is_named(storage: LocalStorage) -> None:
    box = ImportQueue(storage, 1)
    box.submit([*ids(1, 2), "?"], name="x")
    broken = {
        file.name
        for each in import_queue.ImportQueueManifest.load(storage, layout.IMPORT_QUEUE_MANIFEST)[0].lists
        for file in each.files
    }
    (name,) = broken
    whole = storage.read(f"import_queue/{name}").data
    storage.put(f"import_queue/{name}", whole[:-9])
    for ask in (lambda: box.waiting(1), lambda: box.submit(ids(3), name="x")):
        with pytest.raises(UnreadableFileError, match=f"import_queue/{name} is not an intact Parquet file"):
            ask()
    storage.delete([f"import_queue/{name}"])
    with pytest.raises(UnreadableFileError, match=r"manifest\.json names import_queue/.* which is not there"):
        box.waiting(1)
    storage.put(f"import_queue/{name}", whole)
    storage.put(layout.IMPORT_QUEUE_MANIFEST, b"{")
    for ask in (box.lists, lambda: box.mark_imported("x", 1)):
        with pytest.raises(UnreadableFileError, match=r"import_queue/manifest\.json is damaged"):
            ask()


def test_a_set_of_ids_is_a_set() -> None:
    dice = random.Random(1)
    held, expected = import_queue._Ids(), set[str]()
    for _ in range(50):
        batch = [f"id{dice.randrange(4_000)}" for _ in range(dice.randrange(200))]
        hashes = import_queue._hashes(pa.table({"video_id": batch, "line": range(len(batch))}, schema=import_queue.IDS))
        assert held.has(hashes).tolist() == [each in expected for each in batch]
        fresh = held.add(hashes)
        seen = expected.copy()
        assert fresh.tolist() == [not (each in seen or seen.add(each)) for each in batch]
        expected = seen
        assert len(held) == len(expected)
    assert len(held._runs) < 12
    assert held.digest() != import_queue._Ids().digest()
    other = import_queue._Ids()
    for run in reversed(held._runs):
        other.add(np.flip(run))
    assert other.digest() == held.digest()


def test_a_long_list_streams_in_within_seconds(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        for number in range(100_000):
            yield f"https://www.youtube.com/watch?v={number:011d}\n" if number % 2 else f"{number:011d}\n"

    box = ParquetVaultHook(root=tmp_path / "vault").import_queue
    started = time.monotonic()
    assert box.submit(lines()).new == 100_000
    assert time.monotonic() - started < 15
    assert [
        file.ids
        for each in import_queue.ImportQueueManifest.load(box._storage, layout.IMPORT_QUEUE_MANIFEST)[0].lists
        for file in each.files
    ] == [
        50_000,
        50_000,
    ]
