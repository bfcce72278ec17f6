-- What was named and cannot be the id of a video.

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
