"""The prepared layer is verified, repaired and expired; all of it can be made again."""

from datetime import UTC, datetime, timedelta

import pytest

from ghost_tracking.core.gains import WINDOWS, Interval
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.prepared.figures import PreparedChanges, PreparedMovers

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - HOUR


@pytest.fixture
def filled(vault: ParquetVaultHook, now: datetime) -> ParquetVaultHook:
    """Points of three days, their gains, and figures."""
    vault.identity(create=True)
    vault.stage(
        [
            MetricPoint(each, now - hours * HOUR, 10_000 - hours * (place + 1), None, None, None)
            for hours in range(72)
            for place, each in enumerate(("a", "b"))
        ]
    )
    vault.publish()
    vault.prepared.rebuild_gains(now)
    for window in WINDOWS:
        vault.prepared.put_movers(window, PreparedMovers(as_of=now))
    vault.prepared.put_changes(PreparedChanges(as_of=now))
    return vault


def sums(vault: ParquetVaultHook, now: datetime) -> dict[str, float]:
    found = vault.prepared.gains(DAY, now)
    assert (found.left, found.since) == (0, None)
    return dict(zip(found.ids.to_pylist(), found.sums.tolist(), strict=True))


def test_what_is_sound_has_no_problem(filled: ParquetVaultHook, now: datetime) -> None:
    assert filled.verify().problems == ()
    assert filled.repair().quarantined == ()
    assert sums(filled, now) == {"a": 24, "b": 48}


def test_what_is_broken_is_named_and_made_again(filled: ParquetVaultHook, now: datetime) -> None:
    wanted = sums(filled, now)
    broken = [layout.gains(Partition.of(now - 3 * HOUR)), layout.GAINS_STATE, layout.movers("day"), layout.CHANGES]
    for key in broken:
        filled._storage.put(key, b"?")
    problems = filled.verify().problems
    assert len(problems) == len(broken)
    assert all(any(key in problem for problem in problems) for key in broken)
    report = filled.repair()
    assert (len(report.quarantined), report.problems) == (len(broken), ())
    assert filled.verify().problems == ()
    assert sums(filled, now) == wanted
    assert filled.prepared.movers("day").as_of is None  # the tracker's next run makes it


def test_what_is_past_its_age_goes_and_the_rest_stays(filled: ParquetVaultHook, now: datetime) -> None:
    cutoff = now - 30 * HOUR
    filled.prepared.put_movers("week", PreparedMovers(as_of=cutoff))
    filled.expire(cutoff)
    assert len(filled.prepared._reading.hours()) == 71  # a dry run only counts
    filled.expire(cutoff, dry_run=False)
    hours = filled.prepared._reading.hours()
    assert hours[0].ends_at > cutoff
    assert len(hours) == 31
    assert filled.prepared.movers("week").as_of is None
    assert filled.prepared.movers("day").as_of == now


def test_leaving_the_layer_out_of_a_backup_loses_nothing(filled: ParquetVaultHook, now: datetime) -> None:
    wanted = sums(filled, now)
    filled._storage.delete([key for key, _ in filled._storage.walk(layout.PREPARED)])
    filled.prepared.stage_gains([Interval("a", now - HOUR, now, 9_999, 10_000)])
    filled.prepared.publish_gains(now)
    assert filled.prepared.gains_begin_late(now)
    assert filled.prepared.gains(DAY, now).since == now
    filled.prepared.rebuild_gains(now)
    assert sums(filled, now) == wanted
