"""The prepared layer when its writers are killed at every change that they make: late at worst, and never wrong.

As `test_vault_kills`: a child kills itself right before the n-th change, for every n. What is read then is what was
prepared before or what is prepared after, the same work done again finishes it, and nothing counts twice.
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
from ghost_tracking.core.gains import WINDOWS, Interval
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.prepared import upkeep
from ghost_tracking.vault.prepared.figures import PreparedMover, PreparedMovers

pytestmark = pytest.mark.faults

NOW = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GONE = "AAAAAAAAAA0"
IDS = [GONE, "bbbbbbbbbb0", "cccccccccc0"]


def opened(root: str | Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root, lock_timeout=5)


def intervals(hours: int, gain: int) -> list[Interval]:
    until = NOW - hours * HOUR
    return [Interval(each, until - HOUR, until, 10, 10 + gain * (place + 1)) for place, each in enumerate(IDS)]


def figures(gain: int) -> PreparedMovers:
    moment = int(NOW.timestamp())
    movers = [
        PreparedMover(
            video_id=each, gain=gain, first_count=0, last_count=gain, since=moment, until=moment, channel=tuple(IDS)
        )
        for each in IDS
    ]
    return PreparedMovers(as_of=NOW, readings=3, at_most=0, movers=tuple(movers))


# What is done, and in which vault


def merged(vault: ParquetVaultHook) -> None:
    vault.identity(create=True)
    for hours in (0, 1, 30):
        vault.prepared.stage_gains(intervals(hours, 100))
    vault.prepared.publish_gains(NOW)
    vault.prepared._writing.complete_since(NOW - 8 * DAY)
    vault.prepared.put_movers("day", figures(1))


def with_staged(vault: ParquetVaultHook) -> None:
    merged(vault)
    for hours in (0, 2):
        vault.prepared.stage_gains(intervals(hours, 7))


def from_before(vault: ParquetVaultHook) -> None:
    """Points of a vault that has kept no gains, and of an hour that had begun to."""
    vault.identity(create=True)
    vault.stage(
        [MetricPoint(each, NOW - hours * HOUR, 1_000 - 9 * hours, 0, 0, None) for each in IDS for hours in range(3)]
    )
    vault.publish()
    vault.prepared.stage_gains([Interval(GONE, NOW - HOUR, NOW, 991, 1_000)])
    vault.prepared.publish_gains(NOW)


def broken_hour(vault: ParquetVaultHook) -> None:
    from_before(vault)
    vault.prepared.rebuild_gains(NOW)
    vault._storage.put(layout.gains(Partition.of(NOW)), b"PAR1?")
    vault._storage.put(layout.movers("week"), b"{")


def forget(vault: ParquetVaultHook) -> None:
    report = vault.forget([GONE], dry_run=False)
    assert report.problems == ()


CASES: dict[str, tuple[Callable[[ParquetVaultHook], None], Callable[[ParquetVaultHook], object]]] = {
    "stage": (merged, lambda vault: vault.prepared.stage_gains(intervals(0, 7))),
    "merge": (with_staged, lambda vault: vault.prepared.publish_gains(NOW)),
    "make of points": (from_before, lambda vault: vault.prepared.rebuild_gains(NOW)),
    "replace figures": (merged, lambda vault: vault.prepared.put_movers("day", figures(2))),
    "forget": (with_staged, forget),
    "repair": (broken_hour, lambda vault: upkeep.repair(vault._storage, 5, NOW)),
}


def die_at(root: str, case: str, at: int) -> int:
    """Returns the number of changes, when it gets so far."""
    vault = opened(root)
    death = Death(root, at)
    CASES[case][1](vault)
    return death.changes


WORK: dict[str, Callable[..., Any]] = {"die_at": die_at}


def sums(root: Path, window: timedelta) -> dict[str, float]:
    found = opened(root).prepared.gains(window, NOW)
    return dict(zip(found.ids.to_pylist(), found.sums.tolist(), strict=True))


def seen(root: Path) -> dict[str, Any]:
    """All that readers get of the layer once everything is merged."""
    vault = opened(root)
    gains = {name: vault.prepared.gains(window, NOW) for name, window in WINDOWS.items()}
    return {
        "sums": {name: sums(root, window) for name, window in WINDOWS.items()},
        "others": {name: (each.readings, each.left, each.since) for name, each in gains.items()},
        "figures": vault.prepared.movers("day"),
        "problems": list(upkeep.verify(vault._storage)),
        "staged": sorted(key for key, _ in vault._storage.walk(layout.STAGED_GAINS)),
    }


def assert_late_at_worst(root: Path, case: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """No video has gained more than is so after all is done, and figures are those before or after."""
    vault = opened(root)
    assert vault.prepared.movers("day") in (before["figures"], after["figures"])
    if case == "repair":
        return  # an hour is broken until it is repaired
    for name, window in WINDOWS.items():
        found = sums(root, window)
        for video_id, gained in found.items():
            assert gained <= max(before["sums"][name].get(video_id, 0), after["sums"][name].get(video_id, 0)) + 1e-9
        complete = vault.prepared.gains(window, NOW)
        if case == "make of points" and complete.since is None:
            assert found == after["sums"][name]  # nobody calls it complete before it is


@pytest.mark.parametrize("case", CASES)
def test_prepared_figures_are_late_at_worst(children: Children, tmp_path: Path, case: str) -> None:
    prepare, work = CASES[case]
    template, untouched = tmp_path / "template", tmp_path / "untouched"
    prepare(opened(template))
    shutil.copytree(template, untouched)
    before = {} if case == "repair" else seen(template)
    before = before or {"figures": opened(template).prepared.movers("day")}
    work(opened(untouched))
    opened(untouched).prepared.publish_gains(NOW)
    after = seen(untouched)
    assert after["problems"] == after["staged"] == []
    kills = 0
    for root in killed(children, die_at, tmp_path, template, case):
        kills += 1
        assert_late_at_worst(root, case, before, after)
        if case != "stage":  # a batch that was killed reads again, later
            work(opened(root))
            opened(root).prepared.publish_gains(NOW)
            assert seen(root) == after
        else:
            opened(root).prepared.publish_gains(NOW)
            assert seen(root)["sums"] in (before["sums"], after["sums"])
    assert kills >= 3
    if case == "forget":
        assert opened(untouched).forget([GONE]).rows == 0
        assert GONE not in {each.video_id for each in after["figures"].movers}
        assert all(GONE not in each.channel for each in after["figures"].movers)


if __name__ == "__main__":
    fork_server.serve(WORK)
