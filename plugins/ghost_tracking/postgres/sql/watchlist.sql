-- The table `watchlist`: rows put there, claimed and rescheduled.

-- name: insert_watchlist
-- New videos on the watchlist; one that is there already stays as it is, and one that somebody has let go stays off.
-- Returns the new ids. Rows of `videos` that come with them are marked as having a place on the schedule, wherever it
-- moves to later.
WITH added AS (
    INSERT INTO watchlist (
        video_id, tracking_tier, last_tracked_at, next_track_at, anchor_at, awaits_start,
        missed_count, first_missed_at, gone_at, promoted_until, deferred_until, views, gain_per_hour
    )
    SELECT video_id, tracking_tier, last_tracked_at, coalesce(next_track_at, now()), anchor_at, awaits_start,
           missed_count, first_missed_at, gone_at, promoted_until, deferred_until, views, gain_per_hour
    FROM unnest(
        %(video_id)s::text[], %(tracking_tier)s::text[], %(last_tracked_at)s::timestamptz[],
        %(next_track_at)s::timestamptz[], %(anchor_at)s::timestamptz[], %(awaits_start)s::boolean[],
        %(missed_count)s::smallint[], %(first_missed_at)s::timestamptz[], %(gone_at)s::timestamptz[],
        %(promoted_until)s::timestamptz[], %(deferred_until)s::timestamptz[], %(views)s::bigint[],
        %(gain_per_hour)s::real[]
    ) AS new (
        video_id, tracking_tier, last_tracked_at, next_track_at, anchor_at, awaits_start,
        missed_count, first_missed_at, gone_at, promoted_until, deferred_until, views, gain_per_hour
    )
    WHERE NOT EXISTS (SELECT FROM let_go AS l WHERE l.video_id = new.video_id AND l.state <> 'resumed')
    ORDER BY video_id
    ON CONFLICT (video_id) DO NOTHING
    RETURNING video_id
), noted AS (
    UPDATE videos AS v SET scheduled = TRUE FROM added WHERE v.id = added.video_id AND NOT v.scheduled
)
SELECT video_id FROM added;

-- name: known
-- Which of these ids are on the watchlist.
SELECT video_id FROM watchlist WHERE video_id = ANY(%(video_ids)s::text[]);

-- name: seen
-- Which of these ids are on the watchlist, and since when, if they were found there; null for those that were not.
SELECT video_id, CASE WHEN last_tracked_at IS NOT NULL THEN coalesce(created_at, last_tracked_at) END AS seen_at
FROM watchlist
WHERE video_id = ANY(%(video_ids)s::text[]);

-- name: mark_gone
-- Rows of videos that are known to be gone, and were not found since they are on the watchlist: their first reading is
-- a return. Passes over rows that others hold. Returns which are so now.
WITH free AS (
    SELECT video_id FROM watchlist
    WHERE video_id = ANY(%(video_ids)s::text[]) AND last_tracked_at IS NULL
    ORDER BY video_id
    FOR UPDATE SKIP LOCKED
)
UPDATE watchlist AS w
SET missed_count = greatest(coalesce(w.missed_count, 0), %(misses)s),
    first_missed_at = coalesce(w.first_missed_at, %(now)s::timestamptz, now()),
    gone_at = coalesce(w.gone_at, %(now)s::timestamptz, now())
FROM free
WHERE w.video_id = free.video_id
RETURNING w.video_id;

-- name: due_of_tier
-- Due rows of one tier, the longest overdue first, from the index (tracking_tier, next_track_at), but for those that
-- were put off since their call has just failed, and those that others hold. Locks what it returns.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at,
       anchor_at, awaits_start, missed_count, first_missed_at, gone_at, promoted_until, views, gain_per_hour
FROM watchlist
WHERE tracking_tier = %(tier)s AND next_track_at <= coalesce(%(now)s::timestamptz, now())
  AND (deferred_until IS NULL OR deferred_until <= coalesce(%(now)s::timestamptz, now()))
ORDER BY next_track_at ASC
LIMIT %(batch_size)s
FOR UPDATE SKIP LOCKED;

-- name: due_of_tier_above
-- Due rows of one tier whose index reaches a cut (see core/worth.py), the latest due first: what stands still waits
-- longest, and would be passed over again and again. Locks what it returns, and passes over what others hold.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at,
       anchor_at, awaits_start, missed_count, first_missed_at, gone_at, promoted_until, views, gain_per_hour
FROM watchlist
WHERE tracking_tier = %(tier)s AND next_track_at <= coalesce(%(now)s::timestamptz, now())
  AND (deferred_until IS NULL OR deferred_until <= coalesce(%(now)s::timestamptz, now()))
  AND reading_index(
      (date_part('epoch', coalesce(%(now)s::timestamptz, now())) - date_part('epoch', last_tracked_at)) / 3600,
      CASE tracking_tier WHEN 'HOURLY' THEN %(hourly)s WHEN 'DAILY' THEN %(daily)s ELSE %(weekly)s END::float8,
      views, gain_per_hour, %(by_gain)s::float8, %(by_relative)s::float8, %(in_turn)s::float8, %(longest_hours)s::float8
  ) >= %(cut)s::float8
ORDER BY next_track_at DESC
LIMIT %(batch_size)s
FOR UPDATE SKIP LOCKED;

-- name: these_videos
-- Rows of these videos, due or not, but those that others hold. Locks what it returns.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at,
       anchor_at, awaits_start, missed_count, first_missed_at, gone_at, promoted_until, views, gain_per_hour
FROM watchlist
WHERE video_id = ANY(%(video_ids)s::text[])
FOR UPDATE SKIP LOCKED;

-- name: due_heads
-- Videos that need updates now, the longest overdue first, of all tiers: the head of each tier in the index
-- (tracking_tier, next_track_at), put together. In one query over all tiers PostgreSQL would sort all that are due, a
-- second and a half for a million. Locks nothing.
SELECT head.video_id
FROM unnest(%(tiers)s::text[]) AS t (tier)
CROSS JOIN LATERAL (
    SELECT video_id, next_track_at
    FROM watchlist
    WHERE tracking_tier = t.tier AND next_track_at <= coalesce(%(now)s::timestamptz, now())
      AND (deferred_until IS NULL OR deferred_until <= coalesce(%(now)s::timestamptz, now()))
    ORDER BY next_track_at ASC
    LIMIT %(heads)s
) AS head
ORDER BY head.next_track_at ASC
LIMIT %(heads)s;

-- name: due_among
-- Those of these videos that are still due, and that nobody else holds, the longest overdue first. Locks what it
-- returns.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at,
       anchor_at, awaits_start, missed_count, first_missed_at, gone_at, promoted_until, views, gain_per_hour
FROM watchlist
WHERE video_id = ANY(%(video_ids)s::text[]) AND next_track_at <= coalesce(%(now)s::timestamptz, now())
ORDER BY next_track_at ASC
LIMIT %(batch_size)s
FOR UPDATE SKIP LOCKED;

-- name: update_schedule
-- The specification's batch update: tier, last and next time of many videos in one statement. Rows are locked in the
-- order of their ids, so that two updates of the same videos wait for each other instead of for ever. The count that a
-- row keeps is that of its last reading: where that is another one now, its count is not known.
WITH u AS (
    SELECT * FROM unnest(
        %(video_id)s::text[], %(tracking_tier)s::text[], %(last_tracked_at)s::timestamptz[],
        %(next_track_at)s::timestamptz[]
    ) AS u (video_id, tracking_tier, last_tracked_at, next_track_at)
), locked AS (
    SELECT w.video_id FROM watchlist AS w WHERE w.video_id IN (SELECT video_id FROM u) ORDER BY w.video_id FOR UPDATE
)
UPDATE watchlist AS w
SET tracking_tier = u.tracking_tier, last_tracked_at = u.last_tracked_at, next_track_at = u.next_track_at,
    views = CASE WHEN w.last_tracked_at = u.last_tracked_at THEN w.views END
FROM u JOIN locked USING (video_id)
WHERE w.video_id = u.video_id;

-- name: reschedule
-- What a claim writes back: schedule, anchor and absence of many videos in one statement. Rows that somebody else
-- has tracked or rescheduled since they were claimed stay as they are; within the claim's own lock that cannot happen.
-- Returns which were written.
UPDATE watchlist AS w
SET tracking_tier = u.tracking_tier, last_tracked_at = u.last_tracked_at, next_track_at = u.next_track_at,
    anchor_at = u.anchor_at, awaits_start = u.awaits_start,
    missed_count = u.missed_count, first_missed_at = u.first_missed_at, gone_at = u.gone_at,
    promoted_until = u.promoted_until, deferred_until = u.deferred_until,
    views = u.views, gain_per_hour = u.gain_per_hour
FROM unnest(
    %(video_id)s::text[], %(tracking_tier)s::text[], %(last_tracked_at)s::timestamptz[],
    %(next_track_at)s::timestamptz[], %(anchor_at)s::timestamptz[], %(awaits_start)s::boolean[],
    %(missed_count)s::smallint[], %(first_missed_at)s::timestamptz[], %(gone_at)s::timestamptz[],
    %(promoted_until)s::timestamptz[], %(deferred_until)s::timestamptz[], %(views)s::bigint[],
    %(gain_per_hour)s::real[],
    %(claimed_last)s::timestamptz[], %(claimed_next)s::timestamptz[]
) AS u (
    video_id, tracking_tier, last_tracked_at, next_track_at, anchor_at, awaits_start,
    missed_count, first_missed_at, gone_at, promoted_until, deferred_until, views, gain_per_hour,
    claimed_last, claimed_next
)
WHERE w.video_id = u.video_id
  AND w.last_tracked_at IS NOT DISTINCT FROM u.claimed_last
  AND w.next_track_at = u.claimed_next
RETURNING w.video_id;
