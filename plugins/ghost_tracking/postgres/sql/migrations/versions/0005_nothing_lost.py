"""What keeps everything that was found: which vault this is, what is put off, let go, refused, or could not be had."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE vault_identity (
            singleton BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (singleton),
            vault_id TEXT NOT NULL,
            root TEXT NOT NULL,
            recorded_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE vault_identity IS 'The id of the vault that this schedule belongs to: no other is written to '
            'until somebody adopts it.'
    """)
    op.execute("ALTER TABLE watchlist ADD COLUMN deferred_until TIMESTAMPTZ")
    op.execute("ALTER TABLE roster ADD COLUMN deferred_until TIMESTAMPTZ")
    op.execute("""
        COMMENT ON COLUMN watchlist.deferred_until IS 'Due, but not to be claimed before: its call has just failed, '
            'and others go first.'
    """)
    op.execute("ALTER TABLE quota_ledger ADD COLUMN refused_at TIMESTAMPTZ")
    op.execute("""
        COMMENT ON COLUMN quota_ledger.refused_at IS 'When YouTube refused the very method that this bucket pays for; '
            'the next day it is tried again.'
    """)
    op.execute("ALTER TABLE videos ADD COLUMN scheduled BOOLEAN NOT NULL DEFAULT FALSE")
    op.execute("""
        COMMENT ON COLUMN videos.scheduled IS 'Whether this row came together with a place on the schedule.'
    """)
    op.execute("""
        CREATE TABLE let_go (
            video_id VARCHAR(20) PRIMARY KEY,
            state TEXT NOT NULL CONSTRAINT let_go_known_state
                CHECK (state IN ('paused', 'stopped', 'forgotten', 'resumed')),
            changed_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE let_go IS 'Videos that somebody has paused, stopped or forgotten: no source, list or rebuild '
            'puts them back on the schedule. resumed: it may, from then on.'
    """)
    op.execute("""
        CREATE TABLE refused (
            item TEXT PRIMARY KEY,
            origin TEXT NOT NULL,
            reason TEXT NOT NULL,
            refused_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE refused IS 'What a source or an old tracker has named that cannot be the id of a video.'
    """)
    op.execute("ALTER TABLE hunter_watermarks ADD COLUMN begun_at TIMESTAMPTZ")
    op.execute("""
        COMMENT ON COLUMN hunter_watermarks.begun_at IS 'Where the hunt of this source began: as long as hunted_until '
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
            PRIMARY KEY (source, starts_at, ends_at),
            CONSTRAINT discovery_gaps_in_order CHECK (starts_at < ends_at)
        )
    """)
    op.execute("""
        COMMENT ON TABLE discovery_gaps IS 'Hours of a source that could not be searched whole: what was published in '
            'them may be missing.'
    """)
