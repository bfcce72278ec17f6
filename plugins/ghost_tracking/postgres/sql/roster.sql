-- The table `roster`: a row stands for the videos in a file of the vault.

-- name: roster_all
-- Every chunk of the roster.
SELECT *, xmin::text AS row_version FROM roster ORDER BY chunk;

-- name: roster_of_hours
-- The chunks of these hours of the week. Locks nothing.
SELECT *, xmin::text AS row_version FROM roster WHERE hour_of_week = ANY(%(hours)s::integer[]) ORDER BY chunk;

-- name: roster_due
-- Chunks whose slot has come, the longest overdue first, after a place in that order, but for those that were put off
-- since their calls have just failed. Locks what it returns.
SELECT *, xmin::text AS row_version
FROM roster
WHERE gone = %(gone)s AND next_track_at <= coalesce(%(now)s::timestamptz, now())
  AND (deferred_until IS NULL OR deferred_until <= coalesce(%(now)s::timestamptz, now()))
  AND (%(after_chunk)s::text IS NULL
       OR (next_track_at, chunk) > (%(after_time)s::timestamptz, %(after_chunk)s::text))
ORDER BY next_track_at ASC, chunk ASC
LIMIT %(chunks)s
FOR UPDATE SKIP LOCKED;

-- name: roster_sample_due
-- Some of the due chunks of videos that are not gone, at random. Locks nothing.
SELECT *, xmin::text AS row_version
FROM roster
WHERE NOT gone AND next_track_at <= coalesce(%(now)s::timestamptz, now())
  AND (deferred_until IS NULL OR deferred_until <= coalesce(%(now)s::timestamptz, now()))
ORDER BY random()
LIMIT %(chunks)s;

-- name: roster_sample
-- Some of the chunks of videos that are not gone, at random. Locks nothing.
SELECT *, xmin::text AS row_version
FROM roster
WHERE NOT gone AND videos > 0
ORDER BY random()
LIMIT %(chunks)s;

-- name: roster_reschedule
-- What a claim writes back of its chunks. One that somebody else has read or touched since stays as it is; within
-- the claim's own lock that cannot happen. Returns which were written.
UPDATE roster AS r
SET removed_positions = u.removed_positions::smallint[], cursor = u.cursor, last_tracked_at = u.last_tracked_at,
    next_track_at = u.next_track_at, outage_since = u.outage_since, deferred_until = u.deferred_until,
    root_gains = u.root_gains, root_relative = u.root_relative
FROM unnest(
    %(chunk)s::text[], %(removed_positions)s::text[], %(cursor)s::integer[], %(last_tracked_at)s::timestamptz[],
    %(next_track_at)s::timestamptz[], %(outage_since)s::timestamptz[], %(deferred_until)s::timestamptz[],
    %(root_gains)s::real[], %(root_relative)s::real[], %(claimed_version)s::text[]
) AS u (
    chunk, removed_positions, cursor, last_tracked_at, next_track_at, outage_since, deferred_until, root_gains,
    root_relative, claimed_version
)
WHERE r.chunk = u.chunk AND r.xmin::text = u.claimed_version
RETURNING r.chunk;

-- name: roster_enter_hour
-- One process at a time puts an hour of the week in order; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(
    hashtext('ghost_tracking.roster'), %(hour_of_week)s::integer * 2 + %(gone)s::boolean::integer
);

-- name: roster_lock_hour
-- The chunks of one hour of the week. Locks what it returns, and waits for reads under way: put on a new chunk, one of
-- their videos would be in two.
SELECT *, xmin::text AS row_version
FROM roster
WHERE hour_of_week = %(hour_of_week)s AND gone = %(gone)s
ORDER BY chunk
FOR UPDATE;

-- name: roster_touch
-- Give these chunks a new version: what somebody has read of them is no longer so.
UPDATE roster SET removed_positions = removed_positions WHERE chunk = ANY(%(chunks)s::text[]);

-- name: roster_remove
-- Which of a chunk's ids have left it.
UPDATE roster SET removed_positions = %(removed_positions)s::text::smallint[] WHERE chunk = %(chunk)s;

-- name: roster_insert
-- A new chunk, whose file is there. Where there is one of the same ids already (made on the same day, and locked by a
-- read, or by somebody who makes it too), this waits for it, and a video is in it that is so by either.
INSERT INTO roster (
    chunk, hour_of_week, gone, ids, removed_positions, last_tracked_at, next_track_at, root_gains, root_relative
)
VALUES (
    %(chunk)s, %(hour_of_week)s, %(gone)s, %(ids)s, %(removed_positions)s::text::smallint[], %(last_tracked_at)s,
    %(next_track_at)s, %(root_gains)s, %(root_relative)s
)
ON CONFLICT (chunk) DO UPDATE
SET removed_positions = ARRAY(
    SELECT unnest(roster.removed_positions) INTERSECT SELECT unnest(excluded.removed_positions) ORDER BY 1
);

-- name: roster_retire
-- Take chunks off the roster, and remember when: a backup may still name their files.
WITH retired AS (
    DELETE FROM roster WHERE chunk = ANY(%(chunks)s::text[]) RETURNING chunk
)
INSERT INTO retired_chunks (chunk, retired_at)
SELECT chunk, coalesce(%(now)s::timestamptz, now()) FROM retired
ON CONFLICT (chunk) DO UPDATE SET retired_at = excluded.retired_at;

-- name: roster_retired
-- Chunks that were retired longer ago than `keep`, and are not on the roster again.
SELECT chunk FROM retired_chunks
WHERE retired_at < coalesce(%(now)s::timestamptz, now()) - %(keep)s::interval
ORDER BY chunk;

-- name: roster_forget
-- Retired chunks whose files are gone.
DELETE FROM retired_chunks WHERE chunk = ANY(%(chunks)s::text[]);

-- name: roster_candidates
-- Videos that belong on the roster: anchored `before` and settled, or gone and (from `gone_before` on) old. The hour of
-- the week is that of the full hour at or after the anchor (of a video without one, after its next time): see
-- core/roster.py.
SELECT video_id, next_track_at, gone_at IS NOT NULL AS gone, anchor_at, xmin::text AS row_version, views,
       last_tracked_at, gain_per_hour,
       mod(ceil(extract(epoch FROM coalesce(anchor_at, next_track_at)) / 3600)::bigint, 168)::integer AS hour_of_week
FROM watchlist
WHERE (gone_at IS NOT NULL AND coalesce(anchor_at, first_missed_at) <= %(gone_before)s::timestamptz)
   OR (anchor_at <= %(before)s::timestamptz AND NOT awaits_start AND first_missed_at IS NULL AND promoted_until IS NULL)
LIMIT %(limit)s;

-- name: roster_take
-- Delete rows of the watchlist that a chunk stands for now, but none that has changed since it was read or is being
-- changed now. Returns which went.
DELETE FROM watchlist
WHERE video_id IN (
    SELECT w.video_id
    FROM unnest(%(ids)s::text[], %(versions)s::text[]) AS read (video_id, row_version)
    JOIN watchlist AS w ON w.video_id = read.video_id
    WHERE w.xmin::text = read.row_version
    FOR UPDATE OF w SKIP LOCKED
)
RETURNING video_id;
