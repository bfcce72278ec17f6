"""The nightly check: everything is proven within 28 nights, a night reads a share, and what is broken stays broken."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import load
from ghost_tracking.vault.maintenance.rotation import NIGHTS, Proofs, share_of, verify_share
from ghost_tracking.vault.maintenance.units import Unit
from ghost_tracking.vault.reports import VerifyReport
from ghost_tracking.vault.storage import LocalStorage
from ghost_tracking.vault.storage.base import Blob
from vault_contents import video

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 3, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of days with an hour each, compacted, and some metadata and events."""
    root = tmp_path_factory.mktemp("template") / "vault"
    made = ParquetVaultHook(root=root)
    made.stage([MetricPoint(name, START + day * DAY, day, 1, 2, None) for day in range(60) for name in ("v1", "v2")])
    made.publish()
    made.seal(END)
    made.compact(END)
    for number in range(5):
        made.archive_videos([video(f"v{number}", f"Title {number}")])
    made.stage_availability([AvailabilityEvent("v1", START, START + month * 31 * DAY) for month in range(2)])
    made.publish_availability()
    return root


@pytest.fixture
def root(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "vault"))


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root)


def unit(name: str, size: int, born: date | None = None) -> Unit:
    return Unit(name, size, born, VerifyReport)


def nights(units: list[Unit], number: int, fresh: int = 0) -> Iterator[tuple[date, list[Unit], Proofs, list[Unit]]]:
    """So many nights in which all is sound, with new units in each: the day, what was proven, all there is."""
    dice, proofs, today = random.Random(1), Proofs(), START.date()
    for _ in range(number):
        today += DAY
        units = [*units, *(unit(f"x/{today}-{each}", dice.randrange(100)) for each in range(fresh))]
        chosen = share_of(units, proofs, today)
        proofs = proofs.with_results(units, {each.name: True for each in chosen}, today)
        yield today, chosen, proofs, units


@pytest.mark.parametrize("fresh", [0, 3])
def test_everything_is_proven_within_28_nights_and_a_night_takes_two_shares_at_most(fresh: int) -> None:
    dice = random.Random(2)
    units = [unit(f"x/{number:03}", dice.randrange(1, 1_000)) for number in range(300)]
    for number, (today, chosen, proofs, known) in enumerate(nights(units, 100, fresh)):
        share = -(-sum(each.bytes for each in known) // NIGHTS)
        assert sum(each.bytes for each in chosen) <= 2 * share + max(each.bytes for each in known)
        assert len({each.name for each in chosen}) == len(chosen)
        if number >= NIGHTS + 1:
            assert proofs.since is not None
            assert today - proofs.since <= NIGHTS * DAY


def test_a_night_reads_no_more_than_a_share_and_a_unit_where_all_goes_well() -> None:
    units = [unit(f"x/{number:04}", 10) for number in range(2_800)]
    taken = [len(chosen) for _, chosen, _, _ in nights(units, 60)]
    assert set(taken) == {100}


def test_what_its_writer_has_proven_waits_for_its_turn() -> None:
    today = START.date()
    old, new = unit("x/old", 10, today - 5 * DAY), unit("x/new", 10, today - DAY)
    assert share_of([new, old], Proofs(), today) == [old]
    proofs = Proofs().with_results([new, old], {"x/old": True}, today)
    assert proofs.since == today - DAY
    assert share_of([new, old], proofs, today) == [new]


def test_what_could_not_be_proven_is_tried_each_night_beside_the_share() -> None:
    today = START.date()
    units = [unit(f"x/{number:02}", 10) for number in range(56)]
    proofs = Proofs().with_results(units, {"x/07": False}, today)
    assert proofs.since is None
    assert [each.name for each in share_of(units, proofs, today + DAY)] == ["x/07", "x/00", "x/01"]
    mended = proofs.with_results(units, {"x/07": True}, today + DAY)
    assert mended.failed == ()
    assert proofs.with_results(units[:7], {}, today).failed == ()  # it is gone: nothing is said of it


def test_all_nights_together_prove_everything_and_note_it(vault: ParquetVaultHook) -> None:
    assert vault.proven_since() is None
    for night in range(NIGHTS + 1):
        assert vault.verify_share(END + night * DAY).problems == ()
    since = vault.proven_since()
    assert since is not None
    assert (END + NIGHTS * DAY).date() - since <= NIGHTS * DAY
    assert vault.health_check()["proven_since"] == since.isoformat()


class Counting(LocalStorage):
    """Counts the bytes that are read and the files that are open at a time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, layout.SCRATCH)
        self.bytes: dict[str, int] = {}
        self.opened: list[BinaryIO] = []
        self.most_open = 0

    def read(self, key: str, *, last: int | None = None) -> Blob:
        blob = super().read(key, last=last)
        self.bytes[key] = self.bytes.get(key, 0) + len(blob.data)
        return blob

    def open(self, key: str) -> BinaryIO:
        file = super().open(key)
        self.opened = [each for each in self.opened if not each.closed] + [file]
        self.most_open = max(self.most_open, len(self.opened))
        return file


@contextmanager
def counting(vault: ParquetVaultHook, root: Path) -> Iterator[Counting]:
    storage = Counting(root)
    before = vault._location.__dict__.pop("storage", None)
    vault._location.__dict__["storage"] = storage
    yield storage
    vault._location.__dict__["storage"] = before


def test_a_night_opens_a_file_at_a_time_and_reads_the_hours_of_its_share(vault: ParquetVaultHook, root: Path) -> None:
    with counting(vault, root) as storage:
        found = vault.verify_share(END)
    read = [key for key in storage.bytes if key.startswith(layout.METRICS)]
    assert len(read) <= 60 // NIGHTS + 1
    assert storage.most_open <= 1
    assert found.points == 0  # nothing was decoded: all has the bytes that were written
    assert found.files >= len(read)
    with counting(vault, root) as storage:
        vault.verify()
    assert len([key for key in storage.bytes if key.startswith(layout.METRICS)]) == 60


@pytest.mark.parametrize("layer", [layout.METRICS, layout.HISTORY, layout.VIDEOS, layout.AVAILABILITY])
def test_a_byte_that_turns_is_found_within_28_nights_and_stays_found(
    vault: ParquetVaultHook, root: Path, layer: str
) -> None:
    path = sorted((root / layer).rglob("*.parquet"))[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    storage, now = (
        LocalStorage(root, layout.SCRATCH),
        datetime.now(UTC),
    )  # files of the history tell when they were made
    found = [night for night in range(NIGHTS) if verify_share(storage, now + night * DAY).problems]
    assert found == list(range(found[0], NIGHTS))
    assert vault.proven_since() is None
    if layer in {layout.METRICS, layout.HISTORY}:
        vault.repair()
        assert verify_share(storage, now + NIGHTS * DAY).problems == ()
        assert vault.proven_since() is not None


def test_bytes_that_change_no_point_are_found_and_mended_all_the_same(vault: ParquetVaultHook, root: Path) -> None:
    """Such as those between the pages: a reader of points meets none of them."""
    manifest, version = load(LocalStorage(root, layout.SCRATCH))
    first = manifest.files[0].model_copy(update={"hash": "f" * 16})
    changed = manifest.model_copy(update={"files": (first, *manifest.files[1:])})
    changed.replace(LocalStorage(root, layout.SCRATCH), layout.HISTORY_MANIFEST, expecting=version)
    (problem,) = vault.verify().problems
    assert problem == f"{first.path} is not as it was written: repair the vault to have it made again"
    report = vault.repair()
    assert [str(each) for each in report.recompacted] == [first.period]
    assert vault.verify().problems == ()


def test_a_file_that_is_missing_is_named_by_the_next_night_whoever_has_its_turn(
    vault: ParquetVaultHook, root: Path
) -> None:
    history, archive = (min((root / layer).glob("**/2*.parquet")) for layer in (layout.HISTORY, layout.VIDEOS))
    history.unlink()
    archive.write_bytes(archive.read_bytes()[:-1])
    problems = " ".join(vault.verify_share(END).problems)
    assert f"{history.relative_to(root)} is missing, though the manifest names it" in problems
    assert f"{archive.relative_to(root)} has" in problems


def test_the_last_two_days_are_proven_each_night_compacted_or_not(vault: ParquetVaultHook, root: Path) -> None:
    vault.stage([MetricPoint("v1", END - hour * HOUR, 1, 1, 2, None) for hour in range(1, 30)])
    vault.publish()
    assert vault.verify_share(END).hours == 29
    vault.seal(END + HOUR)
    vault.compact(END + HOUR)
    assert vault.verify_share(END).hours == 0  # of 4 March and before: compacted, and of the same bytes
    path = root / layout.stats(Partition.of(END - 3 * HOUR))
    path.write_bytes(path.read_bytes()[:-1])
    assert any("hour=21" in each for each in vault.verify_share(END).problems)


@pytest.mark.parametrize("content", [b"", b"{", b'{"proven":{"x":"soon"}}'])
def test_without_its_notes_the_rotation_begins_again(vault: ParquetVaultHook, root: Path, content: bytes) -> None:
    for night in range(3):
        vault.verify_share(END + night * DAY)
    (root / layout.VERIFIED).write_bytes(content)
    assert vault.proven_since() is None
    assert vault.verify_share(END + 3 * DAY).problems == ()
    assert Proofs.of(LocalStorage(root, layout.SCRATCH)).proven


def test_a_verification_of_everything_counts_for_everything(vault: ParquetVaultHook) -> None:
    assert vault.verify().problems == ()
    vault.note_verified(END)
    assert vault.proven_since() == END.date()
    assert vault.verify_share(END + HOUR).files == 0  # nobody's turn has come
