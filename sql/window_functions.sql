-- velostream.tumble(), hop(), cumulate() and their kin: arithmetic, errors, use in plain queries
CREATE SCHEMA winfun;
SET search_path = winfun, public;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';

-- ----------
-- bounds and types
-- ----------
SELECT t, velostream.tumble(t, '5s') AS start, velostream.tumble_end(t, '5s') AS "end"
FROM unnest('{1969-12-31 23:59:54.999999, 1969-12-31 23:59:55, 1969-12-31 23:59:59.999999, 1970-01-01 00:00, 1970-01-01 00:00:04.999999, 1970-01-01 00:00:05, 2024-02-29 12:34:56.789, 0044-03-15 12:00:01 BC, infinity, -infinity}'::timestamp[]) t;
SELECT t, velostream.tumble(t, '1h') AS start, velostream.tumble_start(t, '1h') AS same, velostream.tumble_end(t, '1h') AS "end"
FROM unnest('{1969-12-31 23:59:59.999999+00, 1970-01-01 00:00+00, 1970-01-01 00:59:59.999999+00, 2024-02-29 12:34:56+05:30, infinity, -infinity}'::timestamptz[]) t;
SELECT t, velostream.tumble(t, '7 days') AS start, velostream.tumble_end(t, '7 days') AS "end", velostream.tumble(t, '1 day') = t AS day
FROM unnest('{1969-12-25, 1969-12-31, 1970-01-01, 1970-01-07, 1970-01-08, 2024-02-29, infinity, -infinity}'::date[]) t;
SELECT t, velostream.tumble(t, '5s') AS start, velostream.tumble_end(t, '5s') AS "end"
FROM unnest('{-5001, -5000, -1, 0, 4999, 5000, 1709210096789}'::bigint[]) t;
SELECT velostream.tumble(12345, '1s') AS from_int4, pg_typeof(velostream.tumble(12345, '1s'));
SELECT pg_typeof(velostream.tumble(now(), '1s')) AS a, pg_typeof(velostream.tumble(localtimestamp, '1s')) AS b, pg_typeof(velostream.tumble(current_date, '1 day')) AS c;
-- a size in days and hours
SELECT velostream.tumble('1970-01-02 12:00'::timestamp, '1 day 12:00') AS a, velostream.tumble('1970-01-02 11:59'::timestamp, '1 day 12:00') AS b, velostream.tumble('1970-01-02 12:00'::timestamp, '2 days -12:00') AS c;
-- the bounds of other windows
SELECT velostream.window_end('2024-01-01'::timestamp, '1 day') AS a, velostream.window_end('2024-01-01'::date, '7 days') AS b,
	velostream.window_end(1000::bigint, '5s') AS c, velostream.window_end('infinity'::timestamptz, '1s') AS d, velostream.window_end('-infinity'::date, '1 day') AS e;
SELECT velostream.cumulate_start('2024-01-01 01:00'::timestamp, '1h') AS a, velostream.cumulate_start('2024-01-01 00:01'::timestamp, '1h') AS b,
	velostream.cumulate_start('2024-01-01 01:00:00.000001'::timestamp, '1h') AS c, velostream.cumulate_start(0::bigint, '5s') AS d,
	velostream.cumulate_start('1970-01-08'::date, '7 days') AS e, velostream.cumulate_start('infinity'::timestamptz, '1s') AS f;
-- NULLs
SELECT velostream.tumble(NULL::timestamp, '1s') IS NULL AS a, velostream.tumble(now(), NULL) IS NULL AS b,
	velostream.window_end(NULL::date, '1 day') IS NULL AS c, velostream.cumulate_start(1::bigint, NULL) IS NULL AS d, velostream.session(NULL::date, '1 day') IS NULL AS e,
	(SELECT count(*) FROM velostream.hop(NULL::timestamp, '1s', '1s')) AS f, (SELECT count(*) FROM velostream.cumulate(1::bigint, '1s', NULL)) AS g;

-- ----------
-- daylight saving: windows are in UTC, or of a local time
-- ----------
SET timezone = 'Europe/Berlin';
CREATE TABLE night AS SELECT t FROM generate_series('2024-03-30 23:30+01'::timestamptz, '2024-03-31 04:30+02', '30 min') t
UNION ALL SELECT t FROM generate_series('2024-10-27 01:30+02'::timestamptz, '2024-10-27 03:30+01', '30 min') t;
SELECT t, velostream.tumble(t, '1 day') AS utc_day, velostream.tumble(t AT TIME ZONE 'Europe/Berlin', '1 day') AS local_day, velostream.tumble(t AT TIME ZONE 'Europe/Berlin', '1h') AS local_hour
FROM night ORDER BY t;
SELECT velostream.tumble(t, '1h') AS hour, velostream.window_end(velostream.tumble(t, '1h'), '1h') AS "end", count(*) FROM night GROUP BY 1, 2 ORDER BY 1;
SELECT velostream.tumble(t AT TIME ZONE 'Europe/Berlin', '1h') AS hour, count(*) FROM night GROUP BY 1 ORDER BY 1;
-- 24 hours, also on the days that have 23 and 25
SELECT velostream.window_end('2024-03-31 00:00+01'::timestamptz, '1 day') AS a, velostream.window_end('2024-10-27 00:00+02'::timestamptz, '1 day') AS b;
SET timezone = 'UTC';

-- ----------
-- hop and cumulate
-- ----------
SELECT t, array_agg(to_char(w, 'MI:SS.MS')) AS starts
FROM unnest('{2024-01-01 00:10, 2024-01-01 00:14:59.999999, 1969-12-31 23:59:59.999999}'::timestamp[]) t, velostream.hop(t, '10 min', '5 min') w GROUP BY t ORDER BY t;
SELECT array_agg(w) AS not_a_multiple FROM velostream.hop(10000::bigint, '7s', '3s') w;
SELECT array_agg(w) AS not_a_multiple FROM velostream.hop(-1::bigint, '7s', '3s') w;
SELECT t, array_agg(w) AS with_gaps FROM unnest('{9999, 10000, 11999, 12000}'::bigint[]) t LEFT JOIN velostream.hop(t, '2s', '10s') w ON true GROUP BY t ORDER BY t;
SELECT array_agg(w) AS days FROM velostream.hop('2024-02-29'::date, '3 days', '1 day') w;
SELECT array_agg(w) AS tz FROM velostream.hop('2024-02-29 12:34+00'::timestamptz, '1h', '20 min') w;
SELECT velostream.hop('infinity'::timestamp, '1h', '1s') AS a, velostream.hop('-infinity'::date, '2 days', '1 day') AS b, velostream.cumulate('-infinity'::timestamptz, '1s', '1h') AS c;
SELECT t, array_agg(w) AS ends FROM unnest('{-1, 0, 999, 1000, 3999, 4000}'::bigint[]) t, velostream.cumulate(t, '1s', '4s') w GROUP BY t ORDER BY t;
SELECT array_agg(w) AS days FROM velostream.cumulate('1970-01-04'::date, '2 days', '8 days') w;
SELECT array_agg(w) AS tz FROM velostream.cumulate('1970-01-01 00:40+00'::timestamptz, '15 min', '1h') w;

-- ----------
-- errors
-- ----------
SELECT velostream.tumble(now(), '1 month');
SELECT velostream.tumble(now(), '1 year 1 day');
SELECT velostream.hop(now(), '1 hour', '1 month');
SELECT velostream.cumulate(now(), '1 month', '1 year');
SELECT velostream.window_end(now(), '1 month');
SELECT velostream.cumulate_start(now(), '1 month');
SELECT velostream.tumble(now(), '0');
SELECT velostream.tumble(1::bigint, '-5 seconds');
SELECT velostream.hop(1::bigint, '5 seconds', '0');
-- intervals are finite, or, in later versions, must be
DO $$
BEGIN
	PERFORM velostream.tumble(now(), 'infinity'::text::interval);
EXCEPTION WHEN invalid_datetime_format OR invalid_parameter_value THEN
	RAISE NOTICE 'refused';
END $$;
SELECT velostream.tumble(current_date, '12 hours');
SELECT velostream.tumble(current_date, '36 hours');
SELECT velostream.tumble(current_date, '1 day 24 hours') IS NOT NULL AS whole_days;
SELECT velostream.tumble(1::bigint, '1.0005 seconds');
SELECT velostream.cumulate(1::bigint, '2s', '5s');
SELECT velostream.cumulate(1::bigint, '5s', '2s');
SELECT velostream.cumulate('infinity'::timestamp, '2s', '4s') AS no_window;
SELECT velostream.session(now(), '5 min');
SELECT velostream.session(1::bigint, '5 min');
SELECT velostream.session('2024-01-01'::timestamp, '5 min');
SELECT velostream.session('2024-01-01'::date, '5 days');
SELECT velostream.tumble('1', '1s');
SELECT velostream.tumble(1.5, '1s');

-- ----------
-- the ends of time
-- ----------
SELECT velostream.tumble('294276-12-31 23:59:59.999999'::timestamp, '1s') AS a, velostream.tumble('4714-11-24 00:00:00 BC'::timestamp, '1s') AS b,
	velostream.tumble('5874897-12-31'::date, '1 day') AS c, velostream.tumble('4714-11-24 BC'::date, '1 day') AS d,
	velostream.tumble(9223372036854775807, '1ms') AS e, velostream.tumble((-9223372036854775808)::bigint, '1ms') AS f;
SELECT velostream.tumble_end('294276-12-31 23:59:59.999999'::timestamp, '1s');
SELECT velostream.tumble('4714-11-24 00:00:00 BC'::timestamp, '7 days');
SELECT velostream.tumble_end('5874897-12-31'::date, '1 day');
SELECT velostream.tumble('4714-11-24 BC'::date, '70 days');
SELECT velostream.tumble_end(9223372036854775807, '1s');
SELECT velostream.tumble((-9223372036854775808)::bigint, '1s');
SELECT velostream.window_end('294276-12-31 23:59:59.999999'::timestamptz, '1s');
SELECT velostream.window_end(9223372036854775807, '1s');
SELECT velostream.cumulate_start((-9223372036854775808)::bigint, '1s');
SELECT velostream.cumulate('294276-12-31 23:59:59.999999'::timestamp, '1s', '2s');
SELECT velostream.hop('4714-11-24 00:00:00 BC'::timestamp, '2s', '1s');
SELECT velostream.hop((-9223372036854775808)::bigint, '2ms', '1ms');
SELECT velostream.tumble(now(), '100000000 days 100000000 hours');
SELECT velostream.tumble('2024-01-01'::timestamp, '106751991 days'::interval) AS largest;
SELECT velostream.tumble(now(), '106751992 days'::interval);
-- nothing remembered of one time is wrong for the next
SELECT t, velostream.tumble(t, '106751991 days') AS start
FROM unnest('{2024-01-01, infinity, 2024-01-02, 200000-01-01, -infinity}'::timestamp[]) t;
SELECT t, velostream.tumble(t, i) AS start
FROM (VALUES (1, '2024-01-01 00:17'::timestamp, '10 min'::interval), (2, '2024-01-01 00:17', '5 min'), (3, '2024-01-01 00:17', '10 min'), (4, '2024-01-01 00:27', '10 min'), (5, '2024-01-01 00:17', '1 day')) v(n, t, i) ORDER BY n;

-- ----------
-- properties, over random times and sizes
-- ----------
SELECT setseed(0.5);
CREATE TABLE times AS
SELECT i, ts, ts AT TIME ZONE 'UTC' AS tz, ts::date AS d, (extract(epoch FROM ts) * 1000)::bigint AS ms,
	make_interval(secs => size) AS size, make_interval(secs => advance) AS advance,
	make_interval(days => 1 + size::int % 40) AS days, make_interval(days => 1 + advance::int % 9) AS step
FROM (SELECT i, '1970-01-01'::timestamp + make_interval(secs => round(((random() - 0.4) * CASE WHEN i % 2 = 0 THEN 1e9 ELSE 1000 END)::numeric, (i % 4))::float8) AS ts,
	1 + floor(random() * 900) AS size, 1 + floor(random() * 90) AS advance
	FROM generate_series(1, 2000) i) r;
SELECT count(*) FILTER (WHERE ts < '1970-01-01') > 500 AS before, count(*) FILTER (WHERE ts = velostream.tumble(ts, advance)) > 10 AS on_bound FROM times;
CREATE FUNCTION ref_floor(ts timestamp, size interval) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT '1970-01-01'::timestamp + floor(extract(epoch FROM ts) / extract(epoch FROM size))::float8 * size $$;
-- the start is the multiple of the size below, in every type
SELECT count(*) FROM times
WHERE velostream.tumble(ts, size) IS DISTINCT FROM ref_floor(ts, size)
	OR velostream.tumble(tz, size) IS DISTINCT FROM ref_floor(ts, size) AT TIME ZONE 'UTC'
	OR velostream.tumble(ms, size) IS DISTINCT FROM (extract(epoch FROM ref_floor(ts, size)) * 1000)::bigint
	OR velostream.tumble(d, days) IS DISTINCT FROM ref_floor(d, days)::date
	OR velostream.tumble_end(ts, size) IS DISTINCT FROM ref_floor(ts, size) + size
	OR velostream.tumble_end(tz, size) IS DISTINCT FROM velostream.window_end(velostream.tumble(tz, size), size)
	OR velostream.tumble_end(ms, size) IS DISTINCT FROM velostream.window_end(velostream.tumble(ms, size), size)
	OR velostream.tumble_end(d, days) IS DISTINCT FROM velostream.window_end(velostream.tumble(d, days), days);
-- as plain SQL has it: one size for all
SELECT count(*) FROM times WHERE velostream.tumble(ts, '17s') IS DISTINCT FROM ref_floor(ts, '17s') OR velostream.tumble(d, '3 days') IS DISTINCT FROM ref_floor(d, '3 days')::date;
-- hop: exactly the starts within reach, each a multiple of advance
CREATE FUNCTION ref_hop(ts timestamp, size interval, advance interval) RETURNS SETOF timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT s FROM generate_series(ref_floor(ts, advance) - size - advance, ts + advance, advance) g, ref_floor(g, advance) s WHERE s <= ts AND ts < s + size $$;
SELECT count(*) FROM times t
WHERE ARRAY(SELECT velostream.hop(ts, size, advance)) IS DISTINCT FROM ARRAY(SELECT ref_hop(ts, size, advance) ORDER BY 1)
	OR ARRAY(SELECT velostream.hop(tz, size, advance) AT TIME ZONE 'UTC') IS DISTINCT FROM ARRAY(SELECT ref_hop(ts, size, advance) ORDER BY 1)
	OR ARRAY(SELECT velostream.hop(ms, size, advance)) IS DISTINCT FROM ARRAY(SELECT (extract(epoch FROM w) * 1000)::bigint FROM ref_hop(ts, size, advance) w ORDER BY 1)
	OR ARRAY(SELECT velostream.hop(d, days, step)) IS DISTINCT FROM ARRAY(SELECT w::date FROM ref_hop(d, days, step) w ORDER BY 1);
SELECT count(*) > 10 AS have_gaps FROM times WHERE NOT EXISTS (SELECT velostream.hop(ts, advance, size));
SELECT count(*) FROM times WHERE ARRAY(SELECT velostream.hop(ts, advance, size)) IS DISTINCT FROM ARRAY(SELECT ref_hop(ts, advance, size) ORDER BY 1);
-- cumulate: all ends after the time, up to that of the whole window
CREATE FUNCTION ref_cumulate(ts timestamp, step interval, size interval) RETURNS SETOF timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT e FROM generate_series(ref_floor(ts, size) + step, ref_floor(ts, size) + size, step) e WHERE e > ts $$;
SELECT count(*) FROM times t, LATERAL (SELECT (i % 7 + 1) * advance AS n, (i % 7 + 1) * step AS m) w
WHERE ARRAY(SELECT velostream.cumulate(ts, advance, n)) IS DISTINCT FROM ARRAY(SELECT ref_cumulate(ts, advance, n) ORDER BY 1)
	OR ARRAY(SELECT velostream.cumulate(tz, advance, n) AT TIME ZONE 'UTC') IS DISTINCT FROM ARRAY(SELECT ref_cumulate(ts, advance, n) ORDER BY 1)
	OR ARRAY(SELECT velostream.cumulate(ms, advance, n)) IS DISTINCT FROM ARRAY(SELECT (extract(epoch FROM e) * 1000)::bigint FROM ref_cumulate(ts, advance, n) e ORDER BY 1)
	OR ARRAY(SELECT velostream.cumulate(d, step, m)) IS DISTINCT FROM ARRAY(SELECT e::date FROM ref_cumulate(d, step, m) e ORDER BY 1)
	OR EXISTS (SELECT FROM velostream.cumulate(ts, advance, n) e WHERE velostream.cumulate_start(e, n) <> velostream.tumble(ts, n))
	OR EXISTS (SELECT FROM velostream.cumulate(tz, advance, n) e WHERE velostream.cumulate_start(e, n) <> velostream.tumble(tz, n))
	OR EXISTS (SELECT FROM velostream.cumulate(ms, advance, n) e WHERE velostream.cumulate_start(e, n) <> velostream.tumble(ms, n))
	OR EXISTS (SELECT FROM velostream.cumulate(d, step, m) e WHERE velostream.cumulate_start(e, m) <> velostream.tumble(d, m));

-- ----------
-- in plain queries
-- ----------
SELECT velostream.hop(ms, '4s', '2s') AS w, velostream.window_end(velostream.hop(ms, '4s', '2s'), '4s') AS e, count(*), sum(ms)
FROM (VALUES (1000::bigint), (2000), (3999), (4000)) v(ms) GROUP BY 1, 2 ORDER BY 1;
SELECT velostream.cumulate_start(velostream.cumulate(ms, '2s', '4s'), '4s') AS w, velostream.cumulate(ms, '2s', '4s') AS e, count(*), sum(ms)
FROM (VALUES (1000::bigint), (2000), (3999), (4000)) v(ms) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM ((SELECT velostream.hop(ts, '5 min', '1 min') AS w, count(*), sum(i) FROM times GROUP BY 1)
	EXCEPT ALL (SELECT w, count(*), sum(i) FROM times, ref_hop(ts, '5 min', '1 min') w GROUP BY 1)) d;
-- the planner knows how many
CREATE FUNCTION planned_rows(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan->0->'Plan'->>'Plan Rows';
END $$;
SELECT planned_rows($$SELECT velostream.hop(now(), '1h', '1 min')$$) AS a, planned_rows($$SELECT velostream.hop(now(), '1 min', '1h')$$) AS b,
	planned_rows($$SELECT velostream.cumulate(now(), '1 min', '1h')$$) AS c, planned_rows($$SELECT velostream.hop(now(), '1h', NULL)$$) AS d,
	planned_rows($$SELECT velostream.cumulate(now(), random() * interval '1h', '1h')$$) AS e;
-- fixed for the planner: an index serves
CREATE INDEX ON times (velostream.tumble(tz, '1h'));
SET enable_seqscan = off;
EXPLAIN (COSTS off) SELECT count(*) FROM times WHERE velostream.tumble(tz, '1h') = '2024-01-01 12:00+00';
RESET enable_seqscan;

SET client_min_messages = warning;
DROP SCHEMA winfun CASCADE;
