"""The roster: chunks of settled videos, a row each; views that count videos in both places; heated videos."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE watchlist ADD COLUMN heated_until TIMESTAMPTZ")
    op.execute("""
        CREATE TABLE roster (
            chunk TEXT PRIMARY KEY,
            hour_of_week SMALLINT NOT NULL CHECK (hour_of_week BETWEEN 0 AND 167),
            gone BOOLEAN NOT NULL,
            ids INTEGER NOT NULL CHECK (ids > 0),
            departed SMALLINT[] NOT NULL DEFAULT '{}',
            videos INTEGER NOT NULL GENERATED ALWAYS AS (ids - cardinality(departed)) STORED,
            asked INTEGER NOT NULL DEFAULT 0,
            last_tracked_at TIMESTAMPTZ,
            next_track_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            faulted_at TIMESTAMPTZ
        )
    """)
    op.execute("CREATE INDEX roster_due ON roster (gone, next_track_at)")
    op.execute("ALTER TABLE roster SET (autovacuum_vacuum_scale_factor = 0.05)")
    # an eighth of the rows goes each day: by default vacuum would come every other day, and the table grow by that
    op.execute("ALTER TABLE videos SET (autovacuum_vacuum_scale_factor = 0.05)")
    op.execute("DROP INDEX IF EXISTS videos_discovered_at")
    op.execute("""
        COMMENT ON TABLE roster IS 'Videos that have settled into WEEKLY, or are gone: a row stands for the ids in the '
            'vault''s file roster/<chunk>.parquet, but those at the positions in departed. Ids before the position '
            'asked have been asked for already in the slot that is due.'
    """)
    op.execute("""
        CREATE TABLE retired_chunks (
            chunk TEXT PRIMARY KEY,
            retired_at TIMESTAMPTZ NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE vault_mark (
            singleton BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (singleton),
            token TEXT NOT NULL,
            marked_at TIMESTAMPTZ NOT NULL
        )
    """)
    op.execute("""
        COMMENT ON TABLE vault_mark IS 'What the vault''s _schedule.json says too, unless this database was restored '
            'from a backup: then the janitor puts back what the vault has seen since.'
    """)
    op.execute("""
        CREATE TABLE alerts (
            kind TEXT PRIMARY KEY,
            sent_at TIMESTAMPTZ NOT NULL
        )
    """)
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
