"""The specification's tables, where they are not there already."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE IF NOT EXISTS watchlist (
            video_id VARCHAR(20) PRIMARY KEY,
            tracking_tier VARCHAR(20) DEFAULT 'HOURLY',
            last_tracked_at TIMESTAMPTZ,
            next_track_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE IF NOT EXISTS videos (
            id VARCHAR(20) PRIMARY KEY,
            title TEXT,
            published_at TIMESTAMPTZ,
            tags TEXT[]
        )
    """)
