"""Where videos came from when its writers are killed at every change that they make: nothing is lost or twice.

As `test_vault_kills`: a child kills itself right before the n-th change, for every n. Before anything is mended readers
find all that was acknowledged, once; the same work done again finishes it, and all is as if nobody had been killed.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import fork_server
from faults.vault_deaths import Death, killed
from fork_server import Children
from ghost_tracking.core.origins import Discovered, Origin, Place
from ghost_tracking.core.partitions import Period
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout

pytestmark = pytest.mark.faults

NOON = datetime(2026, 1, 30, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GONE = "AAAAAAAAAA0"
IDS = [GONE, "bbbbbbbbbb0", "cccccccccc0"]
BROKEN = layout.discoveries(Period.day(NOON.date()))
CUTOFF = datetime(2026, 1, 31, tzinfo=UTC)

Rows = set[tuple[Any, ...]]


def opened(root: str | Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root, lock_timeout=5)


def named(kind: str, at: datetime, *ids: str) -> list[Discovered]:
    return [Discovered(each, Origin(kind, "x"), at, Place(rank, 1), "run") for rank, each in enumerate(ids, 1)]


# What is done, and in which vault


def published(vault: ParquetVaultHook) -> None:
    vault.identity(create=True)
    vault.stage_discoveries([*named("channel", NOON, *IDS), *named("chart", NOON + DAY, *IDS)])
    assert vault.publish_discoveries().complete


def with_staged(vault: ParquetVaultHook) -> None:
    """Of both days and a third one: what is new, and what was named before."""
    published(vault)
    vault.stage_discoveries([*named("channel", NOON + HOUR, "new", *IDS), *named("chart", NOON + 2 * DAY, *IDS)])
    vault.stage_discoveries([*named("chart", NOON + DAY - HOUR, *IDS), *named("search", NOON + 2 * DAY, *IDS)])


def broken(vault: ParquetVaultHook) -> None:
    with_staged(vault)
    path = Path(vault.get_conn().path) / BROKEN
    path.write_bytes(path.read_bytes()[:-9])


def forget(vault: ParquetVaultHook) -> None:
    assert vault.forget([GONE], dry_run=False).problems == ()


CASES: dict[str, tuple[Callable[[ParquetVaultHook], None], Callable[[ParquetVaultHook], object]]] = {
    "stage": (published, lambda vault: vault.stage_discoveries(named("channel", NOON + 2 * DAY, *IDS))),
    "publish": (with_staged, lambda vault: vault.publish_discoveries()),
    "expire": (published, lambda vault: vault.expire(CUTOFF, dry_run=False)),
    "forget": (with_staged, forget),
    "repair": (broken, lambda vault: vault.repair()),
}


def die_at(root: str, case: str, at: int) -> int:
    """Returns the number of changes, when it gets so far."""
    vault = opened(root)
    death = Death(root, at)
    CASES[case][1](vault)
    return death.changes


WORK: dict[str, Callable[..., Any]] = {"die_at": die_at}


def rows(root: Path) -> Rows:
    """All that is there, each row once."""
    frame = opened(root).read_discoveries()
    found = list(zip(frame["source_kind"], frame["video_id"], frame["named_at"], frame["rank"], strict=True))
    days = frame.assign(day=frame["named_at"].dt.date)
    assert not days.duplicated(["source_kind", "video_id", "day"]).any()
    return set(found)


def others(found: Rows) -> Rows:
    return {each for each in found if each[1] != GONE}


def is_broken(root: Path) -> bool:
    return (root / BROKEN).exists() and any(BROKEN in each for each in opened(root).verify().problems)


def files(root: Path) -> list[str]:
    """What stands there, but for names that are random; of what is set aside, that there is some."""
    keys = [key for folder in (layout.DISCOVERIES, layout.STAGED_DISCOVERIES) for key, _ in _walk(root, folder)]
    return [*sorted(keys), str(any(_walk(root, layout.QUARANTINE)))]


def _walk(root: Path, folder: str) -> list[tuple[str, int]]:
    return list(opened(root)._storage.walk(folder))


@pytest.mark.parametrize("case", CASES)
def test_discoveries_killed_at_any_change_are_neither_lost_nor_twice(
    children: Children, tmp_path: Path, case: str
) -> None:
    prepare, work = CASES[case]
    template, untouched = tmp_path / "template", tmp_path / "untouched"
    prepare(opened(template))
    shutil.copytree(template, untouched)
    before = set() if case == "repair" else rows(template)
    work(opened(untouched))
    after, done = rows(untouched), files(untouched)
    kills = 0
    for root in killed(children, die_at, tmp_path, template, case):
        kills += 1
        if case == "repair" and is_broken(root):
            with pytest.raises(UnreadableFileError, match=BROKEN):
                rows(root)
        elif case == "forget":  # of the forgotten one some may be left
            assert others(rows(root)) == after
        else:
            assert before & after <= rows(root) <= before | after
        if case == "stage":  # a hunt that was killed hunts again
            assert rows(root) in (before, after)
            continue
        work(opened(root))
        assert rows(root) == after
        assert opened(root).verify().problems == ()
        assert files(root) == done
    assert kills >= 3
    if case == "repair":
        assert opened(untouched).publish_discoveries().complete
        assert ("channel", "new", NOON + HOUR, 1) in rows(untouched)
    if case == "forget":
        assert GONE not in {video_id for _, video_id, _, _ in after}
        assert opened(untouched).forget([GONE]).rows == 0


if __name__ == "__main__":
    fork_server.serve(WORK)
