-- Every statement that the hooks run, by name. Parameters are bound as %(name)s; times are timestamptz, UTC.
-- `now` may be null: then the database's clock decides.

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
-- Those of these videos that are still due, and that nobody else holds, the longest overdue first. Locks what it returns.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at,
       anchor_at, awaits_start, missed_count, first_missed_at, gone_at, heated_until
FROM watchlist
WHERE video_id = ANY(%(video_ids)s::text[]) AND next_track_at <= coalesce(%(now)s::timestamptz, now())
ORDER BY next_track_at ASC
LIMIT %(batch_size)s
FOR UPDATE SKIP LOCKED;

-- name: due_of_tier
-- The same for one tier, from the index (tracking_tier, next_track_at), but for those that were put off since their
-- call has just failed. Locks what it returns.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at,
       anchor_at, awaits_start, missed_count, first_missed_at, gone_at, heated_until
FROM watchlist
WHERE tracking_tier = %(tier)s AND next_track_at <= coalesce(%(now)s::timestamptz, now())
  AND (deferred_until IS NULL OR deferred_until <= coalesce(%(now)s::timestamptz, now()))
ORDER BY next_track_at ASC
LIMIT %(batch_size)s
FOR UPDATE SKIP LOCKED;

-- name: these_videos
-- Rows of these videos, due or not, but those that others hold. Locks what it returns.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at,
       anchor_at, awaits_start, missed_count, first_missed_at, gone_at, heated_until
FROM watchlist
WHERE video_id = ANY(%(video_ids)s::text[])
FOR UPDATE SKIP LOCKED;

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
        CASE WHEN r.asked = 0 THEN r.videos
             ELSE r.ids - r.asked - (SELECT count(*) FROM unnest(r.departed) AS d (place) WHERE d.place >= r.asked)
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

-- name: tiers
-- Distribution of all tracked videos over the tiers.
SELECT tracking_tier, videos FROM tracked_by_tier;

-- name: next_ten
-- The next ten videos to track within the hour, from the head of each tier in the index; a chunk of the roster counts
-- as one, and has the name of its file in place of an id.
SELECT head.video_id, head.tracking_tier, head.next_track_at, head.chunk
FROM unnest(%(tiers)s::text[]) AS t (tier)
CROSS JOIN LATERAL (
    SELECT video_id, tracking_tier, next_track_at, NULL AS chunk
    FROM watchlist
    WHERE tracking_tier = t.tier AND next_track_at <= coalesce(%(now)s::timestamptz, now()) + INTERVAL '1 hour'
    ORDER BY next_track_at ASC
    LIMIT 10
) AS head
UNION ALL
SELECT NULL, 'WEEKLY', next_track_at, chunk
FROM roster
WHERE NOT gone AND next_track_at <= coalesce(%(now)s::timestamptz, now()) + INTERVAL '1 hour'
ORDER BY next_track_at ASC
LIMIT 10;

-- name: backlog
-- Videos that are overdue by more than an hour.
SELECT (
    SELECT count(*)
    FROM watchlist
    WHERE tracking_tier = ANY(%(tiers)s::text[])
      AND next_track_at < coalesce(%(now)s::timestamptz, now()) - INTERVAL '1 hour'
) + (
    SELECT coalesce(sum(
        CASE WHEN asked = 0 THEN videos
             ELSE ids - asked - (SELECT count(*) FROM unnest(departed) AS d (place) WHERE d.place >= asked)
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

-- name: insert_videos
-- Metadata of newly discovered videos; a video that is there already stays as it is, and one that is forgotten leaves no
-- trace. Returns the new ids.
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

-- name: insert_watchlist
-- New videos on the watchlist; one that is there already stays as it is, and one that somebody has let go stays off.
-- Returns the new ids. Rows of `videos` that come with them are marked as having a place on the schedule, wherever it
-- moves to later.
WITH added AS (
    INSERT INTO watchlist (
        video_id, tracking_tier, last_tracked_at, next_track_at, anchor_at, awaits_start,
        missed_count, first_missed_at, gone_at, heated_until, deferred_until
    )
    SELECT video_id, tracking_tier, last_tracked_at, coalesce(next_track_at, now()), anchor_at, awaits_start,
           missed_count, first_missed_at, gone_at, heated_until, deferred_until
    FROM unnest(
        %(video_id)s::text[], %(tracking_tier)s::text[], %(last_tracked_at)s::timestamptz[],
        %(next_track_at)s::timestamptz[], %(anchor_at)s::timestamptz[], %(awaits_start)s::boolean[],
        %(missed_count)s::smallint[], %(first_missed_at)s::timestamptz[], %(gone_at)s::timestamptz[],
        %(heated_until)s::timestamptz[], %(deferred_until)s::timestamptz[]
    ) AS new (
        video_id, tracking_tier, last_tracked_at, next_track_at, anchor_at, awaits_start,
        missed_count, first_missed_at, gone_at, heated_until, deferred_until
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

-- name: update_schedule
-- The specification's batch update: tier, last and next time of many videos in one statement. Rows are locked in the
-- order of their ids, so that two updates of the same videos wait for each other instead of for ever.
WITH u AS (
    SELECT * FROM unnest(
        %(video_id)s::text[], %(tracking_tier)s::text[], %(last_tracked_at)s::timestamptz[],
        %(next_track_at)s::timestamptz[]
    ) AS u (video_id, tracking_tier, last_tracked_at, next_track_at)
), locked AS (
    SELECT w.video_id FROM watchlist AS w WHERE w.video_id IN (SELECT video_id FROM u) ORDER BY w.video_id FOR UPDATE
)
UPDATE watchlist AS w
SET tracking_tier = u.tracking_tier, last_tracked_at = u.last_tracked_at, next_track_at = u.next_track_at
FROM u JOIN locked USING (video_id)
WHERE w.video_id = u.video_id;

-- name: reschedule
-- What a claim writes back: schedule, anchor and absence of many videos in one statement. Rows that somebody else
-- has tracked or rescheduled since they were claimed stay as they are; within the claim's own lock that cannot happen.
UPDATE watchlist AS w
SET tracking_tier = u.tracking_tier, last_tracked_at = u.last_tracked_at, next_track_at = u.next_track_at,
    anchor_at = u.anchor_at, awaits_start = u.awaits_start,
    missed_count = u.missed_count, first_missed_at = u.first_missed_at, gone_at = u.gone_at,
    heated_until = u.heated_until, deferred_until = u.deferred_until
FROM unnest(
    %(video_id)s::text[], %(tracking_tier)s::text[], %(last_tracked_at)s::timestamptz[],
    %(next_track_at)s::timestamptz[], %(anchor_at)s::timestamptz[], %(awaits_start)s::boolean[],
    %(missed_count)s::smallint[], %(first_missed_at)s::timestamptz[], %(gone_at)s::timestamptz[],
    %(heated_until)s::timestamptz[], %(deferred_until)s::timestamptz[],
    %(claimed_last)s::timestamptz[], %(claimed_next)s::timestamptz[]
) AS u (
    video_id, tracking_tier, last_tracked_at, next_track_at, anchor_at, awaits_start,
    missed_count, first_missed_at, gone_at, heated_until, deferred_until, claimed_last, claimed_next
)
WHERE w.video_id = u.video_id
  AND w.last_tracked_at IS NOT DISTINCT FROM u.claimed_last
  AND w.next_track_at = u.claimed_next;

-- name: roster_all
-- Every chunk of the roster.
SELECT *, xmin::text AS row_version FROM roster ORDER BY chunk;

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

-- name: roster_enter_hour
-- One process at a time puts an hour of the week in order; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(
    hashtext('ghost_tracking.roster'), %(hour_of_week)s::integer * 2 + %(gone)s::boolean::integer
);

-- name: roster_lock_hour
-- The chunks of one hour of the week. Locks what it returns, and waits for visits under way: put on a new chunk, one of
-- their videos would be in two.
SELECT *, xmin::text AS row_version
FROM roster
WHERE hour_of_week = %(hour_of_week)s AND gone = %(gone)s
ORDER BY chunk
FOR UPDATE;

-- name: roster_reschedule
-- What a claim writes back of its chunks. One that somebody else has visited or touched since stays as it is; within
-- the claim's own lock that cannot happen.
UPDATE roster AS r
SET departed = u.departed::smallint[], asked = u.asked, last_tracked_at = u.last_tracked_at,
    next_track_at = u.next_track_at, faulted_at = u.faulted_at, deferred_until = u.deferred_until
FROM unnest(
    %(chunk)s::text[], %(departed)s::text[], %(asked)s::integer[], %(last_tracked_at)s::timestamptz[],
    %(next_track_at)s::timestamptz[], %(faulted_at)s::timestamptz[], %(deferred_until)s::timestamptz[],
    %(claimed_version)s::text[]
) AS u (chunk, departed, asked, last_tracked_at, next_track_at, faulted_at, deferred_until, claimed_version)
WHERE r.chunk = u.chunk AND r.xmin::text = u.claimed_version;

-- name: roster_touch
-- Give these chunks a new version: what somebody has read of them is no longer so.
UPDATE roster SET departed = departed WHERE chunk = ANY(%(chunks)s::text[]);

-- name: roster_depart
-- Which of a chunk's ids have left it.
UPDATE roster SET departed = %(departed)s::text::smallint[] WHERE chunk = %(chunk)s;

-- name: roster_insert
-- A new chunk, whose file is there. Where there is one of the same ids already (made on the same day, and locked by a
-- visit, or by somebody who makes it too), this waits for it, and a video is in it that is so by either.
INSERT INTO roster (chunk, hour_of_week, gone, ids, departed, last_tracked_at, next_track_at)
VALUES (
    %(chunk)s, %(hour_of_week)s, %(gone)s, %(ids)s, %(departed)s::text::smallint[], %(last_tracked_at)s,
    %(next_track_at)s
)
ON CONFLICT (chunk) DO UPDATE
SET departed = ARRAY(SELECT unnest(roster.departed) INTERSECT SELECT unnest(excluded.departed) ORDER BY 1);

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

-- name: roster_newcomers
-- Videos that belong on the roster: anchored `before` and settled, or gone and (from `gone_before` on) old. The hour of the week is that of the full
-- hour at or after the anchor (of a video without one, after its next time): see core/roster.py.
SELECT video_id, next_track_at, gone_at IS NOT NULL AS gone, anchor_at IS NOT NULL AS anchored, xmin::text AS row_version,
       mod(ceil(extract(epoch FROM coalesce(anchor_at, next_track_at)) / 3600)::bigint, 168)::integer AS hour_of_week
FROM watchlist
WHERE (gone_at IS NOT NULL AND coalesce(anchor_at, first_missed_at) <= %(gone_before)s::timestamptz)
   OR (anchor_at <= %(before)s::timestamptz AND NOT awaits_start AND first_missed_at IS NULL AND heated_until IS NULL)
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

-- name: claim_limits
-- Bounds on how long a claim may hold its rows, for this transaction only: the session may come from a pooler.
SELECT set_config('idle_in_transaction_session_timeout', %(milliseconds)s::text, true),
       set_config('statement_timeout', %(milliseconds)s::text, true),
       set_config('client_connection_check_interval', '10s', true),
       set_config('tcp_keepalives_idle', '30', true),
       set_config('tcp_keepalives_interval', '10', true),
       set_config('tcp_keepalives_count', '3', true);

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

-- name: discovery_time
-- What rows that this transaction inserts into `videos` get as `discovered_at`.
SELECT now() AS now;

-- name: database_now
-- The database's clock, which decides what is due.
SELECT clock_timestamp() AS now;

-- name: quota_open
-- Make sure that today's ledger has a line for this bucket. Days are Pacific ones, by the database's clock or `now`.
INSERT INTO quota_ledger (bucket, pacific_day)
VALUES (%(bucket)s, (coalesce(%(now)s::timestamptz, clock_timestamp()) AT TIME ZONE 'America/Los_Angeles')::date)
ON CONFLICT DO NOTHING;

-- name: quota_lock
-- The line of a bucket's latest day up to today, locked until the end of the transaction. A bucket that was found empty
-- in the future, by a clock that was wrong, is not.
SELECT pacific_day, spent,
       coalesce(exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()), FALSE) AS exhausted,
       coalesce(
           exhausted_at > coalesce(%(now)s::timestamptz, clock_timestamp()) - INTERVAL '15 minutes'
           AND exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()), FALSE
       ) AS refused, refused_at IS NOT NULL AS useless
FROM quota_ledger
WHERE bucket = %(bucket)s
  AND pacific_day <= (coalesce(%(now)s::timestamptz, clock_timestamp()) AT TIME ZONE 'America/Los_Angeles')::date
ORDER BY pacific_day DESC
LIMIT 1
FOR UPDATE;

-- name: quota_add
-- Put calls down as spent, or take some back that were not sent (a negative number).
UPDATE quota_ledger SET spent = greatest(spent + %(calls)s::integer, 0)
WHERE bucket = %(bucket)s AND pacific_day = %(pacific_day)s;

-- name: quota_exhausted
-- YouTube itself says that this bucket is empty, whatever the ledger holds; or it answers again. Calls that were reserved
-- before others were told that it is empty may have been answered before that too: they prove nothing.
UPDATE quota_ledger
SET exhausted_at = CASE
    WHEN %(exhausted)s THEN coalesce(%(now)s::timestamptz, clock_timestamp())
    WHEN exhausted_at > %(reserved_at)s::timestamptz
         AND exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()) THEN exhausted_at
END
WHERE bucket = %(bucket)s AND pacific_day = %(pacific_day)s;

-- name: quota_today
-- What has been spent of each bucket today; as quota_lock.
SELECT bucket, spent,
       coalesce(exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()), FALSE) AS exhausted,
       coalesce(
           exhausted_at > coalesce(%(now)s::timestamptz, clock_timestamp()) - INTERVAL '15 minutes'
           AND exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()), FALSE
       ) AS refused, refused_at IS NOT NULL AS useless
FROM quota_ledger
WHERE pacific_day = (coalesce(%(now)s::timestamptz, clock_timestamp()) AT TIME ZONE 'America/Los_Angeles')::date;

-- name: quota_refused
-- YouTube refuses the method that this bucket pays for: it is of no use for the rest of today. Changes a row once a day.
UPDATE quota_ledger SET refused_at = coalesce(%(now)s::timestamptz, clock_timestamp())
WHERE bucket = %(bucket)s AND refused_at IS NULL
  AND pacific_day = (coalesce(%(now)s::timestamptz, clock_timestamp()) AT TIME ZONE 'America/Los_Angeles')::date;

-- name: quota_forget
-- Drop the lines of days long past.
DELETE FROM quota_ledger
WHERE pacific_day < (coalesce(%(now)s::timestamptz, now()) AT TIME ZONE 'America/Los_Angeles')::date - 90;

-- name: watermarks
-- How far each of these sources has been hunted, never beyond now, whatever somebody's clock once said; whether it never
-- has been; and up to when it was asked, which is more than its watermark where answers have no video.
SELECT source, least(hunted_until, now()) AS hunted_until, hunted_until IS NOT DISTINCT FROM begun_at AS is_new,
       least(greatest(hunted_until, asked_until), now()) AS asked_until
FROM hunter_watermarks
WHERE source = ANY(%(sources)s::text[]);

-- name: begin_watermarks
-- Where the hunt of a new source begins; a source that is known keeps its watermark. A run that began earlier, and was held
-- up, begins it earlier: what lies in between would be nobody's.
INSERT INTO hunter_watermarks AS w (source, hunted_until, begun_at)
SELECT source, least(%(start)s::timestamptz, now()), least(%(start)s::timestamptz, now())
FROM unnest(%(sources)s::text[]) AS u (source)
ORDER BY source
ON CONFLICT (source) DO UPDATE
SET hunted_until = excluded.hunted_until, begun_at = excluded.begun_at
WHERE excluded.begun_at < w.begun_at;

-- name: advance_watermarks
-- A source has been hunted up to here; a watermark never goes back, but from the future, which nobody has hunted. Nor does
-- it leap over what lies before `since`, from where on this was hunted (null: from anywhere on).
INSERT INTO hunter_watermarks AS w (source, hunted_until, asked_until)
SELECT u.source, least(u.hunted_until, now()), CASE WHEN u.asked_until <= now() THEN u.asked_until END
FROM unnest(
    %(sources)s::text[], %(until)s::timestamptz[], %(since)s::timestamptz[], %(asked)s::timestamptz[]
) AS u (source, hunted_until, since, asked_until)
LEFT JOIN hunter_watermarks AS known ON known.source = u.source
WHERE u.since IS NULL OR known.source IS NULL OR known.hunted_until >= u.since
ORDER BY u.source
ON CONFLICT (source) DO UPDATE
SET hunted_until = CASE
    WHEN w.hunted_until > now() THEN excluded.hunted_until
    ELSE greatest(w.hunted_until, excluded.hunted_until)
END, asked_until = greatest(CASE WHEN w.asked_until <= now() THEN w.asked_until END, excluded.asked_until);

-- name: note_gap
-- A window of a source that could not be had whole. One that begins where another of the same kind ends makes it longer.
WITH longer AS (
    UPDATE discovery_gaps SET ends_at = greatest(ends_at, %(ends_at)s::timestamptz), noted_at = now()
    WHERE source = %(source)s AND reason = %(reason)s
      AND starts_at <= %(starts_at)s::timestamptz AND ends_at >= %(starts_at)s::timestamptz
    RETURNING source
)
INSERT INTO discovery_gaps (source, label, starts_at, ends_at, reason)
SELECT %(source)s, %(label)s, %(starts_at)s::timestamptz, %(ends_at)s::timestamptz, %(reason)s
WHERE NOT EXISTS (SELECT FROM longer)
ON CONFLICT DO NOTHING;

-- name: gaps
-- Windows of sources that could not be had whole, those noted last first.
SELECT source, label, starts_at, ends_at, reason, noted_at
FROM discovery_gaps
WHERE noted_at >= now() - %(within)s::interval
ORDER BY noted_at DESC, source, starts_at
LIMIT %(limit)s;

-- name: forget_old_gaps
-- Drop what was noted long ago.
DELETE FROM discovery_gaps WHERE noted_at < now() - INTERVAL '90 days';

-- name: own_vault
-- The vault that this database belongs to; no row before the first.
SELECT vault_id, root FROM vault_identity;

-- name: remember_vault
-- Belong to this vault, unless there is one already; where it is this one, note where it is now. Returns what holds.
INSERT INTO vault_identity AS v (vault_id, root) VALUES (%(vault_id)s, %(root)s)
ON CONFLICT (singleton) DO UPDATE
SET root = CASE WHEN v.vault_id = excluded.vault_id THEN excluded.root ELSE v.root END
RETURNING vault_id, root;

-- name: adopt_vault
-- Belong to this vault from now on.
INSERT INTO vault_identity (vault_id, root) VALUES (%(vault_id)s, %(root)s)
ON CONFLICT (singleton) DO UPDATE
SET vault_id = excluded.vault_id, root = excluded.root, recorded_at = excluded.recorded_at;

-- name: mark
-- The mark that this database shares with its vault; no row before the first.
SELECT token, marked_at FROM vault_mark;

-- name: set_mark
-- Share a new mark with the vault.
INSERT INTO vault_mark (token, marked_at) VALUES (%(token)s, %(marked_at)s)
ON CONFLICT (singleton) DO UPDATE SET token = excluded.token, marked_at = excluded.marked_at;

-- name: let_go_among
-- What was decided last about those of these videos that somebody has paused, stopped, forgotten or resumed.
SELECT video_id, state, changed_at FROM let_go WHERE video_id = ANY(%(video_ids)s::text[]);

-- name: let_go_all
-- The whole list of those videos.
SELECT video_id, state, changed_at FROM let_go ORDER BY video_id;

-- name: let_go_note
-- Put videos onto that list. The later of two changes holds: the vault's list may know one that came after this.
INSERT INTO let_go AS l (video_id, state, changed_at)
SELECT video_id, state, changed_at
FROM unnest(%(video_id)s::text[], %(state)s::text[], %(changed_at)s::timestamptz[]) AS new (video_id, state, changed_at)
ORDER BY video_id
ON CONFLICT (video_id) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at
WHERE (l.changed_at, l.state) IS DISTINCT FROM (excluded.changed_at, excluded.state)
  AND l.changed_at <= excluded.changed_at;

-- name: let_go_leave
-- Take these videos off the watchlist. Waits for claims that hold any of them, so that their points are staged when it
-- returns.
DELETE FROM watchlist
WHERE video_id IN (
    SELECT video_id FROM watchlist WHERE video_id = ANY(%(video_ids)s::text[]) ORDER BY video_id FOR UPDATE
);

-- name: let_go_enforce
-- Take off the watchlist who is there though somebody has let go of it: put there by a transaction that began before
-- that. Those that are being tracked now go the next time.
DELETE FROM watchlist
WHERE video_id IN (
    SELECT w.video_id
    FROM watchlist AS w JOIN let_go AS l ON l.video_id = w.video_id
    WHERE l.state <> 'resumed'
    FOR UPDATE OF w SKIP LOCKED
);

-- name: let_go_forget
-- Delete what the database knows of these videos beside the schedule.
WITH refusals AS (
    DELETE FROM refused WHERE item = ANY(%(video_ids)s::text[])
)
DELETE FROM videos WHERE id = ANY(%(video_ids)s::text[]);

-- name: let_go_traces
-- What the database knows of these videos, but that they are let go.
SELECT (SELECT count(*) FROM watchlist WHERE video_id = ANY(%(video_ids)s::text[])) AS watchlist,
       (SELECT count(*) FROM videos WHERE id = ANY(%(video_ids)s::text[])) AS videos,
       (SELECT count(*) FROM refused WHERE item = ANY(%(video_ids)s::text[])) AS refused;

-- name: let_go_of_channels
-- Videos of these channels whose metadata is not archived yet.
SELECT id AS video_id FROM videos WHERE channel_id = ANY(%(channel_ids)s::text[]);

-- name: alert_due
-- Note that an alert of this kind is sent now, unless one was within the cooldown: then there is no row. One of several
-- tasks that ask at the same time gets one. One that was sent in the future, by a clock that was wrong, silences none; a
-- minute is left to tasks that have waited for each other.
INSERT INTO alerts AS a (kind, sent_at) VALUES (%(kind)s, coalesce(%(now)s::timestamptz, now()))
ON CONFLICT (kind) DO UPDATE SET sent_at = excluded.sent_at
WHERE a.sent_at <= excluded.sent_at - %(cooldown)s::interval OR a.sent_at > excluded.sent_at + INTERVAL '1 minute'
RETURNING kind;

-- name: alert_over
-- What an alert was about is over: the next one is sent at once.
DELETE FROM alerts WHERE kind = ANY(%(kinds)s::text[]);

-- name: schema_version
-- The version of the schema; null in a database without it.
SELECT version_num FROM ghost_schema_version;

-- name: has_schema_version
-- Whether the schema's version table is there.
SELECT to_regclass('ghost_schema_version') IS NOT NULL AS present;

-- name: old_tracker_has_last_updated
-- Whether `videos` comes from an old tracker, which kept when it had updated a video.
SELECT EXISTS (
    SELECT FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = 'videos' AND column_name = 'last_updated_at'
) AS present;

-- name: old_videos
-- Ids of an old tracker's `videos` after one of them (null: from the first), as they stand there, and when each was last
-- updated, whatever the type of that column is.
SELECT id, to_jsonb(last_updated_at) #>> '{}' AS last_updated_at
FROM videos
WHERE %(after)s::text IS NULL OR id > %(after)s::text
ORDER BY id
LIMIT %(batch_size)s;

-- name: note_scheduled
-- These rows of `videos` have a place on the schedule.
UPDATE videos SET scheduled = TRUE WHERE id = ANY(%(ids)s::text[]) AND NOT scheduled;

-- name: refused_note
-- Put down what was named and cannot be the id of a video.
INSERT INTO refused (item, origin, reason)
SELECT item, %(origin)s::text, reason FROM unnest(%(item)s::text[], %(reason)s::text[]) AS new (item, reason)
ORDER BY item
ON CONFLICT (item) DO UPDATE SET origin = excluded.origin, reason = excluded.reason;

-- name: refused_count
-- How much there is of it.
SELECT count(*) AS items FROM refused;

-- name: refused_list
-- What was refused, the newest first.
SELECT item, origin, reason, refused_at FROM refused ORDER BY refused_at DESC, item LIMIT %(limit)s;

-- name: refused_drop
-- Take these off the list.
DELETE FROM refused WHERE item = ANY(%(items)s::text[]);

-- name: lock_schema
-- One process at a time changes the schema; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(hashtext('ghost_tracking.schema'));

-- name: statement_limit
-- Bound every statement of this transaction.
SELECT set_config('statement_timeout', %(milliseconds)s::text, true);

-- name: page_queues
-- For Airflow's page: where how many videos wait, due and overdue by more than an hour, and the earliest slot. Rows of
-- the watchlist are counted in the index (tracking_tier, next_track_at) alone, tier by tier, which takes a third of the
-- time of one pass over the table; one of the roster stands for `videos`, of which those wait that it has not been asked
-- for in the slot that is due.
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
    SELECT gone, videos, next_track_at, CASE WHEN asked = 0 THEN videos
        ELSE ids - asked - (SELECT count(*) FROM unnest(departed) AS d (place) WHERE d.place >= asked)
    END AS waiting
    FROM roster
) AS r
GROUP BY gone;

-- name: page_states
-- For Airflow's page: rows of the watchlist in a state that is not the usual one, from an index that has no others; and
-- how many of the HOURLY videos that are next are older than their tier: read, when they were older than 25 hours.
SELECT count(*) FILTER (WHERE first_missed_at IS NOT NULL AND gone_at IS NULL) AS missing,
       count(gone_at) AS gone,
       count(heated_until) AS heated,
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
WHERE first_missed_at IS NOT NULL OR heated_until IS NOT NULL OR awaits_start;

-- name: page_room
-- For Airflow's page: bytes on disk of the whole database and of its largest tables, with their indexes.
SELECT pg_database_size(current_database()) AS everything,
       pg_total_relation_size('watchlist') AS watchlist,
       pg_total_relation_size('videos') AS videos,
       pg_total_relation_size('roster') AS roster;

-- name: page_watched
-- For Airflow's page: the rows of the watchlist of these videos.
SELECT video_id, tracking_tier, last_tracked_at, next_track_at, created_at, anchor_at, awaits_start,
       missed_count, first_missed_at, gone_at, heated_until
FROM watchlist
WHERE video_id = ANY(%(video_ids)s::text[]);

-- name: page_metadata
-- For Airflow's page: what `videos` has of these videos, until the janitor deletes it.
SELECT id AS video_id, title, channel_id, channel_title, published_at, duration_seconds
FROM videos
WHERE id = ANY(%(video_ids)s::text[]);

-- name: page_found_lately
-- For Airflow's page: videos discovered in the last two days whose titles have all these words, as they are written;
-- older ones are in the vault's archive.
SELECT id AS video_id, title, channel_id, channel_title, published_at, duration_seconds
FROM videos
WHERE discovered_at > now() - INTERVAL '2 days' AND title ILIKE ALL(%(patterns)s::text[])
ORDER BY published_at DESC NULLS LAST
LIMIT %(limit)s;

-- name: page_newest
-- For Airflow's page: the videos of a tier that were published last, those that still wait for their start left out. The
-- index on (tracking_tier, next_track_at) leads to the tier's; in HOURLY, which is asked first, are those of one day.
SELECT video_id, anchor_at
FROM watchlist
WHERE tracking_tier = %(tier)s AND NOT awaits_start
ORDER BY anchor_at DESC NULLS LAST, video_id
LIMIT %(limit)s;

-- name: page_chunks
-- For Airflow's page: the roster's chunks of these hours of the week.
SELECT *, xmin::text AS row_version FROM roster WHERE hour_of_week = ANY(%(hours)s::integer[]) ORDER BY chunk;

-- name: page_heated
-- For Airflow's page: videos that came back to life, those heated last first.
SELECT video_id, heated_until, last_tracked_at, next_track_at
FROM watchlist
WHERE heated_until IS NOT NULL
ORDER BY heated_until DESC, video_id
LIMIT %(limit)s;

-- name: page_siblings
-- For Airflow's page: videos of these channels that `videos` still has.
SELECT channel_id, id AS video_id, published_at FROM videos WHERE channel_id = ANY(%(channel_ids)s::text[]);

-- name: page_overdue
-- For Airflow's page: videos whose slot lies in [since, until) and was not served yet, by tier and hour. From the indexes
-- on next_track_at.
SELECT tier, date_trunc('hour', next_track_at, 'UTC') AS hour, sum(videos)::bigint AS videos
FROM (
    SELECT tracking_tier AS tier, next_track_at, 1 AS videos
    FROM watchlist
    WHERE tracking_tier IN ('HOURLY', 'DAILY', 'WEEKLY') AND first_missed_at IS NULL
      AND next_track_at >= %(since)s::timestamptz AND next_track_at < %(until)s::timestamptz
    UNION ALL
    SELECT 'WEEKLY', next_track_at, videos
    FROM roster
    WHERE NOT gone AND next_track_at >= %(since)s::timestamptz AND next_track_at < %(until)s::timestamptz
) AS waiting
GROUP BY 1, 2;
