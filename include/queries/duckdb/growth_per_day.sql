-- Growth of views a day: a video's last count of a UTC day, less its last count of the nearest day before that has one.
--
--   SET VARIABLE first_day = DATE '2026-11-01';    null (not set): from the first on
--   SET VARIABLE last_day = DATE '2026-11-30';     null: up to the last; this day is included
--   SET VARIABLE look_back_days = 30;              the day before is looked for up to so many days before first_day
--
-- video_id, date, views (the day's last count), growth (null for a first day), days (how many days the growth took:
-- a week for a WEEKLY video). Days without a count have no row. Load ghost.sql before.
WITH days AS (
    SELECT video_id, (timestamp AT TIME ZONE 'UTC')::DATE AS date, max_by(views, timestamp) AS views
    FROM points_between(
        (getvariable('first_day')::DATE - coalesce(getvariable('look_back_days')::INTEGER, 30))::TIMESTAMP
            AT TIME ZONE 'UTC',
        (getvariable('last_day')::DATE + 1)::TIMESTAMP AT TIME ZONE 'UTC')
    WHERE views IS NOT NULL
    GROUP BY ALL
)
SELECT video_id, date, views, views - lag(views) OVER earlier AS growth, date - lag(date) OVER earlier AS days
FROM days
WINDOW earlier AS (PARTITION BY video_id ORDER BY date)
QUALIFY coalesce(date >= getvariable('first_day')::DATE, true)
ORDER BY video_id, date;
