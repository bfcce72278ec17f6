-- The tables `policy_state` and `liveliness`, and what is counted for them: see core/worth.py, core/saving.py and
-- core/fairness.py.

-- name: policy_state
-- What was counted last.
SELECT counted_at, videos, root_gains, root_relative, peak, slots, readings, moved FROM policy_state;

-- name: policy_sums
-- The sums over all videos that are not gone: rows by their columns, chunks as they were at their last read. A video
-- gains at least half a view that nobody has seen; one whose gain is not known is counted only.
WITH moment AS MATERIALIZED (
    SELECT date_part('epoch', coalesce(%(now)s::timestamptz, now())) AS seconds
), rows AS (
    SELECT w.views, greatest(
        w.gain_per_hour,
        0.5 / greatest((moment.seconds - date_part('epoch', w.last_tracked_at)) / 3600, 1.0)
    ) + CASE WHEN w.gain_per_hour IS NULL OR w.last_tracked_at IS NULL THEN NULL ELSE 0.0 END AS gain
    FROM watchlist AS w CROSS JOIN moment
    WHERE w.gone_at IS NULL
), parts AS (
    SELECT count(*) AS videos, sum(sqrt(gain)) FILTER (WHERE views IS NOT NULL) AS root_gains,
           sum(sqrt(gain / (views + 10))) AS root_relative
    FROM rows
    UNION ALL
    SELECT sum(videos), sum(root_gains::float8), sum(root_relative::float8) FROM roster WHERE NOT gone
)
SELECT coalesce(sum(videos), 0)::bigint AS videos, coalesce(sum(root_gains), 0) AS root_gains,
       coalesce(sum(root_relative), 0) AS root_relative
FROM parts;

-- name: keep_policy_state
-- Remember what was counted, in the place of what was there.
INSERT INTO policy_state (counted_at, videos, root_gains, root_relative, peak, slots, readings, moved)
VALUES (
    %(counted_at)s, %(videos)s, %(root_gains)s, %(root_relative)s, %(peak)s, %(slots)s, %(readings)s, %(moved)s
)
ON CONFLICT (singleton) DO UPDATE
SET counted_at = excluded.counted_at, videos = excluded.videos, root_gains = excluded.root_gains,
    root_relative = excluded.root_relative, peak = excluded.peak, slots = excluded.slots,
    readings = excluded.readings, moved = excluded.moved;

-- name: liveliness_count
-- By how much they gain, the watchlist's videos that are not gone: how many, the means of their tiers' intervals and of
-- those that the policy gives them, and how old their newest counts are together. Class -1: what they gain is not known.
-- The own interval is that of core/worth.py; a function of its own would take five times as long.
WITH moment AS MATERIALIZED (
    SELECT date_part('epoch', coalesce(%(now)s::timestamptz, now())) AS seconds
), rows AS (
    SELECT w.views, w.gain_per_hour::float8 AS gain,
           CASE w.tracking_tier WHEN 'HOURLY' THEN 1 WHEN 'DAILY' THEN 24 ELSE 168 END::float8 AS tier_hours,
           %(by_gain)s::float8 + %(by_relative)s::float8 / sqrt((w.views + 10)::float8) AS by_root,
           (moment.seconds - date_part('epoch', w.last_tracked_at)) / 3600 AS age
    FROM watchlist AS w CROSS JOIN moment
    WHERE w.gone_at IS NULL
), waits AS (
    SELECT CASE WHEN views IS NULL OR gain IS NULL THEN -1
                ELSE width_bucket(gain * 24, %(borders)s::float8[]) END AS class,
           tier_hours, age,
           CASE
               WHEN views IS NOT NULL AND gain IS NULL THEN tier_hours
               WHEN %(in_turn)s::float8 = 'Infinity' OR by_root = 'Infinity' THEN 0
               WHEN views IS NULL OR gain IS NULL THEN 1 / nullif(%(in_turn)s::float8, 0)
               ELSE least(
                   1 / nullif(by_root * sqrt(gain) + %(in_turn)s::float8, 0),
                   (1 / nullif(
                       by_root * sqrt(0.5::float8) / 2 + sqrt(by_root * by_root / 8 + %(in_turn)s::float8), 0
                   )) ^ 2
               )
           END AS own_hours
    FROM rows
)
SELECT class, count(*) AS videos, sum(tier_hours) AS planned_hours,
       sum(greatest(
           least(own_hours, %(longest_hours)s::float8), coalesce(%(shortest_hours)s::float8, tier_hours)
       )) AS interval_hours,
       sum(age) AS age_hours, count(age) AS read
FROM waits
GROUP BY class
ORDER BY class;

-- name: liveliness
-- What was counted last.
SELECT class, videos, planned_hours, interval_hours, age_hours, policy, counted_at FROM liveliness ORDER BY class;

-- name: liveliness_forget
-- Make room for what was counted now.
DELETE FROM liveliness;

-- name: liveliness_keep
-- Keep what was counted, by class.
INSERT INTO liveliness (class, videos, planned_hours, interval_hours, age_hours, policy, counted_at)
SELECT class, videos, planned_hours, interval_hours, age_hours, %(policy)s, %(counted_at)s
FROM unnest(
    %(class)s::smallint[], %(videos)s::bigint[], %(planned_hours)s::float8[], %(interval_hours)s::float8[],
    %(age_hours)s::float8[]
) AS new (class, videos, planned_hours, interval_hours, age_hours)
ON CONFLICT (class) DO UPDATE
SET videos = excluded.videos, planned_hours = excluded.planned_hours, interval_hours = excluded.interval_hours,
    age_hours = excluded.age_hours, policy = excluded.policy, counted_at = excluded.counted_at;
