-- How far sources have been hunted, and what of them could not be had.

-- name: watermarks
-- How far each of these sources has been hunted, never beyond now, whatever somebody's clock once said; whether it
-- never has been; and up to when it was asked, which is more than its watermark where answers have no video.
SELECT source, least(watermark, now()) AS watermark, watermark IS NOT DISTINCT FROM begun_at AS is_new,
       least(greatest(watermark, asked_until), now()) AS asked_until
FROM hunter_watermarks
WHERE source = ANY(%(sources)s::text[]);

-- name: begin_watermarks
-- Where the hunt of a new source begins; a source that is known keeps its watermark. A run that began earlier, and was
-- held up, begins it earlier: what lies in between would be nobody's.
INSERT INTO hunter_watermarks AS w (source, watermark, begun_at)
SELECT source, least(%(start)s::timestamptz, now()), least(%(start)s::timestamptz, now())
FROM unnest(%(sources)s::text[]) AS u (source)
ORDER BY source
ON CONFLICT (source) DO UPDATE
SET watermark = excluded.watermark, begun_at = excluded.begun_at
WHERE excluded.begun_at < w.begun_at;

-- name: advance_watermarks
-- A source has been hunted up to here; a watermark never goes back, but from the future, which nobody has hunted. Nor
-- does it leap over what lies before `since`, from where on this was hunted (null: from anywhere on).
INSERT INTO hunter_watermarks AS w (source, watermark, asked_until)
SELECT u.source, least(u.watermark, now()), CASE WHEN u.asked_until <= now() THEN u.asked_until END
FROM unnest(
    %(sources)s::text[], %(until)s::timestamptz[], %(since)s::timestamptz[], %(asked)s::timestamptz[]
) AS u (source, watermark, since, asked_until)
LEFT JOIN hunter_watermarks AS known ON known.source = u.source
WHERE u.since IS NULL OR known.source IS NULL OR known.watermark >= u.since
ORDER BY u.source
ON CONFLICT (source) DO UPDATE
SET watermark = CASE
    WHEN w.watermark > now() THEN excluded.watermark
    ELSE greatest(w.watermark, excluded.watermark)
END, asked_until = greatest(CASE WHEN w.asked_until <= now() THEN w.asked_until END, excluded.asked_until);

-- name: note_gap
-- A window of a source that could not be had whole. One that begins where another of the same kind ends makes it
-- longer.
WITH longer AS (
    UPDATE discovery_gaps SET ends_at = greatest(ends_at, %(ends_at)s::timestamptz), noted_at = now()
    WHERE source = %(source)s AND reason = %(reason)s
      AND starts_at <= %(starts_at)s::timestamptz AND ends_at >= %(starts_at)s::timestamptz
    RETURNING source
)
INSERT INTO discovery_gaps (source, label, starts_at, ends_at, reason)
SELECT %(source)s, %(label)s, %(starts_at)s::timestamptz, %(ends_at)s::timestamptz, %(reason)s
WHERE NOT EXISTS (SELECT FROM longer)
ON CONFLICT DO NOTHING;

-- name: gaps
-- Windows of sources that could not be had whole, those noted last first.
SELECT source, label, starts_at, ends_at, reason, noted_at
FROM discovery_gaps
WHERE noted_at >= now() - %(within)s::interval
ORDER BY noted_at DESC, source, starts_at
LIMIT %(limit)s;

-- name: forget_old_gaps
-- Drop what was noted long ago.
DELETE FROM discovery_gaps WHERE noted_at < now() - INTERVAL '90 days';
