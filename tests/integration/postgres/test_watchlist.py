"""The schedule in a real PostgreSQL: claims, batch updates, the janitor, the specification's queries."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest
from airflow.sdk import Connection

from connections import tracked_by_tier
from ghost_tracking.core.absence import Absence
from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.discovery import Gap
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.windows import Window
from ghost_tracking.errors import BadInputError, ConfigurationError, DatabaseUnavailableError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.postgres.lease import MARGIN_AFTER_DEADLINE
from ghost_tracking.postgres.sql import queries

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def due(video_id: str, overdue: timedelta = timedelta(minutes=1), tier: Tier = Tier.HOURLY) -> WatchlistEntry:
    return WatchlistEntry(video_id, tier, next_track_at=datetime.now(UTC) - overdue)


def test_the_specifications_example_calls_work(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    watchlist.ingest_video_metadata({"id": "VIDEO_123", "title": "A", "published_at": "2026-01-15T10:00:00Z"})
    assert watchlist.add_to_watchlist("VIDEO_123", tier="HOURLY") == ["VIDEO_123"]
    (row,) = watchlist.fetch_tracking_batch(batch_size=50)
    assert (row["video_id"], row["tracking_tier"]) == ("VIDEO_123", "HOURLY")
    tier, next_track_at = watchlist.calculate_next_track_time(
        published_at=datetime(2026, 1, 15, 10, 0, tzinfo=UTC), now=datetime(2026, 1, 16, 10, 0, tzinfo=UTC)
    )
    assert (tier, next_track_at) == ("DAILY", datetime(2026, 1, 17, 10, 0, tzinfo=UTC))
    updates = [
        {
            "video_id": "VIDEO_123",
            "tracking_tier": "DAILY",
            "last_tracked_at": datetime.now(UTC),
            "next_track_at": datetime.now(UTC) + timedelta(days=1),
        }
    ]
    assert watchlist.update_watchlist_schedule(updates) == 1
    assert watchlist.fetch_tracking_batch(50) == []
    assert tracked_by_tier(sql) == {"DAILY": 1}


def test_adding_and_ingesting_again_changes_nothing(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    for title in ("first", "second"):
        watchlist.ingest_video_metadata([{"id": "a", "title": title, "tags": ["x", 'ÿ"{,}']}])
        watchlist.add_to_watchlist(["a", "a", "b"])
    assert sql.execute("SELECT title, tags FROM videos").fetchall() == [("first", ["x", 'ÿ"{,}'])]
    assert watchlist.status.count() == 2


def test_texts_numbers_and_times_arrive_as_they_are(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    titles = [None, "NULL", "null", "", " ", "\\", '"', '\\"', "it's {a,b}", "{}", "%s %(x)s", "two\nlines\t", "🔥 ÿ"]
    at = NOW.replace(year=1970, microsecond=1).astimezone(timezone(timedelta(hours=5, minutes=45)))
    videos = [
        {"id": f"null{number}", "title": title, "published_at": at, "duration_seconds": number}
        for number, title in enumerate(titles)
    ]
    assert len(watchlist.ingest_video_metadata(videos, now=NOW)) == len(titles)
    stored = sql.execute(
        "SELECT title, duration_seconds, published_at, discovered_at, tags, category_id FROM videos ORDER BY 2"
    ).fetchall()
    assert stored == [(title, number, at, NOW, [], None) for number, title in enumerate(titles)]


@pytest.mark.parametrize("bad", ["", "x" * 21, "a b", "ä", None, 7])
def test_what_cannot_be_an_id_is_refused_before_anything_is_written(watchlist: WatchlistHook, bad: object) -> None:
    with pytest.raises(BadInputError, match="cannot be the id"):
        watchlist.add_to_watchlist([WatchlistEntry("good"), WatchlistEntry(bad)])  # type: ignore[arg-type]
    assert watchlist.status.count() == 0


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"video_id": "a", "tracking_tier": "MONTHLY", "next_track_at": NOW}, "MONTHLY"),
        ({"video_id": "a", "tracking_tier": "DAILY"}, "next_track_at is missing"),
        ({"video_id": "a", "tracking_tier": "DAILY", "next_track_at": NOW.replace(tzinfo=None)}, "no time zone"),
    ],
)
def test_a_bad_update_is_named_and_writes_nothing(
    watchlist: WatchlistHook, sql: psycopg.Connection, update: dict, reason: str
) -> None:
    watchlist.add_to_watchlist("b")
    good = {"video_id": "b", "tracking_tier": "WEEKLY", "next_track_at": NOW}
    with pytest.raises(BadInputError, match=reason):
        watchlist.update_watchlist_schedule([good, update])
    assert tracked_by_tier(sql) == {"HOURLY": 1}


def test_a_claim_takes_the_longest_overdue_of_its_tier_and_writes_back(
    watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    watchlist.add_to_watchlist([due("new"), due("old", timedelta(hours=2)), due("daily", tier=Tier.DAILY)])
    watchlist.add_to_watchlist(WatchlistEntry("later", next_track_at=datetime.now(UTC) + timedelta(hours=1)))
    seen = datetime.now(UTC).replace(microsecond=0)
    with watchlist.claim(Tier.HOURLY, 1) as claim:
        assert [entry.video_id for entry in claim.entries] == ["old"]
        absence = Absence(2, seen - timedelta(hours=1), None)
        claim.reschedule([WatchlistEntry("old", Tier.WEEKLY, seen, NOW, anchor_at=seen, absence=absence)])
    row = sql.execute(
        "SELECT tracking_tier, last_tracked_at, next_track_at, anchor_at, missed_count, first_missed_at, gone_at"
        " FROM watchlist WHERE video_id = 'old'"
    ).fetchone()
    assert row == ("WEEKLY", seen, NOW, seen, 2, seen - timedelta(hours=1), None)


def test_a_row_keeps_its_newest_count_and_its_gain(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    read_at = datetime.now(UTC) - timedelta(hours=2)
    entry = WatchlistEntry("a", last_tracked_at=read_at, next_track_at=read_at, views=2**63 - 1, gain_per_hour=1e20)
    watchlist.entries.add([entry, WatchlistEntry("b", next_track_at=read_at)])
    with watchlist.claim(Tier.HOURLY, 10) as claim:
        known = {each.video_id: each for each in claim.entries}
        assert (known["a"].views, known["b"].views, known["b"].gain_per_hour) == (2**63 - 1, None, None)
        assert known["a"].gain_per_hour == pytest.approx(1e20)
        later = read_at + timedelta(hours=3)
        claim.reschedule(
            replace(each, next_track_at=later, views=7, gain_per_hour=0.25, last_tracked_at=read_at)
            for each in claim.entries
        )
    entries = watchlist.page.entries(["a", "b"])
    assert {(each.views, each.gain_per_hour) for each in entries.values()} == {(7, 0.25)}
    update = {"tracking_tier": "DAILY", "next_track_at": later}
    watchlist.update_watchlist_schedule(
        [update | {"video_id": "a", "last_tracked_at": read_at}, update | {"video_id": "b", "last_tracked_at": later}]
    )
    # a reading that somebody else made and whose count is not told: the row's older one is not that reading's
    assert sql.execute("SELECT video_id, views FROM watchlist ORDER BY 1").fetchall() == [("a", 7), ("b", None)]


def test_two_claims_at_once_share_nothing(ghost_postgres: Connection, watchlist: WatchlistHook) -> None:
    watchlist.add_to_watchlist([due(f"v{number}") for number in range(30)])
    with (
        WatchlistHook(connection=ghost_postgres) as other,
        watchlist.claim(Tier.HOURLY, 20) as mine,
        other.claim(Tier.HOURLY, 20) as theirs,
    ):
        first, second = ({entry.video_id for entry in claim.entries} for claim in (mine, theirs))
    assert (len(first), len(second)) == (20, 10)
    assert not first & second


def test_a_claim_that_fails_leaves_its_rows_due_and_free(watchlist: WatchlistHook) -> None:
    watchlist.add_to_watchlist(due("a"))

    def fail() -> None:
        with watchlist.claim(Tier.HOURLY, 5) as claim:
            claim.reschedule([WatchlistEntry("a", next_track_at=NOW)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with watchlist.claim(Tier.HOURLY, 5) as again:
        assert [entry.video_id for entry in again.entries] == ["a"]


def test_a_claim_whose_connection_dies_writes_over_a_new_one(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    watchlist.add_to_watchlist([due("a"), due("b")])
    seen = datetime.now(UTC)
    with watchlist.claim(Tier.HOURLY, 5) as claim:
        _end_claims(sql)
        # somebody else gets to b first: what that one wrote stays
        sql.execute("UPDATE watchlist SET last_tracked_at = %s, next_track_at = %s WHERE video_id = 'b'", (NOW, NOW))
        claim.reschedule([WatchlistEntry(each, Tier.DAILY, seen, seen + timedelta(days=1)) for each in ("a", "b")])
    rows = dict(sql.execute("SELECT video_id, last_tracked_at FROM watchlist").fetchall())
    assert rows == {"a": seen, "b": NOW}


def test_a_claim_that_loses_its_connection_with_nothing_to_write_says_so(
    watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    watchlist.add_to_watchlist(due("a"))
    with pytest.raises(DatabaseUnavailableError, match="ghost_postgres"), watchlist.claim(Tier.HOURLY, 5):
        _end_claims(sql)
    assert watchlist.status.count() == 1  # and the hook goes on with a new connection


def test_a_connection_that_was_lost_while_idle_is_replaced(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    assert watchlist.status.count() == 0
    sql.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    assert watchlist.status.count() == 0


def test_the_janitor_deletes_no_rows_of_other_tables(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    sql.execute("CREATE TABLE video_stats (video_id VARCHAR(20) REFERENCES videos ON DELETE CASCADE)")
    watchlist.ingest_video_metadata({"id": "a"})
    sql.execute("INSERT INTO video_stats VALUES ('a')")
    sql.execute("UPDATE videos SET discovered_at = now() - INTERVAL '9 days'")
    with pytest.raises(ConfigurationError, match="table video_stats refers to `videos`"):
        watchlist.run_janitor()
    assert sql.execute("SELECT count(*) FROM video_stats").fetchone() == (1,)


def _end_claims(sql: psycopg.Connection) -> None:
    sql.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle in transaction'"
    )


def test_postgresql_ends_a_claim_that_stays_idle_too_long(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    watchlist.add_to_watchlist(due("a"))

    def idle() -> None:
        with watchlist.claim(Tier.HOURLY, 5, deadline=timedelta(seconds=1) - MARGIN_AFTER_DEADLINE):
            time.sleep(2)
            assert sql.execute("SELECT video_id FROM watchlist FOR UPDATE NOWAIT").fetchall() == [("a",)]

    with pytest.raises(DatabaseUnavailableError):
        idle()
    assert sql.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_a_claim_reads_the_index_among_a_million_rows(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    sql.execute(
        "INSERT INTO watchlist (video_id, tracking_tier, next_track_at)"
        " SELECT 'v' || i, (ARRAY['HOURLY', 'DAILY', 'WEEKLY'])[1 + i % 3], now() - (i % 10000) * INTERVAL '1 second'"
        " FROM generate_series(1, 1000000) AS i"
    )
    sql.execute("ANALYZE watchlist")

    statement = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + queries()["due_of_tier"]
    with sql.transaction():
        cursor = sql.execute(statement, {"tier": "DAILY", "batch_size": 1000, "now": None})
        (plan,) = cursor.fetchone()
    text = str(plan)
    assert "watchlist_due" in text
    assert "Seq Scan" not in text
    assert "'Sort'" not in text


def test_a_batch_of_all_tiers_comes_from_the_heads_of_the_index(
    watchlist: WatchlistHook, ghost_postgres: Connection, sql: psycopg.Connection
) -> None:
    sql.execute(
        "INSERT INTO watchlist (video_id, tracking_tier, next_track_at)"
        " SELECT 'v' || i, (ARRAY['HOURLY', 'DAILY', 'WEEKLY'])[1 + i % 3], now() - i * INTERVAL '1 second'"
        " FROM generate_series(1, 30000) AS i"
    )
    sql.execute("ANALYZE watchlist")
    longest_overdue = [f"v{number}" for number in range(30000, 0, -1)]
    with WatchlistHook(connection=ghost_postgres) as other, other.transaction(), watchlist.transaction():
        assert [row["video_id"] for row in other.fetch_tracking_batch(100)] == longest_overdue[:100]
        # what others hold is passed over, and no more is locked than what is returned
        assert [row["video_id"] for row in watchlist.fetch_tracking_batch(50)] == longest_overdue[100:150]
        free = sql.execute("SELECT count(*) FROM (SELECT FROM watchlist FOR UPDATE SKIP LOCKED) AS free").fetchone()
        assert free == (30000 - 150,)
    sql.execute("UPDATE watchlist SET deferred_until = now() + INTERVAL '1 hour' WHERE video_id = 'v30000'")
    assert [row["video_id"] for row in watchlist.fetch_tracking_batch(1)] == ["v29999"]
    assert len(watchlist.fetch_tracking_batch(40000)) == 29999
    assert watchlist.fetch_tracking_batch(10, now=datetime.now(UTC) - timedelta(days=2)) == []
    parameters = {"tiers": "{HOURLY,DAILY,WEEKLY}", "heads": 50, "now": None}
    (plan,) = sql.execute("EXPLAIN (FORMAT JSON) " + queries()["due_heads"], parameters).fetchone()
    assert "watchlist_due" in str(plan)
    assert "Seq Scan" not in str(plan)


def test_two_hunters_that_find_the_same_videos_do_not_wait_for_ever(
    ghost_postgres: Connection, sql: psycopg.Connection
) -> None:
    ids = [f"v{number:05}" for number in range(3000)]

    def add(order: int) -> int:
        with WatchlistHook(connection=ghost_postgres) as hook, hook.transaction():
            found = ids if order % 2 else ids[::-1]
            hook.ingest_video_metadata({"id": video_id} for video_id in found)
            return len(hook.add_to_watchlist(found))

    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(add, range(4))) == 3000
        sql.execute("TRUNCATE watchlist, videos")


def test_due_counts_by_tier(watchlist: WatchlistHook) -> None:
    hour = timedelta(hours=1)
    watchlist.add_to_watchlist([due("h", 2 * hour), due("d", 24 * hour, Tier.DAILY), due("w", hour, Tier.WEEKLY)])
    watchlist.add_to_watchlist([due("soon", -hour)])
    assert watchlist.status.due() == dict.fromkeys(Queue, 0) | dict.fromkeys(Tier, 1)


def test_monitoring_queries(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    watchlist.add_to_watchlist([due("a", timedelta(hours=3)), due("b"), due("c", timedelta(minutes=-30))])
    watchlist.add_to_watchlist(WatchlistEntry("d", Tier.WEEKLY, next_track_at=datetime.now(UTC) + timedelta(days=2)))
    assert watchlist.status.count() == 4
    assert tracked_by_tier(sql) == {"HOURLY": 3, "WEEKLY": 1}
    assert watchlist.status.backlog() == 1
    next_ten = sql.execute(
        "SELECT video_id, tracking_tier, next_track_at FROM watchlist"
        " WHERE next_track_at <= now() + INTERVAL '1 hour' ORDER BY next_track_at ASC LIMIT 10"
    ).fetchall()
    assert [video_id for video_id, _, _ in next_ten] == ["a", "b", "c"]
    assert watchlist.status.next_due_at() < datetime.now(UTC) - timedelta(hours=2)


def test_the_janitor_deletes_metadata_by_discovery_and_never_the_watchlist(
    watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    for video_id in ("old", "edge", "new", "unwatched"):
        watchlist.ingest_video_metadata({"id": video_id, "published_at": "2009-01-01T00:00:00Z"})
    watchlist.add_to_watchlist(["old", "edge", "new"])
    ages = {"old": "7 days 1 second", "edge": "6 days 23:59", "new": "0", "unwatched": "8 days"}
    for video_id, age in ages.items():
        sql.execute("UPDATE videos SET discovered_at = now() - %s::interval WHERE id = %s", (age, video_id))
    dry = watchlist.run_janitor(dry_run=True)
    assert (dry.deleted, dry.unwatched, dry.kept) == (2, 1, 2)
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (4,)
    done = watchlist.run_janitor(batch_size=1)
    assert (done.deleted, done.kept) == (2, 2)
    assert sql.execute("SELECT id FROM videos ORDER BY id").fetchall() == [("edge",), ("new",)]
    assert watchlist.status.count() == 3
    assert watchlist.run_janitor().deleted == 0


def old_videos(watchlist: WatchlistHook, sql: psycopg.Connection, *video_ids: str) -> None:
    watchlist.ingest_video_metadata({"id": video_id, "title": f"Title {video_id}"} for video_id in video_ids)
    sql.execute("UPDATE videos SET discovered_at = discovered_at - INTERVAL '8 days'")


def test_the_janitor_deletes_what_was_archived_batch_by_batch(
    watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    old_videos(watchlist, sql, "c", "a", "b")
    watchlist.ingest_video_metadata({"id": "new"})
    archived: list[list[dict]] = []

    def archive(rows: list[dict]) -> None:
        archived.append(rows)
        left = {video_id for (video_id,) in sql.execute("SELECT id FROM videos")}
        assert left.issuperset(row["video_id"] for row in rows)

    assert watchlist.run_janitor(dry_run=True, archive=archive).deleted == 3
    assert archived == []
    due_now = [[row["video_id"] for row in rows] for rows in watchlist.videos.due_for_deletion(batch_size=2)]
    done = watchlist.run_janitor(batch_size=2, archive=archive)
    assert (done.deleted, done.changed, done.kept) == (3, 0, 1)
    assert [[row["video_id"] for row in rows] for rows in archived] == due_now == [["a", "b"], ["c"]]
    assert archived[0][0] == {
        "video_id": "a",
        "title": "Title a",
        "published_at": None,
        "tags": [],
        "channel_id": None,
        "channel_title": None,
        "category_id": None,
        "duration_seconds": None,
        "default_language": None,
        "description": None,
        "discovered_at": archived[0][0]["discovered_at"],
        "other": None,
    }


def test_rows_that_change_while_they_are_archived_stay(
    watchlist: WatchlistHook, sql: psycopg.Connection, ghost_postgres: Connection
) -> None:
    old_videos(watchlist, sql, "a", "b", "c", "d", "e")
    with psycopg.connect(host=ghost_postgres.host, user="postgres", dbname=ghost_postgres.schema) as other:

        def archive(rows: list[dict]) -> None:
            sql.execute("UPDATE videos SET title = 'Changed' WHERE id = 'a'")
            sql.execute("UPDATE videos SET title = title WHERE id = 'b'")  # rewritten, though with the same content
            sql.execute("DELETE FROM videos WHERE id = 'c'")
            other.execute("UPDATE videos SET title = 'Being changed' WHERE id = 'd'")

        done = watchlist.run_janitor(archive=archive)
        assert (done.deleted, done.changed) == (1, 4)
        other.commit()
    left = sql.execute("SELECT id, title FROM videos ORDER BY id").fetchall()
    assert left == [("a", "Changed"), ("b", "Title b"), ("d", "Being changed")]
    assert watchlist.run_janitor(archive=len).deleted == 3


def test_nothing_is_deleted_that_could_not_be_archived(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    old_videos(watchlist, sql, "a", "b", "c")

    def archive(rows: list[dict]) -> None:
        if rows[0]["video_id"] > "a":
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        watchlist.run_janitor(batch_size=1, archive=archive)
    assert sql.execute("SELECT id FROM videos ORDER BY id").fetchall() == [("b",), ("c",)]


def test_columns_of_an_old_tracker_and_impossible_times_go_into_the_archive(
    watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    sql.execute("ALTER TABLE videos ADD COLUMN views BIGINT, ADD COLUMN raw JSONB, ADD COLUMN description TEXT")
    old_videos(watchlist, sql, "a", "b", "c")
    raw = '{"nested": null, "text": "ü\\u2028"}'
    sql.execute("UPDATE videos SET views = 12345678901234567, raw = %s, description = 'Long' WHERE id = 'a'", (raw,))
    sql.execute(
        "UPDATE videos SET published_at = 'infinity', discovered_at = '-infinity', tags = '{x,NULL}' WHERE id = 'b'"
    )
    sql.execute("UPDATE videos SET published_at = '0044-03-15 BC', tags = NULL WHERE id = 'c'")
    archived: dict[str, dict] = {}
    done = watchlist.run_janitor(archive=lambda rows: archived.update({row["video_id"]: row for row in rows}))
    assert done.deleted == 3
    assert (archived["a"]["description"], archived["b"]["description"]) == ("Long", None)
    assert json.loads(archived["a"]["other"]) == {"views": 12345678901234567, "raw": json.loads(raw)}
    assert json.loads(archived["b"]["other"]) == {"published_at": "infinity", "discovered_at": "-infinity"}
    assert (archived["b"]["published_at"], archived["b"]["discovered_at"]) == (None, None)
    assert json.loads(archived["c"]["other"])["published_at"].endswith("BC")
    assert (archived["b"]["tags"], archived["c"]["tags"]) == (["x", None], None)


def test_a_note_of_the_future_neither_silences_nor_blocks_nor_loses(
    watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    cooldown = timedelta(hours=6)
    sql.execute("INSERT INTO alerts VALUES ('backlog', now() + INTERVAL '4 years')")
    assert watchlist.alerts.claim("backlog", cooldown)
    assert not watchlist.alerts.claim("backlog", cooldown)
    assert watchlist.quota.reserve(Bucket.STATISTICS, 5) == 5
    sql.execute("UPDATE quota_ledger SET exhausted_at = now() + INTERVAL '10 hours'")
    assert watchlist.quota.reserve(Bucket.STATISTICS, 5) == 5
    balance = watchlist.quota.balances()[Bucket.STATISTICS]
    assert (balance.is_exhausted, balance.is_refused) == (False, False)

    future = datetime.now(UTC) + timedelta(days=2)
    watchlist.watermarks.begin(["begun"], future)
    watchlist.watermarks.advance({"advanced": future})
    sql.execute("INSERT INTO hunter_watermarks VALUES ('stored', %s), ('other', %s)", [future, future])
    known = watchlist.watermarks.of(["begun", "advanced", "stored"])
    present = watchlist.now()
    assert all(each <= present for each in known.values())
    hunted = present - timedelta(hours=1)
    watchlist.watermarks.advance({"stored": hunted, "other": future})
    assert watchlist.watermarks.of(["stored"])["stored"] == hunted
    assert sql.execute("SELECT max(watermark) <= now() FROM hunter_watermarks").fetchone() == (True,)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_times_come_back_in_utc_whatever_the_databases_zone_is(
    watchlist: WatchlistHook, sql: psycopg.Connection, ghost_postgres: Connection, zone: str
) -> None:
    sql.execute(f"ALTER DATABASE {ghost_postgres.schema} SET timezone TO '{zone}'")
    watchlist.close()
    twice = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)  # in New York this hour comes a second time
    watchlist.watermarks.begin(["a"], twice)
    watchlist.add_to_watchlist("video")
    times = [watchlist.watermarks.of(["a"])["a"], watchlist.now(), watchlist.status.next_due_at()]
    (row,) = watchlist.fetch_tracking_batch()
    assert all(each.tzinfo is UTC for each in [*times, row["next_track_at"], row["created_at"]])
    assert times[0] - timedelta(hours=1) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)


def test_metadata_that_came_with_a_place_on_the_schedule_is_never_called_unwatched(
    watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    with watchlist.transaction():
        watchlist.ingest_video_metadata({"id": video_id} for video_id in ("settled", "watched"))
        watchlist.add_to_watchlist(["settled", "watched"])
    watchlist.ingest_video_metadata([{"id": "stray"}])
    sql.execute("DELETE FROM watchlist WHERE video_id = 'settled'")  # as it goes to the roster
    report = watchlist.run_janitor(dry_run=True, now=datetime.now(UTC) + timedelta(days=8))
    assert (report.deleted, report.unwatched) == (3, 1)


def test_watermarks_never_go_back(watchlist: WatchlistHook) -> None:
    watchlist.watermarks.advance({"a": NOW, "b": NOW})
    watchlist.watermarks.advance({"a": NOW - timedelta(hours=1), "b": NOW + timedelta(hours=1)})
    assert watchlist.watermarks.of(["a", "b", "c"]) == {"a": NOW, "b": NOW + timedelta(hours=1)}


def test_a_source_is_new_until_it_has_been_hunted_to_an_end(watchlist: WatchlistHook) -> None:
    watchlist.watermarks.begin(["a"], NOW - timedelta(hours=1))
    watchlist.watermarks.begin(["a"], NOW)
    assert watchlist.watermarks.of(["a"]) == {"a": NOW - timedelta(hours=1)}
    assert watchlist.watermarks.never_hunted(["a"]) == {"a"}
    watchlist.watermarks.advance({"a": NOW})
    assert watchlist.watermarks.of(["a"]) == {"a": NOW}
    assert watchlist.watermarks.never_hunted(["a"]) == set()


def test_no_watermark_leaps_over_what_a_run_that_was_held_up_has_begun(watchlist: WatchlistHook) -> None:
    hour = timedelta(hours=1)
    watchlist.watermarks.begin(["a"], NOW - 3 * hour)
    watchlist.watermarks.begin(["a"], NOW - 5 * hour)  # the run that should have begun it
    assert watchlist.watermarks.of(["a"]) == {"a": NOW - 5 * hour}
    assert watchlist.watermarks.never_hunted(["a"]) == {"a"}
    watchlist.watermarks.advance({"a": NOW}, {"a": NOW - 3 * hour})  # a run that had read the later one
    assert watchlist.watermarks.of(["a"]) == {"a": NOW - 5 * hour}
    watchlist.watermarks.advance({"a": NOW}, {"a": NOW - 5 * hour})
    assert watchlist.watermarks.of(["a"]) == {"a": NOW}
    assert watchlist.watermarks.never_hunted(["a"]) == set()


def test_what_cannot_be_had_is_one_gap_where_it_goes_on(watchlist: WatchlistHook) -> None:
    hour = timedelta(hours=1)
    for start, reason in ((0, "a"), (1, "a"), (3, "a"), (1, "b"), (0, "a")):
        window = Window(NOW + start * hour, NOW + (start + 1) * hour)
        watchlist.watermarks.note_gap(Gap("key", "search x", window, reason))
    found = {(gap.window.start, gap.window.end, gap.reason) for gap in watchlist.watermarks.gaps()}
    assert found == {
        (NOW, NOW + 2 * hour, "a"),
        (NOW + 3 * hour, NOW + 4 * hour, "a"),
        (NOW + hour, NOW + 2 * hour, "b"),
    }
