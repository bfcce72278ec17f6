-- The way from an old tracker.

-- name: old_tracker_has_last_updated
-- Whether `videos` comes from an old tracker, which kept when it had updated a video.
SELECT EXISTS (
    SELECT FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = 'videos' AND column_name = 'last_updated_at'
) AS present;

-- name: old_videos
-- Ids of an old tracker's `videos` after one of them (null: from the first), as they stand there, and when each was
-- last updated, whatever the type of that column is.
SELECT id, to_jsonb(last_updated_at) #>> '{}' AS last_updated_at
FROM videos
WHERE %(after)s::text IS NULL OR id > %(after)s::text
ORDER BY id
LIMIT %(batch_size)s;

-- name: note_scheduled
-- These rows of `videos` have a place on the schedule.
UPDATE videos SET scheduled = TRUE WHERE id = ANY(%(ids)s::text[]) AND NOT scheduled;
