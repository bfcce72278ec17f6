-- The table `coverage`: slots served, missed and skipped, by hour and tier. See core/coverage.py for what that means.

-- name: add_coverage
-- Add to what was counted before. In the order of the hours, so that two transactions wait for each other instead of
-- for ever. Hours that the janitor would delete tonight are left out.
INSERT INTO coverage AS c (hour, tier, served, missed, skipped)
SELECT hour, tier, served, missed, skipped
FROM unnest(
    %(hour)s::timestamptz[], %(tier)s::text[], %(served)s::integer[], %(missed)s::integer[], %(skipped)s::integer[]
) AS new (hour, tier, served, missed, skipped)
WHERE hour > now() - %(keep)s::interval
ORDER BY hour, tier
ON CONFLICT (hour, tier) DO UPDATE
SET served = c.served + excluded.served, missed = c.missed + excluded.missed, skipped = c.skipped + excluded.skipped;

-- name: coverage_begins
-- The first hour of which anything is known; null where nothing is.
SELECT min(hour) FROM coverage;

-- name: coverage_hours
-- What is known of the hours of a range.
SELECT hour, tier, served, missed, skipped FROM coverage
WHERE hour >= %(start)s::timestamptz AND hour < %(end)s::timestamptz
ORDER BY hour, tier;

-- name: coverage_forget
-- Drop hours long past.
DELETE FROM coverage WHERE hour < coalesce(%(now)s::timestamptz, now()) - %(keep)s::interval;

-- name: coverage_overdue_rows
-- Of the watchlist's due videos the slots that nobody has served yet, from the first one to the last before `until`,
-- by their numbers (1 to 24 at so many hours, 25 to 30 at two to seven days, then weeks from two on) and by the hour
-- of the first. All of a video's slots lie equally many minutes past the hour. A slot was counted when the row got its
-- next time, which is the slot after it; of a row that waits for a start, those up to its last reading were; and of one
-- that was put off since YouTube was at fault when it was missed, those before the one in which it was asked for.
-- `left_out`: whether the video's index has not reached the threshold yet (core/worth.py), so that it waits on purpose.
-- Videos without a known anchor, and those that are promoted and older than a week, count by the interval of their tier
-- from their next time on.
-- In whole seconds since 1970, since timestamps and numerics take ten times as long for a million rows.
WITH waiting AS (
    SELECT tracking_tier, promoted_until IS NOT NULL AS promoted, NULL::bigint AS put_off_at,
           floor(date_part('epoch', anchor_at))::bigint AS anchor,
           floor(date_part('epoch', next_track_at))::bigint AS due,
           floor(date_part('epoch', last_tracked_at))::bigint AS last, awaits_start,
           %(threshold)s::float8 > 0 AND reading_index(
               (date_part('epoch', %(until)s::timestamptz) - date_part('epoch', last_tracked_at)) / 3600, 0, views,
               gain_per_hour, %(by_gain)s::float8, %(by_relative)s::float8, %(in_turn)s::float8,
               %(longest_hours)s::float8
           ) < %(threshold)s::float8 AS left_out
    FROM watchlist
    WHERE tracking_tier IN ('HOURLY', 'DAILY', 'WEEKLY') AND next_track_at <= %(until)s::timestamptz
      AND first_missed_at IS NULL
    UNION ALL
    SELECT tracking_tier, FALSE, floor(date_part('epoch', first_missed_at))::bigint,
           floor(date_part('epoch', anchor_at))::bigint, floor(date_part('epoch', next_track_at))::bigint,
           floor(date_part('epoch', last_tracked_at))::bigint, TRUE, FALSE
    FROM watchlist
    WHERE first_missed_at IS NOT NULL AND coalesce(missed_count, 0) = 0 AND gone_at IS NULL AND anchor_at IS NOT NULL
), aged AS (
    SELECT tracking_tier, promoted, anchor, due, left_out,
           CASE WHEN awaits_start THEN coalesce(last, anchor) ELSE greatest(last, due - 1) END - anchor AS before,
           coalesce(put_off_at, anchor) - anchor AS asked,
           floor(date_part('epoch', %(until)s::timestamptz))::bigint - anchor AS age
    FROM waiting
), numbered AS MATERIALIZED (
    SELECT anchor, left_out,
           greatest(
               1 + greatest(least(before / 3600, 24), 0) + greatest(least(before / 86400 - 1, 6), 0)
               + greatest(before / 604800 - 1, 0),
               greatest(least(asked / 3600, 24), 0) + greatest(least(asked / 86400 - 1, 6), 0)
               + greatest(asked / 604800 - 1, 0)
           ) AS first_slot,
           greatest(least(age / 3600, 24), 0) + greatest(least(age / 86400 - 1, 6), 0)
           + greatest(age / 604800 - 1, 0) AS last_slot
    FROM aged
    WHERE anchor IS NOT NULL AND NOT (promoted AND before >= 604799)
), placed AS (
    SELECT left_out, first_slot, last_slot, anchor + 3600 * CASE
               WHEN first_slot <= 24 THEN first_slot
               WHEN first_slot <= 30 THEN (first_slot - 23) * 24
               ELSE (first_slot - 29) * 168 END AS slot
    FROM numbered
    WHERE first_slot <= last_slot
), grouped AS (
    SELECT NULL AS tier, slot / 3600 AS hour, first_slot, last_slot, slot %% 3600 = 0 AS on_the_hour, left_out,
           count(*) AS videos
    FROM placed
    GROUP BY 2, 3, 4, 5, 6
    UNION ALL
    SELECT tracking_tier, due / 3600, 1, CASE WHEN anchor IS NULL THEN 1 ELSE 1 + (anchor + age - due) / 86400 END,
           TRUE, left_out, count(*)
    FROM aged
    WHERE anchor IS NULL OR (promoted AND before >= 604799)
    GROUP BY 1, 2, 4, 6
)
SELECT tier, to_timestamp(hour * 3600) AS hour, first_slot::integer, last_slot::integer, on_the_hour, left_out,
       videos
FROM grouped;

-- name: coverage_overdue_chunks
-- The weekly slots of due chunks: of the videos that were not asked for yet from the slot that is due on (where YouTube
-- was at fault, from the slot of the first such read), and of the others those since they were asked for.
WITH due AS (
    SELECT videos, waiting, last_tracked_at, INTERVAL '1 hour' * hour_of_week + TIMESTAMPTZ '1970-01-01 00:00+00' AS zero,
           coalesce(outage_since, next_track_at) AS since
    FROM (
        SELECT *, CASE WHEN cursor = 0 THEN videos
            ELSE ids - cursor - (SELECT count(*) FROM unnest(removed_positions) AS d (place) WHERE d.place >= cursor)
        END AS waiting
        FROM roster
        WHERE NOT gone AND (next_track_at <= %(until)s::timestamptz OR outage_since IS NOT NULL)
    ) AS r
), pending AS (
    SELECT waiting AS videos, zero + INTERVAL '7 days' * floor(date_part('epoch', since - zero) / 604800) AS slot
    FROM due
    UNION ALL
    SELECT videos - waiting,
           zero + INTERVAL '7 days' * (1 + floor(date_part('epoch', greatest(last_tracked_at, since) - zero) / 604800))
    FROM due
    WHERE waiting < videos AND last_tracked_at IS NOT NULL
)
SELECT 'WEEKLY' AS tier, slot AS hour, 1 AS first_slot,
       (1 + floor(date_part('epoch', %(until)s::timestamptz - slot) / 604800))::integer AS last_slot,
       TRUE AS on_the_hour, sum(videos)::bigint AS videos
FROM pending
WHERE slot <= %(until)s::timestamptz
GROUP BY slot;
