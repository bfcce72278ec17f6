-- When which alert was sent last.

-- name: alert_due
-- Note that an alert of this kind is sent now, unless one was within the cooldown: then there is no row. One of several
-- tasks that ask at the same time gets one. One that was sent in the future, by a clock that was wrong, silences none;
-- a minute is left to tasks that have waited for each other.
INSERT INTO alerts AS a (kind, sent_at) VALUES (%(kind)s, coalesce(%(now)s::timestamptz, now()))
ON CONFLICT (kind) DO UPDATE SET sent_at = excluded.sent_at
WHERE a.sent_at <= excluded.sent_at - %(cooldown)s::interval OR a.sent_at > excluded.sent_at + INTERVAL '1 minute'
RETURNING kind;

-- name: alert_over
-- What an alert was about is over: the next one is sent at once.
DELETE FROM alerts WHERE kind = ANY(%(kinds)s::text[]);
