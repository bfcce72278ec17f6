-- Counts over the watchlist and the roster together.

-- name: due_by_lateness
-- How many videos are due, by queue and class of relative lateness (time overdue / interval of the queue), in both
-- places: rows of the watchlist, and what is still to be asked of the roster's chunks.
WITH q AS (
    SELECT * FROM unnest(%(queues)s::text[], %(seconds)s::float8[]) AS q (queue, seconds)
), waiting AS (
    SELECT q.queue, q.seconds, w.next_track_at, 1 AS videos
    FROM q JOIN watchlist AS w ON w.tracking_tier = q.queue
    WHERE w.next_track_at <= coalesce(%(now)s::timestamptz, now())
    UNION ALL
    SELECT q.queue, q.seconds, r.next_track_at, greatest(
        CASE WHEN r.cursor = 0 THEN r.videos
             ELSE r.ids - r.cursor
                  - (SELECT count(*) FROM unnest(r.removed_positions) AS d (place) WHERE d.place >= r.cursor)
        END, 1
    )
    FROM roster AS r JOIN q ON q.queue = CASE WHEN r.gone THEN 'GONE' ELSE 'ROSTER' END
    WHERE r.next_track_at <= coalesce(%(now)s::timestamptz, now())
)
SELECT queue,
       width_bucket(
           (extract(epoch FROM coalesce(%(now)s::timestamptz, now()) - next_track_at) / seconds)::float8,
           %(borders)s::float8[]
       ) - 1 AS lateness,
       sum(videos)::bigint AS due
FROM waiting
GROUP BY 1, 2;

-- name: queues
-- How many videos wait in each queue, due or not.
SELECT tracking_tier AS queue, count(*) AS videos FROM watchlist GROUP BY tracking_tier
UNION ALL
SELECT CASE WHEN gone THEN 'GONE' ELSE 'ROSTER' END, sum(videos)::bigint FROM roster GROUP BY gone;

-- name: backlog
-- Videos that are overdue by more than an hour.
SELECT (
    SELECT count(*)
    FROM watchlist
    WHERE tracking_tier = ANY(%(tiers)s::text[])
      AND next_track_at < coalesce(%(now)s::timestamptz, now()) - INTERVAL '1 hour'
) + (
    SELECT coalesce(sum(
        CASE WHEN cursor = 0 THEN videos
             ELSE ids - cursor - (SELECT count(*) FROM unnest(removed_positions) AS d (place) WHERE d.place >= cursor)
        END
    ), 0)
    FROM roster
    WHERE NOT gone AND next_track_at < coalesce(%(now)s::timestamptz, now()) - INTERVAL '1 hour'
) AS videos;

-- name: total
-- Total videos tracked, on the watchlist and on the roster, but for those that are gone.
SELECT (SELECT count(*) FROM watchlist) - (SELECT count(gone_at) FROM watchlist WHERE first_missed_at IS NOT NULL)
     + (SELECT coalesce(sum(videos), 0) FROM roster WHERE NOT gone) AS videos;

-- name: next_due_at
-- When the next video is due; null where none is tracked.
SELECT min(head.next_track_at) AS next_due_at
FROM (
    SELECT tier_head.next_track_at
    FROM unnest(%(tiers)s::text[]) AS t (tier)
    CROSS JOIN LATERAL (
        SELECT next_track_at FROM watchlist WHERE tracking_tier = t.tier ORDER BY next_track_at ASC LIMIT 1
    ) AS tier_head
    UNION ALL
    SELECT min(next_track_at) FROM roster
) AS head;

-- name: database_bytes
-- The size of this database on disk: heaps, indexes, toast.
SELECT pg_database_size(current_database()) AS bytes;
