-- Aggregates and functions of the schema velostream: values, errors, continuous queries over them
CREATE SCHEMA fun;
SET search_path = fun, public;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET extra_float_digits = 0;

-- ----------
-- first and last
-- ----------
CREATE TABLE r (n int, x text, t timestamp);
INSERT INTO r VALUES (1, 'b', '2024-01-01 00:02'), (2, 'a', '2024-01-01 00:01'), (3, 'c', '2024-01-01 00:03'), (4, 'no time', NULL), (5, NULL, '2024-01-01 00:02');
SELECT velostream.first(x, t), velostream.last(x, t), velostream.first_value(x, t), velostream.last_value(x, t) FROM r;
-- of the same time: the least for first, the greatest for last, NULL last of all
INSERT INTO r VALUES (6, 'c2', '2024-01-01 00:03'), (7, 'b9', '2024-01-01 00:03'), (8, NULL, '2024-01-01 00:03'), (9, 'a1', '2024-01-01 00:01'), (10, NULL, '2024-01-01 00:01');
SELECT velostream.first(x, t), velostream.last(x, t) FROM r;
SELECT velostream.first(x, t) FILTER (WHERE n = 10) AS only_null, velostream.first(x, t) FILTER (WHERE t IS NULL) AS no_time, velostream.last(x, t) FILTER (WHERE n < 0) AS no_row FROM r;
-- a NULL is the row's value
INSERT INTO r VALUES (11, NULL, 'infinity'), (12, 'oldest', '-infinity');
SELECT velostream.first(x, t), velostream.last(x, t) IS NULL AS last_is_null FROM r;
-- times and values of any type
SELECT velostream.first(n, n * 1.5) AS a, velostream.last(n, -n::float8) AS b, velostream.first(ARRAY[n], x COLLATE "C") AS c, velostream.last(row_to_json(r)::text, n::int8) AS d,
	velostream.last(t, (t, n)::text) AS e, velostream.first(r, n) AS f, pg_typeof(velostream.last(point(n, 1), n)) AS g FROM r;
-- values without an order
SELECT velostream.first(point(n, n), 1)::text = velostream.first(point(n, n), 1 ORDER BY n DESC)::text AS first_same,
	velostream.last(json_build_array(n, x), 1)::text = velostream.last(json_build_array(n, x), 1 ORDER BY n DESC)::text AS last_same FROM r;
SELECT velostream.first(n, json_build_array(n)) FROM r;
SELECT velostream.first(ROW(n, x), n) FROM r;
-- without a time: the order that is asked for
SELECT velostream.first(x ORDER BY n) AS a, velostream.last(x ORDER BY n) AS b, velostream.first(x ORDER BY n DESC) AS c, velostream.last(n ORDER BY x COLLATE "C" NULLS FIRST, n) AS d, velostream.first(n) FILTER (WHERE false) AS e FROM r;
-- as window functions
SELECT n, velostream.last(x, t) OVER (ORDER BY n) FROM r ORDER BY n;

-- ----------
-- aggregates that keep values
-- ----------
SELECT velostream.collect(x) AS a, velostream.collect(n) AS b, velostream.collect(x) FILTER (WHERE n < 0) AS c, velostream.collect(t) FILTER (WHERE t IS NULL) AS d FROM r;
SELECT velostream.collect(v) AS numerics, velostream.collect(f) AS floats, velostream.collect(j) AS no_order
FROM (VALUES (1.0, 'NaN'::float8, '{"b":1}'::json), (1.00, '-0', '[2]'), (1, 0, '{"a":1}'), (-5, 'Infinity', NULL)) s(v, f, j);
SELECT velostream.collect(ARRAY[1]);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
SELECT pg_typeof(velostream.collect(n::positive)), velostream.collect(n::positive) = array_agg(n::positive ORDER BY n) AS same, velostream.last(n::positive, t), velostream.median(n::positive) FROM r;
SELECT velostream.collect(ROW(n, x)) FROM r;
SELECT velostream.collect(textout(n::text)) FROM r;
SELECT pg_typeof(velostream.collect(n)) AS a, pg_typeof(velostream.collect(r)) AS b, pg_typeof(velostream.collect(x)) AS c FROM r;
SELECT velostream.group_concat(x) AS a, velostream.group_concat(x, '; ') AS b, velostream.listagg(x, NULL) AS c, velostream.listagg(x) AS d, velostream.group_concat(x, '') FILTER (WHERE x IS NULL) AS e FROM r;
SELECT velostream.group_concat(x, n::text) FROM r;
SELECT velostream.median(v::float8) AS odd, velostream.median(v::numeric) AS exact, velostream.median(v * interval '1 hour') AS i, velostream.median(v::float8) FILTER (WHERE v > 3) AS none,
	velostream.median(v) FILTER (WHERE v < 3) AS even, velostream.median(v::numeric) FILTER (WHERE v < 3) AS even_exact, velostream.median(v * interval '1 hour') FILTER (WHERE v < 3) AS even_i
FROM (VALUES (1), (2), (3), (NULL)) s(v);
SELECT pg_typeof(velostream.median(1)) AS int, pg_typeof(velostream.median(1::bigint)) AS bigint, pg_typeof(velostream.median(1.5)) AS numeric, velostream.median(v) AS large
FROM (VALUES (123456789012345678901234567890.5), (123456789012345678901234567891.5)) s(v);
SELECT velostream.count_distinct(v) AS ints, velostream.count_distinct(v::numeric / 10 * 10) AS numerics, velostream.count_distinct(v::text) AS texts, velostream.count_distinct(v) FILTER (WHERE v IS NULL) AS none,
	velostream.count_distinct((v % 3)::float8) AS floats, velostream.count_distinct(ARRAY[v % 5]) AS arrays, velostream.count_distinct(n) AS numbers
FROM (SELECT i % 1000 AS v, CASE i % 3 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 ELSE NULL END AS n FROM generate_series(1, 10000) i) s;
CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT velostream.count_distinct(x COLLATE folded) AS folded, velostream.count_distinct(x) AS plain, velostream.approx_count_distinct(x COLLATE folded) AS approx_folded FROM (VALUES ('a'), ('A'), ('b'), ('B'), ('b')) s(x);
SELECT velostream.count_distinct('{}'::json);
SELECT velostream.delta(n) AS a, velostream.delta(n::smallint) AS b, velostream.delta(n::bigint) AS c, velostream.delta(n::real) AS d, velostream.delta(n::float8) AS e, velostream.delta(n::numeric / 10) AS f,
	velostream.delta(t) FILTER (WHERE isfinite(t)) AS g, velostream.delta(t::timestamptz) FILTER (WHERE isfinite(t)) AS h, velostream.delta(t::date) FILTER (WHERE isfinite(t)) AS i, velostream.delta(n * interval '1 min') AS j,
	velostream.delta(n) FILTER (WHERE n = 1) AS one, velostream.delta(n) FILTER (WHERE n < 0) AS none, velostream.delta(NULL::int) AS nulls FROM r;
SELECT velostream.delta(v) FROM (VALUES (2147483647), (-1)) s(v);

-- ----------
-- approx_count_distinct: within 2 %
-- ----------
CREATE FUNCTION off_by(estimate bigint, n bigint) RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN abs(estimate - n) <= n * 0.02 THEN 'within 2 %' ELSE estimate || ' for ' || n END $$;
SELECT n, off_by(velostream.approx_count_distinct(i), n) AS ints, off_by(velostream.approx_count_distinct(i::bigint * 86400000000), n) AS steps, off_by(velostream.approx_count_distinct(i::text), n) AS texts,
	off_by(velostream.approx_count_distinct(i::numeric), n) AS numerics, off_by(velostream.approx_count_distinct(i::float8), n) AS floats, off_by(velostream.approx_count_distinct(timestamp '2024-01-01' + i * interval '1 s'), n) AS times
FROM unnest('{1, 10, 100, 1000, 2000, 5000, 20000, 40000, 60000, 100000}'::int[]) n, generate_series(1, n) i GROUP BY n ORDER BY n;
SELECT velostream.approx_count_distinct(NULL::int) AS nulls, velostream.approx_count_distinct(i) FILTER (WHERE false) AS none, velostream.approx_count_distinct(i % 3) AS three, velostream.approx_count_distinct((i % 2)::float8 * -0.0) AS zeros FROM generate_series(1, 1000) i;
SELECT velostream.approx_count_distinct((i % 3, i % 5)) FROM generate_series(1, 1000) i;
SELECT velostream.approx_count_distinct('{}'::json);

-- ----------
-- the same in parallel, whatever the split
-- ----------
CREATE TABLE p AS SELECT i, i % 7 AS g, (i * 7919) % 1009 AS v, CASE WHEN i % 11 = 0 THEN NULL ELSE 'text ' || (i * 31) % 503 END AS x, timestamp '2024-01-01' + (i * 104729 % 3001) * interval '1 s' AS t FROM generate_series(1, 20000) i;
CREATE VIEW all_of_p AS
SELECT g, velostream.first(x, t), velostream.last(x, t), velostream.first(v, t) AS fv, velostream.collect(v), velostream.collect(x) AS cx, velostream.group_concat(x), velostream.listagg(x, '|') AS l,
	velostream.median(v), velostream.median(v::numeric) AS mn, velostream.count_distinct(v) AS cd, velostream.count_distinct(x) AS cdx, velostream.approx_count_distinct(i) AS a, velostream.approx_count_distinct(v) AS av,
	velostream.delta(v), velostream.delta(v::numeric) AS dn, velostream.delta(t) AS dt
FROM p GROUP BY g;
CREATE TABLE serial AS SELECT * FROM all_of_p;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET enable_sort = off;
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan;
END $$;
SELECT plan_of('SELECT * FROM all_of_p') LIKE '%"Partial Mode": "Finalize"%' AS is_parallel;
SELECT count(*) FROM ((TABLE serial EXCEPT ALL SELECT * FROM all_of_p) UNION ALL (SELECT * FROM all_of_p EXCEPT ALL TABLE serial)) d;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET enable_sort;
-- and it is what PostgreSQL's own aggregates say
SELECT count(*) FROM (
	SELECT g, cx, collect, group_concat, l, median, cd, cdx, delta, dn, dt, mn FROM serial
	EXCEPT ALL
	SELECT g, array_agg(x ORDER BY x), array_agg(v ORDER BY v), string_agg(x, ',' ORDER BY x), string_agg(x, '|' ORDER BY x), percentile_cont(0.5) WITHIN GROUP (ORDER BY v), count(DISTINCT v), count(DISTINCT x),
		max(v) - min(v), (max(v) - min(v))::numeric, max(t) - min(t), (percentile_cont(0.5) WITHIN GROUP (ORDER BY v))::numeric FROM p GROUP BY g) d;
SELECT count(*) FROM (
	SELECT g, first, last, fv FROM serial
	EXCEPT ALL
	SELECT g, (SELECT x FROM p WHERE p.g = s.g ORDER BY t, x LIMIT 1), (SELECT x FROM p WHERE p.g = s.g ORDER BY t DESC, x DESC NULLS LAST LIMIT 1), (SELECT v FROM p WHERE p.g = s.g ORDER BY t, v LIMIT 1) FROM serial s) d;
-- many duplicates, long values
SELECT velostream.count_distinct(repeat(i::text, 1000)) AS d, velostream.delta((i % 1000)::numeric) AS delta FROM (SELECT j % 50 AS i FROM generate_series(1, 20000) j) s;

-- ----------
-- in continuous queries
-- ----------
CREATE TABLE ev (id serial PRIMARY KEY, g int, t timestamp, n int, v numeric, f float8, x text, u uuid);
CREATE TABLE q_pick WITH (velostream.continuous) AS
SELECT g, velostream.first(x, t), velostream.last(x, t), velostream.first_value(n, t) AS fn, velostream.last_value(v, t) AS lv, velostream.last(u, n) FILTER (WHERE n > 3) AS lu FROM ev GROUP BY g;
CREATE TABLE q_values WITH (velostream.continuous) AS
SELECT g, velostream.collect(n), velostream.collect(x) AS cx, velostream.group_concat(x), velostream.listagg(x, ' / ') AS l, velostream.collect(u) AS cu FROM ev GROUP BY g;
CREATE TABLE q_numbers WITH (velostream.continuous) AS
SELECT g, velostream.median(f), velostream.median(v) AS mv, velostream.median(t - '2024-01-01') AS mt, velostream.delta(n), velostream.delta(t) AS dt, velostream.delta(v) AS dv, count(*) FROM ev GROUP BY g;
CREATE TABLE q_distinct WITH (velostream.continuous) AS
SELECT g, velostream.count_distinct(n), velostream.count_distinct(x) AS cx, velostream.count_distinct(u) FILTER (WHERE n < 7) AS cu, velostream.approx_count_distinct(id) AS a, velostream.approx_count_distinct(x) AS ax FROM ev GROUP BY g;
CREATE TABLE q_all WITH (velostream.continuous) AS
SELECT velostream.first(x, t), velostream.collect(n), velostream.group_concat(x), velostream.median(v), velostream.count_distinct(v), velostream.approx_count_distinct(id) AS a, velostream.delta(f) FROM ev;
-- rows without a time would be dead letters, and a window of the plain query
CREATE TABLE q_window WITH (velostream.continuous) AS
SELECT velostream.tumble(t, '5 min') AS w, velostream.tumble_end(t, '5 min') AS e, velostream.last(v, t), velostream.count_distinct(x) FROM ev WHERE t IS NOT NULL GROUP BY 1, 2;
CREATE TABLE q_hop WITH (velostream.continuous) AS
SELECT velostream.hop(t, '4 min', '1 min') AS w, velostream.first(x, t), velostream.last(n, t), velostream.collect(n), velostream.group_concat(x), velostream.median(v), velostream.count_distinct(x), velostream.approx_count_distinct(id) AS a, velostream.delta(v) FROM ev GROUP BY 1;
CREATE TABLE q_having WITH (velostream.continuous) AS
SELECT g, velostream.median(n) FROM ev GROUP BY g HAVING velostream.count_distinct(x) > 4 AND velostream.last(n, t) > 2;
CREATE TABLE q_append WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT g, velostream.first(x, t), velostream.last(n, t), velostream.collect(n), velostream.group_concat(x), velostream.median(v), velostream.count_distinct(x), velostream.approx_count_distinct(x) AS a, velostream.delta(t) FROM ev GROUP BY g;
CREATE TABLE q_stream WITH (velostream.continuous, velostream.kind = stream) AS
SELECT g, velostream.collect(n), velostream.last(x, t) FROM ev GROUP BY g;
CREATE TABLE q_rows WITH (velostream.continuous) AS
SELECT id, velostream.date_format(t, '%d.%m.%Y %H:%M:%S') AS printed, velostream.unix_timestamp(t) AS secs, velostream.from_unixtime(n) AS ft, velostream.from_unixtime(n, '%F %T') AS ff,
	velostream.datediff('minutes', '2024-01-01', t) AS d, velostream.tumble(t, '1h') AS w FROM ev WHERE velostream.datediff('second', '2024-01-01', t) % 2 = 0;
-- not these: rows of a batch have no order
CREATE TABLE refused WITH (velostream.continuous) AS SELECT velostream.first(x) FROM ev;
CREATE TABLE refused WITH (velostream.continuous) AS SELECT g, velostream.last(x) FROM ev GROUP BY g;
CREATE TABLE refused WITH (velostream.continuous) AS SELECT id, velostream.date_format(t::timestamptz, '%H') FROM ev;

-- what append has counted: every row inserted, as it was
CREATE TABLE ev_log (LIKE ev);
CREATE FUNCTION append_differs() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM (
		(SELECT g, velostream.first(x, t), velostream.last(n, t), velostream.collect(n), velostream.group_concat(x), velostream.median(v), velostream.count_distinct(x), velostream.approx_count_distinct(x), velostream.delta(t)
			FROM fun.ev_log GROUP BY g EXCEPT ALL TABLE fun.q_append)
		UNION ALL
		(TABLE fun.q_append EXCEPT ALL
			SELECT g, velostream.first(x, t), velostream.last(n, t), velostream.collect(n), velostream.group_concat(x), velostream.median(v), velostream.count_distinct(x), velostream.approx_count_distinct(x), velostream.delta(t)
			FROM fun.ev_log GROUP BY g)) d $$;
CREATE PROCEDURE add_rows(lo int, hi int) LANGUAGE sql AS $$
	WITH new AS (
		INSERT INTO fun.ev (g, t, n, v, f, x, u)
		SELECT i % 5, CASE WHEN i % 13 > 0 THEN timestamp '2024-01-01' + (i * 7919 % 601) * interval '1 s' END, NULLIF(i * 31 % 10, 7), (i * 17 % 40)::numeric / 10, NULLIF(i * 13 % 50, 25)::float8 / 4,
			CASE WHEN i % 6 > 0 THEN repeat('x', i % 4) || i * 3 % 23 END, md5((i % 19)::text)::uuid
		FROM generate_series(lo, hi) i RETURNING *)
	INSERT INTO fun.ev_log SELECT * FROM new $$;
-- outputs get new files: what is known of the groups is read from the tables
CREATE FUNCTION vacuum_all() RETURNS text LANGUAGE sql AS $$
	SELECT 'VACUUM FULL ' || string_agg('fun.' || name, ', ' ORDER BY name) FROM velostream.queries WHERE schema = 'fun' $$;
CALL add_rows(1, 300);
CALL check_all();
SELECT append_differs();
SELECT first, array_length(collect, 1) AS n, md5(group_concat) AS concat, median, count_distinct, a, delta FROM q_all;
SELECT g, median, mv, mt, delta, dt, dv FROM q_numbers ORDER BY g;
CALL add_rows(301, 320);
CALL check_all();
SELECT append_differs();
SELECT vacuum_all() \gexec
CALL add_rows(321, 330);
CALL check_all();
SELECT append_differs();
SELECT sum(recomputed) AS recomputed FROM velostream.stat_queries WHERE schema = 'fun';
-- rows change and go: the groups are computed again
UPDATE ev SET n = n + 1, x = x || 'u', t = t + interval '1 min' WHERE id % 7 = 0;
CALL check_all();
UPDATE ev SET g = (g + 1) % 6 WHERE id % 10 = 0;
CALL check_all();
DELETE FROM ev WHERE id % 3 = 0;
CALL check_all();
SELECT sum(recomputed) > 0 AS recomputed FROM velostream.stat_queries WHERE schema = 'fun';
SELECT append_differs();
SELECT vacuum_all() \gexec
DELETE FROM ev WHERE g = 1;
CALL add_rows(400, 450);
CALL check_all();
SELECT append_differs();
-- a group of NULLs only, then none
UPDATE ev SET t = NULL, n = NULL, v = NULL, f = NULL, x = NULL, u = NULL WHERE g = 2;
CALL check_all();
SELECT first, last, collect IS NULL AS no_array, cx[1] IS NULL AS null_in_array, group_concat FROM q_pick JOIN q_values USING (g) WHERE g = 2;
CALL add_rows(500, 510);
CALL check_all();
-- in many small batches, and in one transaction that is rolled back in part
DO $$ BEGIN FOR i IN 600..620 LOOP CALL fun.add_rows(i, i); COMMIT; PERFORM velostream.wait(timeout => '60s'); END LOOP; END $$;
CALL check_all();
SELECT append_differs();
BEGIN;
CALL add_rows(700, 710);
SAVEPOINT s;
CALL add_rows(711, 720);
ROLLBACK TO s;
COMMIT;
CALL check_all();
SELECT append_differs();
SELECT count(velostream.rebuild(query)) FROM velostream.queries WHERE schema = 'fun' AND source_mode = 'changes';
CALL check_all();
CALL add_rows(720, 760);
CALL check_all();
SELECT append_differs();
-- a stream's last word is the query
SELECT count(*) FROM (SELECT DISTINCT ON (g) g, collect, last, _op FROM q_stream ORDER BY g, _offset DESC) s
	FULL JOIN (SELECT g, velostream.collect(n) AS collect, velostream.last(x, t) AS last FROM ev GROUP BY g) e USING (g)
WHERE (s.collect, s.last) IS DISTINCT FROM (e.collect, e.last) AND s._op IS DISTINCT FROM 'delete';
-- large groups, toasted states
INSERT INTO ev (g, t, n, v, x) SELECT 50, '2024-01-01', i, i, repeat(md5(i::text), 10) FROM generate_series(1, 5000) i;
CALL check_all();
SELECT vacuum_all() \gexec
INSERT INTO ev (g, t, n, v, x) SELECT 50, '2024-01-02', i, i, repeat(md5(i::text), 10) FROM generate_series(4900, 5100) i;
CALL check_all();
SELECT count_distinct, cx, a BETWEEN 5098 AND 5304 AS near FROM q_distinct WHERE g = 50;
DELETE FROM ev WHERE g = 50 AND n > 10;
CALL check_all();
TRUNCATE ev;
CALL check_all();
TABLE q_all;
-- sessions, which PostgreSQL cannot compute from the query itself
CREATE TABLE q_session WITH (velostream.continuous) AS
SELECT g, velostream.session(t, '15 s') AS w, velostream.first(x, t), velostream.collect(n), velostream.median(v), velostream.count_distinct(x), velostream.approx_count_distinct(x) AS a FROM ev GROUP BY 1, 2;
CREATE VIEW sessions AS
SELECT g, min(t) AS w, velostream.first(x, t), velostream.collect(n), velostream.median(v), velostream.count_distinct(x), velostream.approx_count_distinct(x) AS a
FROM (SELECT *, count(*) FILTER (WHERE starts) OVER (PARTITION BY g ORDER BY t) AS nr
	FROM (SELECT *, t - lag(t) OVER (PARTITION BY g ORDER BY t) <= '15 s' IS NOT TRUE AS starts FROM ev WHERE t IS NOT NULL) s) n
GROUP BY g, nr;
CREATE FUNCTION sessions_differ() RETURNS bigint LANGUAGE sql AS $$
	SELECT velostream.wait('fun.q_session', '60s');
	SELECT count(*) FROM ((TABLE fun.sessions EXCEPT ALL TABLE fun.q_session) UNION ALL (TABLE fun.q_session EXCEPT ALL TABLE fun.sessions)) d $$;
CALL add_rows(1, 200);
SELECT sessions_differ();
SELECT count(*) > 20 AS many FROM q_session;
CALL add_rows(201, 300);
SELECT sessions_differ();
VACUUM FULL q_session;
CALL add_rows(301, 320);
SELECT sessions_differ();
UPDATE ev SET t = t + interval '5 s', x = x || 'u' WHERE id % 7 = 0;
SELECT sessions_differ();
DELETE FROM ev WHERE id % 3 = 0;
SELECT sessions_differ();
DROP TABLE q_session;
TRUNCATE ev;
-- a separator that changes within a group is an error, which the query shows
CREATE TABLE q_sep WITH (velostream.continuous) AS SELECT g, velostream.listagg(x, n::text) FROM ev GROUP BY g;
INSERT INTO ev (g, n, x) VALUES (1, 1, 'a'), (1, 1, 'b');
CALL check_all();
TABLE q_sep;
INSERT INTO ev (g, n, x) VALUES (1, 2, 'c');
SELECT velostream.wait('q_sep', '60s');
DELETE FROM ev WHERE n = 2;
SELECT velostream.resume('q_sep');
CALL check_all();
TABLE q_sep;

-- ----------
-- functions of times
-- ----------
SELECT velostream.from_unixtime(0) AS a, velostream.from_unixtime(-1) AS b, velostream.from_unixtime(1709210096) AS c, velostream.from_unixtime(NULL) AS d, velostream.from_unixtime(1709210096, '%d/%m/%y %I:%M %p') AS e;
SELECT velostream.from_unixtime(9223372036854775807);
SELECT velostream.from_unixtime(9224318016000);
SELECT velostream.from_unixtime((-9223372036854775808)::bigint, '%F');
SELECT velostream.unix_timestamp('1970-01-01 00:00:00.999999+00'::timestamptz) AS a, velostream.unix_timestamp('1969-12-31 23:59:59.999999+00'::timestamptz) AS b, velostream.unix_timestamp('2024-02-29 12:34:56.7'::timestamp) AS c,
	velostream.unix_timestamp('2024-02-29'::date) AS d, velostream.unix_timestamp() = floor(extract(epoch FROM now())) AS e, velostream.unix_timestamp(NULL::date) AS f;
SELECT velostream.unix_timestamp('infinity'::timestamptz);
SELECT velostream.unix_timestamp('-infinity'::date);
SELECT count(*) FROM generate_series(-300000, 300000, 7919) i WHERE velostream.unix_timestamp(velostream.from_unixtime(i)) <> i OR velostream.from_unixtime(i) <> to_timestamp(i);
SELECT u, velostream.datediff(u, '2024-01-31 12:00'::timestamp, '2025-03-01 11:59:59'::timestamp) AS forth, velostream.datediff(u, '2025-03-01 11:59:59'::timestamp, '2024-01-31 12:00'::timestamp) AS back,
	velostream.datediff(u, '2024-02-28'::date, '2024-03-28'::date) AS month, velostream.datediff(u, '2024-03-30 12:00+01'::timestamptz, '2024-03-31 12:00+02'::timestamptz) AS short_day
FROM unnest('{microsecond, milliseconds, SECOND, minutes, hour, Days, week, month, quarter, years}'::text[]) u;
SELECT velostream.datediff('month', '2024-01-31'::date, '2024-02-29'::date) AS a, velostream.datediff('month', '2024-01-29'::date, '2024-02-29'::date) AS b, velostream.datediff('year', '2024-02-29'::date, '2025-02-28'::date) AS c,
	velostream.datediff('month', '2024-03-31'::date, '2024-02-29'::date) AS d, velostream.datediff('day', NULL, '2024-02-29'::date) AS e, velostream.datediff('year', '0001-01-01 BC'::date, '0001-01-01'::date) AS f;
SELECT velostream.datediff('fortnight', '2024-01-31'::date, '2024-02-29'::date);
SELECT velostream.datediff('s', '2024-01-31'::date, '2024-02-29'::date);
SELECT velostream.datediff('day', '2024-01-31'::date, 'infinity'::date);
SELECT velostream.datediff('microsecond', '4714-11-24 BC'::date, '294276-12-31'::date);
-- all that a format can have
SELECT t, velostream.date_format(t, '%Y|%C|%y|%m|%b|%B|%h|%d|%e|%a|%A|%w|%u|%j|%U|%W|%G|%V') AS date, velostream.date_format(t, '%H|%k|%I|%l|%M|%S|%p|%P|%f|%3f|%6f|%9f|%.f|%.3f|%.6f|%.9f|%s|%z|%:z|%Z|%n|%t|%%') AS "time"
FROM unnest('{2024-02-29 12:34:56.789012, 2021-01-03 00:05:09, 1969-12-31 23:59:59.5, 0044-03-15 11:00 BC, 12024-10-01 13:00}'::timestamp[]) t;
SELECT velostream.date_format('2024-02-29 12:34:56.789012'::timestamp, '%F|%D|%x|%T|%X|%R|%r|%c') AS groups, velostream.date_format('2024-02-29'::date, 'on %A, %F') AS date, velostream.date_format(now(), '') AS empty,
	velostream.date_format('2024-02-29'::date, 'Tag: %d. März') AS utf8, velostream.date_format('infinity'::timestamp, '%Y') AS infinite, velostream.date_format(NULL::date, '%Y') AS none;
SELECT velostream.date_format(now(), '%Y-%q');
SELECT velostream.date_format(now(), '%Y-%');
SELECT velostream.date_format(now(), '%4f');
SELECT velostream.date_format(now(), '%.');
SELECT velostream.date_format(now(), '%:');
-- as to_char has it, for every day of some years
SELECT count(*) FROM generate_series('1999-01-01'::timestamp, '2009-12-31', '25:01:01.001') t
WHERE velostream.date_format(t, '%Y-%m-%d %H:%M:%S.%6f %j %G-%V %u %I %p %b %a %B %A %y') <> to_char(t, 'YYYY-MM-DD HH24:MI:SS.US DDD IYYY-IW ID HH12 AM Mon Dy FMMonth FMDay YY');
-- a timestamptz is shown in the session's time zone
SET timezone = 'America/St_Johns';
SELECT velostream.date_format('2024-02-29 12:00+00'::timestamptz, '%F %T %z %:z %Z') AS tz, velostream.date_format('2024-02-29 12:00+00'::timestamptz AT TIME ZONE 'Europe/Berlin', '%F %T %z') AS local, velostream.from_unixtime(1709210096, '%F %T %Z') AS utc;
SET timezone = 'UTC';

-- first and last by arrival: where rows only come
CREATE TABLE arrived (n bigserial, k text, x int) WITH (autovacuum_enabled = off);
INSERT INTO arrived (k, x) SELECT 'k' || i % 3, i * 7 % 50 FROM generate_series(1, 60) i;
CREATE VIEW arrived_twice AS SELECT k, x * 2 AS y FROM arrived;
CREATE TABLE ends WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT k, velostream.first(x) AS f, velostream.last(x) AS l, count(*) AS c FROM arrived GROUP BY k;
CREATE TABLE ends_twice WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT k, velostream.first(y) AS f, velostream.last(y) FILTER (WHERE y > 10) AS l FROM arrived_twice GROUP BY k;
DO $$
BEGIN
	FOR i IN 1..20 LOOP
		INSERT INTO arrived (k, x) VALUES ('k' || i % 4, i), ('k' || i % 3, i * 13 % 30), ('k4', NULLIF(i, 20));
		COMMIT;
		PERFORM velostream.wait(timeout => '60s');
		COMMIT;
	END LOOP;
END $$;
SELECT count(*) FROM ends;
SELECT * FROM ends EXCEPT SELECT k, (array_agg(x ORDER BY n))[1], (array_agg(x ORDER BY n DESC))[1], count(*) FROM arrived GROUP BY k;
SELECT * FROM ends_twice EXCEPT
	SELECT k, 2 * (array_agg(x ORDER BY n))[1], 2 * (array_agg(x ORDER BY n DESC) FILTER (WHERE x > 5))[1] FROM arrived GROUP BY k;
SELECT velostream.rebuild('ends');
SELECT velostream.wait('ends', '60s');
SELECT * FROM ends EXCEPT SELECT k, (array_agg(x ORDER BY n))[1], (array_agg(x ORDER BY n DESC))[1], count(*) FROM arrived GROUP BY k;
SELECT * FROM velostream.query('SELECT k, FIRST(x), LAST(x) FROM arrived GROUP BY k', 0) AS t(k text, f int, l int) ORDER BY 1;

-- by arrival: rows that were written long before they were committed
CREATE TABLE arrivals (k int, v int);
CREATE TABLE edges WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT k, velostream.first(v) AS first, velostream.last(v) AS last FROM arrivals GROUP BY k;
SELECT count(*) > 0 AS waited FROM velostream.wait('edges', timeout => '60s');
BEGIN;
INSERT INTO arrivals SELECT 1, i FROM generate_series(1, 300000) i;
PREPARE TRANSACTION 'arrivals';
INSERT INTO arrivals VALUES (0, 1);
SELECT count(*) > 0 AS waited FROM velostream.wait('edges', timeout => '60s');
COMMIT PREPARED 'arrivals';
SELECT count(*) > 0 AS waited FROM velostream.wait('edges', timeout => '60s');
INSERT INTO arrivals VALUES (1, -1);
SELECT count(*) > 0 AS waited FROM velostream.wait('edges', timeout => '60s');
SELECT * FROM edges ORDER BY k;
DROP TABLE arrivals CASCADE;

SET client_min_messages = warning;
DROP SCHEMA fun CASCADE;
SELECT count(*) FROM velostream.query;
