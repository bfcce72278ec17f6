-- Gaps: two observations of a video, one after the other, with at least one slot between them that has none.
--
--   SET VARIABLE since = TIMESTAMPTZ '2026-11-23 00:00:00+00';    null (not set): from the first on
--   SET VARIABLE until = TIMESTAMPTZ '2026-11-24 00:00:00+00';    null: up to the last; this moment is not included
--
-- Slots lie at the ages 1 h, 2 h … 24 h, 2 d … 7 d, 14 d, 21 d and so on, counted from the publish time that the later
-- observation tells, its whole second; without one no gap can be told. An observation stands for the slots up to it,
-- so of those between two observations the later one stands for one, and the others are missed.
--
-- video_id, gap_from, gap_to (the two observations), hours (between them), missed (slots without an observation).
-- The most missed come first, then by video_id and time. Not a gap: that a video is not observed any more.
-- Load ghost.sql before.
WITH steps AS (
    SELECT video_id, lag(timestamp) OVER (PARTITION BY video_id ORDER BY timestamp) AS gap_from,
           timestamp AS gap_to, epoch_us(published_at) // 1000000 * 1000000 AS anchor
    FROM points_between(getvariable('since')::TIMESTAMPTZ, getvariable('until')::TIMESTAMPTZ)
)
SELECT video_id, gap_from, gap_to, (epoch_us(gap_to) - epoch_us(gap_from)) / 3.6e9::DOUBLE AS hours,
       slots_by(epoch_us(gap_to) - anchor) - slots_by(epoch_us(gap_from) - anchor) - 1 AS missed
FROM steps
WHERE gap_from IS NOT NULL AND anchor IS NOT NULL AND missed > 0
ORDER BY missed DESC, video_id, gap_from;
