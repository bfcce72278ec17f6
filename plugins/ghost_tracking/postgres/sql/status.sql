-- Counts over the watchlist and the roster together.

-- name: due
-- How many videos are due, by queue, in both places: rows of the watchlist, and what is still to be asked of the
-- roster's chunks.
SELECT tracking_tier AS queue, count(*) AS due
FROM watchlist
WHERE tracking_tier = ANY(%(tiers)s::text[]) AND next_track_at <= coalesce(%(now)s::timestamptz, now())
GROUP BY tracking_tier
UNION ALL
SELECT CASE WHEN gone THEN 'GONE' ELSE 'ROSTER' END, sum(greatest(
    CASE WHEN cursor = 0 THEN videos
         ELSE ids - cursor - (SELECT count(*) FROM unnest(removed_positions) AS d (place) WHERE d.place >= cursor)
    END, 1
))::bigint
FROM roster
WHERE next_track_at <= coalesce(%(now)s::timestamptz, now())
GROUP BY gone;

-- name: due_by_index
-- How many due videos of the watchlist there are, by tier and class of the index, and how many of gone ones on the
-- roster: see core/worth.py. Class -1: not to be considered yet. In seconds since 1970, since timestamps take ten times
-- as long for a million rows; OFFSET 0 keeps PostgreSQL from working out each row's wait five times.
WITH moment AS MATERIALIZED (
    SELECT date_part('epoch', coalesce(%(now)s::timestamptz, now())) AS seconds
), waiting AS (
    SELECT tracking_tier AS queue, 1 AS videos, views, gain_per_hour,
           ((SELECT seconds FROM moment) - date_part('epoch', last_tracked_at)) / 3600 AS hours,
           CASE tracking_tier WHEN 'HOURLY' THEN %(hourly)s WHEN 'DAILY' THEN %(daily)s ELSE %(weekly)s END::float8
               AS tier_hours
    FROM watchlist
    WHERE tracking_tier = ANY(%(tiers)s::text[]) AND next_track_at <= coalesce(%(now)s::timestamptz, now())
    UNION ALL
    SELECT 'GONE', videos, NULL, NULL,
           ((SELECT seconds FROM moment) - date_part('epoch', last_tracked_at)) / 3600, 0
    FROM roster
    WHERE gone AND next_track_at <= coalesce(%(now)s::timestamptz, now())
    OFFSET 0
)
SELECT queue,
       width_bucket(
           reading_index(
               hours, tier_hours, views, gain_per_hour, %(by_gain)s::float8, %(by_relative)s::float8,
               %(in_turn)s::float8, %(longest_hours)s::float8
           ),
           %(borders)s::float8[]
       ) - 1 AS class,
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
