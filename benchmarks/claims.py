"""What the schedule costs PostgreSQL: claims and their write-back, the plan's counting, and the room it takes.

Of the watchlist, where a row is a video, and of the roster, where it is a chunk of thousands.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.figures import Samples, figure, judged, timed
from benchmarks.parts import folder, postgres_server, random_ids
from benchmarks.screen import Screen
from connections import connection_of
from ghost_tracking.core.batches import share_out
from ghost_tracking.core.policies import EVERY_SLOT, ReadingPlan
from ghost_tracking.core.roster import CHUNK_SIZE, Chunk, apply_chunk_results, hour_of_week, plan_read
from ghost_tracking.core.schedule import apply_results
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import ReadingRule
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack.postgres import Postgres

OVERDUE = (21_000, 1_000_000)
CLAIMS = 12
BATCH = 1_667

TRACKED, LARGE_BATCH = 100_000, 5_000
MOST_SECONDS = 6.0
MOST_ROWS_WRITTEN = 100
MOST_BYTES_AN_ID = 7.2

_FILL = """
    INSERT INTO watchlist (
        video_id, tracking_tier, last_tracked_at, next_track_at, created_at, anchor_at, views, gain_per_hour
    )
    SELECT translate(left(encode(sha256(number::text::bytea), 'base64'), 11), '+/', '-_'),
           tier, due - length, due, due - length, due - length, exp(12 * random()), exp(14 * random() - 7)
    FROM generate_series(%(first)s::integer, %(last)s::integer) AS number
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
    choosing: Samples
    chosen: Samples
    overdue: Samples
    bytes_before: float
    bytes_after: float
    large: Samples


def bench(screen: Screen) -> None:
    """Claim 20,000 videos in twelve batches, among a few more that are due and among a million; then 100,000."""
    with folder() as place, screen.busy("PostgreSQL") as tell, postgres_server(place) as server:
        measured = []
        for rows in OVERDUE:
            tell(f"a watchlist of {rows:,} overdue videos")
            measured.append(_measure(server, rows))
        tell(f"a roster of {TRACKED:,} due videos")
        roster = _track_the_roster(server, place / "vault")
    screen.table(
        [
            "overdue",
            f"{CLAIMS} claims of {BATCH:,}",
            "a claim",
            "counting for the plan",
            "choosing whom to read",
            "a claim of the chosen",
            "overdue slots for the page",
            "bytes a row",
            "afterwards",
        ],
        [_row(each) for each in measured],
    )
    few, many = measured
    screen.note(f"a claim among {many.rows:,} takes {many.claims.over(few.claims)} that among {few.rows:,}")
    screen.table(["", "measured", "bound", ""], [_judged_large(many.large), *roster])


def _judged_large(claims: Samples) -> list[str]:
    seconds = sum(claims.values)
    return judged(
        f"{TRACKED:,} of {OVERDUE[-1] + TRACKED:,} overdue, claimed {LARGE_BATCH:,} at a time and rescheduled",
        f"{seconds:.1f} s, {claims.text('ms', scale=1000)} a claim",
        f"{MOST_SECONDS:.0f} s",
        seconds <= MOST_SECONDS,
    )


def _row(each: _Measured) -> list[str]:
    return [
        f"{each.rows:,}",
        f"{sum(each.claims.values):.2f} s",
        each.claims.text("ms", scale=1000),
        each.counting.text("ms", scale=1000),
        each.choosing.text("ms", scale=1000),
        each.chosen.text("ms", scale=1000),
        each.overdue.text("ms", scale=1000),
        figure(each.bytes_before),
        figure(each.bytes_after),
    ]


def _measure(server: Postgres, rows: int) -> _Measured:
    database = f"overdue_{rows}"
    server.ensure_database(database)
    dsn = server.dsn(database)
    with WatchlistHook(connection=connection_of(dsn)) as watchlist:
        watchlist.migrate()
        with psycopg.connect(dsn, autocommit=True) as session:
            session.execute(_FILL, {"first": 1, "last": rows})
            session.execute("VACUUM ANALYZE watchlist")
            session.execute("CHECKPOINT")
            before = _bytes_a_row(session)
            counting = timed(watchlist.status.due, 5)
            plan = _short_of_quota(watchlist)
            choosing = timed(lambda: _choose(watchlist, plan), 5)
            overdue = timed(lambda: watchlist.coverage.overdue(datetime.now(UTC)), 5)
            claims = Samples()
            for number in range(CLAIMS):
                with claims.timed():
                    _claim(watchlist, list(Tier)[number % 3], BATCH)
            chosen = Samples()
            cut = _choose(watchlist, plan)
            for number in range(CLAIMS):
                with chosen.timed():
                    _claim(watchlist, list(Tier)[number % 3], BATCH // 4, cut)
            after = _bytes_a_row(session)
            large = _large_claims(session, watchlist) if rows == OVERDUE[-1] else Samples()
            return _Measured(rows, claims, counting, choosing, chosen, overdue, before, after, large)


def _short_of_quota(watchlist: WatchlistHook) -> ReadingPlan:
    sums = watchlist.policy.count()
    return ReadingPlan(rule=ReadingRule(sums, sums.videos / 4))


def _choose(watchlist: WatchlistHook, plan: ReadingPlan) -> ReadingPlan:
    """As the tracker's plan does where a hundredth of what is due can be read."""
    classes = watchlist.status.due_by_index(plan)
    _, cut = share_out(classes, sum(map(sum, classes.values())) // 100)
    return replace(plan, cut=cut)


def _large_claims(session: psycopg.Connection, watchlist: WatchlistHook) -> Samples:
    """Claims of 100,000 in all, by one worker, while a million others are overdue."""
    session.execute(_FILL, {"first": OVERDUE[-1] + 1, "last": OVERDUE[-1] + TRACKED + CLAIMS * BATCH})
    session.execute("VACUUM ANALYZE watchlist")
    session.execute("CHECKPOINT")
    claims = Samples()
    for number in range(TRACKED // LARGE_BATCH):
        with claims.timed():
            _claim(watchlist, list(Tier)[number % 3], LARGE_BATCH)
    return claims


def _track_the_roster(server: Postgres, place: Path) -> list[list[str]]:
    """Track 100,000 videos of the roster, all of them found: rows that PostgreSQL writes, bytes of the vault an id."""
    server.ensure_database("roster")
    dsn, now = server.dsn("roster"), datetime.now(UTC).replace(microsecond=0)
    vault = ParquetVaultHook(root=str(place))
    with (
        WatchlistHook(connection=connection_of(dsn)) as watchlist,
        psycopg.connect(dsn, autocommit=True) as session,
    ):
        watchlist.migrate()
        for _ in range(TRACKED // CHUNK_SIZE):
            name = vault.roster.write(random_ids(CHUNK_SIZE), now.date())
            watchlist.roster.insert(Chunk(name, hour_of_week(now), False, CHUNK_SIZE, now))
        before = _rows_written(session, watchlist)
        for _ in range(TRACKED // LARGE_BATCH):
            _visit(watchlist, vault, now)
        written = _rows_written(session, watchlist) - before
        left = watchlist.status.due()[Queue.ROSTER]
    if left:
        raise RuntimeError(f"{left:,} videos are still due")
    size = sum(file.stat().st_size for file in (place / "roster").iterdir()) / TRACKED
    return [
        judged(
            f"rows written for {TRACKED:,} videos of the roster",
            f"{written:,}",
            str(MOST_ROWS_WRITTEN),
            written <= MOST_ROWS_WRITTEN,
        ),
        judged(
            f"bytes of the vault for an id, in chunks of {CHUNK_SIZE:,}",
            figure(size),
            figure(MOST_BYTES_AN_ID),
            size <= MOST_BYTES_AN_ID,
        ),
    ]


def _visit(watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime) -> None:
    """Claim a chunk's worth of the roster, take every video for found, and write the chunks back."""
    with watchlist.roster.claim(Queue.ROSTER, LARGE_BATCH, now=now) as claim:
        reads = []
        for chunk in claim.chunks:
            ids = vault.roster.read(chunk.name)
            reads.append(plan_read(chunk, ids, watchlist.entries.seen(ids), LARGE_BATCH))
        found = {id_: Reading(id_, now, 1, 1, 1, None) for each in reads for id_ in each.wanted}
        outcome = apply_chunk_results(reads, found, (), (), {}, now)
        claim.reschedule(outcome.chunks, outcome.entries)


def _rows_written(session: psycopg.Connection, watchlist: WatchlistHook) -> int:
    watchlist.close()  # what a session has done is counted when it ends
    time.sleep(1.0)
    row = session.execute("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables").fetchone()
    assert row is not None
    return int(row[0])


def _claim(watchlist: WatchlistHook, tier: Tier, batch: int, plan: ReadingPlan = EVERY_SLOT) -> None:
    """Claim a batch, take every video as answered for, and write its next slot back."""
    with watchlist.entries.claim(tier, batch, plan=plan) as claim:
        if len(claim.entries) != batch and plan.cut <= 0:
            raise RuntimeError(f"a claim of {batch:,} got {len(claim.entries):,}")
        now = datetime.now(UTC).replace(microsecond=0)
        entries = {entry.video_id: entry for entry in claim.entries}
        found = {each.video_id: Reading(each.video_id, now, 1, 1, 1, each.anchor_at) for each in claim.entries}
        claim.reschedule(apply_results(entries, found, (), (), now).entries)


def _bytes_a_row(session: psycopg.Connection) -> float:
    row = session.execute(
        "SELECT pg_total_relation_size('watchlist')::float8 / count(*) FROM watchlist"  # table, indexes, maps
    ).fetchone()
    assert row is not None
    return float(row[0])
