"""An index of the few rows of the watchlist that are not in the usual state, so that a page can count them at once."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        CREATE INDEX watchlist_unusual ON watchlist (heated_until, first_missed_at)
        WHERE first_missed_at IS NOT NULL OR heated_until IS NOT NULL OR awaits_start
    """)
