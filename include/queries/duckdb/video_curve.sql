-- One video's curve: every observation, by time.
--
--   SET VARIABLE video = '9LfmrkyP81M';
--
-- timestamp, age_hours (since the publish time that the same observation tells; null without one), views, likes,
-- comments. Load ghost.sql before. Reads the history's files that may hold the video, and the hours not compacted yet.
SELECT timestamp, (epoch_us(timestamp) - epoch_us(published_at)) / 3.6e9::DOUBLE AS age_hours, views, likes, comments
FROM history(getvariable('video')::VARCHAR)
ORDER BY timestamp;
