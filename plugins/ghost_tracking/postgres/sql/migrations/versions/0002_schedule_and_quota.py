"""Times with a zone, the columns that scheduling needs, the quota ledger and the hunter's watermarks.

Runs on empty tables and on those that an old tracker has filled: its naive times are taken for UTC, and columns of
its own that demand a value stop doing so, since the hunter does not fill them.
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        DO $$
        DECLARE stale record;
        BEGIN
            FOR stale IN
                SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name IN ('watchlist', 'videos')
                  AND data_type = 'timestamp without time zone'
            LOOP
                EXECUTE format(
                    'ALTER TABLE %I ALTER COLUMN %I TYPE TIMESTAMPTZ USING %2$I AT TIME ZONE ''UTC''',
                    stale.table_name, stale.column_name
                );
            END LOOP;
            FOR stale IN
                SELECT column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'videos' AND data_type <> 'text'
                  AND column_name IN ('title', 'channel_id', 'channel_title', 'category_id', 'default_language')
            LOOP
                EXECUTE format('ALTER TABLE videos ALTER COLUMN %I TYPE TEXT USING %1$I::text', stale.column_name);
            END LOOP;
            IF EXISTS (
                SELECT FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'videos'
                  AND column_name = 'tags' AND data_type <> 'ARRAY'
            ) THEN
                RAISE EXCEPTION 'the column tags of the table videos is no TEXT[]: rename it, and run again';
            END IF;
            FOR stale IN
                SELECT column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'videos'
                  AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND column_name <> 'id'
            LOOP
                EXECUTE format('ALTER TABLE videos ALTER COLUMN %I DROP NOT NULL', stale.column_name);
            END LOOP;
        END $$
    """)
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
            ADD COLUMN IF NOT EXISTS discovered_at TIMESTAMPTZ NOT NULL DEFAULT now()
    """)
    op.execute("CREATE INDEX IF NOT EXISTS videos_discovered_at ON videos (discovered_at)")
    op.execute("""
        UPDATE watchlist
        SET tracking_tier = CASE WHEN upper(tracking_tier) IN ('HOURLY', 'DAILY', 'WEEKLY')
                                 THEN upper(tracking_tier) ELSE 'HOURLY' END
        WHERE tracking_tier IS NULL OR tracking_tier NOT IN ('HOURLY', 'DAILY', 'WEEKLY')
    """)
    op.execute("UPDATE watchlist SET created_at = now() WHERE created_at IS NULL OR NOT isfinite(created_at)")
    op.execute("UPDATE watchlist SET next_track_at = now() WHERE NOT isfinite(next_track_at)")
    op.execute("UPDATE watchlist SET last_tracked_at = NULL WHERE NOT isfinite(last_tracked_at)")
    op.execute("""
        ALTER TABLE watchlist
            ALTER COLUMN tracking_tier SET DEFAULT 'HOURLY',
            ALTER COLUMN tracking_tier SET NOT NULL,
            ALTER COLUMN created_at SET DEFAULT now(),
            ALTER COLUMN created_at SET NOT NULL,
            ADD COLUMN IF NOT EXISTS anchor_at TIMESTAMPTZ,
            ADD COLUMN IF NOT EXISTS first_missed_at TIMESTAMPTZ,
            ADD COLUMN IF NOT EXISTS gone_at TIMESTAMPTZ,
            ADD COLUMN IF NOT EXISTS missed_count SMALLINT,
            ADD COLUMN IF NOT EXISTS awaits_start BOOLEAN NOT NULL DEFAULT FALSE,
            ADD CONSTRAINT watchlist_known_tier CHECK (tracking_tier IN ('HOURLY', 'DAILY', 'WEEKLY')),
            SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)
    """)
    op.execute("CREATE INDEX IF NOT EXISTS watchlist_due ON watchlist (tracking_tier, next_track_at)")
    op.execute("""
        CREATE TABLE quota_ledger (
            bucket TEXT NOT NULL,
            pacific_day DATE NOT NULL,
            spent INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),
            exhausted_at TIMESTAMPTZ,
            PRIMARY KEY (bucket, pacific_day)
        )
    """)
    op.execute("""
        CREATE TABLE hunter_watermarks (
            source TEXT PRIMARY KEY,
            hunted_until TIMESTAMPTZ NOT NULL
        )
    """)
