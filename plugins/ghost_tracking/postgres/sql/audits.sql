-- The table `audits`: readings at random, beside the slots. See core/audits.py.

-- name: audit_draw
-- For each random text the first row of the watchlist from it on, of videos that have a count and are not missing; after
-- the last one comes the first.
SELECT DISTINCT ON (w.video_id) w.video_id, w.tracking_tier, w.views, w.last_tracked_at
FROM unnest(%(texts)s::text[]) AS drawn (text)
CROSS JOIN LATERAL (
    (
        SELECT video_id, tracking_tier, views, last_tracked_at
        FROM watchlist
        WHERE video_id >= drawn.text AND views IS NOT NULL AND last_tracked_at IS NOT NULL
          AND first_missed_at IS NULL AND NOT awaits_start
        ORDER BY video_id
        LIMIT 1
    )
    UNION ALL
    (
        SELECT video_id, tracking_tier, views, last_tracked_at
        FROM watchlist
        WHERE views IS NOT NULL AND last_tracked_at IS NOT NULL AND first_missed_at IS NULL AND NOT awaits_start
        ORDER BY video_id
        LIMIT 1
    )
    LIMIT 1
) AS w;

-- name: audit_draw_chunks
-- Chunks of videos that are not gone, at random, those of many videos more often.
SELECT *, xmin::text AS row_version
FROM roster
WHERE NOT gone AND videos > 0
ORDER BY -ln(1 - random()) / videos
LIMIT %(chunks)s;

-- name: audit_add
-- What audits have found.
INSERT INTO audits (video_id, at, queue, held_views, held_at, views)
SELECT video_id, at, queue, held_views, held_at, views
FROM unnest(
    %(video_id)s::text[], %(at)s::timestamptz[], %(queue)s::text[], %(held_views)s::bigint[], %(held_at)s::timestamptz[],
    %(views)s::bigint[]
) AS new (video_id, at, queue, held_views, held_at, views)
ORDER BY video_id, at
ON CONFLICT DO NOTHING;

-- name: audit_open
-- Audits without a reading after them, the oldest first.
SELECT video_id, at, queue, held_views, held_at, views FROM audits
WHERE next_at IS NULL AND at > coalesce(%(now)s::timestamptz, now()) - %(keep)s::interval
ORDER BY at
LIMIT %(most)s;

-- name: audit_close
-- The readings after these audits.
UPDATE audits AS a SET next_at = u.next_at, next_views = u.next_views
FROM unnest(%(video_id)s::text[], %(at)s::timestamptz[], %(next_at)s::timestamptz[], %(next_views)s::bigint[])
    AS u (video_id, at, next_at, next_views)
WHERE a.video_id = u.video_id AND a.at = u.at;

-- name: audits_since
-- Every audit from a time on.
SELECT video_id, at, queue, held_views, held_at, views, next_at, next_views FROM audits
WHERE at >= %(since)s::timestamptz
ORDER BY at;

-- name: audit_forget
-- Drop audits that are older than is kept.
DELETE FROM audits WHERE at < coalesce(%(now)s::timestamptz, now()) - %(keep)s::interval;
