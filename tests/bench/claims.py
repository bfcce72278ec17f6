"""What the watchlist costs PostgreSQL: claims and their write-back, the plan's counting, and the room it takes."""

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from bench.figures import Samples, figure, timed
from bench.parts import database_connection, folder, postgres_server
from bench.screen import Screen
from ghost_tracking.core.schedule import settle
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack.postgres import Postgres

OVERDUE = (21_000, 1_000_000)
CLAIMS = 12
BATCH = 1_667

_FILL = """
    INSERT INTO watchlist (video_id, tracking_tier, last_tracked_at, next_track_at, created_at, anchor_at)
    SELECT translate(left(encode(sha256(number::text::bytea), 'base64'), 11), '+/', '-_'),
           tier, due - length, due, due - length, due - length
    FROM generate_series(1, %(rows)s) AS number
    CROSS JOIN LATERAL (SELECT mod(number, 3) AS third) AS thirds
    CROSS JOIN LATERAL (
        SELECT (ARRAY['HOURLY', 'DAILY', 'WEEKLY'])[third + 1] AS tier,
               (ARRAY['1 hour', '2 days', '14 days'])[third + 1]::interval AS length,
               now() - random() * INTERVAL '6 hours' AS due
    ) AS drawn
    ON CONFLICT DO NOTHING
"""


@dataclass
class _Measured:
    """One watchlist. Samples are seconds, bytes those of the table and its indexes for each row."""

    rows: int
    claims: Samples
    counting: Samples
    bytes_before: float
    bytes_after: float


def bench(screen: Screen) -> None:
    """Claim 20,000 videos in twelve batches, among a few more that are due and among a million."""
    with folder() as place, screen.busy("PostgreSQL") as tell, postgres_server(place) as server:
        measured = []
        for rows in OVERDUE:
            tell(f"a watchlist of {rows:,} overdue videos")
            measured.append(_measure(server, rows))
    screen.table(
        ["overdue", f"{CLAIMS} claims of {BATCH:,}", "a claim", "counting for the plan", "bytes a row", "afterwards"],
        [_row(each) for each in measured],
    )
    few, many = measured
    screen.note(f"a claim among {many.rows:,} takes {many.claims.over(few.claims)} that among {few.rows:,}")


def _row(each: _Measured) -> list[str]:
    return [
        f"{each.rows:,}",
        f"{sum(each.claims.values):.2f} s",
        each.claims.text("ms", scale=1000),
        each.counting.text("ms", scale=1000),
        figure(each.bytes_before),
        figure(each.bytes_after),
    ]


def _measure(server: Postgres, rows: int) -> _Measured:
    database = f"overdue_{rows}"
    server.ensure_database(database)
    dsn = server.dsn(database)
    with WatchlistHook(connection=database_connection(dsn)) as watchlist:
        watchlist.migrate()
        with psycopg.connect(dsn, autocommit=True) as session:
            session.execute(_FILL, {"rows": rows})
            session.execute("VACUUM ANALYZE watchlist")
            session.execute("CHECKPOINT")
            before = _bytes_a_row(session)
            counting = timed(watchlist.due, 5)
            claims = Samples()
            for number in range(CLAIMS):
                with claims.timed():
                    _claim(watchlist, list(Tier)[number % 3])
            return _Measured(watchlist.count(), claims, counting, before, _bytes_a_row(session))


def _claim(watchlist: WatchlistHook, tier: Tier) -> None:
    """Claim a batch, take every video as answered for, and write its next slot back."""
    with watchlist.claim(tier, BATCH) as claim:
        if len(claim.entries) != BATCH:
            raise RuntimeError(f"a claim of {BATCH:,} got {len(claim.entries):,}")
        now = datetime.now(UTC).replace(microsecond=0)
        entries = {entry.video_id: entry for entry in claim.entries}
        found = {each.video_id: Reading(each.video_id, now, 1, 1, 1, each.anchor_at) for each in claim.entries}
        claim.reschedule(settle(entries, found, (), (), now).entries)


def _bytes_a_row(session: psycopg.Connection) -> float:
    row = session.execute(
        "SELECT pg_total_relation_size('watchlist')::float8 / count(*) FROM watchlist"  # table, indexes, maps
    ).fetchone()
    assert row is not None
    return float(row[0])
