-- The latest counts of every video: its newest observation.
--
-- video_id, timestamp, views, likes, comments, published_at. Load ghost.sql before. Of the history only the last
-- columns are read.
SELECT video_id, timestamp, views, likes, comments, published_at
FROM latest
ORDER BY video_id;
