-- Videos that somebody has paused, stopped, forgotten or resumed.

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
), checked AS (
    DELETE FROM audits WHERE video_id = ANY(%(video_ids)s::text[])
)
DELETE FROM videos WHERE id = ANY(%(video_ids)s::text[]);

-- name: let_go_traces
-- What the database knows of these videos, but that they are let go.
SELECT (SELECT count(*) FROM watchlist WHERE video_id = ANY(%(video_ids)s::text[])) AS watchlist,
       (SELECT count(*) FROM videos WHERE id = ANY(%(video_ids)s::text[])) AS videos,
       (SELECT count(*) FROM refused WHERE item = ANY(%(video_ids)s::text[])) AS refused,
       (SELECT count(*) FROM audits WHERE video_id = ANY(%(video_ids)s::text[])) AS audits;

-- name: let_go_of_channels
-- Videos of these channels whose metadata is not archived yet.
SELECT id AS video_id FROM videos WHERE channel_id = ANY(%(channel_ids)s::text[]);
