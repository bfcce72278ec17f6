-- What Airflow's page reads; it changes nothing.

-- name: page_queues
-- Where how many videos wait, due and overdue by more than an hour, and the earliest slot. Rows of the watchlist are
-- counted in the index (tracking_tier, next_track_at) alone, tier by tier, which takes a third of the time of one pass
-- over the table; one of the roster stands for `videos`, of which those wait that it has not been asked for in the slot
-- that is due.
SELECT t.tier AS queue,
       (SELECT count(*) FROM watchlist WHERE tracking_tier = t.tier) AS videos,
       (
           SELECT count(*) FROM watchlist
           WHERE tracking_tier = t.tier AND next_track_at <= coalesce(%(now)s::timestamptz, now())
       ) AS due,
       (
           SELECT count(*) FROM watchlist
           WHERE tracking_tier = t.tier
             AND next_track_at < coalesce(%(now)s::timestamptz, now()) - INTERVAL '1 hour'
       ) AS overdue,
       (SELECT min(next_track_at) FROM watchlist WHERE tracking_tier = t.tier) AS next_track_at
FROM unnest(%(tiers)s::text[]) AS t (tier)
UNION ALL
SELECT CASE WHEN gone THEN 'GONE' ELSE 'ROSTER' END, sum(videos)::bigint,
       coalesce(sum(waiting) FILTER (WHERE next_track_at <= coalesce(%(now)s::timestamptz, now())), 0)::bigint,
       coalesce(sum(waiting) FILTER (
           WHERE next_track_at < coalesce(%(now)s::timestamptz, now()) - INTERVAL '1 hour'
       ), 0)::bigint,
       min(next_track_at)
FROM (
    SELECT gone, videos, next_track_at, CASE WHEN cursor = 0 THEN videos
        ELSE ids - cursor - (SELECT count(*) FROM unnest(removed_positions) AS d (place) WHERE d.place >= cursor)
    END AS waiting
    FROM roster
) AS r
GROUP BY gone;

-- name: page_states
-- Rows of the watchlist in a state that is not the usual one, from an index that has no others; and
-- how many of the HOURLY videos that are next are older than their tier: read, when they were older than 25 hours.
SELECT count(*) FILTER (WHERE first_missed_at IS NOT NULL AND gone_at IS NULL) AS missing,
       count(gone_at) AS gone,
       count(promoted_until) AS promoted,
       count(*) FILTER (WHERE awaits_start) AS awaiting,
       (
           SELECT count(*)
           FROM (
               SELECT last_tracked_at, anchor_at FROM watchlist
               WHERE tracking_tier = 'HOURLY' ORDER BY next_track_at ASC LIMIT 1000
           ) AS head
           WHERE last_tracked_at > anchor_at + INTERVAL '25 hours'
       ) AS misplaced
FROM watchlist
WHERE first_missed_at IS NOT NULL OR promoted_until IS NOT NULL OR awaits_start;

-- name: page_room
-- Bytes on disk of the whole database and of its largest tables, with their indexes.
SELECT pg_database_size(current_database()) AS everything,
       pg_total_relation_size('watchlist') AS watchlist,
       pg_total_relation_size('videos') AS videos,
       pg_total_relation_size('roster') AS roster;

-- name: page_watched
-- The rows of the watchlist of these videos.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at, anchor_at, awaits_start,
       missed_count, first_missed_at, gone_at, promoted_until, views, gain_per_hour
FROM watchlist
WHERE video_id = ANY(%(video_ids)s::text[]);

-- name: page_metadata
-- What `videos` has of these videos, until the janitor deletes it.
SELECT id AS video_id, title, channel_id, channel_title, published_at, duration_seconds
FROM videos
WHERE id = ANY(%(video_ids)s::text[]);

-- name: page_found_lately
-- Videos discovered in the last two days whose titles have all these words, as they are written;
-- older ones are in the vault's archive.
SELECT id AS video_id, title, channel_id, channel_title, published_at, duration_seconds
FROM videos
WHERE discovered_at > now() - INTERVAL '2 days' AND title ILIKE ALL(%(patterns)s::text[])
ORDER BY published_at DESC NULLS LAST
LIMIT %(limit)s;

-- name: page_newest
-- The videos of a tier that were published last, those that still wait for their start left out. The
-- index on (tracking_tier, next_track_at) leads to the tier's; in HOURLY, which is asked first, are those of one day.
SELECT video_id, anchor_at
FROM watchlist
WHERE tracking_tier = %(tier)s AND NOT awaits_start
ORDER BY anchor_at DESC NULLS LAST, video_id
LIMIT %(limit)s;

-- name: page_promoted
-- Videos that came back to life, those promoted last first.
SELECT video_id, promoted_until, last_tracked_at, next_track_at
FROM watchlist
WHERE promoted_until IS NOT NULL
ORDER BY promoted_until DESC, video_id
LIMIT %(limit)s;

-- name: page_siblings
-- Videos of these channels that `videos` still has.
SELECT channel_id, id AS video_id, published_at FROM videos WHERE channel_id = ANY(%(channel_ids)s::text[]);
