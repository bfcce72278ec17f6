-- What every subject needs: the clock, bounds on transactions, the schema's version.

-- name: database_now
-- The database's clock, which decides what is due.
SELECT clock_timestamp() AS now;

-- name: claim_limits
-- Bounds on how long a claim may hold its rows, for this transaction only: the session may come from a pooler.
SELECT set_config('idle_in_transaction_session_timeout', %(milliseconds)s::text, true),
       set_config('statement_timeout', %(milliseconds)s::text, true),
       set_config('client_connection_check_interval', '10s', true),
       set_config('tcp_keepalives_idle', '30', true),
       set_config('tcp_keepalives_interval', '10', true),
       set_config('tcp_keepalives_count', '3', true);

-- name: statement_limit
-- Bound every statement of this transaction.
SELECT set_config('statement_timeout', %(milliseconds)s::text, true);

-- name: lock_schema
-- One process at a time changes the schema; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(hashtext('ghost_tracking.schema'));

-- name: has_schema_version
-- Whether the schema's version table is there.
SELECT to_regclass('ghost_schema_version') IS NOT NULL AS present;

-- name: schema_version
-- The version of the schema; null in a database without it.
SELECT version_num FROM ghost_schema_version;
