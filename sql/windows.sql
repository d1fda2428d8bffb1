-- Windows: tumble, hop, cumulate and session in continuous queries.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';

-- ----------
-- Known cases, each with the source loaded before the query is made and
-- after, with EMIT CHANGES and EMIT FINAL, in one batch and row by
-- row: always the same rows.
-- ----------
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();

-- "closing" is a row that comes later than all windows (and makes one that stays open).
CREATE PROCEDURE run_case(name text, columns text, "rows" text, query text, closing text, disorder text DEFAULT '2 min')
LANGUAGE plpgsql AS $$
DECLARE
	first text;
	result text;
	loaded text;
	emit text;
	step int;
	tuple text;
	ways int := 0;
BEGIN
	FOREACH loaded IN ARRAY '{before, after, singly}'::text[] LOOP
		FOREACH emit IN ARRAY '{changes, final}'::text[] LOOP
			FOREACH step IN ARRAY '{NULL, 1}'::int[] LOOP
				EXECUTE format('CREATE TABLE src (%s)', columns);
				IF loaded = 'before' THEN
					EXECUTE 'INSERT INTO src VALUES ' || rows;
				END IF;
				EXECUTE format('CREATE TABLE case_out WITH (velostream.continuous, velostream.emit = %s%s) AS %s', emit,
							   CASE emit WHEN 'final' THEN format(', velostream.max_out_of_orderness = %L', disorder) ELSE '' END, query);
				COMMIT;
				PERFORM velostream.process('case_out', step);
				COMMIT;
				IF loaded = 'after' THEN
					EXECUTE 'INSERT INTO src VALUES ' || rows;
				ELSIF loaded = 'singly' THEN
					FOR tuple IN SELECT unnest(regexp_split_to_array(rows, E'\\),\\s*\\(')) LOOP
						EXECUTE format('INSERT INTO src VALUES (%s)', trim(tuple, '()'));
						COMMIT;
						PERFORM velostream.process('case_out', step);
					END LOOP;
				END IF;
				COMMIT;
				PERFORM velostream.process('case_out', step);
				COMMIT;
				IF emit = 'final' THEN
					EXECUTE 'SELECT count(*) FROM case_out' INTO result;
					IF result <> '0' THEN
						RAISE WARNING '% rows before their windows closed', result;
					END IF;
					EXECUTE format('INSERT INTO src VALUES (%s)', closing);
					COMMIT;
					PERFORM velostream.process('case_out', step);
					COMMIT;
				END IF;
				SELECT string_agg(o::text, ' ' ORDER BY o) INTO result FROM case_out o;
				IF ways = 0 THEN
					first := result;
					RAISE NOTICE '%: %', name, result;
				ELSIF result IS DISTINCT FROM first THEN
					RAISE WARNING '% (% % %): %', name, loaded, emit, step, result;
				END IF;
				IF (SELECT dead + late FROM velostream.stat_queries) <> 0 THEN
					RAISE WARNING '% (% % %): dead letters', name, loaded, emit, step;
				END IF;
				ways := ways + 1;
				DROP TABLE case_out;
				DROP TABLE src;
				COMMIT;
			END LOOP;
		END LOOP;
	END LOOP;
END $$;


-- 1
CALL run_case('1 count', 'amount int, ts bigint', '(100, 1000), (200, 2000), (300, 3000), (400, 6000), (500, 7000)',
	$$SELECT velostream.tumble(ts, '5s') AS w, count(*) FROM src GROUP BY 1$$, '0, 1000000');
CALL run_case('1 sum', 'amount int, ts bigint', '(100, 1000), (200, 2000), (300, 6000), (400, 7000)',
	$$SELECT velostream.tumble(ts, '5s') AS w, sum(amount) FROM src GROUP BY 1$$, '0, 1000000');
CALL run_case('1 min, max', 'amount int, ts bigint', '(100, 1000), (300, 2000), (200, 3000), (500, 6000), (400, 7000)',
	$$SELECT velostream.tumble(ts, '5s') AS w, min(amount), max(amount) FROM src GROUP BY 1$$, '0, 1000000');
-- 2
CALL run_case('2 where', 'amount int, ts bigint', '(100, 1000), (300, 2000), (400, 3000), (200, 6000), (500, 7000)',
	$$SELECT velostream.tumble(ts, '5s') AS w, count(*) FROM src WHERE amount > 250 GROUP BY 1$$, '300, 1000000');
CALL run_case('2 having', 'amount int, ts bigint', '(100, 1000), (300, 2000), (400, 3000), (200, 6000)',
	$$SELECT velostream.tumble(ts, '5s') AS w, count(*) FROM src GROUP BY 1 HAVING count(*) >= 2$$, '300, 1000000');
CALL run_case('2 no match', 'amount int, ts bigint', '(100, 1000), (300, 2000), (400, 3000), (200, 6000)',
	$$SELECT velostream.tumble(ts, '5s') AS w, count(*) FROM src WHERE amount > 1000 GROUP BY 1$$, '3000, 1000000');
CALL run_case('2 a row at the end belongs to the next window', 'amount int, ts bigint', '(1, 1000), (1, 9999), (1, 10000), (1, 15000)',
	$$SELECT velostream.tumble(ts, '10s') AS w, count(*) FROM src GROUP BY 1$$, '0, 1000000');
-- 3
CALL run_case('3', 'amount int, ts bigint', '(50, 1000), (300, 2000), (200, 3000), (400, 4000), (80, 5000), (350, 11000), (90, 12000)',
	$$SELECT velostream.tumble(ts, '10s') AS w, count(*), sum(amount), avg(amount)::int FROM src WHERE amount > 100 GROUP BY 1$$, '200, 1000000');
-- 4
SELECT string_agg(format('(%L, %s, %s)', chr(65 + g), 10 * (g + 1) + i, 1000 * w + 100 * i + g), ', ') AS "rows"
FROM generate_series(0, 5) w, generate_series(0, 4) g, generate_series(0, 1) i \gset
CALL run_case('4', 'k text, v int, ts bigint', :'rows',
	$$SELECT velostream.tumble(ts, '1s') AS w, k, count(*), sum(v) FROM src GROUP BY 1, 2$$, $$'A', 1, 1000000$$);
-- 5
CALL run_case('5', 'k text, v int, ts bigint', $$('A', 10, 100), ('A', 20, 500), ('B', 30, 1000)$$,
	$$SELECT k, velostream.tumble(ts, '1s') AS w, count(*), sum(v) FROM src GROUP BY k, 2$$, $$'A', 0, 1000000$$);
-- 8
CALL run_case('8', 'customer int, s int, amount int', '(100, 0, 100), (100, 10, 150), (100, 50, 200), (100, 60, 250), (101, 0, 400)',
	$$SELECT customer, velostream.session(s * 1000::bigint, '30s') AS w, velostream.window_end(max(s * 1000::bigint), '30s') AS e, count(*), sum(amount)
	FROM src GROUP BY 1, 2$$, '7, 1000, 0');
CALL run_case('8 joined', 'customer int, s int, amount int', '(100, 0, 100), (100, 10, 150), (100, 50, 200), (100, 60, 250), (101, 0, 400), (100, 25, 300)',
	$$SELECT customer, velostream.session(s * 1000::bigint, '30s') AS w, velostream.window_end(max(s * 1000::bigint), '30s') AS e, count(*), sum(amount)
	FROM src GROUP BY 1, 2$$, '7, 1000, 0');
CALL run_case('8 keys', 'k text, s int', $$('A', 0), ('B', 4), ('A', 8), ('B', 12)$$,
	$$SELECT k, velostream.session(s * 1000::bigint, '5s') AS w, velostream.window_end(max(s * 1000::bigint), '5s') AS e, count(*) FROM src GROUP BY 1, 2$$, $$'C', 1000$$);
-- exactly the gap apart is one session, a millisecond more is two
CALL run_case('8 gap', 'k int, ts bigint', '(1, 0), (1, 5000), (2, 0), (2, 5001), (3, -10000), (3, -5000), (3, 0)',
	$$SELECT k, velostream.session(ts, '5s') AS w, count(*) FROM src GROUP BY 1, 2$$, '7, 1000000');
-- 11
CALL run_case('11 keys', 'k int, amount int, ts bigint', '(1, 100, 0), (NULL, 200, 0), (NULL, 300, 0), (2, 400, 0)',
	$$SELECT k, velostream.tumble(ts, '5s') AS w, count(*), sum(amount) FROM src GROUP BY 1, 2$$, '7, 0, 1000000');
CALL run_case('11 keys of sessions', 'k int, amount int, ts bigint', '(1, 100, 0), (NULL, 200, 0), (NULL, 300, 0), (2, 400, 0)',
	$$SELECT k, velostream.session(ts, '5s') AS w, count(*), sum(amount) FROM src GROUP BY 1, 2$$, '7, 0, 1000000');
CALL run_case('11 values', 'amount int, ts bigint', '(100, 0), (NULL, 0), (200, 0), (NULL, 0)',
	$$SELECT velostream.hop(ts, '5s', '5s') AS w, count(*), count(amount) AS n, sum(amount), avg(amount)::int FROM src GROUP BY 1$$, '0, 1000000');
-- 13
CALL run_case('13', 's int', '(1), (55), (56), (57), (58), (59), (61), (71)',
	$$SELECT velostream.tumble(s * 1000::bigint, '10s') AS w, count(*) FROM src GROUP BY 1$$, '1000');
-- every window of a row, from the first row on; windows with gaps between them
CALL run_case('hop', 'v int, ts bigint', '(1, 0), (2, 9999), (3, 25000)',
	$$SELECT velostream.hop(ts, '20s', '10s') AS w, count(*), sum(v) FROM src GROUP BY 1$$, '0, 1000000');
CALL run_case('hop, not a multiple', 'v int, ts bigint', '(1, 0), (2, 6999), (3, -1)',
	$$SELECT velostream.hop(ts, '7s', '3s') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1$$, '0, 1000000');
CALL run_case('hop with gaps', 'v int, ts bigint', '(1, 0), (2, 2000), (3, 9999), (4, 10000), (5, -1)',
	$$SELECT velostream.hop(ts, '2s', '10s') AS w, count(*), sum(v) FROM src GROUP BY 1$$, '0, 1000000');
CALL run_case('cumulate', 'v int, ts bigint', '(1, 0), (2, 1000), (3, 3999), (4, 4000)',
	$$SELECT velostream.cumulate_start(velostream.cumulate(ts, '1s', '4s'), '4s') AS w, velostream.cumulate(ts, '1s', '4s') AS e, count(*), sum(v) FROM src GROUP BY 2$$, '0, 1000000');
-- other types of event time
CALL run_case('timestamp', 'v int, ts timestamp', $$(1, '1969-12-31 23:59:59'), (2, '1970-01-01'), (3, '2024-02-29 12:00'), (4, '2024-02-29 12:01')$$,
	$$SELECT velostream.hop(ts, '2 min', '1 min') AS w, count(*), sum(v) FROM src GROUP BY 1$$, $$0, '2200-01-01'$$, '30000 days');
CALL run_case('timestamptz', 'v int, ts timestamptz', $$(1, '1969-12-31 23:59:59+00'), (2, '1970-01-01 00:00+00'), (3, '2024-02-29 12:00+02'), (4, '2024-02-29 12:00+00')$$,
	$$SELECT velostream.session(ts, '2 h') AS w, velostream.window_end(max(ts), '2 h') AS e, count(*), sum(v) FROM src GROUP BY 1$$, $$0, '2200-01-01'$$, '30000 days');
CALL run_case('date', 'v int, ts date', $$(1, '1969-12-31'), (2, '1970-01-01'), (3, '2024-02-28'), (4, '2024-03-01'), (5, '2024-03-04')$$,
	$$SELECT velostream.session(ts, '2 days') AS w, velostream.window_end(max(ts), '2 days') AS e, count(*), sum(v) FROM src GROUP BY 1$$, $$0, '2200-01-01'$$, '30000 days');
CALL run_case('date, hop', 'v int, ts date', $$(1, '1969-12-31'), (2, '1970-01-01'), (3, '2024-02-28'), (4, '2024-03-01')$$,
	$$SELECT velostream.hop(ts, '3 days', '2 days') AS w, count(*), sum(v) FROM src GROUP BY 1$$, $$0, '2200-01-01'$$, '30000 days');
CALL run_case('date, cumulate', 'v int, ts date', $$(1, '1969-12-31'), (2, '1970-01-01'), (3, '1970-01-04')$$,
	$$SELECT velostream.cumulate(ts, '1 day', '4 days') AS e, count(*), sum(v) FROM src GROUP BY 1$$, $$0, '2200-01-01'$$, '30000 days');
DROP PROCEDURE run_case;
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();

-- ----------
-- EMIT CHANGES: outputs always equal plain SQL.  oracle.x says what x must be.
-- ----------
CREATE SCHEMA oracle;
CREATE FUNCTION window_differences() RETURNS TABLE (output text, n bigint)
LANGUAGE plpgsql AS $$
BEGIN
	FOR output IN SELECT viewname FROM pg_views WHERE schemaname = 'oracle' ORDER BY 1 LOOP
		-- of a stream, what its last changes leave; a row is known by its first two columns
		EXECUTE format('SELECT count(*) FROM ((%1$s EXCEPT ALL TABLE oracle.%2$I) UNION ALL (TABLE oracle.%2$I EXCEPT ALL %1$s)) d',
			CASE (SELECT kind FROM velostream.queries WHERE name = output) WHEN 'table' THEN format('TABLE %I', output)
			ELSE (SELECT format('SELECT %2$s FROM (SELECT DISTINCT ON (%3$s) * FROM %1$I
					WHERE _offset > coalesce((SELECT max(_offset) FROM %1$I WHERE _op = ''reset''), 0)
					ORDER BY %3$s, _offset DESC) x WHERE _op <> ''delete''', output, string_agg(attname, ', ' ORDER BY attnum),
					string_agg(attname, ', ' ORDER BY attnum) FILTER (WHERE attnum < 3))
				  FROM pg_attribute WHERE attrelid = output::regclass AND attnum > 0 AND attname !~ '^_') END, output) INTO n;
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;

CREATE TABLE ev (id bigserial PRIMARY KEY, k text COLLATE "C", ts timestamptz, v int, f float8, note text);
CREATE TABLE tumbled WITH (velostream.continuous) AS
SELECT k, velostream.tumble(ts, '10s') AS w, count(*), sum(v), max(v), sum(f) AS f FROM ev GROUP BY 1, 2;
CREATE TABLE hopped WITH (velostream.continuous) AS
SELECT k, velostream.hop(ts, '1 min', '10s') AS w, velostream.window_end(velostream.hop(ts, '1 min', '10s'), '1 min') AS e,
	count(*), sum(v), max(v), sum(f) AS f FROM ev GROUP BY 1, 2;
CREATE TABLE hopped_odd WITH (velostream.continuous) AS
SELECT velostream.hop(ts, '50s', '15s') AS w, count(*), sum(v), min(v), avg(v::numeric) FROM ev WHERE v % 7 <> 0 GROUP BY 1;
CREATE TABLE hopped_gaps WITH (velostream.continuous) AS
SELECT velostream.hop(ts, '10s', '15s') AS w, count(*), sum(v), min(k), max(note) FROM ev GROUP BY 1 HAVING count(*) > 1;
CREATE TABLE cumulated WITH (velostream.continuous) AS
SELECT k, velostream.cumulate(ts, '10s', '1 min') AS e, velostream.cumulate_start(velostream.cumulate(ts, '10s', '1 min'), '1 min') AS s,
	count(*), sum(v), max(v) FROM ev GROUP BY 1, 2;
CREATE TABLE hours WITH (velostream.continuous) AS
SELECT velostream.session(ts AT TIME ZONE 'Europe/Berlin', '5s') AS w, count(*), sum(v) FROM ev GROUP BY 1;
CREATE TABLE visits WITH (velostream.continuous) AS
SELECT k, velostream.session(ts, '30s') AS w, velostream.window_end(max(ts), '30s') AS e, count(*), sum(v), max(v), sum(f) AS f FROM ev GROUP BY 1, 2;
CREATE TABLE long_visits WITH (velostream.continuous) AS
SELECT k, v % 2 AS odd, velostream.session(ts, '30s') AS w, count(*) AS n, count(v) FILTER (WHERE v > 50) AS many FROM ev
GROUP BY 1, 2, 3 HAVING count(*) > 1 AND max(ts) - min(ts) > '10s';
CREATE TABLE hop_log WITH (velostream.continuous, velostream.kind = stream) AS
SELECT k, velostream.hop(ts, '1 min', '10s') AS w, count(*), sum(v), max(v) FROM ev GROUP BY 1, 2 HAVING sum(v) > 50;
CREATE TABLE visit_log WITH (velostream.continuous, velostream.kind = stream) AS
SELECT k, velostream.session(ts, '30s') AS w, count(*), sum(v), max(v) FROM ev GROUP BY 1, 2;
CREATE TABLE tumble_log WITH (velostream.continuous, velostream.kind = stream) AS
SELECT k, velostream.tumble(ts, '1 min') AS w, count(*), sum(v) FROM ev GROUP BY 1, 2;
-- windows over the output of windows
CREATE TABLE chained WITH (velostream.continuous) AS
SELECT velostream.hop(w, '10 min', '5 min') AS w, count(*), sum(sum), max(e) AS last FROM hopped GROUP BY 1;
CREATE TABLE chained_visits WITH (velostream.continuous) AS
SELECT k, velostream.tumble(e, '10 min') AS w, count(*), sum(count) AS events, min(w) AS first FROM visits GROUP BY 1, 2;
CREATE TABLE chained_twice WITH (velostream.continuous) AS
SELECT velostream.session(first, '5 min') AS w, count(*), sum(events) FROM chained_visits GROUP BY 1;

CREATE VIEW timed AS SELECT * FROM ev WHERE ts IS NOT NULL AND isfinite(ts);
CREATE VIEW oracle.tumbled AS
SELECT k, velostream.tumble(ts, '10s') AS w, count(*), sum(v), max(v), sum(f) AS f FROM timed GROUP BY 1, 2;
CREATE VIEW oracle.hopped AS
SELECT k, w, w + interval '1 min' AS e, count(*), sum(v), max(v), sum(f) AS f FROM timed, velostream.hop(ts, '1 min', '10s') w GROUP BY 1, 2;
CREATE VIEW oracle.hopped_odd AS
SELECT w, count(*), sum(v), min(v), avg(v::numeric) FROM timed, velostream.hop(ts, '50s', '15s') w WHERE v % 7 <> 0 GROUP BY 1;
CREATE VIEW oracle.hopped_gaps AS
SELECT w, count(*), sum(v), min(k), max(note) FROM timed, velostream.hop(ts, '10s', '15s') w GROUP BY 1 HAVING count(*) > 1;
CREATE VIEW oracle.cumulated AS
SELECT k, e, velostream.tumble(ts, '1 min') AS s, count(*), sum(v), max(v) FROM timed, velostream.cumulate(ts, '10s', '1 min') e GROUP BY 1, 2, 3;
-- sessions as gaps and islands
CREATE VIEW islands AS
SELECT *, sum(starts) OVER (PARTITION BY k ORDER BY ts, id) AS session, sum(starts_2) OVER (PARTITION BY k, v % 2 ORDER BY ts, id) AS session_2
FROM (SELECT *, coalesce(ts - lag(ts) OVER (PARTITION BY k ORDER BY ts, id) > '30s', true)::int AS starts,
	  coalesce(ts - lag(ts) OVER (PARTITION BY k, v % 2 ORDER BY ts, id) > '30s', true)::int AS starts_2 FROM timed) x;
CREATE VIEW oracle.visits AS
SELECT k, min(ts) AS w, max(ts) + interval '30s' AS e, count(*), sum(v), max(v), sum(f) AS f FROM islands GROUP BY k, session;
CREATE VIEW oracle.long_visits AS
SELECT k, v % 2 AS odd, min(ts) AS w, count(*) AS n, count(v) FILTER (WHERE v > 50) AS many FROM islands
GROUP BY k, v % 2, session_2 HAVING count(*) > 1 AND max(ts) - min(ts) > '10s';
CREATE VIEW oracle.hours AS
SELECT min(ts), count(*), sum(v) FROM (SELECT *, sum(starts) OVER (ORDER BY ts, id) AS session
	FROM (SELECT id, v, ts AT TIME ZONE 'Europe/Berlin' AS ts, coalesce(ts AT TIME ZONE 'Europe/Berlin' - lag(ts AT TIME ZONE 'Europe/Berlin') OVER (ORDER BY ts AT TIME ZONE 'Europe/Berlin', id) > '5s', true)::int AS starts
		  FROM timed) x) y GROUP BY session;
CREATE VIEW oracle.hop_log AS SELECT k, w, count, sum, max FROM oracle.hopped WHERE sum > 50;
CREATE VIEW oracle.visit_log AS SELECT k, w, count, sum, max FROM oracle.visits;
CREATE VIEW oracle.tumble_log AS SELECT k, velostream.tumble(ts, '1 min') AS w, count(*), sum(v) FROM timed GROUP BY 1, 2;
CREATE VIEW oracle.chained AS
SELECT h, count(*), sum(sum), max(e) AS last FROM oracle.hopped, velostream.hop(w, '10 min', '5 min') h GROUP BY 1;
CREATE VIEW oracle.chained_visits AS
SELECT k, velostream.tumble(e, '10 min') AS w, count(*), sum(count) AS events, min(w) AS first FROM oracle.visits GROUP BY 1, 2;
CREATE VIEW oracle.chained_twice AS
SELECT min(first) AS w, count(*), sum(events)
FROM (SELECT *, sum(starts) OVER (ORDER BY first, k, w) AS session
	  FROM (SELECT *, coalesce(first - lag(first) OVER (ORDER BY first, k, w) > '5 min', true)::int AS starts FROM oracle.chained_visits) x) y
GROUP BY session;

-- around the hours that daylight saving takes away and repeats, and before 1970
CREATE FUNCTION some_time() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
	SELECT CASE WHEN random() < 0.03 THEN NULL WHEN random() < 0.02 THEN 'infinity' WHEN random() < 0.02 THEN '-infinity'
		ELSE (ARRAY['2024-03-31 00:30+00', '2024-10-27 00:30+00', '1969-12-31 23:30+00']::timestamptz[])[1 + floor(random() * 3)] +
			floor(random() * 3600) * interval '1s' END
$$;
CREATE FUNCTION some_rows(n int) RETURNS SETOF bigint LANGUAGE sql VOLATILE AS $$
	SELECT id FROM ev ORDER BY random() LIMIT n
$$;
CREATE PROCEDURE churn(steps int) LANGUAGE plpgsql AS $$
DECLARE
	r float;
BEGIN
	FOR i IN 1..steps LOOP
		r := random();
		IF r < 0.35 THEN
			INSERT INTO ev (k, ts, v, f, note)
			SELECT CASE WHEN random() > 0.05 THEN 'k' || floor(random() * 3) END, some_time(), CASE WHEN random() > 0.1 THEN floor(random() * 100) END,
				floor(random() * 100) / 4, repeat(i || 'x', CASE WHEN random() < 0.1 THEN 3000 ELSE 1 END)
			FROM generate_series(1, 1 + floor(random() * 8)::int);
		ELSIF r < 0.6 THEN
			DELETE FROM ev WHERE id IN (SELECT some_rows(floor(random() * 9)::int));
		ELSIF r < 0.8 THEN
			UPDATE ev SET ts = ts + floor(random() * 100 - 50) * interval '1s' WHERE id IN (SELECT some_rows(floor(random() * 5)::int)) AND isfinite(ts);
		ELSIF r < 0.9 THEN
			UPDATE ev SET v = v + 1, f = -f WHERE id IN (SELECT some_rows(floor(random() * 5)::int));
		ELSIF r < 0.95 THEN
			UPDATE ev SET k = 'k' || floor(random() * 3), ts = some_time() WHERE id IN (SELECT some_rows(floor(random() * 5)::int));
		ELSIF r < 0.96 THEN
			DELETE FROM ev WHERE random() < 0.6;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END $$;
CREATE PROCEDURE check_windows(round int) LANGUAGE plpgsql AS $$
DECLARE
	wrong text;
BEGIN
	SELECT string_agg(format('%s: %s', output, n), ', ') INTO wrong FROM window_differences();
	IF wrong IS NOT NULL THEN
		RAISE WARNING 'round %: %', round, wrong;
	END IF;
END $$;
CREATE PROCEDURE churn_and_check(rounds int, steps int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..rounds LOOP
		CALL churn(floor(random() * steps)::int);
		COMMIT;
		IF i % 20 = 0 THEN
			PERFORM velostream.rebuild(query) FROM velostream.queries;
			COMMIT;
		END IF;
		PERFORM velostream.wait(timeout => '120s');
		COMMIT;
		CALL check_windows(i);
	END LOOP;
END $$;
SELECT setseed(0.4);
CALL churn_and_check(60, 30);
SELECT name, state, last_error FROM velostream.queries WHERE state <> 'running';
-- rows that only come, a few at a time, as if each few were a batch
CREATE PROCEDURE come_and_check(rounds int) LANGUAGE plpgsql AS $$
DECLARE
	q regclass;
BEGIN
	FOR i IN 1..rounds LOOP
		INSERT INTO ev (k, ts, v, f)
		SELECT 'k' || floor(random() * 3), some_time(), floor(random() * 100), floor(random() * 100) / 4
		FROM generate_series(1, 1 + floor(random() * 60)::int);
		COMMIT;
		FOR q IN SELECT query FROM velostream.queries ORDER BY query::oid LOOP
			PERFORM velostream.process(q, (ARRAY[1, 2, 10])[1 + floor(random() * 3)::int]);
			COMMIT;
		END LOOP;
		CALL check_windows(i);
	END LOOP;
END $$;
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();
CALL come_and_check(15);
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();
-- many rows, in sessions of three rows and 20 s, and rows without a time
INSERT INTO ev (k, ts, v, f) SELECT 'k' || i % 2, '2024-07-01'::timestamptz + (i / 6 * 100 + i % 6 / 2 * 10) * interval '1s', i, i FROM generate_series(1, 600) i;
INSERT INTO ev (k, ts, v) VALUES ('timeless', NULL, 1), ('timeless', 'infinity', 1), ('timeless', '-infinity', 1);
CALL churn_and_check(1, 0);
SELECT count(*) > 100 AS rows, (SELECT count(*) > 50 FROM visits) AS visits, (SELECT count(*) > 3 FROM long_visits) AS long_visits, (SELECT count(*) > 3 FROM chained) AS chained FROM timed;
-- rows without a time are dead letters, once for each query; those deleted since are, too
SELECT DISTINCT sqlstate, message FROM velostream.dead_letters ORDER BY 2;
SELECT q.name, ev.id FROM velostream.queries q, ev
WHERE q.name IN ('tumbled', 'hopped', 'cumulated', 'hours', 'visits', 'hop_log') AND NOT (ts IS NOT NULL AND isfinite(ts))
	AND NOT EXISTS (SELECT FROM velostream.dead_letters d WHERE d.query = q.query AND d.row = to_jsonb(ev));
-- the comparison can fail
SELECT velostream.pause('visits');
INSERT INTO ev (k, ts, v) VALUES ('new', '2024-01-01', 1);
SELECT output FROM window_differences() WHERE output = 'visits';
SELECT velostream.resume('visits');
-- nothing at all, and again something
TRUNCATE ev;
CALL churn_and_check(2, 30);
VACUUM (FULL, FREEZE) ev;
CALL churn_and_check(2, 30);
DELETE FROM ev;
CALL churn_and_check(1, 1);
SET client_min_messages = warning;
DROP TABLE ev CASCADE;
RESET client_min_messages;

-- sessions split again when the row that joined them goes, and move with their first row
CREATE TABLE clicks (id int PRIMARY KEY, at timestamp, v int);
CREATE TABLE click_visits WITH (velostream.continuous) AS
SELECT velostream.session(at, '10 min') AS w, velostream.window_end(max(at), '10 min') AS e, count(*), sum(v) FROM clicks GROUP BY 1;
CREATE TABLE click_log WITH (velostream.continuous, velostream.kind = stream) AS
SELECT velostream.session(at, '10 min') AS w, count(*), sum(v) FROM clicks GROUP BY 1;
INSERT INTO clicks VALUES (1, '2024-01-01 10:00', 1), (2, '2024-01-01 10:20', 2);
SELECT velostream.wait(timeout => '60s');
TABLE click_visits ORDER BY w;
INSERT INTO clicks VALUES (3, '2024-01-01 10:10', 3);
SELECT velostream.wait(timeout => '60s');
TABLE click_visits ORDER BY w;
DELETE FROM clicks WHERE id = 3;
SELECT velostream.wait(timeout => '60s');
TABLE click_visits ORDER BY w;
UPDATE clicks SET at = '2024-01-01 09:55' WHERE id = 1;
SELECT velostream.wait(timeout => '60s');
TABLE click_visits ORDER BY w;
SELECT w, count, sum, _op FROM click_log ORDER BY _offset;
DROP TABLE clicks CASCADE;

-- partitions come and go
CREATE TABLE parts (id int, ts date, v int) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200);
CREATE TABLE part_hops WITH (velostream.continuous) AS
SELECT velostream.hop(ts, '3 days', '1 day') AS w, count(*), sum(v) FROM parts GROUP BY 1;
CREATE TABLE part_visits WITH (velostream.continuous) AS
SELECT velostream.session(ts, '1 day') AS w, count(*), sum(v) FROM parts GROUP BY 1;
INSERT INTO parts SELECT i, '2024-01-01'::date + i % 17, i FROM generate_series(1, 199, 7) i;
SELECT velostream.wait(timeout => '60s');
SELECT differences('part_hops'), (SELECT count(*) FROM part_visits) AS visits, (SELECT sum(count) FROM part_visits) AS n;
ALTER TABLE parts DETACH PARTITION parts_2;
SELECT velostream.wait(timeout => '60s');
SELECT differences('part_hops'), (SELECT count(*) FROM part_visits) AS visits, (SELECT sum(count) FROM part_visits) AS n;
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (100) TO (200);
UPDATE parts SET id = id + 100 WHERE id < 50;
SELECT velostream.wait(timeout => '60s');
SELECT differences('part_hops'), (SELECT count(*) FROM part_visits) AS visits, (SELECT sum(count) FROM part_visits) AS n;
TRUNCATE parts_1;
SELECT velostream.wait(timeout => '60s');
SELECT differences('part_hops'), (SELECT sum(count) FROM part_visits) = (SELECT count(*) FROM parts) AS same;
SET client_min_messages = warning;
DROP TABLE parts CASCADE;
RESET client_min_messages;

-- the first and the last times there are
CREATE TABLE times (ts timestamptz, d date, n bigint);
CREATE TABLE time_visits WITH (velostream.continuous) AS
SELECT velostream.session(ts, '30 days') AS w, count(*), max(ts) AS last FROM times WHERE ts IS NOT NULL GROUP BY 1;
CREATE TABLE date_visits WITH (velostream.continuous) AS
SELECT velostream.session(d, '30 days') AS w, count(*), max(d) AS last FROM times WHERE d IS NOT NULL GROUP BY 1;
CREATE TABLE number_visits WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous) AS
SELECT velostream.session(n, '30 days') AS w, count(*), max(n) AS last FROM times WHERE n IS NOT NULL GROUP BY 1;
CREATE TABLE date_hops WITH (velostream.continuous) AS
SELECT velostream.hop(d, '30 days', '20 days') AS w, count(*), max(d) AS last FROM times WHERE d BETWEEN '4000-01-01 BC' AND '200000-01-01' GROUP BY 1;
INSERT INTO times (ts) VALUES ('4713-01-01 BC'), ('294276-12-31 23:59:59.999999');
INSERT INTO times (d) VALUES ('4713-01-01 BC'), ('294276-12-31'), ('5874897-12-31'), ('200000-01-01'), ('4000-01-01 BC');
INSERT INTO times (n) VALUES (9223372036854775807), (-9223372036854775808), (-210866803200000), (0), (9223372036854775);
SELECT velostream.wait(timeout => '60s');
TABLE time_visits ORDER BY w;
TABLE date_visits ORDER BY w;
TABLE number_visits ORDER BY w;
SELECT differences('date_hops');
SELECT query, row ->> 'd' AS d, row ->> 'n' AS n, message FROM velostream.dead_letters ORDER BY 2, 3;
SET client_min_messages = warning;
DROP TABLE times CASCADE;
RESET client_min_messages;

-- ----------
-- Windows with gaps between them: who falls into one is in no window, and not late
-- ----------
CREATE TABLE src (ts timestamp) WITH (autovacuum_enabled = off);
CREATE TABLE gappy WITH (velostream.continuous, velostream.emit = final) AS
	SELECT velostream.hop(ts, '2 min', '5 min') AS w, count(*) FROM src GROUP BY 1;
INSERT INTO src VALUES ('2024-01-01 00:00'), ('2024-01-01 00:04'), ('2024-01-01 00:10');
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES ('2024-01-01 00:03'), ('2024-01-01 00:01:59'), ('2024-01-01 00:02');
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES ('2024-01-01 00:24'), ('2024-01-01 00:11');
SELECT velostream.wait(timeout => '60s');
SELECT * FROM gappy ORDER BY w;
SELECT message, row FROM velostream.dead_letters WHERE query = 'gappy'::regclass;
SELECT rows_in, late, dead FROM velostream.stat_queries WHERE query = 'gappy'::regclass;
SET client_min_messages = warning;
DROP TABLE src CASCADE;
RESET client_min_messages;

-- ----------
-- What the views and explain() say
-- ----------
CREATE TABLE src (k text, ts timestamptz, v int);
CREATE TABLE final WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '5s', velostream.late_data = drop,
	velostream.idle_timeout = '1d', velostream.max_future_skew = '1w') AS
SELECT k, velostream.hop(ts, '1 min', '10s') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE kept WITH (velostream.continuous, velostream.window_retention = 90) AS
SELECT velostream.session(ts, '1 min') AS w, count(*), max(v) FROM src GROUP BY 1;
CREATE TABLE plain WITH (velostream.continuous) AS
SELECT velostream.tumble(ts, '1 min') AS w, count(*) FROM src GROUP BY 1;
SELECT name, emit, late_data, max_out_of_orderness, idle_timeout, max_future_skew, window_retention FROM velostream.queries ORDER BY name;
SELECT regexp_replace(velostream.explain('final'), '_\d+$', '');
SELECT regexp_replace(velostream.explain('kept'), '_\d+$', '');
SELECT regexp_replace(velostream.explain('plain'), '_\d+$', '');
INSERT INTO src VALUES ('a', '2024-01-01 00:00:00', 1), ('a', '2024-01-01 00:00:30', 2), ('b', NULL, 3);
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES ('b', '2024-01-01 00:05:05', 1);
SELECT velostream.wait(timeout => '60s');
-- late for all windows; late for two of six windows
INSERT INTO src VALUES ('late', '2024-01-01 00:00:00', 1), ('partly', '2024-01-01 00:04:45', 2);
SELECT velostream.wait(timeout => '60s');
SELECT name, event_time, watermark, late, partly_late, open_windows, dead, rows_in FROM velostream.stat_queries ORDER BY name;
SELECT name, watermark, open_windows, late, dead FROM velostream.queries ORDER BY name;
TABLE final ORDER BY k, w;
TABLE kept ORDER BY w;
TABLE plain ORDER BY w;
SELECT query, row ->> 'k' AS k, sqlstate, message FROM velostream.dead_letters ORDER BY query::text, message;
INSERT INTO src VALUES ('end', '2024-01-01 00:20:00', 1);
SELECT velostream.wait(timeout => '60s');
SELECT w, count FROM final WHERE k = 'partly' ORDER BY w;
SET client_min_messages = warning;
DROP TABLE src CASCADE;
RESET client_min_messages;

-- what takes no more rows is forgotten, with EMIT CHANGES too
CREATE TABLE src (n bigint);
CREATE TABLE tumbled WITH (velostream.continuous, velostream.max_out_of_orderness = '5s') AS
SELECT velostream.tumble(n, '10s') AS w, count(*), max(n) FROM src GROUP BY 1 HAVING count(*) > 0;
CREATE TABLE hopped WITH (velostream.continuous, velostream.max_out_of_orderness = '5s') AS
SELECT velostream.hop(n, '20s', '10s') AS w, count(*), max(n) FROM src GROUP BY 1;
CREATE TABLE visits WITH (velostream.continuous, velostream.max_out_of_orderness = '5s') AS
SELECT velostream.session(n, '10s') AS w, count(*), max(n) FROM src GROUP BY 1;
CREATE TABLE visits_once WITH (velostream.continuous, velostream.max_out_of_orderness = '5s', velostream.source_mode = append) AS
SELECT velostream.session(n, '10s') AS w, count(*), max(n) FROM src GROUP BY 1;
INSERT INTO src VALUES (0), (12000);
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES (100000);
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES (200000);
SELECT velostream.wait(timeout => '60s');
CREATE FUNCTION states(output text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE (SELECT format('SELECT count(*) FROM %s', state) FROM velostream.query q WHERE q.output = states.output::regclass) INTO n;
	RETURN n;
END $$;
SELECT name, states(name), CASE WHEN name <> 'tumbled' THEN open_windows END AS open_windows FROM velostream.stat_queries ORDER BY name;
TABLE visits ORDER BY w;
-- late for sessions, or within the gap of one that has closed
INSERT INTO src VALUES (13000), (184999), (185001);
SELECT velostream.wait(timeout => '60s');
TABLE visits ORDER BY w;
TABLE visits_once ORDER BY w;
DROP FUNCTION states;
SET client_min_messages = warning;
DROP TABLE src CASCADE;
RESET client_min_messages;

-- the memory of a batch does not grow with the number of its steps
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();
CREATE TABLE src (n bigint);
CREATE TABLE hopped WITH (velostream.continuous, velostream.max_out_of_orderness = '5s') AS
SELECT velostream.hop(n, '20s', '10s') AS w, count(*), max(n) FROM src GROUP BY 1;
CREATE TABLE memory (bytes bigint);
CREATE FUNCTION look_at_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.memory SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = 'velostream batch';
	RETURN NULL;
END $$;
CREATE TRIGGER look AFTER INSERT ON hopped FOR EACH ROW EXECUTE FUNCTION look_at_memory();
INSERT INTO src SELECT i * 1000 FROM generate_series(1, 2000) i;
SELECT count(*) FROM velostream.process('hopped', 1);
SELECT count(*) AS looks, pg_size_pretty(max(bytes)) FROM memory HAVING max(bytes) > 300000 OR count(*) < 200;
SET client_min_messages = warning;
DROP TABLE src CASCADE;
RESET client_min_messages;
DROP FUNCTION look_at_memory;
DROP TABLE memory;
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();

-- ----------
-- Errors
-- ----------
CREATE TABLE e (id int PRIMARY KEY, k text, ts timestamptz, d date, n bigint, size interval);
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final) AS SELECT k, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final) AS SELECT id, k FROM e;
CREATE TABLE o WITH (velostream.continuous, velostream.max_out_of_orderness = '1s') AS SELECT k, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.window_retention = '1s') AS SELECT k, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.idle_timeout = '1s') AS SELECT id FROM e;
CREATE TABLE o WITH (velostream.continuous, velostream.max_future_skew = '1s') AS SELECT id FROM e;
CREATE TABLE o WITH (velostream.continuous, velostream.late_data = drop) AS SELECT k, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.late_data = dead_letter) AS SELECT k, count(*) FROM e GROUP BY 1;
-- no effect where no window closes
CREATE TABLE o WITH (velostream.continuous, velostream.late_data = drop) AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = changes, velostream.max_future_skew = '1s') AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.window_retention = '1s') AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = finally) AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.late_data = dead) AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '1 month') AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '-1s') AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = soon) AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.late_data = include_in_next_window) AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.source_mode = append, velostream.late_data = include_in_next_window) AS SELECT velostream.session(ts, '1s') AS w, count(*) FROM e GROUP BY 1;
-- not a group key
CREATE TABLE o WITH (velostream.continuous) AS SELECT id, velostream.session(ts, '1s') FROM e;
CREATE TABLE o WITH (velostream.continuous) AS SELECT id, velostream.hop(ts, '1s', '1s') FROM e;
CREATE TABLE o WITH (velostream.continuous) AS SELECT k, count(*) FROM e WHERE velostream.session(ts, '1s') > '2024-01-01' GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT max(velostream.session(ts, '1s')) FROM e;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(ts, '1s') + '1s' AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.tumble(velostream.session(ts, '1s'), '1h') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT DISTINCT velostream.session(ts, '1s') AS w FROM e;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM e GROUP BY 1 HAVING velostream.session(ts, '1s') IS NOT NULL;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(ts, '1s') AS w, max(velostream.session(ts, '1s')) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(ts, '1s') AS w, count(*) FILTER (WHERE velostream.session(ts, '1s') > '2024-01-01') FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(ts, '1s') AS w, count(*) FROM e WHERE velostream.session(ts, '1s') > '2024-01-01' GROUP BY 1;
-- two windows
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.hop(ts, '2s', '1s') AS a, velostream.hop(ts, '4s', '1s') AS b, count(*) FROM e GROUP BY 1, 2;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(ts, '2s') AS a, velostream.session(d, '1 day') AS b, count(*) FROM e GROUP BY 1, 2;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.tumble(ts, '2s') AS a, velostream.session(ts, '1s') AS b, count(*) FROM e GROUP BY 1, 2;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.hop(ts, '2s', '1s') AS w, count(*) FROM e GROUP BY 1, velostream.hop(ts, '4s', '1s');
-- a time that is none of the row's own
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(now(), '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.hop(unnest(ARRAY[ts]), '2s', '1s') AS w, count(*) FROM e GROUP BY 1;
-- lengths
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.hop(ts, size, '1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(ts, size) AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final) AS SELECT velostream.tumble(ts, size) AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(ts, NULL::interval) AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.tumble(ts, '1 month') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.hop(ts, '1 year', '1 day') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(ts, '-1s') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.session(d, '12 h') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.hop(n, '1s', '0.5 ms') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.cumulate(ts, '7s', '1 min') AS w, count(*) FROM e GROUP BY 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT velostream.hop(ts, '365 days', '1 ms') AS w, count(*) FROM e GROUP BY 1;
-- a session is of continuous queries only, and so is what they use
SELECT velostream.session(now(), '1s');
SELECT velostream.admit(now());
SELECT velostream.open_time(now());
SELECT count(*) FROM velostream.queries WHERE query::text = 'o';
-- nor can users' functions, which run in batches as well, use these over anything but event times
CREATE FUNCTION public.peek(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN velostream.open_time(t); END$$;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.source_mode = append) AS
	SELECT velostream.tumble(ts, '1 min') AS w, count(*), max(CASE WHEN id > 1 THEN public.peek(k) END) FROM e GROUP BY 1;
INSERT INTO e (id, k, ts) VALUES (1, 'a', '2024-01-01');
SELECT * FROM velostream.process('o');
INSERT INTO e (id, k, ts) VALUES (2, 'b', '2024-01-02');
SELECT * FROM velostream.process('o');
DROP TABLE o;
-- sums of float8 depend on the order in which panes are put together: what HAVING made of them
-- before is what stands in the output
CREATE TABLE f (ts bigint, x float8);
CREATE TABLE sums WITH (velostream.continuous) AS
	SELECT velostream.hop(ts, '3s', '1s') AS w, count(*), sum(x) FROM f GROUP BY 1 HAVING sum(x) > 0.6;
CREATE TABLE first_sums WITH (velostream.continuous) AS
	SELECT velostream.hop(ts, '3s', '1s') AS w, count(*), sum(x) FROM f GROUP BY 1 HAVING sum(x) > 0.6 ORDER BY 3 LIMIT 5;
CREATE TABLE lone_sums WITH (velostream.continuous) AS
	SELECT velostream.hop(ts, '3s', '1s') AS w, sum(x) AS alone FROM f GROUP BY 1 HAVING sum(x) > 0.6 ORDER BY 2 LIMIT 5;
CREATE PROCEDURE add(ts bigint[], x float8[]) LANGUAGE plpgsql AS $$
DECLARE
	q text;
BEGIN
	INSERT INTO f SELECT * FROM unnest(ts, x);
	COMMIT;
	FOREACH q IN ARRAY '{sums, first_sums, lone_sums}'::text[] LOOP
		PERFORM velostream.process(q);
		COMMIT;
	END LOOP;
END $$;
SET extra_float_digits = 1;
CALL add('{9000, 10000, 11000, 12000}', '{0, 0.1, 0.2, 0.3}');	-- 0.1 + (0.2 + 0.3)
SELECT * FROM sums FULL JOIN first_sums USING (w) FULL JOIN lone_sums USING (w) ORDER BY w;
CALL add('{12000}', '{0}');	-- (0.1 + 0.2) + 0.3, before as well
SELECT * FROM sums FULL JOIN first_sums USING (w) FULL JOIN lone_sums USING (w) ORDER BY w;
CALL add('{10000}', '{0}');
SELECT * FROM sums FULL JOIN first_sums USING (w) FULL JOIN lone_sums USING (w) ORDER BY w;
CALL add('{12000}', '{0}');
CALL add('{10000}', '{-0.05}');
SELECT * FROM sums FULL JOIN first_sums USING (w) FULL JOIN lone_sums USING (w) ORDER BY w;
SELECT name, last_error FROM velostream.queries WHERE last_error IS NOT NULL;
DROP TABLE f CASCADE;
DROP PROCEDURE add;
DROP TABLE e;

-- ----------
-- Times near the limits of their types.  A row counts if all its windows start and end where
-- a timestamptz can be; the others are dead letters, also where groups are computed again.
-- The oracle reckons in numeric (extract(epoch) is not exact there): which rows those are, and when their windows end.
-- ----------
CREATE TABLE edge (id int, k int, z timestamptz, t timestamp, d date, ms bigint);
CREATE FUNCTION epoch(timestamptz) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$SELECT CASE WHEN isfinite($1) THEN ($1::date - '1970-01-01'::date)::numeric * 86400 + extract(epoch FROM $1::time) END$$;
CREATE FUNCTION epoch(timestamp) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$SELECT CASE WHEN isfinite($1) THEN ($1::date - '1970-01-01'::date)::numeric * 86400 + extract(epoch FROM $1::time) END$$;
CREATE FUNCTION epoch(date) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$SELECT CASE WHEN isfinite($1) THEN ($1 - '1970-01-01'::date)::numeric * 86400 END$$;
CREATE FUNCTION epoch(bigint) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$SELECT $1 / 1000.0$$;
-- the greatest multiple of y that is not above x; a quotient would be rounded
CREATE FUNCTION below(x numeric, y numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$SELECT x - mod(mod(x, y) + y, y)$$;
-- first: when the first window of x starts; last: when the last one ends; ends: when the window w does
CREATE TABLE edge_windows (kind text, call text, first text, last text, ends text);
INSERT INTO edge_windows VALUES
	('tumble', $$velostream.tumble(%1$I, '100 days')$$, 'below(x, 8640000)', 'below(x, 8640000) + 8640000', 'epoch(w) + 8640000'),
	('hop', $$velostream.hop(%1$I, '3 days', '1 day')$$, 'below(x - 259200, 86400) + 86400', 'below(x, 86400) + 259200', 'epoch(w) + 259200'),
	('gaps', $$velostream.hop(%1$I, '2 days', '5 days')$$, 'below(x, 432000)', 'below(x, 432000) + 172800', 'epoch(w) + 172800'),
	('cumulate', $$velostream.cumulate(%1$I, '1 day', '7 days')$$, 'below(x, 604800)', 'below(x, 604800) + 604800', 'epoch(w)'),
	('session', $$velostream.session(%1$I, '2 days')$$, 'below(x, 172800)', 'x + 172800', 'max(x) + 172800');
-- the plain query over the rows that count
CREATE FUNCTION edge_query(kind text, col text, OUT q text) LANGUAGE plpgsql AS $$
DECLARE
	window_ record;
	rows_ text;
BEGIN
	SELECT * INTO window_ FROM edge_windows e WHERE e.kind = edge_query.kind;
	rows_ := format('(SELECT * FROM (SELECT *, epoch(%I) AS x FROM edge) a WHERE %s >= epoch(''4714-11-24 BC''::timestamp) AND %s <= epoch(''294276-12-31 23:59:59.999999''::timestamp) OFFSET 0) b',
					col, window_.first, window_.last);
	IF kind = 'session' THEN
		q := format('SELECT k, w, count(*), max(id), %2$s AS ends
			FROM (SELECT *, first_value(%1$I) OVER (PARTITION BY k, n ORDER BY x) AS w FROM (SELECT *, count(*) FILTER (WHERE starts) OVER (PARTITION BY k ORDER BY x) AS n
				FROM (SELECT *, coalesce(x - lag(x) OVER (PARTITION BY k ORDER BY x) > 172800, true) AS starts FROM %3$s) c) d) e GROUP BY 1, 2',
					col, window_.ends, rows_);
	ELSE
		q := format('SELECT *, %2$s AS ends FROM (SELECT k, ' || window_.call || ' AS w, count(*), max(id) FROM %3$s GROUP BY 1, 2) c', col, window_.ends, rows_);
	END IF;
END $$;
-- outputs that differ from it (with emit = final, where windows may be corrected or not: from its windows that have ended), or that cannot be dumped and restored
CREATE FUNCTION edge_differences(emit text) RETURNS TABLE (output text, n bigint) LANGUAGE plpgsql AS $$
DECLARE
	kind text;
	col text;
	type text;
	plain text;
BEGIN
	FOR kind, col, type IN SELECT e.kind, a.attname, a.atttypid::regtype FROM edge_windows e, pg_attribute a
		WHERE attrelid = 'edge'::regclass AND attnum > 2 ORDER BY 1, attnum LOOP
		output := format('edge_%s_%s_%s', emit, kind, col);
		plain := format('SELECT k, w, count, max FROM (%s) plain', edge_query(kind, col));
		IF emit <> 'changes' THEN
			plain := plain || format(' WHERE ends <= (SELECT epoch(event_time) FROM velostream.stat_queries WHERE query = %L::regclass)', output);
		END IF;
		EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL (%2$s)) UNION ALL ((%2$s) EXCEPT ALL TABLE %1$s)) x', output, plain) INTO n;
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
		EXECUTE format('SELECT count(*) FROM %1$s WHERE w::text::%2$s <> w', output, type) INTO n;
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
SELECT format('CREATE TABLE edge_%s_%s_%s WITH (velostream.continuous%s) AS SELECT k, %s AS w, count(*), max(id) FROM edge GROUP BY 1, 2',
			  emit, kind, col, options, format(call, col))
FROM edge_windows, unnest('{z, t, d, ms}'::text[]) col,
	(VALUES ('changes', ''), ('final', ', velostream.emit = final, velostream.source_mode = append'),
		('kept', ', velostream.emit = final, velostream.late_data = update_previous')) e (emit, options) \gexec
-- windows of which a bound is a key as well
CREATE TABLE edge_ends WITH (velostream.continuous) AS
	SELECT velostream.tumble(z, '100 days') AS w, velostream.tumble_end(z, '100 days') AS e, count(*), max(id) FROM edge GROUP BY 1, 2;
INSERT INTO edge SELECT row_number() OVER (), i % 3, z, z, z, floor(epoch(z) * 1000)
FROM generate_series(0, 220) i, LATERAL (VALUES ('4714-11-24 BC'::timestamptz + i * interval '12 hours'),
	('294276-12-31 23:59:59.999999'::timestamptz - i * interval '12 hours'), ('2024-02-28'::timestamptz + i * interval '12 hours')) v (z);
INSERT INTO edge VALUES (9001, 0, '-infinity', 'infinity', 'infinity', -9223372036854775808), (9002, 1, 'infinity', '-infinity', '-infinity', 9223372036854775807),
	(9003, 2, NULL, NULL, NULL, NULL), (9004, 0, NULL, NULL, '5874897-12-31', 1709210096000000000), (9005, 0, NULL, NULL, '300000-01-01', -9223372036854775807);
SELECT velostream.wait(timeout => '120s');
SELECT * FROM unnest('{changes, final, kept}'::text[]) emit, edge_differences(emit);
SELECT kind, sum(dead) AS dead FROM (SELECT split_part(name, '_', 3) AS kind, dead FROM velostream.queries WHERE name LIKE 'edge\_changes%') x GROUP BY 1 ORDER BY 1;
-- rows go, those too that never counted; others get times, or lose them
DELETE FROM edge WHERE id % 7 = 0 OR id IN (9002, 9004);
UPDATE edge SET id = -id WHERE id % 5 = 0;
UPDATE edge SET z = '2024-03-01', t = '2024-03-01', d = '2024-03-01', ms = 0 WHERE z < '4714-11-28 BC' OR id IN (9001, 9003);
UPDATE edge SET z = '294276-12-31', t = 'infinity', d = '4714-11-24 BC', ms = 9223372036854775807 WHERE id % 11 = 1;
SELECT velostream.wait(timeout => '120s');
SELECT * FROM unnest('{changes, kept}'::text[]) emit, edge_differences(emit);
SELECT count(*) > 100 AS recomputed FROM (SELECT generate_series(1, recomputed) FROM velostream.stat_queries WHERE name LIKE 'edge\_%') x;
SELECT count(*) FROM ((TABLE edge_ends EXCEPT ALL SELECT w, velostream.tumble_end(w, '100 days'), sum(count), max(max) FROM edge_changes_tumble_z GROUP BY 1)
	UNION ALL (SELECT w, velostream.tumble_end(w, '100 days'), sum(count), max(max) FROM edge_changes_tumble_z GROUP BY 1 EXCEPT ALL TABLE edge_ends)) x;
SELECT name, state, last_error FROM velostream.queries WHERE state <> 'running' OR last_error IS NOT NULL;
SELECT DISTINCT sqlstate, message FROM velostream.dead_letters WHERE query::text LIKE 'edge%' ORDER BY 2;
-- the comparison can fail
SELECT velostream.pause('edge_changes_hop_z');
UPDATE edge SET k = 7 WHERE z = '2024-03-01';
SELECT output FROM edge_differences('changes') WHERE output = 'edge_changes_hop_z';
SELECT velostream.resume('edge_changes_hop_z');
-- a rebuild takes the same rows
DO $$BEGIN PERFORM velostream.rebuild(query) FROM velostream.queries WHERE name LIKE 'edge\_changes%'; END$$;
SELECT velostream.wait(timeout => '120s');
SELECT * FROM edge_differences('changes');
-- the same where a query is run once
SELECT count(*), min(w::text), max(w::text) FROM velostream.query('SELECT velostream.hop(z, ''3 days'', ''1 day'') AS w, count(*) AS n FROM edge GROUP BY 1', 0) AS q(w timestamptz, n bigint);
SELECT count(*), min(w::text), max(w::text) FROM velostream.query('SELECT velostream.cumulate(t, ''1 day'', ''7 days'') AS w, count(*) AS n FROM edge GROUP BY 1 EMIT FINAL') AS q(w timestamp, n bigint);
-- late rows that are counted after all: their windows are computed again
CREATE TABLE again (k int, ms bigint);
CREATE TABLE replayed WITH (velostream.continuous, velostream.emit = final) AS
	SELECT velostream.tumble(ms, '1 min') AS w, count(*), max(k) FROM again GROUP BY 1;
SELECT velostream.wait('replayed');
INSERT INTO again VALUES (1, 0), (2, -9223372036854775808);
SELECT velostream.wait('replayed');
INSERT INTO again VALUES (3, 1000000);
SELECT velostream.wait('replayed');
INSERT INTO again VALUES (4, 1);
SELECT velostream.wait('replayed');
SELECT velostream.replay('replayed');
TABLE replayed;
DROP TABLE again CASCADE;
-- an index on the window is used all the same
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();
CREATE TABLE indexed (id int, ms bigint);
INSERT INTO indexed SELECT i, i * 1000 FROM generate_series(1, 20000) i;
CREATE INDEX ON indexed (velostream.tumble(ms, '1 min'));
ANALYZE indexed;
CREATE TABLE by_index WITH (velostream.continuous) AS SELECT velostream.tumble(ms, '1 min') AS w, count(*), max(id) FROM indexed GROUP BY 1;
DO $$BEGIN PERFORM velostream.process('by_index'); END$$;
DELETE FROM indexed WHERE id = 659;
BEGIN;
SELECT * FROM velostream.process('by_index');
SELECT idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'indexed';
COMMIT;
DROP TABLE indexed CASCADE;
-- the watermark stays where it can be shown
CREATE TABLE early (ts timestamptz);
CREATE TABLE behind WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '1 day') AS
	SELECT velostream.tumble(ts, '1 min') AS w, count(*) FROM early GROUP BY 1;
INSERT INTO early VALUES ('4714-11-24 BC');
DO $$BEGIN PERFORM velostream.process('behind'); END$$;
SELECT name, watermark FROM velostream.queries WHERE name = 'behind';
INSERT INTO early VALUES ('4714-11-24 00:00:30 BC'), ('4714-11-25 00:01 BC');
DO $$BEGIN PERFORM velostream.process('behind'); END$$;
SELECT name, event_time, watermark, late FROM velostream.stat_queries WHERE name = 'behind';
TABLE behind;
CREATE TABLE late (ts timestamp);
CREATE TABLE ahead WITH (velostream.continuous, velostream.emit = final, velostream.idle_timeout = '10 ms', velostream.late_data = include_in_next_window, velostream.source_mode = append) AS
	SELECT velostream.tumble(ts, '10 ms') AS w, count(*) FROM late GROUP BY 1;
DO $$BEGIN PERFORM velostream.process('ahead'); END$$;
INSERT INTO late VALUES ('294276-12-31 23:59:59.98');
DO $$BEGIN PERFORM velostream.process('ahead'); END$$;
SELECT pg_sleep(0.1);
DO $$BEGIN PERFORM velostream.process('ahead'); END$$;
SELECT name, event_time, watermark FROM velostream.stat_queries WHERE name = 'ahead';
-- no window is open any more
INSERT INTO late VALUES ('294276-12-31 23:59:59.97');
DO $$BEGIN PERFORM velostream.process('ahead'); END$$;
SELECT sqlstate, message FROM velostream.dead_letters WHERE query = 'ahead'::regclass;
TABLE ahead;
DROP TABLE early, late CASCADE;
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();
DROP FUNCTION edge_differences, edge_query, below, epoch(timestamptz), epoch(timestamp), epoch(date), epoch(bigint);
DROP TABLE edge_windows;
SET client_min_messages = warning;
DROP TABLE edge CASCADE;
DROP SCHEMA oracle CASCADE;
