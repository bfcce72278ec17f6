-- Points an hour: how much was observed.
--
--   SET VARIABLE since = TIMESTAMPTZ '2026-11-23 00:00:00+00';    null (not set): from the first on
--   SET VARIABLE until = TIMESTAMPTZ '2026-11-24 00:00:00+00';    null: up to the last; this moment is not included
--
-- hour (its beginning), points, videos (different ones). Hours without points have no row. Load ghost.sql before.
SELECT make_timestamptz(epoch_us(timestamp) // 3600000000 * 3600000000) AS hour,
       count(*) AS points,
       count(DISTINCT video_id) AS videos
FROM points_between(getvariable('since')::TIMESTAMPTZ, getvariable('until')::TIMESTAMPTZ)
GROUP BY hour
ORDER BY hour;
