"""Up to when a source was asked last, whatever it found: the watermark of a search that finds nothing stays."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE hunter_watermarks
            ADD COLUMN asked_until TIMESTAMPTZ,
            ADD CONSTRAINT hunter_watermarks_possible_asked CHECK (
                asked_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
            )
    """)
