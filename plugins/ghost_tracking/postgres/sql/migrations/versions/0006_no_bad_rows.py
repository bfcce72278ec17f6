"""Rows that would stop a task are kept out: impossible ids, and times that Python cannot hold or count on from.

What is there already is mended, and what cannot be goes onto the list of what was refused. Columns of an old tracker's
`watchlist` that demand a value stop doing so, as those of `videos` did.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _ids_are_text()
    op.execute("""
        DO $$
        DECLARE foreign_column record;
        BEGIN
            FOR foreign_column IN
                SELECT column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'watchlist'
                  AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'
                  AND column_name NOT IN ('video_id', 'tracking_tier', 'next_track_at', 'created_at', 'awaits_start')
            LOOP
                EXECUTE format('ALTER TABLE watchlist ALTER COLUMN %I DROP NOT NULL', foreign_column.column_name);
            END LOOP;
        END $$
    """)
    _mend_ids()
    _mend_times()
    op.execute("""
        ALTER TABLE watchlist
            ADD CONSTRAINT watchlist_possible_id CHECK (video_id ~ '^[A-Za-z0-9_-]{1,20}$'),
            ADD CONSTRAINT watchlist_possible_times CHECK (
                next_track_at BETWEEN '0001-01-01 00:00+00' AND '9000-01-01 00:00+00'
                AND created_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND last_tracked_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND anchor_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND first_missed_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND gone_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND heated_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
                AND deferred_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
            )
    """)
    op.execute("""
        ALTER TABLE roster ADD CONSTRAINT roster_possible_times CHECK (
            next_track_at BETWEEN '0001-01-01 00:00+00' AND '9000-01-01 00:00+00'
            AND last_tracked_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
            AND faulted_at BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
            AND deferred_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
        )
    """)
    op.execute("""
        ALTER TABLE hunter_watermarks ADD CONSTRAINT hunter_watermarks_possible_time CHECK (
            hunted_until BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
        )
    """)
    # of the old tracker's rows those that are on the watchlist already; a new row gets it with its place there
    op.execute("UPDATE videos SET scheduled = TRUE WHERE id IN (SELECT video_id FROM watchlist)")


def _ids_are_text() -> None:
    """A table whose `id` numbers its rows is another application's."""
    op.execute("""
        DO $$
        DECLARE odd record;
        BEGIN
            FOR odd IN
                SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND data_type NOT IN ('character varying', 'text', 'character')
                  AND (table_name, column_name) IN (('videos', 'id'), ('watchlist', 'video_id'))
            LOOP
                RAISE EXCEPTION 'the column % of the table % holds no text, so no ids of YouTube''s: rename that '
                    'table, or use a database or schema of its own, and run again', odd.column_name, odd.table_name;
            END LOOP;
        END $$
    """)


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
        SELECT left(video_id, 500), 'watchlist', 'no video has such an id'
        FROM watchlist
        WHERE video_id !~ '^[A-Za-z0-9_-]{1,20}$' AND btrim(video_id, E' \t\r\n') !~ '^[A-Za-z0-9_-]{1,20}$'
        ON CONFLICT (item) DO NOTHING
    """)
    # those with blanks that are left stand there without them too
    op.execute("DELETE FROM watchlist WHERE video_id !~ '^[A-Za-z0-9_-]{1,20}$'")


def _mend_times() -> None:
    """An impossible slot is due at once; an impossible time of anything else is not known."""
    op.execute("""
        UPDATE watchlist SET next_track_at = now()
        WHERE next_track_at NOT BETWEEN '0001-01-01 00:00+00' AND '9000-01-01 00:00+00'
    """)
    op.execute("""
        UPDATE watchlist SET created_at = now()
        WHERE created_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    op.execute("""
        UPDATE watchlist SET last_tracked_at = NULL
        WHERE last_tracked_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    op.execute("""
        UPDATE watchlist SET anchor_at = NULL
        WHERE anchor_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    op.execute("""
        UPDATE watchlist SET heated_until = NULL
        WHERE heated_until NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    # counted anew from its next miss
    op.execute("""
        UPDATE watchlist SET first_missed_at = NULL, gone_at = NULL, missed_count = NULL, next_track_at = now()
        WHERE first_missed_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
           OR gone_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    op.execute("""
        UPDATE roster SET next_track_at = now()
        WHERE next_track_at NOT BETWEEN '0001-01-01 00:00+00' AND '9000-01-01 00:00+00'
    """)
    op.execute("""
        UPDATE roster SET last_tracked_at = NULL
        WHERE last_tracked_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    op.execute("""
        UPDATE roster SET faulted_at = NULL
        WHERE faulted_at NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
    # a source without a watermark begins with its next run
    op.execute("""
        DELETE FROM hunter_watermarks
        WHERE hunted_until NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-30 00:00+00'
    """)
