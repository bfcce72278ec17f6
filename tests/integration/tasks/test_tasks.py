"""The bodies of the tasks, called as plain functions on a real database, a real YouTube over HTTP and a real vault."""

import json
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pendulum
import psycopg
import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException

from answering import Said, answering, items, refusal
from ghost_tracking.core.budgets import Bucket as CallBucket
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier
from ghost_tracking.errors import DatabaseUnavailableError, PermanentError, TransientError, YouTubeFaultError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services import ingestion
from ghost_tracking.tasks import hunter, janitor, publishing, tracker
from task_runs import NO_INTERVAL, Deployment
from youtube_simulator import Bucket, SimulatorServer


def published(server: SimulatorServer, start: datetime, end: datetime, channels: list[str]) -> set[str]:
    world, now = server.simulator.world, server.simulator.clock.now()
    return {v.id for c in channels for v in world.published(start, end, c) if world.available(v, now)}


def one(sql: psycopg.Connection, query: str, *parameters: object) -> tuple | None:
    """The first row of a query."""
    return sql.execute(query, parameters).fetchone()


def still_due(sql: psycopg.Connection) -> int:
    return one(sql, "SELECT count(*) FROM watchlist WHERE next_track_at <= now()")[0]


def on_watchlist(sql: psycopg.Connection) -> set[str]:
    return {video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")}


HOUR = timedelta(hours=1)


@pytest.fixture
def last_hours(server: SimulatorServer) -> datetime:
    """The end of the last complete hour."""
    return server.simulator.clock.now().replace(minute=0, second=0, microsecond=0)


def write_sources(deployment: Deployment, *sources: dict[str, Any]) -> None:
    deployment.sources.write_text(yaml.safe_dump({"sources": list(sources)}), encoding="utf-8")


def test_a_window_is_hunted_exactly_and_twice_changes_nothing(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection, last_hours: datetime
) -> None:
    channels = server.simulator.world.channel_ids()
    write_sources(deployment, *({"channel": channel} for channel in channels))
    interval = (last_hours - 3 * HOUR, last_hours)
    first = deployment.hunt({}, "backfill", interval)
    expected = published(server, *interval, channels)
    assert on_watchlist(sql) == expected
    assert (first["new"], first["failed"]) == (len(expected), [])
    points = deployment.points()
    assert set(points["video_id"]) == expected
    assert len(points) == len(expected)
    second = deployment.hunt({}, "backfill", interval)
    assert (second["new"], second["known"]) == (0, len(expected))
    assert len(deployment.points()) == len(expected)
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (len(expected),)
    assert sql.execute("SELECT count(*) FROM hunter_watermarks").fetchone() == (0,)


def has_all_since(
    sql: psycopg.Connection,
    server: SimulatorServer,
    start: datetime,
    channels: Sequence[str],
    without: Collection[str] = (),
) -> bool:
    """Whether all that channels have published since `start` is on the watchlist, and nothing else.

    A video of this very moment may be, or not.
    """
    found, now = on_watchlist(sql), datetime.now(UTC)
    until_lately = published(server, start, now - timedelta(minutes=1), channels).difference(without)
    return until_lately <= found <= published(server, start, now, channels).difference(without)


def test_a_scheduled_run_covers_what_was_missed_and_moves_watermarks(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection, last_hours: datetime
) -> None:
    channels = server.simulator.world.channel_ids()[:5]
    write_sources(deployment, *({"channel": channel} for channel in channels))
    deployment.hunt({}, "scheduled", (last_hours - 9 * HOUR, last_hours - 8 * HOUR))
    deployment.hunt({}, "scheduled", (last_hours - HOUR, last_hours))  # the scheduler was down for seven hours
    assert has_all_since(sql, server, last_hours - 9 * HOUR, channels)
    assert sql.execute("SELECT DISTINCT watermark FROM hunter_watermarks").fetchall() == [(last_hours,)]


def test_a_channel_that_is_gone_stops_no_other(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection, last_hours: datetime
) -> None:
    gone, channel = "UC" + "x" * 22, server.simulator.world.channel_ids()[0]
    write_sources(deployment, {"channel": gone}, {"channel": channel})
    interval = (last_hours - 24 * HOUR, last_hours)
    summary = deployment.hunt({}, "scheduled", interval)
    assert has_all_since(sql, server, interval[0], [channel])
    assert len(summary["failed"]) == 1
    assert gone in summary["failed"][0]
    assert "1 failed" in deployment.labels[-1]
    marks = dict(sql.execute("SELECT watermark, source FROM hunter_watermarks").fetchall())
    assert channel in marks[interval[1]]
    assert gone in marks[interval[0]]  # the one that failed is hunted from where it was


def test_a_new_source_whose_first_hunt_fails_loses_nothing(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection, last_hours: datetime
) -> None:
    channels = server.simulator.world.channel_ids()[:5]
    write_sources(deployment, *({"channel": channel} for channel in channels))
    server.simulator.faults.add("http_error")
    with pytest.raises(TransientError):
        deployment.hunt({}, "scheduled", (last_hours - 9 * HOUR, last_hours - HOUR))
    server.simulator.faults.clear()
    deployment.hunt({}, "scheduled", (last_hours - HOUR, last_hours))
    assert has_all_since(sql, server, last_hours - 9 * HOUR, channels)


def test_every_kind_of_source(deployment: Deployment, server: SimulatorServer, last_hours: datetime) -> None:
    world = server.simulator.world
    a, b = deployment.alive(2)
    write_sources(
        deployment,
        {"channel": world.channel_ids()[0]},
        {"search": "the", "region": "US", "pages": 1},
        {"playlist": world.playlist_ids()[0], "every": True},
        {"chart": "mostPopular", "region": "GB", "pages": 1},
        {"videos": [a, f"https://youtu.be/{b}"]},
    )
    interval = (pendulum.instance(last_hours - HOUR), pendulum.instance(last_hours))  # as Airflow passes it
    summary = deployment.hunt({}, "scheduled", interval)
    assert summary["failed"] == []
    assert summary["new"] > 50
    assert {a, b} <= set(deployment.points()["video_id"])


@pytest.mark.parametrize("run_type", ["form", "backfill", "chart", "channel"])
def test_what_is_named_is_on_the_schedule_without_an_answer(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection, last_hours: datetime, run_type: str
) -> None:
    channel = server.simulator.world.channel_ids()[0]
    is_chart = run_type == "chart"
    write_sources(deployment, {"chart": "mostPopular", "pages": 1} if is_chart else {"channel": channel})
    server.simulator.faults.add("daily_limit", endpoint="videos.list", skip=int(is_chart))
    form = {"videos": deployment.alive(3)} if run_type == "form" else {}
    interval = (last_hours - 3 * HOUR, last_hours)
    arguments = {"form": ("manual", NO_INTERVAL), "backfill": ("backfill", interval)}
    summary = deployment.hunt(form, *arguments.get(run_type, ("scheduled", interval)))
    assert summary["left"] == summary["new"] == len(on_watchlist(sql)) >= 3
    if run_type == "form":
        assert on_watchlist(sql) == set(form["videos"])
    if run_type == "backfill":
        assert on_watchlist(sql) == published(server, last_hours - 3 * HOUR, last_hours, [channel])
    if run_type == "channel":
        assert has_all_since(sql, server, last_hours - 3 * HOUR, [channel])
    server.simulator.faults.clear()
    deployment.track()
    assert still_due(sql) == 0


def test_one_off_videos_from_the_form(deployment: Deployment, sql: psycopg.Connection) -> None:
    ids = deployment.alive(3)
    form = {"videos": ["", ids[0], " ", f"https://www.youtube.com/watch?v={ids[1]}&t=4", "doesnotexis"]}
    summary = deployment.hunt(form)
    assert on_watchlist(sql) == {*ids[:2], "doesnotexis"}  # which is missed, and may be gone
    assert (summary["new"], summary["missing"], summary["refused"]) == (3, 1, 0)
    assert sql.execute("SELECT count(*) FROM hunter_watermarks").fetchone() == (0,)


def test_a_hunter_that_is_frozen_between_its_statements_holds_its_rows_for_a_while_only(
    deployment: Deployment, sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "_LONGEST_TRANSACTION", timedelta(seconds=0.5))
    stage_videos = ParquetVaultHook.stage_videos

    def frozen(self: ParquetVaultHook, videos: Any, discovered_at: datetime) -> Any:
        if videos:
            time.sleep(1.5)
        return stage_videos(self, videos, discovered_at)

    monkeypatch.setattr(ParquetVaultHook, "stage_videos", frozen)
    with pytest.raises(DatabaseUnavailableError, match="idle"):
        deployment.hunt({"videos": deployment.alive(3)})
    assert on_watchlist(sql) == set()


def test_an_old_trackers_videos_are_adopted_from_the_form(deployment: Deployment, sql: psycopg.Connection) -> None:
    sql.execute("ALTER TABLE videos ADD COLUMN last_updated_at TIMESTAMP")
    sql.execute("INSERT INTO videos (id, last_updated_at) VALUES ('old_one', now()), ('old_two', NULL)")
    assert "Adopted 2 videos" in deployment.hunt({"adopt_old_videos": True})["message"]
    assert "Adopted 0 videos" in deployment.hunt({"adopt_old_videos": True})["message"]
    assert on_watchlist(sql) == {"old_one", "old_two"}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"videos": ["https://example.com/x"]}, "neither a video id nor the URL"),
        ({"videos": ["dQw4w9WgXcQ", "hello"]}, "'hello' is neither a video id nor the URL of a video: ids have 11 "),
        ({"list": "hello\nworld\n"}, "the list has no video in it: line 1: 'hello': neither"),
        ({"sources": [{"chanel": "UCx"}]}, "source 1: names none of"),
        ({"sources": [{"channel": "nonsense"}, {"search": ""}]}, "source 2: search"),
        ({"videos": ["https://www.youtube.com/@mitocw"]}, 'it names a channel, .* channel: "@mitocw"'),
        ({"sources": [{"channel": "mitocw"}]}, 'write "@mitocw" if mitocw is a handle'),
        ({"list": "dQw4w9WgXcQ,9bZkp7q19f0\n"}, "The columns 1 and 2 of the list could each"),
        (
            {"videos": ["dQw4w9WgXcQ"], "window_start": "2026-01-02T00:00:00Z", "window_end": "2026-01-01T00:00:00Z"},
            "empty",
        ),
        ({"videos": ["dQw4w9WgXcQ"], "window_start": "2026-01-02T00:00:00"}, "no time zone"),
    ],
)
def test_bad_forms_fail_at_once_and_say_why(deployment: Deployment, form: dict[str, Any], reason: str) -> None:
    with pytest.raises(AirflowFailException, match=reason) as caught:
        hunter.plan("manual", NO_INTERVAL, form)
    assert caught.value.__suppress_context__  # a log that prints its causes would say it all again
    assert caught.value.__cause__ is None


def test_one_of_a_thing_is_told_as_one(deployment: Deployment, sql: psycopg.Connection) -> None:
    (video_id,) = deployment.alive(1)
    assert deployment.hunt({"videos": [video_id]})["message"].startswith("1 of 1 source of the run's form, ")
    sql.execute("UPDATE watchlist SET next_track_at = now() - INTERVAL '1 minute'")
    assert deployment.track()["message"] == "1 video is due, 1 is tracked now in 1 batch. Tracked 1."
    assert deployment.track("manual", videos=[video_id])["message"].startswith("1 video of the run's form is read now.")
    assert janitor.seal(dry_run=False)["message"].startswith("Sealed 0 hours, deleted 0 parts")
    cleaned = janitor.clean(dry_run=False, retention_days=1)["message"]
    assert cleaned.startswith("Deleted the metadata of 0 videos discovered more than 1 day ago; 1 keeps its own, 1 is ")


def test_nothing_to_hunt_says_where_to_write_it(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException, match=r"sources\.yaml cannot be read"):
        hunter.plan("scheduled", NO_INTERVAL, {})


def test_a_source_that_fails_in_passing_makes_the_run_red_after_the_others(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection, last_hours: datetime
) -> None:
    write_sources(deployment, {"videos": deployment.alive(2)}, {"search": "the"})
    server.simulator.faults.add("http_error", endpoint="search.list")
    with pytest.raises(TransientError, match="search the"):
        deployment.hunt({}, "scheduled", (last_hours - HOUR, last_hours))
    assert sql.execute("SELECT count(*) FROM watchlist").fetchone() == (2,)


def test_an_empty_search_bucket_is_reported_and_ends_nothing(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection, last_hours: datetime
) -> None:
    deployment.set_settings(quota_search=0)
    write_sources(deployment, {"search": "the"}, {"videos": deployment.alive(1)})
    summary = deployment.hunt({}, "scheduled", (last_hours - HOUR, last_hours))
    assert "quota" in summary["failed"][0]
    assert summary["new"] == 1
    assert server.simulator.journal.counts()["bucket"].get("search", 0) == 0


@pytest.fixture
def tracked(deployment: Deployment) -> list[str]:
    """Sixty videos on the watchlist, all due."""
    ids = deployment.alive(60)
    with WatchlistHook() as watchlist:
        watchlist.add_to_watchlist(ids)
    return ids


def test_a_run_prepares_the_movers_of_what_it_has_read(
    deployment: Deployment, watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    alive = deployment.alive(20)
    watchlist.add_to_watchlist(alive)
    deployment.track()
    sql.execute("UPDATE watchlist SET next_track_at = now(), last_tracked_at = now() - INTERVAL '1 hour', views = 0")
    deployment.wait_a_second()
    deployment.track()
    vault, now = ParquetVaultHook(root=deployment.vault), watchlist.now()
    gained = vault.prepared.gains(timedelta(days=1), now)
    counts = vault.read_latest(alive).set_index("video_id")["views"]
    assert dict(zip(gained.ids.to_pylist(), gained.sums.tolist(), strict=True)) == counts[counts > 0].to_dict()
    found = vault.prepared.movers("hour")
    assert found.as_of is not None
    assert now - found.as_of < timedelta(minutes=5)
    assert found.readings == counts.notna().sum()
    assert list(vault._storage.walk("_staging/gains")) == []


def test_what_the_simulator_served_is_in_the_vault(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    summary = deployment.track()
    assert summary["tracked"] == 60
    assert deployment.labels[-1] == "HOURLY: 60 tracked"
    served = pd.DataFrame(server.simulator.journal.readings()).set_index("video_id").sort_index()
    points = deployment.points().set_index("video_id").sort_index()
    for column in ("views", "likes", "comments"):
        assert points[column].astype("Int64").equals(served[column].astype("Int64"))
    assert (points["published_at"] == served["published_at"]).all()
    assert sql.execute(
        "SELECT count(*) FROM watchlist WHERE next_track_at > now() AND anchor_at IS NOT NULL"
    ).fetchone() == (60,)
    assert "Nothing is due: the next video is due at" in deployment.track()["message"]


def test_the_quota_that_was_sent_is_in_the_ledger(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    server.simulator.faults.add("http_error", count=2)
    deployment.track()
    ledger = dict(sql.execute("SELECT bucket, spent FROM quota_ledger ORDER BY pacific_day DESC").fetchall())
    sent = server.simulator.journal.counts()["bucket"]
    assert {bucket: spent for bucket, spent in ledger.items() if spent} == sent


def test_an_empty_bucket_ends_the_run_cleanly_and_leaves_the_rest_due(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    for bucket in (Bucket.STATISTICS, Bucket.GENERAL):
        server.simulator.quota.set_limit(bucket, 0)
    assert deployment.track()["left_due"] == 60
    assert "quota is used up" in deployment.track()["message"]
    assert still_due(sql) == 60


def test_calls_that_fail_leave_their_videos_due_and_say_so(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    server.simulator.faults.add("rate_limited", video_id=tracked[0], retry_after=0.1)
    with pytest.raises(TransientError, match=r"1 call failed, [15]0 videos stay due"):
        deployment.track()
    left = still_due(sql)
    assert left in (10, 50)  # the two calls of sixty videos
    assert publishing.publish()["points_added"] == 60 - left


def test_one_odd_count_costs_no_reading(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    server.simulator.faults.add("malformed_item", video_id=tracked[7])
    assert deployment.track()["tracked"] == 60
    points = deployment.points().set_index("video_id")
    assert len(points) == 60
    assert pd.isna(points["views"][tracked[7]])
    assert still_due(sql) == 0


@pytest.mark.parametrize(
    "fault",
    [{"kind": "http_error", "status": 500}, {"kind": "malformed_item", "form": "foreign_id"}, {"kind": "poison"}],
    ids=lambda fault: fault["kind"],
)
def test_one_bad_id_backs_off_alone_and_spoils_no_call_twice(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection, fault: dict
) -> None:
    bad = tracked[3]
    with WatchlistHook() as watchlist:
        watchlist.quota.reserve(CallBucket.STATISTICS, 1)
    sql.execute("UPDATE watchlist SET anchor_at = now() - INTERVAL '90 minutes'")
    server.simulator.faults.add(**fault, video_id=bad)
    assert deployment.track()["tracked"] == 59
    assert "1 refused" in deployment.labels[-1]
    assert one(sql, "SELECT missed_count, gone_at, deferred_until FROM watchlist WHERE video_id = %s", bad) == (
        *(0, None, None),
    )
    (wait,) = one(sql, "SELECT next_track_at - now() FROM watchlist WHERE video_id = %s", bad)
    assert timedelta(minutes=58) < wait <= HOUR
    before = server.simulator.journal.counts()["endpoint"]["videos.batchGetStats"]
    assert before <= 20
    sql.execute("UPDATE watchlist SET next_track_at = now() - INTERVAL '1 second'")
    assert deployment.track()["tracked"] == 59
    # two for the healthy ones; the bad one alone, with its tries
    assert server.simulator.journal.counts()["endpoint"]["videos.batchGetStats"] - before <= 2 + 4
    server.simulator.faults.clear()
    sql.execute("UPDATE watchlist SET next_track_at = now() - INTERVAL '1 second'")
    assert deployment.track()["tracked"] == 60
    assert one(sql, "SELECT count(first_missed_at) FROM watchlist") == (0,)


def test_what_one_batch_leaves_due_is_not_what_the_next_one_claims(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    """As in a pool of one slot, where batches run one after another."""
    sql.execute("UPDATE watchlist SET anchor_at = now() - INTERVAL '90 minutes'")
    sql.execute(
        "UPDATE watchlist SET next_track_at = now() - INTERVAL '1 hour' WHERE video_id = ANY(%s)", (tracked[:20],)
    )
    due_since = one(sql, "SELECT min(next_track_at) FROM watchlist")
    with WatchlistHook() as watchlist:
        batch = tracker.plan("scheduled")["batches"][0] | {"limit": 20}
        server.simulator.faults.add("http_error", count=50)
        with pytest.raises(TransientError, match="20 videos stay due"):
            tracker.track(batch, lambda _: None)
        server.simulator.faults.clear()
        assert tracker.track(batch, lambda _: None)["tracked"] == 20
        assert still_due(sql) == 40
        assert one(sql, "SELECT min(next_track_at) FROM watchlist") == due_since  # as late as it is, for alerts
        with watchlist.claim(Tier.HOURLY, 100) as claim:
            assert len(claim.entries) == 20
        in_time = datetime.now(UTC) + timedelta(minutes=4)
        with watchlist.claim(Tier.HOURLY, 100, now=in_time) as claim:
            assert {entry.video_id for entry in claim.entries} >= set(tracked[:20])


def test_what_no_quota_is_left_to_confirm_is_not_asked_for_in_every_run(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    sql.execute("UPDATE watchlist SET anchor_at = now() - INTERVAL '90 minutes'")
    deployment.set_settings(quota_general=0)
    server.simulator.world.delete(tracked[:3])
    assert deployment.track()["tracked"] == 57
    assert "3 unconfirmed" in deployment.labels[-1]
    assert still_due(sql) == 0
    assert (
        sql.execute("SELECT missed_count, gone_at FROM watchlist WHERE first_missed_at IS NOT NULL").fetchall()
        == [(0, None)] * 3
    )
    assert "Nothing is due" in deployment.track()["message"]


def test_a_batch_get_stats_that_is_refused_is_left_alone_until_tomorrow(
    deployment: Deployment,
    tracked: list[str],
    sql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = refusal(404, "notFound", "Method not found.")
    published_at = (datetime.now(UTC) - timedelta(hours=2)).isoformat()

    def answer(endpoint: str, ids: Sequence[str]) -> Said:
        return refused if endpoint == "videos:batchGetStats" else items(ids, publishedAt=published_at)

    again = "UPDATE watchlist SET next_track_at = now() - INTERVAL '1 second'"
    sql.execute("UPDATE watchlist SET anchor_at = now() - INTERVAL '90 minutes'")
    with answering(answer) as youtube:
        monkeypatch.setenv("AIRFLOW_CONN_YOUTUBE_DEFAULT", json.dumps({"host": youtube.url, "password": "key"}))
        for asked in (4, 0, 0):
            before = youtube.count("videos:batchGetStats")
            assert deployment.track()["tracked"] == 60
            assert youtube.count("videos:batchGetStats") - before <= asked
            sql.execute(again)
        told = [record for record in caplog.records if "refuses videos.batchGetStats" in record.getMessage()]
        assert [record.levelname for record in told] == ["WARNING"]
        assert "playlist" not in told[0].getMessage()
        with WatchlistHook() as watchlist:
            assert watchlist.quota.left()[CallBucket.STATISTICS] == 0
        sql.execute("UPDATE quota_ledger SET pacific_day = pacific_day - 10")
        before = youtube.count("videos:batchGetStats")
        assert deployment.track()["tracked"] == 60
        assert youtube.count("videos:batchGetStats") > before


def test_a_project_that_is_refused_ends_the_run_with_youtubes_words(
    deployment: Deployment, tracked: list[str], sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(lambda _, __: refusal(403, "forbidden", "Project has been deleted.")) as youtube:
        monkeypatch.setenv("AIRFLOW_CONN_YOUTUBE_DEFAULT", json.dumps({"host": youtube.url, "password": "key"}))
        with pytest.raises(AirflowFailException, match="Project has been deleted"):
            deployment.track()
        assert len(youtube.calls) <= 8
    assert still_due(sql) == 60
    assert one(sql, "SELECT count(first_missed_at) FROM watchlist") == (0,)


def test_ages_are_counted_from_when_a_video_was_made_public_and_not_from_its_upload(
    deployment: Deployment, sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    uploaded, public = now - timedelta(days=10), now - timedelta(minutes=30)

    def answer(endpoint: str, ids: Sequence[str]) -> Said:
        if endpoint == "videos:batchGetStats":
            return items(ids, publishTime=uploaded.isoformat())
        return items(ids, publishedAt=public.isoformat(), title="A title", channelId="UC" + "x" * 22)

    with WatchlistHook() as watchlist:
        watchlist.add_to_watchlist("byHand0000A")
        watchlist.add_to_watchlist(WatchlistEntry("found00000A", Tier.HOURLY, None, now, anchor_at=public))
    with answering(answer) as youtube:
        monkeypatch.setenv("AIRFLOW_CONN_YOUTUBE_DEFAULT", json.dumps({"host": youtube.url, "password": "key"}))
        assert deployment.track()["tracked"] == 2
        assert [endpoint for endpoint, _ in youtube.calls].count("videos") == 1
    rows = sql.execute("SELECT anchor_at, next_track_at FROM watchlist").fetchall()
    assert rows == [(public, public + HOUR)] * 2
    assert set(deployment.points()["published_at"]) == {pd.Timestamp(public)}
    # what was put on the schedule without metadata has it now
    assert sql.execute("SELECT id, title, published_at FROM videos").fetchall() == [("byHand0000A", "A title", public)]
    vault = ParquetVaultHook()
    vault.archive_videos([])
    assert vault.read_videos("byHand0000A")["title"].tolist() == ["A title"]


def test_a_fifth_missing_is_a_fault_of_youtube_and_marks_none_gone(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    server.simulator.faults.add("share_missing", share=0.9)
    with pytest.raises(YouTubeFaultError, match="none is marked gone"):
        deployment.track()
    assert sql.execute("SELECT count(gone_at), max(missed_count) FROM watchlist").fetchone() == (0, 0)
    assert still_due(sql) == 0


def test_a_video_goes_and_returns(
    deployment: Deployment, server: SimulatorServer, tracked: list[str], sql: psycopg.Connection
) -> None:
    gone = tracked[0]
    server.simulator.world.delete([gone])
    states = []
    for _ in range(4):
        deployment.track()
        states.append(
            sql.execute(
                "SELECT missed_count, gone_at IS NOT NULL FROM watchlist WHERE video_id = %s", (gone,)
            ).fetchone()
        )
        sql.execute(
            "UPDATE watchlist SET next_track_at = now() - INTERVAL '1 second',"
            " first_missed_at = first_missed_at - INTERVAL '12 hours' WHERE video_id = %s",
            (gone,),
        )
    assert states == [(1, False), (2, False), (3, True), (4, True)]
    server.simulator.world.restore([gone])
    deployment.track()
    assert sql.execute(
        "SELECT missed_count, gone_at, first_missed_at FROM watchlist WHERE video_id = %s", (gone,)
    ).fetchone() == (
        None,
        None,
        None,
    )
    assert gone in set(deployment.points()["video_id"])


def test_a_bad_key_fails_for_good_and_names_the_connection(
    deployment: Deployment, server: SimulatorServer, tracked: list[str]
) -> None:
    deployment.set_settings(youtube_threads=1)
    server.simulator.faults.add("api_key_invalid")
    with pytest.raises(AirflowFailException, match="youtube_default"):
        deployment.track()
    assert sum(server.simulator.journal.counts()["endpoint"].values()) == 1


def test_a_backfill_of_the_tracker_does_nothing_and_says_why(deployment: Deployment, tracked: list[str]) -> None:
    planned = tracker.plan("backfill")
    assert planned["batches"] == []
    assert "no past counts" in planned["why"]


def test_a_worker_that_sees_another_vault_says_so(
    deployment: Deployment, tracked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = tracker.plan("scheduled")
    elsewhere = tmp_path / "elsewhere"
    ParquetVaultHook(root=elsewhere).identity(create=True)
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_VAULT", json.dumps({"conn_type": "fs", "extra": {"path": str(elsewhere)}}))
    with pytest.raises(AirflowFailException, match="mount the same folder on every worker"):
        tracker.track(planned["batches"][0], print)


@pytest.mark.parametrize(
    ("settings", "reason"), [('{"quota_serch": 1}', "quota_serch"), ("[1]", "ghost_settings"), ("{", "no JSON object")]
)
def test_bad_settings_are_named(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, settings: str, reason: str
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", settings)
    with pytest.raises(AirflowFailException, match=reason):
        tracker.plan("scheduled")


@pytest.mark.parametrize("name", ["GHOST_POSTGRES", "GHOST_VAULT"])
def test_a_missing_connection_is_said_in_one_sentence(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(f"AIRFLOW_CONN_{name}")
    with pytest.raises(AirflowFailException, match=name.lower()):
        tracker.plan("scheduled")


def test_tracking_goes_on_after_the_janitor_has_emptied_videos(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection
) -> None:
    ids = deployment.alive(30)
    deployment.hunt({"videos": ids})
    server.simulator.world.shift_origin(timedelta(days=-8))
    sql.execute("UPDATE videos SET discovered_at = discovered_at - INTERVAL '8 days'")
    sql.execute(
        "UPDATE watchlist SET next_track_at = next_track_at - INTERVAL '8 days',"
        " last_tracked_at = last_tracked_at - INTERVAL '8 days', anchor_at = anchor_at - INTERVAL '8 days'"
    )
    assert janitor.archive(dry_run=True)["added"] == 30
    dry = janitor.clean(dry_run=True, retention_days=None)
    assert (dry["deleted"], dry["dry_run"]) == (30, True)
    archived = janitor.archive(dry_run=False)
    cleaned = janitor.clean(dry_run=False, retention_days=None, vault=archived["vault"])
    assert (cleaned["deleted"], cleaned["kept"], cleaned["watched"]) == (30, 0, 30)
    assert "30 videos" in janitor.summary(archived, cleaned, janitor.seal(dry_run=False))["message"]
    time.sleep(1.1)  # two readings of one second would be one point
    summary = deployment.track()
    assert summary["tracked"] + summary["missing"] == 30
    assert sql.execute("SELECT DISTINCT tracking_tier FROM watchlist WHERE first_missed_at IS NULL").fetchall() == [
        ("WEEKLY",)
    ]
    assert len(deployment.points()) == 30 + summary["tracked"]


def test_a_video_is_found_by_its_title_after_its_row_is_deleted(
    deployment: Deployment, sql: psycopg.Connection
) -> None:
    ids = deployment.alive(40)
    deployment.hunt({"videos": ids})
    known = {
        video_id: (title, tags, seconds, discovered_at)
        for video_id, title, tags, seconds, discovered_at in sql.execute(
            "SELECT id, title, tags, duration_seconds, discovered_at FROM videos"
        )
    }
    vault = ParquetVaultHook()
    archived = janitor.archive(dry_run=False)
    assert (archived["added"], archived["problems_count"]) == (40, 0)
    cleaned = janitor.clean(dry_run=False, retention_days=None, vault=archived["vault"])
    assert (cleaned["deleted"], cleaned["kept"]) == (0, 40)
    assert janitor.archive(dry_run=False)["added"] == 0

    with WatchlistHook() as watchlist:
        later = datetime.now(UTC) + timedelta(days=8)
        assert watchlist.run_janitor(now=later, archive=vault.archive_videos).deleted == 40

    frame = vault.read_videos(ids).set_index("video_id")
    for video_id, (title, tags, seconds, discovered_at) in known.items():
        row = frame.loc[video_id]
        assert (row["title"], list(row["tags"]), row["duration_seconds"], row["discovered_at"].to_pydatetime()) == (
            (title, tags, seconds, discovered_at)
        )
        assert isinstance(row["description"], str)
        assert video_id in set(vault.find_videos(title, limit=100)["video_id"])
    assert len(list((deployment.vault / "videos").glob("*.parquet"))) == 1  # what was there already was not written


def test_nothing_is_deleted_where_the_archive_is_broken_or_another_one(
    deployment: Deployment, sql: psycopg.Connection
) -> None:
    deployment.hunt({"videos": deployment.alive(10)})
    archived = janitor.archive(dry_run=False)
    sql.execute("UPDATE videos SET discovered_at = discovered_at - INTERVAL '8 days'")
    (file,) = (deployment.vault / "videos").glob("*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[:-10])
    with pytest.raises(AirflowFailException, match=file.name):
        janitor.clean(dry_run=False, retention_days=None, vault=archived["vault"])
    file.write_bytes(content)
    with pytest.raises(AirflowFailException, match="mount the same folder on every worker"):
        janitor.clean(dry_run=False, retention_days=None, vault="8f14e45f-ceea-467f-9b1c-000000000000")
    assert one(sql, "SELECT count(*) FROM videos") == (10,)
    assert janitor.clean(dry_run=False, retention_days=None, vault=archived["vault"])["archived"]["changed"] == 10
    assert one(sql, "SELECT count(*) FROM videos") == (0,)


def test_broken_metadata_is_set_aside_and_makes_the_run_red(deployment: Deployment) -> None:
    deployment.hunt({"videos": deployment.alive(10)})
    staged = deployment.vault / "_staging" / "videos"
    (staged / "20260101T000000000000-0123456789ab.part").write_bytes(b"broken")
    archived = janitor.archive(dry_run=False)
    assert (archived["added"], archived["quarantined_count"]) == (10, 1)
    cleaned = janitor.clean(dry_run=False, retention_days=None, vault=archived["vault"])
    with pytest.raises(PermanentError, match=r"Staged metadata is broken: .*0123456789ab\.part is not an intact"):
        janitor.summary(archived, cleaned, janitor.seal(dry_run=False))


def test_broken_events_are_set_aside_and_make_the_run_red_once(deployment: Deployment) -> None:
    deployment.hunt({"videos": deployment.alive(10)})
    staged = deployment.vault / "_staging" / "availability"
    staged.mkdir(parents=True)
    (staged / "20260101T000000000000-0123456789ab.part").write_bytes(b"broken")
    with pytest.raises(AirflowFailException, match=r"broken events, set aside: \S*0123456789ab"):
        publishing.publish(prepares=True)
    assert ParquetVaultHook().prepared.changes().as_of is not None  # everything else is done all the same
    assert publishing.publish(prepares=True)["prepared"]["problems"] == []


def test_a_premiere_is_anchored_when_it_starts(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection
) -> None:
    now = datetime.now(UTC)
    with WatchlistHook() as watchlist:
        ids = deployment.alive(3000)
        deployment.hunt({"videos": ids})
        upcoming = sql.execute("SELECT video_id, anchor_at FROM watchlist WHERE awaits_start").fetchall()
        assert upcoming
        video_id, scheduled = upcoming[0]
        assert scheduled > now
        sql.execute("UPDATE watchlist SET next_track_at = now() + INTERVAL '1 day' WHERE NOT awaits_start")
        server.simulator.clock.set_offset(scheduled - now + timedelta(hours=3))
        sql.execute("UPDATE watchlist SET next_track_at = now() WHERE video_id = %s", (video_id,))
        deployment.track()
        (awaits, anchor) = sql.execute(
            "SELECT awaits_start, anchor_at FROM watchlist WHERE video_id = %s", (video_id,)
        ).fetchone()
        assert not awaits
        assert abs(anchor - scheduled) < timedelta(hours=3)
        assert watchlist.status.count() > 100


def test_an_entry_can_be_due_in_every_tier_at_once(deployment: Deployment) -> None:
    ids = deployment.alive(3)
    with WatchlistHook() as watchlist:
        due = datetime.now(UTC) - timedelta(minutes=1)
        watchlist.add_to_watchlist(
            WatchlistEntry(video_id, tier, next_track_at=due) for video_id, tier in zip(ids, Tier, strict=True)
        )
    assert deployment.track()["tracked"] == 3
    assert sorted(label.split(":")[0] for label in deployment.labels) == sorted([*Tier] * 2)


def old_points(deployment: Deployment) -> ParquetVaultHook:
    """Points of two closed days of last year, staged."""
    vault = ParquetVaultHook()
    start = datetime(2025, 5, 30, 22, tzinfo=UTC)
    vault.stage([MetricPoint("video", start + hour * timedelta(hours=1), hour, None, 0, None) for hour in range(30)])
    return vault


def test_the_janitor_seals_compacts_and_checks(deployment: Deployment) -> None:
    vault = old_points(deployment)
    assert janitor.compact(dry_run=True)["message"] == "Dry run: nothing was compacted"
    janitor.seal(dry_run=False)
    compacted = janitor.compact(dry_run=False)
    assert compacted["compacted"] == ["2025-05-30", "2025-05-31", "2025-06-01", "2025-05", "2025-06"]
    assert janitor.check(dry_run=False, what="everything")["hours"] == 30
    assert len(vault.read_history("video")) == 30
    (file,) = (deployment.vault / "metrics/date=2025-05-31/hour=07").iterdir()
    file.write_bytes(b"broken")
    assert janitor.check(dry_run=False, what="recent")["hours"] == 0
    with pytest.raises(AirflowFailException, match=r"1 problem.*'repair' fixes.*hour=07/stats\.parquet"):
        janitor.check(dry_run=False, what="everything")
    assert "Restored 1 hour " in janitor.check(dry_run=False, what="repair")["message"]
    assert len(vault.read_history("video")) == 30


def test_gains_are_made_as_of_the_end_of_a_long_compaction(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = old_points(deployment)
    janitor.seal(dry_run=False)
    compact, rebuild = ParquetVaultHook.compact, type(vault.prepared).rebuild_gains
    moments: list[datetime] = []

    def compacting(hook: ParquetVaultHook, *arguments: Any, **more: Any) -> Any:
        report = compact(hook, *arguments, **more)
        moments.append(datetime.now(UTC))
        return report

    def rebuilding(prepared: Any, now: datetime, *arguments: Any) -> int:
        moments.append(now)
        return rebuild(prepared, now, *arguments)

    monkeypatch.setattr(ParquetVaultHook, "compact", compacting)
    monkeypatch.setattr(type(vault.prepared), "rebuild_gains", rebuilding)
    janitor.compact(dry_run=False)
    compacted, rebuilt = moments
    assert rebuilt >= compacted


def test_a_new_retention_is_announced_before_anything_goes(
    deployment: Deployment,
) -> None:
    vault = old_points(deployment)
    janitor.seal(dry_run=False)
    assert "for ever" in janitor.expire(dry_run=False)["message"]
    deployment.set_settings(vault_retention_days=30)
    for _ in range(2):  # a retry is no second run
        assert "would be deleted by the next run" in janitor.expire(dry_run=False)["message"]
    assert len(vault.read_history("video")) == 30
    janitor.compact(dry_run=False)
    assert all("month=" not in name for name in vault.history_files())
    announced = deployment.vault / "_retention.json"
    announced.write_text(announced.read_text().replace(str(datetime.now(UTC).year), "2020"))
    assert "would be deleted" in janitor.expire(dry_run=True)["message"]
    assert len(vault.read_history("video")) == 30
    assert "30 hours with 30 points" in janitor.expire(dry_run=False)["message"]
    assert vault.read_history("video").empty


def test_a_retention_that_was_switched_off_is_announced_anew(deployment: Deployment) -> None:
    vault = old_points(deployment)
    janitor.seal(dry_run=False)
    deployment.set_settings(vault_retention_days=30)
    janitor.expire(dry_run=False)
    announced = deployment.vault / "_retention.json"
    announced.write_text(announced.read_text().replace(str(datetime.now(UTC).year), "2020"))
    deployment.set_settings()
    assert "for ever" in janitor.expire(dry_run=True)["message"]
    assert announced.exists()
    for _ in range(2):
        assert "for ever" in janitor.expire(dry_run=False)["message"]
    deployment.set_settings(vault_retention_days=30)
    assert "would be deleted by the next run" in janitor.expire(dry_run=False)["message"]
    assert len(vault.read_history("video")) == 30


def test_hours_go_after_compacting_where_the_setting_says_so(deployment: Deployment) -> None:
    vault = old_points(deployment)
    deployment.set_settings(vault_keep_hours=False)
    janitor.seal(dry_run=False)
    assert janitor.compact(dry_run=False)["hours_deleted"] == 30
    assert not list((deployment.vault / "metrics").rglob("*.parquet"))
    assert len(vault.read_history("video")) == 30


def test_videos_of_the_form_are_read_now_and_keep_their_slots(deployment: Deployment, sql: psycopg.Connection) -> None:
    one_watched, other = deployment.alive(2)
    deployment.hunt({"videos": [one_watched]})
    before = one(sql, "SELECT next_track_at, last_tracked_at FROM watchlist")
    time.sleep(1.1)
    report = deployment.track("manual", videos=[f"https://youtu.be/{one_watched}", other, ""])
    assert (report["tracked"], report["left_due"]) == (2, 0)
    assert deployment.labels[-1] == "form: 2 tracked"
    after = one(sql, "SELECT next_track_at, last_tracked_at FROM watchlist")
    assert after[0] == before[0]
    assert after[1] > before[1]
    assert on_watchlist(sql) == {one_watched}
    assert deployment.points()["video_id"].value_counts().to_dict() == {one_watched: 2, other: 1}
    with pytest.raises(AirflowFailException, match=r"1 of the form's videos cannot be used; none was read: line 2"):
        tracker.plan("manual", {"videos": [other, "https://example.com/"]})


def test_a_run_can_be_narrowed_to_some_queues_and_a_number(deployment: Deployment, sql: psycopg.Connection) -> None:
    alive = deployment.alive(40)
    deployment.hunt({"videos": alive})
    sql.execute("UPDATE watchlist SET next_track_at = now() - INTERVAL '1 minute', tracking_tier = 'HOURLY'")
    assert deployment.track("manual", queues=["DAILY", "ROSTER"])["tracked"] == 0
    assert deployment.track("manual", queues=["HOURLY"], limit=15)["tracked"] == 15
    assert still_due(sql) == 25


def test_videos_are_forgotten_from_the_form_and_no_run_brings_them_back(
    deployment: Deployment, sql: psycopg.Connection
) -> None:
    gone, kept = deployment.alive(2)
    deployment.hunt({"videos": [gone, kept]})
    form = {"let_go": "forget", "videos": [gone]}
    said = deployment.hunt(form)["message"]
    assert said.startswith(
        "Dry run: would forget 1 video. Confirm to carry it out: watchlist: 1 rows; roster: 0 places;"
    )
    assert on_watchlist(sql) == {gone, kept}
    assert deployment.hunt(form | {"confirm": True})["message"].startswith("Forgotten 1 video: watchlist: 0 rows;")
    assert (on_watchlist(sql), set(deployment.points()["video_id"])) == ({kept}, {kept})
    with pytest.raises(AirflowFailException, match=f"1 of these videos was forgotten on request, first {gone}"):
        deployment.track("manual", videos=[kept, gone])
    assert "Nothing is left to pause, stop or forget" in janitor.let_go(dry_run=False)["message"]
    assert "differ in 0 entries" in janitor.let_go(dry_run=True)["message"]
    deployment.hunt({"videos": [gone, kept]})
    assert on_watchlist(sql) == {kept}
    # the vault's list brings it home to a database that knows nothing, before that is rebuilt
    sql.execute("TRUNCATE let_go, sync_token, watchlist")
    ParquetVaultHook().append_metrics([{"video_id": gone, "timestamp": datetime.now(UTC), "views": 1}])
    assert janitor.move_to_roster(dry_run=False)["restored"] is not None
    assert on_watchlist(sql) == {kept}
    assert "1 decision was carried out" in janitor.let_go(dry_run=False)["message"]
    assert set(deployment.points()["video_id"]) == {kept}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"channel": "UC" + "c" * 22}, "the form has channel, but no action"),
        ({"let_go": "stop"}, "nothing to stop: no video is named"),
        ({"let_go": "stop", "videos": ["???"], "confirm": True}, "1 line names no video, so none is let go"),
    ],
)
def test_a_form_that_lets_go_of_nothing_says_why(deployment: Deployment, form: dict[str, Any], reason: str) -> None:
    with pytest.raises(AirflowFailException, match=reason):
        hunter.plan("manual", NO_INTERVAL, form)


def test_a_source_that_still_names_a_forgotten_video_brings_no_trace_of_it(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection, last_hours: datetime
) -> None:
    channels = server.simulator.world.channel_ids()[:5]
    write_sources(deployment, *({"channel": channel} for channel in channels))
    deployment.hunt({}, "scheduled", (last_hours - 9 * HOUR, last_hours - 2 * HOUR))
    found = on_watchlist(sql)
    gone, paused, *_ = sorted(found)
    deployment.hunt({"let_go": "forget", "videos": [gone], "confirm": True})
    deployment.hunt({"let_go": "pause", "videos": [paused], "confirm": True})
    for hour in (2, 1):
        deployment.hunt({}, "scheduled", (last_hours - hour * HOUR, last_hours - (hour - 1) * HOUR))
    deployment.hunt({"sources": [{"videos": [gone, paused]}]})
    janitor.archive(dry_run=False)
    assert has_all_since(sql, server, last_hours - 9 * HOUR, channels, without={gone, paused})
    report = ParquetVaultHook().forget([gone])
    assert (report.rows, report.problems) == (0, ())
    assert one(sql, "SELECT count(*) FROM videos WHERE id = %s", gone) == (0,)
    assert one(sql, "SELECT count(*) FROM videos WHERE id = %s", paused) == (1,)
