"""Migrations on empty databases and on those that hold data, and the way from an old tracker."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from airflow.sdk import Connection

from ghost_tracking.errors import BadInputError, ConfigurationError, DatabaseUnavailableError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.postgres.adoption import Adoption
from ghost_tracking.postgres.sql import parse, queries

OLD_TRACKER = """
    CREATE TABLE videos (
        id VARCHAR(20) PRIMARY KEY, title TEXT, published_at TIMESTAMP, tags TEXT[], view_count BIGINT NOT NULL,
        last_updated_at TIMESTAMP
    );
    INSERT INTO videos VALUES
        ('old_one', 'One', '2026-01-15 10:00', '{a}', 12, '2026-02-01 08:30'),
        ('old_two', 'Two', NULL, NULL, 0, NULL);
"""
SPECIFICATION = """
    CREATE TABLE watchlist (
        video_id VARCHAR(20) PRIMARY KEY, tracking_tier VARCHAR(20) DEFAULT 'HOURLY', last_tracked_at TIMESTAMP,
        next_track_at TIMESTAMP NOT NULL, created_at TIMESTAMP DEFAULT NOW()
    );
    INSERT INTO watchlist VALUES
        ('kept', NULL, NULL, '2026-01-15 10:00', NULL), ('low', 'daily', NULL, '2026-01-15', NULL);
"""


def session_on(connection: Connection) -> psycopg.Connection:
    return psycopg.connect(host=connection.host, user="postgres", dbname=connection.schema, autocommit=True)


def test_an_empty_database_is_set_up_once(empty_database: Connection) -> None:
    with WatchlistHook(connection=empty_database) as hook:
        version = hook.migrate()
        assert hook.migrate() == version
        assert hook.status.count() == 0


def test_many_tasks_may_set_it_up_at_once(empty_database: Connection) -> None:
    def migrate(_: int) -> str:
        with WatchlistHook(connection=empty_database) as hook:
            return hook.migrate()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(migrate, range(6)))) == 1


def test_data_that_is_there_is_kept_and_naive_times_are_utc(empty_database: Connection) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        sql.execute("SET timezone = 'Asia/Tokyo'")
        sql.execute(OLD_TRACKER + SPECIFICATION)
        hook.migrate()
        rows = sql.execute("SELECT video_id, tracking_tier, next_track_at FROM watchlist ORDER BY video_id").fetchall()
        assert rows == [
            ("kept", "HOURLY", datetime(2026, 1, 15, 10, tzinfo=UTC)),
            ("low", "DAILY", datetime(2026, 1, 15, tzinfo=UTC)),
        ]
        assert sql.execute("SELECT published_at FROM videos WHERE id = 'old_one'").fetchone() == (
            datetime(2026, 1, 15, 10, tzinfo=UTC),
        )
        # the hunter does not fill the old tracker's own columns
        assert hook.ingest_video_metadata({"id": "fresh", "title": "Fresh"}) == ["fresh"]
        assert sql.execute("SELECT view_count FROM videos WHERE id = 'old_one'").fetchone() == (12,)
        # metadata that was there before counts as discovered now, so a week is left to adopt it
        assert hook.run_janitor().deleted == 0


def test_an_old_trackers_videos_are_adopted_once(empty_database: Connection) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        sql.execute(OLD_TRACKER)
        hook.migrate()
        assert hook.old_tracker.adopt_videos() == Adoption(2, 0)
        assert hook.old_tracker.adopt_videos() == Adoption(0, 0)
        rows = sql.execute(
            "SELECT video_id, tracking_tier, last_tracked_at, anchor_at, next_track_at <= now() FROM watchlist"
            " ORDER BY video_id"
        ).fetchall()
        # an old tracker's publish times may be in any zone: the first answer brings the true ones
        assert rows == [
            ("old_one", "DAILY", datetime(2026, 2, 1, 8, 30, tzinfo=UTC), None, True),
            ("old_two", "DAILY", None, None, True),
        ]


def test_counts_of_an_old_tracker_keep_out_of_ours(empty_database: Connection) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        sql.execute(SPECIFICATION + "ALTER TABLE watchlist ADD COLUMN views TEXT; UPDATE watchlist SET views = 'many'")
        hook.migrate()
        rows = sql.execute("SELECT DISTINCT old_views, views, gain_per_hour FROM watchlist").fetchall()
        assert rows == [("many", None, None)]


ODD_IDS = """
    CREATE TABLE videos (id TEXT PRIMARY KEY, title TEXT, last_updated_at {type});
    INSERT INTO videos VALUES
        ('aaaaaaaaaaA', 'x', {time}), (' bbbbbbbbbbA ', 'x', {time}), ('https://youtu.be/ccccccccccA', 'x', NULL),
        ('', 'x', NULL), ('a,b', 'x', NULL), ('https://example.com/' || repeat('x', 5000), 'x', NULL);
"""


@pytest.mark.parametrize(
    ("type_", "time", "taken_over"),
    [
        ("TIMESTAMP", "'2026-01-02'", datetime(2026, 1, 2, tzinfo=UTC)),
        ("TIMESTAMPTZ", "'2026-01-02 05:00+05'", datetime(2026, 1, 2, tzinfo=UTC)),
        ("DATE", "'2026-01-02'", datetime(2026, 1, 2, tzinfo=UTC)),
        ("TEXT", "'2026-01-02T00:00:00Z'", datetime(2026, 1, 2, tzinfo=UTC)),
        ("TEXT", "'the other day'", None),
        ("BIGINT", "1767312000", None),
        ("TIMESTAMP", "'-infinity'", None),
        ("TIMESTAMP", "'infinity'", None),
        ("TIMESTAMP", "'2999-01-01'", None),
        ("TIMESTAMP", "'0200-01-01 BC'", None),
    ],
)
def test_adoption_takes_what_it_can_and_keeps_the_rest(
    empty_database: Connection, type_: str, time: str, taken_over: datetime | None
) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        sql.execute("SELECT set_config('timezone', 'Asia/Tokyo', false)")
        sql.execute(ODD_IDS.format(type=type_, time=time))
        hook.migrate()
        assert hook.old_tracker.adopt_videos(batch_size=2) == Adoption(3, 3)
        assert hook.old_tracker.adopt_videos() == Adoption(0, 3)
        rows = dict(sql.execute("SELECT video_id, last_tracked_at FROM watchlist").fetchall())
        assert rows == {"aaaaaaaaaaA": taken_over, "bbbbbbbbbbA": taken_over, "ccccccccccA": None}
        refused = hook.refused.newest()
        assert {each.item[:20] for each in refused} == {"", "a,b", "https://example.com/"}
        assert {each.origin for each in refused} == {"old tracker"}
        assert hook.refused.count() == 3
        sql.execute("UPDATE videos SET discovered_at = discovered_at - INTERVAL '8 days'")
        # all are on the schedule or on a list: nobody is told that nobody tracks them
        assert hook.run_janitor(dry_run=True).unwatched == 0


def test_what_was_refused_can_be_tried_again(watchlist: WatchlistHook) -> None:
    watchlist.refused.note("old tracker", {"https://youtu.be/ccccccccccA": "of old", "a,b": "no id", "c\0d": "no id"})
    ids, stay = watchlist.refused.retry()
    assert ids == ["ccccccccccA"]
    assert set(stay) == {"a,b", "cd"}
    assert watchlist.entries.known(["ccccccccccA"]) == {"ccccccccccA"}
    assert watchlist.refused.drop(["a,b"]) == 1
    assert [each.item for each in watchlist.refused.newest()] == ["cd"]
    assert watchlist.refused.retry([]) == ([], {})


def test_an_old_trackers_own_columns_demand_nothing_any_more(empty_database: Connection) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        sql.execute("CREATE TABLE videos (id TEXT PRIMARY KEY, title TEXT, created_at TIMESTAMP NOT NULL)")
        sql.execute(
            "CREATE TABLE watchlist (id INT NOT NULL, video_id TEXT PRIMARY KEY, tracking_tier VARCHAR(20),"
            " last_tracked_at TIMESTAMPTZ, next_track_at TIMESTAMPTZ NOT NULL, created_at TIMESTAMPTZ)"
        )
        hook.migrate()
        assert hook.ingest_video_metadata({"id": "fresh", "title": "New"}) == ["fresh"]
        assert hook.add_to_watchlist("fresh") == ["fresh"]


def test_rows_that_would_stop_a_task_are_mended_or_kept_on_a_list(empty_database: Connection) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        sql.execute(
            "CREATE TABLE watchlist (video_id TEXT PRIMARY KEY, tracking_tier VARCHAR(20), last_tracked_at TIMESTAMPTZ,"
            " next_track_at TIMESTAMPTZ NOT NULL, created_at TIMESTAMPTZ, priority INT NOT NULL)"
        )
        for video_id, due in (
            ("whole", "2026-01-15 10:00+00"),
            (" trimmed ", "infinity"),
            ("whole ", "2026-01-15"),
            ("twice ", "2026-01-15"),
            (" twice", "2026-01-15"),
            ("a b", "2026-01-15"),
            ("late", "9999-12-31"),
            ("early", "-infinity"),
        ):
            sql.execute("INSERT INTO watchlist VALUES (%s, 'DAILY', 'infinity', %s, now(), 1)", [video_id, due])
        hook.migrate()
        rows = dict(sql.execute("SELECT video_id, next_track_at <= now() FROM watchlist").fetchall())
        assert rows == dict.fromkeys(("whole", "trimmed", "twice", "late", "early"), True)
        assert sql.execute("SELECT count(last_tracked_at) FROM watchlist").fetchone() == (0,)
        assert [each.item for each in hook.refused.newest()] == ["a b"]
        assert hook.add_to_watchlist("fresh") == ["fresh"]  # and the column `priority` demands nothing any more
        for wrong in ("video_id = 'a b'", "next_track_at = 'infinity'", "anchor_at = '-infinity'"):
            with pytest.raises(psycopg.errors.CheckViolation, match="watchlist_possible_"):
                sql.execute(f"UPDATE watchlist SET {wrong} WHERE video_id = 'whole'")
        with pytest.raises(BadInputError, match="slots before the year 9000"):
            hook.update_watchlist_schedule(
                [{"video_id": "whole", "tracking_tier": "DAILY", "next_track_at": "9999-12-31T00:00:00Z"}]
            )


def test_columns_of_an_old_tracker_take_our_types(empty_database: Connection) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        sql.execute("CREATE TABLE videos (id VARCHAR(20) PRIMARY KEY, title VARCHAR(10), category_id INTEGER)")
        sql.execute("INSERT INTO videos VALUES ('a', 'short', 27)")
        hook.migrate()
        hook.ingest_video_metadata({"id": "b", "title": "a title of more than ten", "category_id": "10"})
        assert sql.execute("SELECT category_id FROM videos ORDER BY id").fetchall() == [("27",), ("10",)]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("CREATE TABLE videos (id VARCHAR(20) PRIMARY KEY, tags JSONB)", "tags"),
        (SPECIFICATION + "CREATE VIEW late AS SELECT last_tracked_at FROM watchlist", "view late .* create it again"),
        (
            "CREATE TABLE videos (id BIGSERIAL PRIMARY KEY, video_id TEXT)",
            "column id of the table videos holds no text",
        ),
    ],
)
def test_what_cannot_be_migrated_is_named_and_left_alone(empty_database: Connection, trouble: str, said: str) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        sql.execute(trouble)
        with pytest.raises(ConfigurationError, match=said):
            hook.migrate()
        assert sql.execute("SELECT to_regclass('quota_ledger')").fetchone() == (None,)


def test_adopting_without_an_old_tracker_says_so(watchlist: WatchlistHook) -> None:
    with pytest.raises(BadInputError, match="last_updated_at"):
        watchlist.old_tracker.adopt_videos()


def test_a_schema_of_the_future_is_left_alone(empty_database: Connection) -> None:
    with session_on(empty_database) as sql, WatchlistHook(connection=empty_database) as hook:
        hook.migrate()
        sql.execute("UPDATE ghost_schema_version SET version_num = '9999'")
        with pytest.raises(ConfigurationError, match="install the newer Ghost Tracking"):
            hook.migrate()


def test_a_database_without_the_right_to_create_is_named(empty_database: Connection) -> None:
    with session_on(empty_database) as sql:
        sql.execute("CREATE ROLE visitor LOGIN")
        try:
            visitor = Connection(
                conn_id="ghost_postgres",
                conn_type="postgres",
                host=empty_database.host,
                login="visitor",
                schema=empty_database.schema,
            )
            with WatchlistHook(connection=visitor) as hook, pytest.raises(ConfigurationError, match="ghost_postgres"):
                hook.migrate()
        finally:
            sql.execute("DROP ROLE visitor")


def test_a_connection_that_leads_nowhere_is_named_without_its_password() -> None:
    nowhere = Connection(
        conn_id="ghost_postgres", conn_type="postgres", host="127.0.0.1", port=1, login="x", password="s3cret"
    )
    with WatchlistHook(connection=nowhere) as hook, pytest.raises(DatabaseUnavailableError) as caught:
        hook.status.count()
    assert "ghost_postgres" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_every_query_has_a_name_of_its_own_and_a_purpose() -> None:
    assert len(queries()) > 25
    for name, text in queries().items():
        assert text.startswith("-- "), name
        assert text.endswith(";"), name


def test_two_queries_of_the_same_name_are_an_error() -> None:
    one = "-- name: one\n-- Its purpose.\nSELECT 1;\n"
    assert parse([one]) == {"one": "-- Its purpose.\nSELECT 1;"}
    with pytest.raises(ValueError, match="two queries are called one"):
        parse([one, one])
