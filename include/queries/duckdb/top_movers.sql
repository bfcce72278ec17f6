-- Top movers: the videos that gained the most views an hour over a window of time.
--
--   SET VARIABLE until = TIMESTAMPTZ '2026-11-23 12:00:00+00';    the window's end; it must be set
--   SET VARIABLE window_hours = 24;                               its length
--   SET VARIABLE top = 20;                                        so many videos
--   SET VARIABLE look_back_days = 30;                             the first count may lie so many days before the window
--
-- The gain leads from the newest count at or before the window's beginning to the newest at or before its end. A video
-- without a count before the window counts from its first one within. Without two counts, it is not there.
--
-- video_id, counted_from, counted_until (the times of the two counts), views (the last count), gain, per_hour (gain by
-- the hours between the counts, by which rows are sorted, and by video_id). Load ghost.sql before.
WITH bounds AS (
    SELECT getvariable('until')::TIMESTAMPTZ AS upper,
           upper - to_hours(coalesce(getvariable('window_hours')::INTEGER, 24)) AS lower
), counts AS (
    SELECT video_id,
           coalesce(max(timestamp) FILTER (timestamp <= lower), min(timestamp)) AS counted_from,
           max(timestamp) AS counted_until,
           max_by(views, timestamp) AS views,
           coalesce(max_by(views, timestamp) FILTER (timestamp <= lower), min_by(views, timestamp)) AS views_before
    FROM bounds, points_between(
        getvariable('until')::TIMESTAMPTZ - to_hours(coalesce(getvariable('window_hours')::INTEGER, 24))
        - to_days(coalesce(getvariable('look_back_days')::INTEGER, 30)),
        getvariable('until')::TIMESTAMPTZ + INTERVAL 1 MICROSECOND) AS points
    WHERE points.views IS NOT NULL AND timestamp <= upper
    GROUP BY video_id
)
SELECT video_id, counted_from, counted_until, views, views - views_before AS gain,
       gain * 3.6e9::DOUBLE / (epoch_us(counted_until) - epoch_us(counted_from)) AS per_hour
FROM counts
WHERE counted_from < counted_until
ORDER BY per_hour DESC, video_id
LIMIT coalesce(getvariable('top')::BIGINT, 20);
