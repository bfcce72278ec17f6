"""The schema: the specification's tables, which an old tracker may have filled, and all that stands beside them.

The old tracker's rows stay. Its naive times are taken for UTC, its columns take our types, and those that demand a
value stop doing so, since nobody fills them any more. Rows that would stop a task (impossible ids, times that Python
cannot hold or count on from) are mended, and ids that cannot be go onto the list of what was refused.
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _specification()
    _take_over_old_columns()
    _videos()
    _refused()
    _watchlist()
    _roster()
    _policy()
    _coverage()
    _quota()
    _hunting()
    _vault()
    _let_go()
    _alerts()
    _views()


def _specification() -> None:
    op.execute("""
        CREATE TABLE IF NOT EXISTS watchlist (
            video_id VARCHAR(20) CONSTRAINT watchlist_pkey PRIMARY KEY,
            tracking_tier VARCHAR(20) DEFAULT 'HOURLY',
            last_tracked_at TIMESTAMPTZ,
            next_track_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE IF NOT EXISTS videos (
            id VARCHAR(20) CONSTRAINT videos_pkey PRIMARY KEY,
            title TEXT,
            published_at TIMESTAMPTZ,
            tags TEXT[]
        )
    """)


def _take_over_old_columns() -> None:
    """A table whose `id` numbers its rows is another application's, and stops this."""
    op.execute("""
        DO $$
        DECLARE old record;
        BEGIN
            FOR old IN
                SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND data_type NOT IN ('character varying', 'text', 'character')
                  AND (table_name, column_name) IN (('videos', 'id'), ('watchlist', 'video_id'))
            LOOP
                RAISE EXCEPTION 'the column % of the table % holds no text, so no ids of YouTube''s: rename that '
                    'table, or use a database or schema of its own, and run again', old.column_name, old.table_name;
            END LOOP;
            IF EXISTS (
                SELECT FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'videos'
                  AND column_name = 'tags' AND data_type <> 'ARRAY'
            ) THEN
                RAISE EXCEPTION 'the column tags of the table videos is no TEXT[]: rename it, and run again';
            END IF;
            FOR old IN
                SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name IN ('watchlist', 'videos')
                  AND data_type = 'timestamp without time zone'
            LOOP
                EXECUTE format(
                    'ALTER TABLE %I ALTER COLUMN %I TYPE TIMESTAMPTZ USING %2$I AT TIME ZONE ''UTC''',
                    old.table_name, old.column_name
                );
            END LOOP;
            -- an old tracker's counts are of moments that nobody knows: they stay under another name
            FOR old IN
                SELECT column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'watchlist'
                  AND column_name IN ('views', 'gain_per_hour')
            LOOP
                EXECUTE format('ALTER TABLE watchlist RENAME COLUMN %I TO %I', old.column_name,
                    'old_' || old.column_name);
            END LOOP;
            FOR old IN
                SELECT column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'videos' AND data_type <> 'text'
                  AND column_name IN ('title', 'channel_id', 'channel_title', 'category_id', 'default_language')
            LOOP
                EXECUTE format('ALTER TABLE videos ALTER COLUMN %I TYPE TEXT USING %1$I::text', old.column_name);
            END LOOP;
            FOR old IN
                SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name IN ('watchlist', 'videos')
                  AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'
                  AND NOT (table_name = 'videos' AND column_name = 'id')
                  AND NOT (
                      table_name = 'watchlist' AND column_name IN (
                          'video_id', 'tracking_tier', 'next_track_at', 'created_at', 'awaits_start'
                      )
                  )
            LOOP
                EXECUTE format('ALTER TABLE %I ALTER COLUMN %I DROP NOT NULL', old.table_name, old.column_name);
            END LOOP;
        END $$
    """)


def _videos() -> None:
    # an eighth of the rows goes each day: by default vacuum would come every other day, and the table grow by that
    op.execute("""
        ALTER TABLE videos
            ADD COLUMN IF NOT EXISTS published_at TIMESTAMPTZ,
            ADD COLUMN IF NOT EXISTS title TEXT,
            ADD COLUMN IF NOT EXISTS tags TEXT[],
            ADD COLUMN IF NOT EXISTS channel_id TEXT,
            ADD COLUMN IF NOT EXISTS channel_title TEXT,
            ADD COLUMN IF NOT EXISTS category_id TEXT,
            ADD COLUMN IF NOT EXISTS duration_seconds BIGINT,
            ADD COLUMN IF NOT EXISTS default_language TEXT,
            ADD COLUMN IF NOT EXISTS discovered_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            ADD COLUMN scheduled BOOLEAN NOT NULL DEFAULT FALSE,
            SET (autovacuum_vacuum_scale_factor = 0.05)
    """)
    op.execute("""
        COMMENT ON COLUMN videos.scheduled IS 'Whether this row came together with a place on the schedule.'
    """)


def _refused() -> None:
    op.execute("""
        CREATE TABLE refused (
            item TEXT CONSTRAINT refused_pkey PRIMARY KEY,
            origin TEXT NOT NULL,
            reason TEXT NOT NULL,
            refused_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE refused IS 'What a source or an old tracker has named that cannot be the id of a video.'
    """)


def _watchlist() -> None:
    op.execute("""
        ALTER TABLE watchlist
            ADD COLUMN IF NOT EXISTS anchor_at TIMESTAMPTZ,
            ADD COLUMN IF NOT EXISTS first_missed_at TIMESTAMPTZ,
            ADD COLUMN IF NOT EXISTS gone_at TIMESTAMPTZ,
            ADD COLUMN IF NOT EXISTS missed_count SMALLINT,
            ADD COLUMN IF NOT EXISTS awaits_start BOOLEAN NOT NULL DEFAULT FALSE,
            ADD COLUMN promoted_until TIMESTAMPTZ,
            ADD COLUMN deferred_until TIMESTAMPTZ,
            ADD COLUMN views BIGINT,
            ADD COLUMN gain_per_hour REAL
    """)
    _mend_ids()
    _mend_rows()
    op.execute("""
        ALTER TABLE watchlist
            ALTER COLUMN tracking_tier SET DEFAULT 'HOURLY',
            ALTER COLUMN tracking_tier SET NOT NULL,
            ALTER COLUMN created_at SET DEFAULT now(),
            ALTER COLUMN created_at SET NOT NULL,
            ADD CONSTRAINT watchlist_known_tier CHECK (tracking_tier IN ('HOURLY', 'DAILY', 'WEEKLY')),
            ADD CONSTRAINT watchlist_possible_id CHECK (video_id ~ '^[A-Za-z0-9_-]{1,20}$'),
            ADD CONSTRAINT watchlist_possible_times CHECK (
                next_track_at BETWEEN '0001-01-01 00:00+00' AND '9000-01-01 00:00+00'
                AND created_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND last_tracked_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND anchor_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND first_missed_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND gone_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND promoted_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND deferred_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
            ),
            SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)
    """)
    op.execute("""
        COMMENT ON COLUMN watchlist.views IS 'The newest count: of the reading at last_tracked_at unless that hid it; '
            'null where none is known.'
    """)
    op.execute("""
        COMMENT ON COLUMN watchlist.gain_per_hour IS 'Views gained an hour, as its readings tell: 0.7 of the last '
            'interval, 0.3 of the estimate before.'
    """)
    op.execute("""
        COMMENT ON COLUMN watchlist.deferred_until IS 'Due, but not to be claimed before: its call has just failed, '
            'and others go first.'
    """)
    op.execute("CREATE INDEX IF NOT EXISTS watchlist_due ON watchlist (tracking_tier, next_track_at)")
    # of the few rows that are not in the usual state, so that a page can count them at once
    op.execute("""
        CREATE INDEX watchlist_unusual ON watchlist (promoted_until, first_missed_at)
        WHERE first_missed_at IS NOT NULL OR promoted_until IS NOT NULL OR awaits_start
    """)
    # of the old tracker's rows those that are on the watchlist already; a new row gets it with its place there
    op.execute("UPDATE videos SET scheduled = TRUE WHERE id IN (SELECT video_id FROM watchlist)")


def _mend_ids() -> None:
    op.execute(r"""
        UPDATE watchlist AS w SET video_id = btrim(video_id, E' \t\r\n')
        WHERE video_id !~ '^[A-Za-z0-9_-]{1,20}$' AND btrim(video_id, E' \t\r\n') ~ '^[A-Za-z0-9_-]{1,20}$'
          AND NOT EXISTS (
              SELECT FROM watchlist AS other
              WHERE btrim(other.video_id, E' \t\r\n') = btrim(w.video_id, E' \t\r\n')
                AND (other.video_id = btrim(w.video_id, E' \t\r\n') OR other.ctid < w.ctid)
          )
    """)
    op.execute(r"""
        INSERT INTO refused (item, origin, reason)
        SELECT left(video_id, 500), 'watchlist', 'cannot be the id of a video'
        FROM watchlist
        WHERE video_id !~ '^[A-Za-z0-9_-]{1,20}$' AND btrim(video_id, E' \t\r\n') !~ '^[A-Za-z0-9_-]{1,20}$'
        ON CONFLICT (item) DO NOTHING
    """)
    # those with blanks that are left stand there without them too
    op.execute("DELETE FROM watchlist WHERE video_id !~ '^[A-Za-z0-9_-]{1,20}$'")


def _mend_rows() -> None:
    """An unknown tier is HOURLY, an impossible slot is due at once, an impossible time of anything else not known."""
    op.execute("""
        UPDATE watchlist
        SET tracking_tier = CASE WHEN upper(tracking_tier) IN ('HOURLY', 'DAILY', 'WEEKLY')
                                 THEN upper(tracking_tier) ELSE 'HOURLY' END
        WHERE tracking_tier IS NULL OR tracking_tier NOT IN ('HOURLY', 'DAILY', 'WEEKLY')
    """)
    op.execute("""
        UPDATE watchlist SET next_track_at = now()
        WHERE next_track_at NOT BETWEEN '0001-01-01 00:00+00' AND '9000-01-01 00:00+00'
    """)
    op.execute("""
        UPDATE watchlist SET created_at = now()
        WHERE created_at IS NULL OR created_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    op.execute("""
        UPDATE watchlist SET last_tracked_at = NULL
        WHERE last_tracked_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    op.execute("""
        UPDATE watchlist SET anchor_at = NULL
        WHERE anchor_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    # counted again from its next miss
    op.execute("""
        UPDATE watchlist SET first_missed_at = NULL, gone_at = NULL, missed_count = NULL, next_track_at = now()
        WHERE first_missed_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
           OR gone_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)


def _roster() -> None:
    op.execute("""
        CREATE TABLE roster (
            chunk TEXT CONSTRAINT roster_pkey PRIMARY KEY,
            hour_of_week SMALLINT NOT NULL CONSTRAINT roster_known_hour CHECK (hour_of_week BETWEEN 0 AND 167),
            gone BOOLEAN NOT NULL,
            ids INTEGER NOT NULL CONSTRAINT roster_not_empty CHECK (ids > 0),
            removed_positions SMALLINT[] NOT NULL DEFAULT '{}',
            videos INTEGER NOT NULL GENERATED ALWAYS AS (ids - cardinality(removed_positions)) STORED,
            cursor INTEGER NOT NULL DEFAULT 0,
            last_tracked_at TIMESTAMPTZ,
            next_track_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            outage_since TIMESTAMPTZ,
            deferred_until TIMESTAMPTZ,
            root_gains REAL NOT NULL DEFAULT 0,
            root_relative REAL NOT NULL DEFAULT 0,
            CONSTRAINT roster_possible_times CHECK (
                next_track_at BETWEEN '0001-01-01 00:00+00' AND '9000-01-01 00:00+00'
                AND last_tracked_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND outage_since BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND deferred_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
            )
        ) WITH (autovacuum_vacuum_scale_factor = 0.05)
    """)
    op.execute("CREATE INDEX roster_due ON roster (gone, next_track_at)")
    op.execute("""
        COMMENT ON TABLE roster IS 'Videos that have settled into WEEKLY, or are gone: a row stands for the ids in the '
            'vault''s file roster/<chunk>.parquet, but those at its removed_positions. Ids before the position cursor '
            'have been asked for already in the slot that is due.'
    """)
    op.execute("""
        COMMENT ON COLUMN roster.root_gains IS 'This chunk''s part of the sum of sqrt(gain) over all videos, as of its '
            'last read; root_relative: of sqrt(gain / (views + 10)).'
    """)
    op.execute("""
        CREATE TABLE retired_chunks (
            chunk TEXT CONSTRAINT retired_chunks_pkey PRIMARY KEY,
            retired_at TIMESTAMPTZ NOT NULL
        )
    """)


def _policy() -> None:
    op.execute("""
        CREATE TABLE policy_state (
            singleton BOOLEAN DEFAULT TRUE CONSTRAINT policy_state_pkey PRIMARY KEY
                CONSTRAINT policy_state_one_row CHECK (singleton),
            counted_at TIMESTAMPTZ NOT NULL,
            videos BIGINT NOT NULL,
            root_gains DOUBLE PRECISION NOT NULL,
            root_relative DOUBLE PRECISION NOT NULL,
            peak DOUBLE PRECISION NOT NULL DEFAULT 0,
            slots DOUBLE PRECISION NOT NULL DEFAULT 0,
            readings DOUBLE PRECISION NOT NULL DEFAULT 0,
            moved DOUBLE PRECISION NOT NULL DEFAULT 0
        )
    """)
    op.execute("""
        COMMENT ON TABLE policy_state IS 'What a policy shares readings out by: the sums over all videos, counted once '
            'a day, and how many of the slots it has left out of late. It may be deleted: it is counted again.'
    """)
    op.execute("""
        CREATE TABLE audits (
            video_id VARCHAR(20) NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            queue TEXT NOT NULL,
            held_views BIGINT NOT NULL,
            held_at TIMESTAMPTZ NOT NULL,
            views BIGINT NOT NULL,
            next_at TIMESTAMPTZ,
            next_views BIGINT,
            CONSTRAINT audits_pkey PRIMARY KEY (video_id, at)
        )
    """)
    op.execute("""
        COMMENT ON TABLE audits IS 'Readings of videos at random, beside their slots: what was known of them, what was '
            'found, and their next reading; kept for 30 days. They tell how wrong is what is known of all others.'
    """)
    op.execute("""
        CREATE TABLE liveliness (
            class SMALLINT CONSTRAINT liveliness_pkey PRIMARY KEY,
            videos BIGINT NOT NULL,
            planned_hours DOUBLE PRECISION NOT NULL,
            interval_hours DOUBLE PRECISION NOT NULL,
            age_hours DOUBLE PRECISION,
            policy TEXT NOT NULL,
            counted_at TIMESTAMPTZ NOT NULL
        )
    """)
    op.execute("""
        COMMENT ON TABLE liveliness IS 'How many videos gain how much, how long they wait for a reading by their tier '
            'and by the policy, and how old their newest count is, on average; counted once a day, for people. The '
            'classes are those of core/fairness.py. It may be deleted: it is counted again.'
    """)
    # see core/worth.py, whose index this is; -1: a due video that has not waited for its tier's interval yet
    op.execute("""
        CREATE FUNCTION reading_index(
            waited_hours DOUBLE PRECISION, tier_hours DOUBLE PRECISION, views BIGINT, gain_per_hour REAL,
            by_gain DOUBLE PRECISION, by_relative DOUBLE PRECISION, in_turn DOUBLE PRECISION,
            longest_hours DOUBLE PRECISION
        ) RETURNS DOUBLE PRECISION LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT CASE
                WHEN waited_hours IS NULL OR waited_hours >= longest_hours THEN 'Infinity'::float8
                WHEN waited_hours + 1.0 / 6 < tier_hours THEN -1.0::float8
                WHEN views IS NULL THEN greatest(waited_hours, 0.0) * in_turn
                WHEN gain_per_hour IS NULL THEN 'Infinity'::float8
                WHEN waited_hours <= 0 THEN 0.0::float8
                ELSE waited_hours * (
                    sqrt(greatest(gain_per_hour, 0.5 / waited_hours))
                    * (by_gain + by_relative / sqrt((views + 10)::float8)) + in_turn
                )
            END
        $$
    """)


def _coverage() -> None:
    # three rows an hour, those of the hour at hand written again and again: room for that on their own page
    op.execute("""
        CREATE TABLE coverage (
            hour TIMESTAMPTZ NOT NULL,
            tier TEXT NOT NULL CONSTRAINT coverage_known_tier CHECK (tier IN ('HOURLY', 'DAILY', 'WEEKLY')),
            served INTEGER NOT NULL DEFAULT 0,
            missed INTEGER NOT NULL DEFAULT 0,
            skipped INTEGER NOT NULL DEFAULT 0,
            CONSTRAINT coverage_never_negative CHECK (served >= 0 AND missed >= 0 AND skipped >= 0),
            CONSTRAINT coverage_pkey PRIMARY KEY (hour, tier)
        ) WITH (autovacuum_vacuum_scale_factor = 0.05)
    """)
    op.execute("""
        COMMENT ON TABLE coverage IS 'How many slots of a tier lie in the hour, by what became of them: served by a '
            'reading, missed, or skipped by the policy (then also ahead of time). Written in the transaction that '
            'serves them or passes them over; kept for 400 days.'
    """)


def _quota() -> None:
    op.execute("""
        CREATE TABLE quota_ledger (
            bucket TEXT NOT NULL,
            pacific_day DATE NOT NULL,
            spent INTEGER NOT NULL DEFAULT 0 CONSTRAINT quota_ledger_never_negative CHECK (spent >= 0),
            exhausted_at TIMESTAMPTZ,
            refused_at TIMESTAMPTZ,
            CONSTRAINT quota_ledger_pkey PRIMARY KEY (bucket, pacific_day)
        )
    """)
    op.execute("""
        COMMENT ON COLUMN quota_ledger.refused_at IS 'When YouTube refused the very method that this bucket pays for; '
            'the next day it is tried again.'
    """)


def _hunting() -> None:
    op.execute("""
        CREATE TABLE hunter_watermarks (
            source TEXT CONSTRAINT hunter_watermarks_pkey PRIMARY KEY,
            watermark TIMESTAMPTZ NOT NULL CONSTRAINT hunter_watermarks_possible_watermark
                CHECK (watermark BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'),
            begun_at TIMESTAMPTZ,
            asked_until TIMESTAMPTZ CONSTRAINT hunter_watermarks_possible_asked_until
                CHECK (asked_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00')
        )
    """)
    op.execute("""
        COMMENT ON COLUMN hunter_watermarks.begun_at IS 'Where the hunt of this source began: as long as the watermark '
            'is there still, it has never been hunted to an end.'
    """)
    op.execute("""
        CREATE TABLE discovery_gaps (
            source TEXT NOT NULL,
            label TEXT NOT NULL,
            starts_at TIMESTAMPTZ NOT NULL,
            ends_at TIMESTAMPTZ NOT NULL,
            reason TEXT NOT NULL,
            noted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT discovery_gaps_pkey PRIMARY KEY (source, starts_at, ends_at),
            CONSTRAINT discovery_gaps_in_order CHECK (starts_at < ends_at)
        )
    """)
    op.execute("""
        COMMENT ON TABLE discovery_gaps IS 'Hours of a source that could not be searched whole: what was published in '
            'them may be missing.'
    """)


def _vault() -> None:
    op.execute("""
        CREATE TABLE vault_identity (
            singleton BOOLEAN DEFAULT TRUE CONSTRAINT vault_identity_pkey PRIMARY KEY
                CONSTRAINT vault_identity_one_row CHECK (singleton),
            vault_id TEXT NOT NULL,
            root TEXT NOT NULL,
            recorded_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE vault_identity IS 'The id of the vault that this schedule belongs to: no other is written to '
            'until somebody adopts it.'
    """)
    op.execute("""
        CREATE TABLE sync_token (
            singleton BOOLEAN DEFAULT TRUE CONSTRAINT sync_token_pkey PRIMARY KEY
                CONSTRAINT sync_token_one_row CHECK (singleton),
            token TEXT NOT NULL,
            made_at TIMESTAMPTZ NOT NULL
        )
    """)
    op.execute("""
        COMMENT ON TABLE sync_token IS 'What the vault''s _schedule.json says too, unless this database was restored '
            'from a backup: then the janitor puts back what the vault has seen since.'
    """)
    op.execute("""
        CREATE TABLE rebuild_progress (
            singleton BOOLEAN DEFAULT TRUE CONSTRAINT rebuild_progress_pkey PRIMARY KEY
                CONSTRAINT rebuild_progress_one_row CHECK (singleton),
            begun_at TIMESTAMPTZ NOT NULL,
            vault_token TEXT,
            done_before TEXT NOT NULL,
            compared BIGINT NOT NULL,
            restored BIGINT NOT NULL,
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE rebuild_progress IS 'How far the janitor is that compares the schedule with the vault, after '
            'a backup was restored or the database was lost: all ids before done_before are compared. Empty else.'
    """)


def _let_go() -> None:
    op.execute("""
        CREATE TABLE let_go (
            video_id VARCHAR(20) CONSTRAINT let_go_pkey PRIMARY KEY,
            state TEXT NOT NULL CONSTRAINT let_go_known_state
                CHECK (state IN ('paused', 'stopped', 'forgotten', 'resumed')),
            changed_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE let_go IS 'Videos that somebody has paused, stopped or forgotten: no source, list or rebuild '
            'puts them back on the schedule. resumed: it may, from then on.'
    """)


def _alerts() -> None:
    op.execute("""
        CREATE TABLE alerts (
            kind TEXT CONSTRAINT alerts_pkey PRIMARY KEY,
            sent_at TIMESTAMPTZ NOT NULL
        )
    """)


def _views() -> None:
    """What counts videos in both places."""
    op.execute("""
        CREATE VIEW tracked_videos AS
        SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at, NULL::text AS chunk
        FROM watchlist
        UNION ALL
        SELECT NULL, 'WEEKLY', r.last_tracked_at, r.next_track_at, r.created_at, r.chunk
        FROM roster AS r CROSS JOIN generate_series(1, r.videos)
        WHERE NOT r.gone
    """)
    op.execute("""
        COMMENT ON VIEW tracked_videos IS 'One row for each tracked video, on the watchlist or on the roster, where '
            'its id is in a file (video_id is null): for COUNT(*) and the like. tracked_by_tier has the sums at once.'
    """)
    op.execute("""
        CREATE VIEW tracked_by_tier AS
        SELECT tracking_tier, sum(videos)::bigint AS videos,
               coalesce(sum(videos) FILTER (WHERE next_track_at <= now()), 0)::bigint AS due,
               coalesce(sum(videos) FILTER (WHERE next_track_at < now() - INTERVAL '1 hour'), 0)::bigint AS overdue
        FROM (
            SELECT tracking_tier, next_track_at, 1 AS videos FROM watchlist
            UNION ALL
            SELECT 'WEEKLY', next_track_at, videos FROM roster WHERE NOT gone
        ) AS places
        GROUP BY tracking_tier
    """)
