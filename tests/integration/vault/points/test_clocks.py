"""A clock that is wrong brings no points of the future in, hides nothing, and deletes nothing."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import BadInputError, BadPointsError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.compaction import Compactor
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.storage import Storage

NOW = datetime.now(UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
YEARS = 1_500 * DAY
AHEAD = NOW + YEARS


def point(at: datetime, video_id: str = "v") -> MetricPoint:
    return MetricPoint(video_id, at.replace(microsecond=0), 1, None, None, None)


OLD = [point(NOW - 3 * DAY), point(NOW - 3 * DAY, "w")]


@pytest.fixture
def vault(vault: ParquetVaultHook) -> ParquetVaultHook:
    vault.stage(OLD)
    assert vault.publish().complete
    return vault


@pytest.fixture
def storage(vault: ParquetVaultHook) -> Storage:
    return vault._storage


def put_part(storage: Storage, at: datetime) -> str:
    """As another clock has staged it."""
    key = layout.part(Partition.of(at), "20260101T000000000000-0123456789ab.part")
    storage.put(key, files.encode_part(tables.table_of([point(at)])))
    return key


def put_hour(storage: Storage, at: datetime) -> str:
    """As an older version has published it."""
    key = layout.stats(Partition.of(at))
    storage.put(key, files.encode(tables.table_of([point(at)]), []))
    return key


def set_aside(storage: Storage) -> list[str]:
    return sorted(key for key, _ in storage.walk(layout.QUARANTINE))


@pytest.mark.parametrize("ahead", [timedelta(minutes=2), 3 * HOUR, YEARS])
def test_no_point_of_the_future_enters(vault: ParquetVaultHook, storage: Storage, ahead: timedelta) -> None:
    before = sorted(storage.walk(""))
    now = datetime.now(UTC)
    batch = [point(now), point(now + ahead, "w")]
    with pytest.raises(BadPointsError, match=r"row 1: timestamp .* lies in the future") as caught:
        vault.stage(batch)
    assert caught.value.facts["bad_rows"] == 1
    with pytest.raises(BadPointsError, match="lies in the future"):
        vault.append_metrics([{"video_id": "w", "timestamp": batch[1].timestamp}])
    assert sorted(storage.walk("")) == before


def test_a_point_of_this_second_enters_though_clocks_differ_a_little(vault: ParquetVaultHook) -> None:
    vault.stage([point(datetime.now(UTC) + timedelta(seconds=3))])


def test_what_another_clock_has_staged_is_set_aside_and_stops_nothing(
    vault: ParquetVaultHook, storage: Storage
) -> None:
    put_part(storage, AHEAD)
    fresh = point(NOW - HOUR)
    vault.stage([fresh])
    report = vault.publish()
    assert (report.points_added, report.complete) == (1, False)
    assert "points of the future" in report.problems[0]
    assert report.quarantined == tuple(set_aside(storage))
    assert vault.publish().complete
    assert vault.newest_point() == fresh.timestamp
    assert vault.verify().problems == ()


def test_a_part_of_an_hour_to_come_waits_for_it(vault: ParquetVaultHook, storage: Storage) -> None:
    """Perhaps it is this machine's clock that is slow."""
    key = put_part(storage, NOW + 2 * HOUR)
    assert vault.publish().complete
    assert vault.seal(datetime.now(UTC)).complete
    assert storage.version(key) is not None
    assert len(vault.read_metrics()) == len(OLD)
    (problem,) = vault.verify().problems
    assert "_staging/parts/ has points of the future (date=" in problem
    vault.repair()
    assert len(set_aside(storage)) == 1
    assert vault.verify().problems == ()


@pytest.mark.parametrize("layer", ["hours", "history", "both"])
def test_points_of_the_future_are_named_hide_nothing_and_are_set_aside(
    vault: ParquetVaultHook, storage: Storage, layer: str
) -> None:
    put_hour(storage, AHEAD)
    if layer != "hours":
        vault.seal(NOW)
        Compactor(storage).compact(AHEAD + 60 * DAY, HOUR, months=True, keep_hours=layer == "both")
    newest = OLD[0].timestamp
    assert vault.newest_point() == newest
    assert vault.stats.newest_point(NOW) == newest
    health = vault.health_check()
    assert (health["newest_point"], health["ok"], health["writable"]) == (newest.isoformat(), False, True)
    assert "points of the future" in health["problem"]
    problems = vault.verify(start=NOW - 2 * DAY).problems
    assert [each.split("/")[0] for each in problems] == {"hours": ["metrics"], "history": ["history"]}.get(
        layer, ["metrics", "history"]
    )

    report = vault.repair()
    assert (report.lost, report.problems) == ((), ())
    assert sorted(report.quarantined) == set_aside(storage)
    kept = [files.decode(storage.read(key).data, Partition.of(AHEAD)) for key in report.quarantined]
    assert [table["timestamp"].to_pylist() for table in kept] == [[point(AHEAD).timestamp]] * len(problems)
    assert vault.verify().problems == ()
    assert vault.health_check()["ok"]
    assert len(vault.read_metrics()) == len(vault.read_latest()) == len(OLD)


def test_points_later_than_now_in_the_present_hour_do_not_count_as_the_newest(
    vault: ParquetVaultHook, storage: Storage
) -> None:
    later = [point(each) for each in (NOW, NOW + timedelta(minutes=59))]
    hour = Partition.of(NOW)
    if Partition.of(later[1].timestamp) != hour:  # so late in the hour that nothing of it is left
        later[1] = point(hour.ends_at - timedelta(seconds=1))
    storage.put(layout.stats(hour), files.encode(tables.table_of(later), []))
    assert vault.newest_point() in {later[0].timestamp, later[1].timestamp}
    assert vault.newest_point() <= datetime.now(UTC) + timedelta(seconds=5)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("cutoff", "reason"),
    [
        (AHEAD, "lies in the future"),
        (NOW + HOUR, "lies in the future"),
        (NOW - 23 * HOUR, "less than a day ago"),
        (NOW.replace(tzinfo=None), "no time zone"),
        (date(2026, 1, 1), "is a date"),
        (None, "is no time"),
    ],
)
def test_nothing_is_deleted_by_a_wrong_cutoff(
    vault: ParquetVaultHook, storage: Storage, cutoff: datetime, reason: str, dry_run: bool
) -> None:
    before = sorted(storage.walk(""))
    for expire in (vault.expire, vault.expire_videos):
        with pytest.raises(BadInputError, match=reason):
            expire(cutoff, dry_run=dry_run)
    assert sorted(storage.walk("")) == before


def test_a_clock_ahead_closes_no_hour(vault: ParquetVaultHook) -> None:
    for verb in (vault.seal, vault.compact):
        with pytest.raises(BadInputError, match=r"now 20.* lies in the future; this machine's clock says"):
            verb(datetime.now(UTC) + HOUR)
        with pytest.raises(BadInputError, match="no time zone"):
            verb(NOW.replace(tzinfo=None))


def test_the_newest_point_is_found_in_the_history_too(vault: ParquetVaultHook) -> None:
    vault.seal(NOW)
    vault.compact(NOW - DAY, keep_hours=False)
    assert vault.newest_point() == vault.stats.newest_point(NOW) == OLD[0].timestamp
    assert vault.health_check()["newest_point"] == OLD[0].timestamp.isoformat()
    early = point(Partition.of(NOW - 3 * DAY).starts_at, "early")
    vault.stage([early])
    vault.publish()  # the last hour has a file again, whose points are older
    assert vault.newest_point() == OLD[0].timestamp
    fresh = point(NOW - HOUR)
    vault.stage([fresh])
    vault.publish()
    assert vault.newest_point() == fresh.timestamp


def test_the_newest_point_is_found_where_the_manifest_is_damaged(vault: ParquetVaultHook, storage: Storage) -> None:
    vault.seal(NOW)
    vault.compact(NOW - DAY)
    storage.put(layout.HISTORY_MANIFEST, b"{broken")
    assert vault.newest_point() == OLD[0].timestamp
