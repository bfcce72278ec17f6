-- The vault in DuckDB (1.3 or newer): load it once, then ask `points`, `history('…')`, `latest` and the others below.
--
--     SET VARIABLE vault = '/data/vault';
--     .read include/queries/duckdb/ghost.sql
--
-- and from Python
--
--     con.execute("SET VARIABLE vault = '/data/vault'")
--     con.execute(open("include/queries/duckdb/ghost.sql").read())
--
--   points                         every point once, whichever layer it lies in: the six columns, and `date`
--   points_between(since, until)   the points of [since, until), null being open; reads only the files of that time
--   history(video)                 one video by time, from its history: milliseconds
--   latest                         the newest point of every video, without reading its history
--   metrics                        what lies under metrics/, one file an hour, with `date` and `hour` of its path
--   history_points                  what is compacted into history/, decoded
--   history_files                   the files of the history that are in force
--   videos                         titles, tags, channels …, one row a video
--   discoveries                    which source named which video, and in which place: one row a day, with its `date`
--
-- Times are UTC, and the session's time zone is set to it. Which files there are is looked up when this file is
-- loaded: load it again to see newer ones, and when a query says that a file is gone. Everything it makes is temporary.
--
-- A vault of years has tens of thousands of hourly files, and looking them up takes seconds. Where you ask about recent
-- hours and about single videos,
--
--     SET VARIABLE hours_since = DATE '2026-11-01';
--
-- before loading looks up those of this day and later ones alone; older points are found in the history. What stands in
-- hourly files alone is found if it is younger than the oldest compacted day.

SET TimeZone = 'UTC';
SET VARIABLE ghost_root = rtrim(coalesce(getvariable('vault')::VARCHAR, 'vault'), '/');

-- Text. The query that reads these files, or that reads an empty table where there is none; and that of their rows.
CREATE OR REPLACE TEMP MACRO ghost_list(files) AS '[' || array_to_string(
    list_transform(files, lambda file: '''' || replace(file, '''', '''''') || ''''), ', ') || ']';
CREATE OR REPLACE TEMP MACRO ghost_reading(files, nothing) AS
    CASE WHEN coalesce(len(files), 0) = 0 THEN 'FROM ' || nothing
         ELSE 'FROM read_parquet(' || ghost_list(files) || ')' END;
CREATE OR REPLACE TEMP MACRO ghost_counting(files) AS
    CASE WHEN coalesce(len(files), 0) = 0 THEN 'FROM ghost_no_footers'
         ELSE 'SELECT file_name, num_rows FROM parquet_file_metadata(' || ghost_list(files) || ')' END;
CREATE OR REPLACE TEMP TABLE ghost_no_footers (file_name VARCHAR, num_rows BIGINT);
CREATE OR REPLACE TEMP TABLE ghost_no_points (
    video_id VARCHAR, timestamp TIMESTAMPTZ, views BIGINT, likes BIGINT, comments BIGINT, published_at TIMESTAMPTZ,
    date DATE, hour VARCHAR
);
CREATE OR REPLACE TEMP TABLE ghost_no_segments (
    video_id VARCHAR, published_second BIGINT, published_microsecond INTEGER, last_second BIGINT,
    last_microsecond INTEGER, last_views BIGINT, last_likes BIGINT, last_comments BIGINT, seconds_to_next BIGINT[],
    views_to_next BIGINT[], likes_to_next BIGINT[], comments_to_next BIGINT[], microseconds INTEGER[]
);
CREATE OR REPLACE TEMP TABLE ghost_no_videos (
    video_id VARCHAR, title VARCHAR, published_at TIMESTAMPTZ, tags VARCHAR[], channel_id VARCHAR,
    channel_title VARCHAR, category_id VARCHAR, duration_seconds BIGINT, default_language VARCHAR, description VARCHAR,
    discovered_at TIMESTAMPTZ, other VARCHAR, archived_at TIMESTAMPTZ, search VARCHAR
);
CREATE OR REPLACE TEMP TABLE ghost_no_discoveries (
    video_id VARCHAR, source_kind VARCHAR, source_key VARCHAR, region VARCHAR, language VARCHAR, category_id VARCHAR,
    within_channel_id VARCHAR, rank INTEGER, page INTEGER, named_at TIMESTAMPTZ, run_id VARCHAR, date DATE
);

-- Manifests: which files are in force. Where there is none, nothing is.
CREATE OR REPLACE TEMP MACRO ghost_manifest(layer) AS TABLE
    SELECT coalesce(any_value(content), '{}') AS content
    FROM (SELECT NULL::VARCHAR AS content UNION ALL SELECT content FROM query(
        CASE WHEN len(list_filter(getvariable('ghost_manifests'), lambda file: file LIKE '%/' || layer || '/%')) = 0
             THEN 'SELECT NULL::VARCHAR AS content'
             ELSE 'SELECT content FROM read_text(''' || replace(getvariable('ghost_root'), '''', '''''')
                  || '/' || layer || '/manifest.json'')' END));
SET VARIABLE ghost_manifests = (SELECT coalesce(list(file), []) FROM (
    FROM glob(getvariable('ghost_root') || '/history/manifest.json')
    UNION ALL FROM glob(getvariable('ghost_root') || '/videos/manifest.json')));
SET VARIABLE ghost_history_manifest = (SELECT content FROM ghost_manifest('history'));
SET VARIABLE ghost_videos = (
    SELECT coalesce(list(getvariable('ghost_root') || '/videos/' || name), [])
    FROM (SELECT unnest(from_json(coalesce(content::JSON -> 'files', '[]'), '[{"name": "VARCHAR"}]'), recursive := true)
          FROM ghost_manifest('videos')));

-- Files of the history, and the time [starts, ends) of the day or month that each is of.
CREATE OR REPLACE TEMP TABLE ghost_history AS
    SELECT getvariable('ghost_root') || '/' || path AS file, period, points, bytes, first AS first_id, last AS last_id,
           strptime(left(period || '-01', 10), '%Y-%m-%d') AS starts,
           starts + CASE WHEN len(period) = 7 THEN INTERVAL 1 MONTH ELSE INTERVAL 1 DAY END AS ends
    FROM (SELECT unnest(from_json(coalesce(getvariable('ghost_history_manifest')::JSON -> 'files', '[]'),
                 '[{"path": "VARCHAR", "period": "VARCHAR", "points": "BIGINT", "bytes": "BIGINT", "first": "VARCHAR",
                    "last": "VARCHAR"}]'), recursive := true));

-- Hours with parts that are not proven to be in their published files; and the days of all hours that may have more than
-- the history has.
CREATE OR REPLACE TEMP TABLE ghost_staged AS
    SELECT DISTINCT regexp_extract(file, 'date=[0-9-]{10}/hour=[0-9]{2}') AS name
    FROM glob(getvariable('ghost_root') || '/_staging/parts/*/*/*') WHERE suffix(file, '.part') OR suffix(file, '.parquet');
CREATE OR REPLACE TEMP TABLE ghost_changed_hours AS
    SELECT unnest(from_json(coalesce(getvariable('ghost_history_manifest')::JSON -> 'stale', '[]'), '["VARCHAR"]')) AS name
    UNION FROM ghost_staged;
-- Where hourly files are looked up: everywhere; or on the days from `hours_since` on, and on older ones that the history
-- does not have, or not all of.
CREATE OR REPLACE TEMP TABLE ghost_days AS
    SELECT unnest(json_keys(getvariable('ghost_history_manifest'), '$.days')) AS day;
SET VARIABLE ghost_hour_globs = (
    SELECT CASE WHEN getvariable('hours_since') IS NULL OR NOT EXISTS (FROM ghost_days)
                THEN [getvariable('ghost_root') || '/metrics/*/*/stats.parquet']
                ELSE list(getvariable('ghost_root') || '/metrics/date=' || day || '/*/stats.parquet') END
    FROM (
        SELECT strftime(unnest(generate_series(
            least(getvariable('hours_since')::TIMESTAMP, (SELECT min(day)::TIMESTAMP FROM ghost_days)),
            (now() + INTERVAL 1 DAY)::TIMESTAMP, INTERVAL 1 DAY)), '%Y-%m-%d') AS day
        UNION SELECT name[6:15] FROM ghost_changed_hours
    )
    WHERE day >= strftime(getvariable('hours_since')::TIMESTAMP, '%Y-%m-%d')
       OR day NOT IN (FROM ghost_days) OR day IN (SELECT name[6:15] FROM ghost_changed_hours));

-- Every hour that the vault knows. `file`: under metrics/. `history_points`: so many of it are in the history; null for
-- a day that is not compacted. `is_stale`: its file may have points that the history lacks. `is_compacted_only`: its file was given up.
CREATE OR REPLACE TEMP TABLE ghost_known AS
    WITH compacted AS (
        SELECT key AS date, from_json(value, '{"rows": ["BIGINT"], "compacted_only": ["BIGINT"]}') AS day
        FROM json_each(getvariable('ghost_history_manifest'), '$.days')
    ), compacted_hours AS (
        SELECT 'date=' || date || '/hour=' || format('{:02d}', hour) AS name, day.rows[hour + 1] AS history_points,
               coalesce(list_contains(day.compacted_only, hour), false) AS is_compacted_only
        FROM compacted, range(24) hours(hour)
    ), files AS (
        SELECT regexp_extract(file, 'date=[0-9-]{10}/hour=[0-9]{2}') AS name, any_value(file) AS file
        FROM glob(getvariable('ghost_hour_globs')) GROUP BY name
    )
    SELECT name, strptime(name, 'date=%Y-%m-%d/hour=%H') AS starts, file, history_points,
           history_points IS NOT NULL AND name IN (FROM ghost_changed_hours) AS is_stale, coalesce(is_compacted_only, false) AS is_compacted_only
    FROM compacted_hours FULL JOIN files USING (name)
    WHERE name <> '';
-- How many points the files have for which the history could stand: a footer each, a tenth of a millisecond.
SET VARIABLE ghost_to_count = (
    SELECT coalesce(list(file), []) FROM ghost_known
    WHERE file IS NOT NULL AND history_points > 0 AND NOT is_stale AND NOT is_compacted_only);
-- The same hours. `is_changed`: the file does not have all points of its hour, but perhaps some that the history lacks: it
-- is stale, or has fewer points than the history. `is_whole`: it has all.
CREATE OR REPLACE TEMP TABLE ghost_hours AS
    SELECT name, starts, file, history_points,
           is_stale OR coalesce(num_rows < history_points, false) AS is_changed,
           file IS NOT NULL AND NOT is_changed AND NOT is_compacted_only AS is_whole
    FROM ghost_known LEFT JOIN query(ghost_counting(getvariable('ghost_to_count'))) AS footers ON file_name = file;

-- The same as lists, since read_parquet takes its files from nowhere else: `f` the file, of the time from `s` to `e`.
SET VARIABLE ghost_metrics = (SELECT coalesce(list(file ORDER BY name), []) FROM ghost_hours WHERE file IS NOT NULL);
SET VARIABLE ghost_hot = (
    SELECT coalesce(list(file ORDER BY name), []) FROM ghost_hours WHERE file IS NOT NULL AND history_points IS NULL);
SET VARIABLE ghost_whole = (
    SELECT coalesce(list({f: file, s: starts, e: starts + INTERVAL 1 HOUR} ORDER BY name), [])
    FROM ghost_hours WHERE is_whole);
SET VARIABLE ghost_changed = (
    SELECT coalesce(list({f: file, s: starts, e: starts + INTERVAL 1 HOUR} ORDER BY name), [])
    FROM ghost_hours WHERE is_changed AND file IS NOT NULL);
SET VARIABLE ghost_segments = (
    SELECT coalesce(list({f: file, s: starts, e: ends, a: first_id, z: last_id} ORDER BY file), []) FROM ghost_history);
-- Those with points of hours that have no whole file under metrics/, and those of the time of changed hours.
CREATE OR REPLACE TEMP TABLE ghost_lacking AS
    SELECT epoch_us(starts) // 3600000000 AS hour, starts FROM ghost_hours WHERE history_points > 0 AND NOT is_whole;
SET VARIABLE ghost_lacking = (
    SELECT coalesce(list({f: file, s: starts, e: ends} ORDER BY file), []) FROM ghost_history
    WHERE EXISTS (FROM ghost_lacking lacking WHERE lacking.starts >= ghost_history.starts AND lacking.starts < ends));
SET VARIABLE ghost_beside_changed = (
    SELECT coalesce(list({f: file, s: starts, e: ends} ORDER BY file), []) FROM ghost_history
    WHERE EXISTS (FROM ghost_hours hours WHERE is_changed AND hours.file IS NOT NULL
                  AND hours.starts >= ghost_history.starts AND hours.starts < ends));

-- What was read is of one moment, or says so.
SET VARIABLE ghost_checked = (
    SELECT CASE WHEN content <> getvariable('ghost_history_manifest')
           THEN error('The vault was compacted while ghost.sql looked at it: load it again') END
    FROM ghost_manifest('history'));

-- A segment's lists as values: a count is the last one, which has no element, less all that was gained after it.
CREATE OR REPLACE TEMP MACRO ghost_counts(final, gains) AS list_append(list_transform(gains, lambda gain, i:
    CASE WHEN gain IS NOT NULL THEN (coalesce(final, 0) - list_sum(gains[i:]))::BIGINT END), final);
CREATE OR REPLACE TEMP MACRO ghost_time(second, fraction) AS
    make_timestamptz((second * 1000000 + coalesce(fraction, 0))::BIGINT);
CREATE OR REPLACE TEMP MACRO ghost_times(final, steps, fractions) AS list_append(list_transform(steps, lambda step, i:
    ghost_time(final - list_sum(steps[i:]), fractions[i])), ghost_time(final, fractions[-1]));

-- Of a list of files those that meet [since, until), and those that may hold a video.
CREATE OR REPLACE TEMP MACRO ghost_within(files, since, until) AS list_transform(list_filter(files, lambda each:
    coalesce(each['e'] > since::TIMESTAMPTZ AT TIME ZONE 'UTC', true)
    AND coalesce(each['s'] < until::TIMESTAMPTZ AT TIME ZONE 'UTC', true)), lambda each: each['f']);
CREATE OR REPLACE TEMP MACRO ghost_holding(files, video) AS list_transform(list_filter(files, lambda each:
    video BETWEEN each['a'] AND each['z']), lambda each: each['f']);

-- The points of files of the history.
CREATE OR REPLACE TEMP MACRO ghost_decode(files) AS TABLE
    SELECT video_id,
           unnest(ghost_times(last_second, seconds_to_next, microseconds)) AS timestamp,
           unnest(ghost_counts(last_views, views_to_next)) AS views,
           unnest(ghost_counts(last_likes, likes_to_next)) AS likes,
           unnest(ghost_counts(last_comments, comments_to_next)) AS comments,
           ghost_time(published_second, published_microsecond) AS published_at
    FROM query(ghost_reading(files, 'ghost_no_segments'));
-- The points of files of hours.
CREATE OR REPLACE TEMP MACRO ghost_plain(files) AS TABLE
    SELECT video_id, timestamp, views, likes, comments, published_at
    FROM query(ghost_reading(files, 'ghost_no_points'));

CREATE OR REPLACE TEMP VIEW history_files AS FROM ghost_history ORDER BY period, first_id;
CREATE OR REPLACE TEMP VIEW history_points AS FROM ghost_decode(ghost_within(getvariable('ghost_segments'), NULL, NULL));
CREATE OR REPLACE TEMP VIEW metrics AS FROM query(ghost_reading(getvariable('ghost_metrics'), 'ghost_no_points'));
CREATE OR REPLACE TEMP VIEW videos AS FROM query(ghost_reading(getvariable('ghost_videos'), 'ghost_no_videos'));
SET VARIABLE ghost_discoveries = (
    SELECT coalesce(list(file ORDER BY file), [])
    FROM glob(getvariable('ghost_root') || '/discoveries/*/discoveries.parquet'));
CREATE OR REPLACE TEMP VIEW discoveries AS
    FROM query(ghost_reading(getvariable('ghost_discoveries'), 'ghost_no_discoveries'));

-- Hours of metrics/, where it has them whole; the history's points of all other hours; and of changed hours, which are
-- among those, what their files have beyond the history.
CREATE OR REPLACE TEMP MACRO points_between(since, until) AS TABLE
    FROM (
        SELECT video_id, timestamp, views, likes, comments, published_at, date
        FROM query(ghost_reading(ghost_within(getvariable('ghost_whole'), since, until), 'ghost_no_points'))
        UNION ALL
        SELECT *, (timestamp AT TIME ZONE 'UTC')::DATE
        FROM ghost_decode(ghost_within(getvariable('ghost_lacking'), since, until))
        WHERE epoch_us(timestamp) // 3600000000 IN (SELECT hour FROM ghost_lacking)
        UNION ALL
        SELECT *, (timestamp AT TIME ZONE 'UTC')::DATE
        FROM ghost_plain(ghost_within(getvariable('ghost_changed'), since, until))
        ANTI JOIN ghost_decode(ghost_within(getvariable('ghost_beside_changed'), since, until))
            USING (video_id, timestamp)
    ) WHERE (since IS NULL OR timestamp >= since::TIMESTAMPTZ) AND (until IS NULL OR timestamp < until::TIMESTAMPTZ);
CREATE OR REPLACE TEMP VIEW points AS FROM points_between(NULL, NULL);

-- The history of compacted days, hours of other days, and what changed hours have beyond the history.
CREATE OR REPLACE TEMP MACRO history(video) AS TABLE
    WITH compacted AS MATERIALIZED (
        FROM ghost_decode(ghost_holding(getvariable('ghost_segments'), video)) WHERE video_id = video
    )
    FROM compacted
    UNION ALL
    FROM ghost_plain(getvariable('ghost_hot')) WHERE video_id = video
    UNION ALL
    SELECT changed.* FROM ghost_plain(ghost_within(getvariable('ghost_changed'), NULL, NULL)) AS changed
    ANTI JOIN compacted USING (video_id, timestamp) WHERE video_id = video
    ORDER BY timestamp;

-- The last columns of segments, and the hours that the history lacks. Of points of one moment that of the history stands.
CREATE OR REPLACE TEMP VIEW latest AS
    SELECT video_id, unnest(max_by(
        {timestamp: timestamp, views: views, likes: likes, comments: comments, published_at: published_at},
        {timestamp: timestamp, is_compacted: is_compacted}))
    FROM (
        SELECT video_id, ghost_time(last_second, last_microsecond) AS timestamp, last_views AS views,
               last_likes AS likes, last_comments AS comments,
               ghost_time(published_second, published_microsecond) AS published_at, true AS is_compacted
        FROM query(ghost_reading(ghost_within(getvariable('ghost_segments'), NULL, NULL), 'ghost_no_segments'))
        UNION ALL SELECT *, false FROM ghost_plain(getvariable('ghost_hot'))
        UNION ALL SELECT *, false FROM ghost_plain(ghost_within(getvariable('ghost_changed'), NULL, NULL))
    ) GROUP BY video_id;

-- How many slots of the tiers a video of this age (microseconds) has behind it: hourly until 24 hours, daily until 7
-- days, weekly after.
CREATE OR REPLACE TEMP MACRO slots_by(age) AS
    least(greatest(age, 0) // 3600000000, 24)
    + greatest(least(greatest(age, 0) // 86400000000, 7) - 1, 0)
    + greatest(greatest(age, 0) // 604800000000 - 1, 0);
