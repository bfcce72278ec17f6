-- The quota ledger: calls a bucket and Pacific day.

-- name: quota_open
-- Make sure that today's ledger has a line for this bucket. Days are Pacific ones, by the database's clock or `now`.
INSERT INTO quota_ledger (bucket, pacific_day)
VALUES (%(bucket)s, (coalesce(%(now)s::timestamptz, clock_timestamp()) AT TIME ZONE 'America/Los_Angeles')::date)
ON CONFLICT DO NOTHING;

-- name: quota_lock
-- The line of a bucket's latest day up to today, locked until the end of the transaction. A bucket that was found empty
-- in the future, by a clock that was wrong, is not.
SELECT pacific_day, spent,
       coalesce(exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()), FALSE) AS exhausted,
       coalesce(
           exhausted_at > coalesce(%(now)s::timestamptz, clock_timestamp()) - INTERVAL '15 minutes'
           AND exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()), FALSE
       ) AS refused, refused_at IS NOT NULL AS useless
FROM quota_ledger
WHERE bucket = %(bucket)s
  AND pacific_day <= (coalesce(%(now)s::timestamptz, clock_timestamp()) AT TIME ZONE 'America/Los_Angeles')::date
ORDER BY pacific_day DESC
LIMIT 1
FOR UPDATE;

-- name: quota_add
-- Put calls down as spent, or take some back that were not sent (a negative number).
UPDATE quota_ledger SET spent = greatest(spent + %(calls)s::integer, 0)
WHERE bucket = %(bucket)s AND pacific_day = %(pacific_day)s;

-- name: quota_exhausted
-- YouTube itself says that this bucket is empty, whatever the ledger holds; or it answers again. Calls that were
-- reserved before others were told that it is empty may have been answered before that too: they prove nothing.
UPDATE quota_ledger
SET exhausted_at = CASE
    WHEN %(exhausted)s THEN coalesce(%(now)s::timestamptz, clock_timestamp())
    WHEN exhausted_at > %(reserved_at)s::timestamptz
         AND exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()) THEN exhausted_at
END
WHERE bucket = %(bucket)s AND pacific_day = %(pacific_day)s;

-- name: quota_today
-- What has been spent of each bucket today; as quota_lock.
SELECT bucket, spent,
       coalesce(exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()), FALSE) AS exhausted,
       coalesce(
           exhausted_at > coalesce(%(now)s::timestamptz, clock_timestamp()) - INTERVAL '15 minutes'
           AND exhausted_at <= coalesce(%(now)s::timestamptz, clock_timestamp()), FALSE
       ) AS refused, refused_at IS NOT NULL AS useless
FROM quota_ledger
WHERE pacific_day = (coalesce(%(now)s::timestamptz, clock_timestamp()) AT TIME ZONE 'America/Los_Angeles')::date;

-- name: quota_refused
-- YouTube refuses the method that this bucket pays for: it is of no use for the rest of today. Changes a row once a
-- day.
UPDATE quota_ledger SET refused_at = coalesce(%(now)s::timestamptz, clock_timestamp())
WHERE bucket = %(bucket)s AND refused_at IS NULL
  AND pacific_day = (coalesce(%(now)s::timestamptz, clock_timestamp()) AT TIME ZONE 'America/Los_Angeles')::date;

-- name: quota_forget
-- Drop the lines of days long past.
DELETE FROM quota_ledger
WHERE pacific_day < (coalesce(%(now)s::timestamptz, now()) AT TIME ZONE 'America/Los_Angeles')::date - 90;
