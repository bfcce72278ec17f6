-- The table `videos`: metadata of newly found videos, until the janitor has archived it.

-- name: insert_videos
-- Metadata of newly discovered videos; a video that is there already stays as it is, and one that is forgotten leaves
-- no trace. Returns the new ids.
INSERT INTO videos (
    id, title, published_at, tags, channel_id, channel_title, category_id, duration_seconds, default_language,
    discovered_at, scheduled
)
SELECT id, title, published_at,
       ARRAY(SELECT jsonb_array_elements_text(tags::jsonb)),
       channel_id, channel_title, category_id, duration_seconds, default_language,
       coalesce(%(now)s::timestamptz, now()), %(scheduled)s
FROM unnest(
    %(id)s::text[], %(title)s::text[], %(published_at)s::timestamptz[], %(tags)s::text[], %(channel_id)s::text[],
    %(channel_title)s::text[], %(category_id)s::text[], %(duration_seconds)s::bigint[], %(default_language)s::text[]
) AS new (
    id, title, published_at, tags, channel_id, channel_title, category_id, duration_seconds, default_language
)
WHERE NOT EXISTS (SELECT FROM let_go WHERE video_id = new.id AND state = 'forgotten')
ORDER BY id -- two hunters that find the same videos wait for each other instead of for ever
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: discovery_time
-- What rows that this transaction inserts into `videos` get as `discovered_at`.
SELECT now() AS now;

-- name: janitor_due
-- What the janitor would delete: videos discovered before `before`, and how many of them nobody tracks. On the roster a
-- video's id is in a file only; that it came with a place on the schedule, its row of `videos` says.
SELECT count(*) AS videos, min(v.discovered_at) FILTER (WHERE v.discovered_at > '0002-01-01 00:00+00') AS oldest,
       count(*) FILTER (
           WHERE NOT v.scheduled AND NOT EXISTS (SELECT FROM watchlist AS w WHERE w.video_id = v.id)
             AND NOT EXISTS (SELECT FROM refused AS r WHERE r.item = left(v.id, 500))
       ) AS unwatched
FROM videos AS v
WHERE v.discovered_at < %(before)s::timestamptz;

-- name: janitor_batch
-- Rows of videos discovered before `before`, by id, whose ids come after `after` (null: from the first): as the vault
-- archives them, with the version of each. `other` has what an old tracker's table knows beyond our columns, and times
-- that Python cannot hold.
SELECT v.id AS video_id, v.title, v.tags, v.channel_id, v.channel_title, v.category_id, v.duration_seconds,
       v.default_language, to_jsonb(v) ->> 'description' AS description,
       CASE WHEN fits.published THEN v.published_at END AS published_at,
       CASE WHEN fits.discovered THEN v.discovered_at END AS discovered_at,
       (
           SELECT jsonb_object_agg(more.key, more.value)
           FROM jsonb_each(
               to_jsonb(v) - ARRAY[
                   'id', 'title', 'tags', 'channel_id', 'channel_title', 'category_id', 'duration_seconds',
                   'default_language', 'description', 'scheduled',
                   CASE WHEN fits.published THEN 'published_at' ELSE '' END,
                   CASE WHEN fits.discovered THEN 'discovered_at' ELSE '' END
               ]
           ) AS more
           WHERE more.value <> 'null'
       )::text AS other,
       v.xmin::text AS row_version
FROM videos AS v
CROSS JOIN LATERAL (
    SELECT v.published_at BETWEEN '0002-01-01 00:00+00' AND '9998-01-01 00:00+00' AS published,
           v.discovered_at BETWEEN '0002-01-01 00:00+00' AND '9998-01-01 00:00+00' AS discovered
) AS fits
WHERE v.discovered_at < %(before)s::timestamptz AND (%(after)s::text IS NULL OR v.id > %(after)s::text)
ORDER BY v.id
LIMIT %(batch_size)s;

-- name: janitor_delete
-- Delete the metadata of these videos, but of none whose row has changed since it was read or is being changed now.
DELETE FROM videos
WHERE id IN (
    SELECT v.id
    FROM unnest(%(ids)s::text[], %(versions)s::text[]) AS read (id, row_version)
    JOIN videos AS v ON v.id = read.id
    WHERE v.xmin::text = read.row_version
    FOR UPDATE OF v SKIP LOCKED
);

-- name: references_to_videos
-- Foreign keys of other tables on `videos`: deleting a video would delete their rows, or fail.
SELECT conrelid::regclass::text AS table_name, conname AS constraint_name
FROM pg_constraint
WHERE contype = 'f' AND confrelid = 'videos'::regclass;

-- name: count_videos
-- Rows of metadata.
SELECT count(*) AS videos FROM videos;
