-- velostream.query(): a query is run once, here, and leaves nothing behind.
CREATE SCHEMA query;
SET search_path = query, public;
SET client_min_messages = warning;

-- Rows by which what one batch of all rows emits differs from the plain query, both ways: 0 is right.
CREATE FUNCTION wrong(q text, columns text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('WITH o AS MATERIALIZED (SELECT * FROM velostream.query(%L, NULL) AS t(%s)), p AS (%s) '
				   'SELECT count(*) FROM ((TABLE o EXCEPT ALL TABLE p) UNION ALL (TABLE p EXCEPT ALL TABLE o)) d',
				   q, columns, q) INTO n;
	RETURN n;
END $$;

-- The same after batches of some rows each: of each key (the first column) the row emitted last.
CREATE FUNCTION wrong_last(q text, columns text, batch_rows int) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	key text := split_part(columns, ' ', 1);
	n bigint;
BEGIN
	EXECUTE format('WITH e AS MATERIALIZED (SELECT * FROM ROWS FROM (velostream.query(%1$L, %2$s) AS (%3$s)) WITH ORDINALITY), '
				   'l AS (SELECT DISTINCT ON (%4$s) * FROM e ORDER BY %4$s, ordinality DESC), '
				   'o AS (SELECT %5$s FROM l), p AS (%6$s) '
				   'SELECT count(*) FROM ((TABLE o EXCEPT ALL TABLE p) UNION ALL (TABLE p EXCEPT ALL TABLE o)) d',
				   q, batch_rows, columns, key,
				   (SELECT string_agg(split_part(trim(c), ' ', 1), ', ') FROM regexp_split_to_table(columns, ',') c),
				   q) INTO n;
	RETURN n;
END $$;

-- the checks can fail: a group that was emitted is turned away later
CREATE TABLE twice AS SELECT 1 AS k FROM generate_series(1, 2);
SELECT wrong_last('SELECT k, count(*) FROM twice GROUP BY k HAVING count(*) < 2', 'k int, c bigint', 1);

-- every row that comes changes a group, and is answered
CREATE TABLE payments (status text, amount int);
INSERT INTO payments VALUES ('pending', 100), ('pending', 200), ('completed', 150), ('pending', 300), ('pending', 50);
SELECT * FROM velostream.query($$ SELECT status, count(*), sum(amount) FROM payments GROUP BY status $$)
	AS t(status text, n bigint, total bigint);

-- two rows at a time, three, and all of them; the default is one
SELECT * FROM velostream.query('SELECT status, count(*), sum(amount) FROM payments GROUP BY status', 2)
	AS t(status text, n bigint, total bigint);
SELECT * FROM velostream.query('SELECT status, count(*), sum(amount) FROM payments GROUP BY status', 3)
	AS t(status text, n bigint, total bigint);
SELECT * FROM velostream.query('SELECT status, count(*), sum(amount) FROM payments GROUP BY status', 0)
	AS t(status text, n bigint, total bigint) ORDER BY status;
SELECT * FROM velostream.query('SELECT status, count(*), sum(amount) FROM payments GROUP BY status', batch_rows => NULL)
	AS t(status text, n bigint, total bigint) ORDER BY status;
SELECT * FROM velostream.query('SELECT status, count(*), sum(amount) FROM payments GROUP BY status', 1000000)
	AS t(status text, n bigint, total bigint) ORDER BY status;

-- once for each city, at the end
CREATE TABLE temperatures (city text, temp float8);
INSERT INTO temperatures VALUES ('London', 15), ('Paris', 20), ('London', 10), ('Tokyo', 30), ('Paris', 25),
	('London', 20), ('Tokyo', 35), ('Tokyo', 25), ('Paris', 15);
SELECT * FROM velostream.query('SELECT city, min(temp), avg(temp), max(temp) FROM temperatures GROUP BY city', NULL)
	AS t(city text, low float8, mean float8, high float8) ORDER BY city;

-- NULL is a key, and no value
CREATE TABLE nulls (k int, v int);
INSERT INTO nulls VALUES (1, 100), (NULL, 200), (NULL, 300), (2, 400);
SELECT * FROM velostream.query('SELECT k, count(*), sum(v) FROM nulls GROUP BY k') AS t(k int, n bigint, total bigint);
CREATE TABLE gaps (amount int);
INSERT INTO gaps VALUES (100), (NULL), (200), (NULL);
SELECT * FROM velostream.query('SELECT count(*), count(amount), sum(amount), avg(amount)::int FROM gaps')
	AS t(n bigint, amounts bigint, total bigint, mean int);

-- without GROUP BY there is a row in any case, but never two
SELECT * FROM velostream.query('SELECT count(*), sum(amount) FROM gaps WHERE amount > 1000') AS t(n bigint, total bigint);
SELECT * FROM velostream.query('SELECT count(*) FROM gaps WHERE amount > 1000', 0) AS t(n bigint);
SELECT * FROM velostream.query('SELECT count(*) FROM gaps WHERE amount > 1000', 5000) AS t(n bigint);
SELECT * FROM velostream.query('SELECT count(*) FROM gaps HAVING count(*) > 100') AS t(n bigint);
SELECT * FROM velostream.query('SELECT count(*) FROM gaps HAVING count(*) = 2') AS t(n bigint);

-- HAVING: what it turns away is not emitted, and emitted again when it passes again
SELECT * FROM velostream.query('SELECT k, sum(v) FROM nulls GROUP BY k HAVING count(*) <> 2') AS t(k int, total bigint);
INSERT INTO nulls VALUES (NULL, 0);
SELECT * FROM velostream.query('SELECT k, sum(v) FROM nulls GROUP BY k HAVING count(*) <> 2') AS t(k int, total bigint);

-- a row that changes nothing that is shown emits nothing
SELECT * FROM velostream.query('SELECT k, min(v) FROM nulls GROUP BY k') AS t(k int, low int);
SELECT * FROM velostream.query('SELECT DISTINCT status FROM payments') AS t(status text);

-- filter and projection, in order of arrival
SELECT * FROM velostream.query('SELECT status, amount * 2 FROM payments WHERE amount > 100') AS t(status text, twice int);
SELECT * FROM velostream.query('SELECT * FROM payments WHERE false') AS t(status text, amount int);

-- a key that is not selected is not returned
SELECT * FROM velostream.query('SELECT count(*) FROM payments GROUP BY status, amount > 100') AS t(n bigint);

-- many rows, types and sizes of batches: the rows emitted last are those of the plain query
CREATE TABLE many (id int PRIMARY KEY, k text, n numeric, f float8, s smallint, b bytea, ts timestamptz);
INSERT INTO many SELECT i, 'key ' || i % 97, (i % 13) * 1.25, i * 0.5, i % 100, repeat('x', i % 50)::bytea, 'epoch'::timestamptz + i * interval '1 s'
	FROM generate_series(1, 5000) i;
SELECT n, wrong_last('SELECT k, count(*), sum(n), avg(n), max(ts), max(f), sum(s), avg(s), stddev(n) FROM many GROUP BY k',
	'k text, c bigint, sn numeric, an numeric, ts timestamptz, f float8, ss bigint, avgs numeric, dev numeric', n)
FROM unnest(ARRAY[1, 2, 3, 10, 149, 150, 151, 1000, 5000, 0]) n;
SELECT n, wrong_last('SELECT s, count(*) FILTER (WHERE n > 5), sum(f), bool_or(f > 100), bit_or(s) FROM many GROUP BY s',
	's smallint, c bigint, sf float8, bo boolean, bs smallint', n) FROM unnest(ARRAY[1, 7, 2000]) n;
SELECT n, wrong_last('SELECT id, count(*), sum(n) FROM many GROUP BY id', 'id int, c bigint, sn numeric', n)
FROM unnest(ARRAY[1, 2, 1500]) n;
SELECT n, wrong_last('SELECT upper(k), sum(n + id) FROM many GROUP BY upper(k)', 'k text, sn numeric', n)
FROM unnest(ARRAY[1, 5]) n;
SELECT wrong('SELECT k, count(*), sum(n), max(f) FROM many GROUP BY k HAVING count(*) > 51', 'k text, c bigint, sn numeric, f float8');
SELECT wrong('SELECT upper(k), id % 2, sum(n + id) FROM many GROUP BY 1, 2', 'k text, odd int, sn numeric');
SELECT wrong('SELECT DISTINCT s, n FROM many', 's smallint, n numeric');
SELECT wrong('SELECT id, k, b FROM many WHERE s < 50', 'id int, k text, b bytea');
SELECT wrong('SELECT sum(f), count(k) FROM many', 'f float8, c bigint');
-- keys that cannot be sorted, and keys that cannot be hashed
CREATE TABLE odd (x xid, v tsvector, m money);
INSERT INTO odd SELECT (i % 5)::text::xid, to_tsvector('simple', 'w' || i % 3), i::money FROM generate_series(1, 200) i;
SELECT x, max(c), max(m::numeric) FROM velostream.query('SELECT x, count(*), sum(m) FROM odd GROUP BY x') AS t(x xid, c bigint, m money)
	GROUP BY x ORDER BY x::text;
SELECT x, max(c), max(m::numeric) FROM velostream.query('SELECT x, count(*), sum(m) FROM odd GROUP BY x', 3) AS t(x xid, c bigint, m money)
	GROUP BY x ORDER BY x::text;
SELECT n, wrong_last('SELECT v, count(*), sum(m) FROM odd GROUP BY v', 'v tsvector, c bigint, m money', n) FROM unnest(ARRAY[1, 3, 0]) n;

-- order: that of the table, from batch to batch
CREATE TABLE ordered (id int PRIMARY KEY);
INSERT INTO ordered SELECT i FROM generate_series(1, 5000) i;
SELECT count(*), bool_and(id = ordinality) FROM ROWS FROM
	(velostream.query('SELECT id, count(*) FROM ordered GROUP BY id') AS (id int, n bigint)) WITH ORDINALITY;
SELECT count(*), bool_and((id - 1) / 7 = (ordinality - 1) / 7) FROM ROWS FROM
	(velostream.query('SELECT id, count(*) FROM ordered GROUP BY id', 7) AS (id int, n bigint)) WITH ORDINALITY;
SELECT count(*), bool_and(id = ordinality) FROM ROWS FROM
	(velostream.query('SELECT id FROM ordered') AS (id int)) WITH ORDINALITY;

-- partitions, inheritance, views, dropped columns, out-of-line values
CREATE TABLE parts (gone int, k int, v text) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 (v text, k int, gone int);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES IN (2, 3);
ALTER TABLE parts DROP COLUMN gone;
INSERT INTO parts SELECT i % 3 + 1, repeat('v' || i, i * 5) FROM generate_series(1, 3000) i;
ALTER TABLE parts_1 ALTER v SET STORAGE EXTERNAL;
UPDATE parts SET v = v || v;
SELECT n, wrong_last('SELECT k, count(*), max(v), sum(length(v)) FROM parts GROUP BY k', 'k int, c bigint, v text, l bigint', n)
FROM unnest(ARRAY[1, 4, 1000, 0]) n;
SELECT wrong('SELECT k, v FROM parts', 'k int, v text');
-- the rows of a partition come before those of the next, in batches as well
SELECT count(*), bool_and(k = 1 OR ordinality > 1000) FROM ROWS FROM
	(velostream.query('SELECT k, count(*) FROM parts GROUP BY k') AS (k int, n bigint)) WITH ORDINALITY;
CREATE VIEW plain_view AS SELECT k AS kk, v FROM parts WHERE k > 1;
CREATE VIEW barrier WITH (security_barrier) AS SELECT k AS kk, v FROM parts WHERE k > 1;
SELECT n, wrong_last('SELECT kk, count(*), max(v) FROM plain_view GROUP BY kk', 'kk int, c bigint, v text', n),
	wrong_last('SELECT kk, count(*), max(v) FROM barrier GROUP BY kk', 'kk int, c bigint, v text', n) FROM unnest(ARRAY[1, 4, 0]) n;
CREATE TABLE parent (k int, v int);
CREATE TABLE child (w int) INHERITS (parent);
INSERT INTO parent SELECT i % 4, i FROM generate_series(1, 100) i;
INSERT INTO child SELECT i % 4, i, i FROM generate_series(1, 100) i;
SELECT n, wrong_last('SELECT k, count(*), sum(v) FROM parent GROUP BY k', 'k int, c bigint, s bigint', n) FROM unnest(ARRAY[1, 4, 0]) n;
SELECT wrong_last('SELECT k, count(*), sum(v) FROM ONLY parent GROUP BY k', 'k int, c bigint, s bigint', 1);

-- windows: what was emitted last of each window is what the plain query has
CREATE TABLE ticks (k text, ts timestamptz, ms bigint, v int);
INSERT INTO ticks SELECT 'k' || i % 5, 'epoch'::timestamptz + (i + i * 7919 % 40) * interval '1 s', (i + i * 7919 % 40) * 1000, i
	FROM generate_series(-100, 1500) i;
SELECT n, wrong_last($$ SELECT velostream.tumble(ts, '1 min'), count(*), sum(v), max(v) FROM ticks GROUP BY 1 $$,
		'w timestamptz, c bigint, s bigint, m int', n) AS tumble,
	wrong_last($$ SELECT velostream.hop(ts, '1 min', '20 s'), count(*), sum(v), max(v) FROM ticks GROUP BY 1 $$,
		'w timestamptz, c bigint, s bigint, m int', n) AS hop,
	wrong_last($$ SELECT velostream.cumulate(ms, '10 s', '1 min'), count(*), sum(v), max(v) FROM ticks GROUP BY 1 $$,
		'w bigint, c bigint, s bigint, m int', n) AS cumulate
FROM unnest(ARRAY[1, 7, 400, 0]) n;
SELECT wrong($$ SELECT k, velostream.hop(ts, '1 min', '20 s'), count(*), sum(v), min(v) FROM ticks GROUP BY 1, 2 HAVING sum(v) > 100 $$,
	'k text, w timestamptz, c bigint, s bigint, m int');
CREATE TABLE clicks (customer int, ts int8, amount int);
INSERT INTO clicks VALUES (100, 0, 100), (100, 10000, 150), (101, 0, 400), (100, 50000, 200), (100, 60000, 250), (100, 25000, 300);
SELECT * FROM velostream.query($$ SELECT customer, velostream.session(ts, '30 s'), velostream.window_end(max(ts), '30 s'), count(*), sum(amount)
	FROM clicks GROUP BY 1, 2 $$) AS t(customer int, w bigint, e bigint, n bigint, total bigint);
SELECT * FROM velostream.query($$ SELECT customer, velostream.session(ts, '30 s'), velostream.window_end(max(ts), '30 s'), count(*), sum(amount)
	FROM clicks GROUP BY 1, 2 $$, 0) AS t(customer int, w bigint, e bigint, n bigint, total bigint) ORDER BY customer, w;
INSERT INTO clicks VALUES (7, NULL, 1);
SET client_min_messages = notice;
SELECT * FROM velostream.query($$ SELECT velostream.tumble(ts, '30 s'), count(*) FROM clicks GROUP BY 1 $$) AS t(w bigint, n bigint);
SELECT count(*) FROM velostream.query($$ SELECT velostream.tumble(ts, '30 s'), count(*) FROM clicks GROUP BY 1 $$, 0) AS t(w bigint, n bigint);
SET client_min_messages = warning;

-- the dialect: EMIT FINAL of windows by the watermark, row by row and in one batch
CREATE TABLE five (k text, v int, ts int8);
INSERT INTO five VALUES ('A', 10, 100), ('A', 20, 500), ('A', 50, 2100), ('A', 5, 800), ('B', 30, 1200);
SET client_min_messages = notice;
SELECT * FROM velostream.query('SELECT k, count(*), sum(v), _window_start FROM five GROUP BY k WINDOW TUMBLING(ts, 1s) EMIT FINAL')
	AS t(k text, n bigint, total bigint, w bigint);
INSERT INTO five VALUES ('Z', 1, 10000);
SELECT * FROM velostream.query($$ SELECT k, count(*), sum(v), _window_start FROM five GROUP BY k WINDOW TUMBLING(ts, 1s) EMIT FINAL
	WITH ('watermark.max_out_of_orderness' = '1300ms') $$) AS t(k text, n bigint, total bigint, w bigint);
SELECT * FROM velostream.query('SELECT k, count(*), sum(v), _window_start FROM five GROUP BY k WINDOW TUMBLING(ts, 1s) EMIT FINAL', 0)
	AS t(k text, n bigint, total bigint, w bigint) ORDER BY w, k;
SELECT * FROM velostream.query('SELECT k, count(*), sum(v), _window_start FROM five GROUP BY k WINDOW SLIDING(ts, 2s, 1s) EMIT FINAL')
	AS t(k text, n bigint, total bigint, w bigint);
SET client_min_messages = warning;
CREATE TABLE gap (ts int8);
INSERT INTO gap VALUES (1000), (55000), (56000), (57000), (58000), (59000), (61000), (71000);
SELECT * FROM velostream.query('SELECT _window_start, count(*) FROM gap WINDOW TUMBLING(ts, 10s) EMIT FINAL') AS t(w bigint, n bigint);
-- without a window once, at the end
SELECT * FROM velostream.query('SELECT city, min(temp), avg(temp), max(temp) FROM temperatures GROUP BY city EMIT FINAL')
	AS t(city text, low float8, mean float8, high float8) ORDER BY city;
SELECT result FROM velostream.execute('SELECT status, count(*), sum(amount) FROM query.payments GROUP BY status');

-- what is visible now: also what this transaction has written, as far as this command sees it
BEGIN;
INSERT INTO payments VALUES ('mine', 1), ('mine', 2);
UPDATE payments SET amount = 3 WHERE status = 'mine' AND amount = 2;
DELETE FROM payments WHERE status = 'completed';
SELECT * FROM velostream.query('SELECT status, count(*), sum(amount) FROM payments GROUP BY status', 0)
	AS t(status text, n bigint, total bigint) ORDER BY status;
WITH more AS (INSERT INTO payments VALUES ('more', 1) RETURNING 1)
SELECT n, more.* FROM velostream.query('SELECT count(*) FROM payments', 0) AS t(n bigint), more;
SAVEPOINT s;
INSERT INTO payments VALUES ('taken back', 1);
ROLLBACK TO s;
DECLARE c CURSOR FOR SELECT * FROM velostream.query('SELECT count(*) FROM payments', 0) AS t(n bigint);
INSERT INTO payments VALUES ('after the cursor', 1);
FETCH c;
SELECT * FROM velostream.query('SELECT count(*) FROM payments', 0) AS t(n bigint);
ROLLBACK;

-- nothing is written
BEGIN READ ONLY;
SELECT * FROM velostream.query('SELECT count(*), max(amount) FROM payments') AS t(n bigint, m int);
SELECT pg_current_xact_id_if_assigned();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM velostream.query('SELECT count(*) FROM payments', 0) AS t(n bigint);
SELECT DISTINCT mode FROM pg_locks WHERE relation = 'payments'::regclass AND pid = pg_backend_pid() ORDER BY mode;
COMMIT;

-- two in one statement, one for each row, and in a function
SELECT a.n, b.n FROM velostream.query('SELECT count(*) FROM payments', 0) AS a(n bigint),
	velostream.query('SELECT count(*) FROM gaps', 0) AS b(n bigint);
SELECT n, t.c FROM unnest(ARRAY[1, 2, 0]) n,
	LATERAL (SELECT count(*) AS c FROM velostream.query('SELECT status, count(*) FROM payments GROUP BY status', n) AS t(s text, n bigint)) t;
CREATE FUNCTION in_a_function() RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM velostream.query('SELECT count(*) FROM payments', 2) AS t(n bigint) LOOP
		RETURN NEXT r.n;
	END LOOP;
END $$;
SELECT in_a_function();

-- errors: of the call
SELECT velostream.query('SELECT status FROM payments');
SELECT * FROM velostream.query('SELECT status FROM payments');
SELECT * FROM velostream.query(NULL) AS t(a int);
SELECT * FROM velostream.query('SELECT status FROM payments', -1) AS t(a text);
SELECT * FROM velostream.query('') AS t(a text);
SELECT * FROM velostream.query('SELECT 1; SELECT 2') AS t(a text);
SELECT * FROM velostream.query('SELECT status, amount FROM payments') AS t(a text);
SELECT * FROM velostream.query('SELECT status FROM payments') AS t(a text, b int);
SELECT * FROM velostream.query('SELECT status, amount AS total FROM payments') AS t(a text, b bigint);
SELECT * FROM velostream.query('SELECT n FROM many') AS t(n numeric(5, 2));
-- of the query, whose positions are in its text
SELECT * FROM velostream.query('SELEC status FROM payments') AS t(a text);
SELECT * FROM velostream.query('SELECT status, nonsense FROM payments') AS t(a text, b int);
SELECT * FROM velostream.query('SELECT status, now() FROM payments') AS t(a text, b timestamptz);
SELECT * FROM velostream.query('SELECT status FROM payments ORDER BY status') AS t(a text);
SELECT * FROM velostream.query('SELECT p.status FROM payments p JOIN gaps g ON p.amount = g.amount') AS t(a text);
SELECT * FROM velostream.query('SELECT relname FROM pg_class') AS t(a name);
SELECT * FROM velostream.query('SELECT $1 FROM payments') AS t(a text);
SELECT * FROM velostream.query('DELETE FROM payments') AS t(a text);
SELECT * FROM velostream.query('SELECT status INTO x FROM payments') AS t(a text);
SELECT * FROM velostream.query('WITH d AS (DELETE FROM payments RETURNING *) SELECT * FROM d') AS t(a text, b int);
-- while it runs
SELECT * FROM velostream.query('SELECT 100 / amount FROM payments WHERE amount % 100 = 0 UNION SELECT 1') AS t(a int);
SELECT * FROM velostream.query('SELECT sum(100 / (amount - 50)) FROM payments') AS t(a bigint);
SELECT * FROM velostream.query('SELECT count(*) FROM payments', 0) AS t(n bigint);

DO $$
BEGIN
	BEGIN
		PERFORM * FROM velostream.query('SELECT sum(100 / (amount - 50)) FROM query.payments') AS t(a bigint);
	EXCEPTION WHEN division_by_zero THEN
		RAISE WARNING 'caught: %', SQLERRM;
	END;
	RAISE WARNING 'and goes on: %', (SELECT n FROM velostream.query('SELECT count(*) FROM query.payments', 0) AS t(n bigint));
END $$;

-- not inside a batch, whoever runs it
CREATE FUNCTION deep(i int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
	$$ SELECT n FROM velostream.query('SELECT count(*) FROM query.payments', 0) AS t(n bigint) $$;
SELECT * FROM velostream.query('SELECT deep(amount) FROM payments') AS t(n bigint);
CREATE TABLE deep_out WITH (velostream.continuous) AS SELECT amount, query.deep(amount) AS d FROM payments;
SELECT velostream.wait('deep_out', '60s');
DROP TABLE deep_out;

-- permissions and policies are the caller's
CREATE ROLE query_user;
GRANT USAGE ON SCHEMA query TO query_user;
SET ROLE query_user;
SELECT * FROM velostream.query('SELECT count(*) FROM payments') AS t(n bigint);
RESET ROLE;
GRANT SELECT (status) ON payments TO query_user;
SET ROLE query_user;
SELECT * FROM velostream.query('SELECT amount FROM payments', 0) AS t(n int);
SELECT * FROM velostream.query('SELECT count(*), max(status) FROM payments', 0) AS t(n bigint, s text);
RESET ROLE;
GRANT SELECT ON payments TO query_user;
ALTER TABLE payments ENABLE ROW LEVEL SECURITY;
CREATE POLICY pending ON payments USING (status = 'pending');
SET ROLE query_user;
SELECT * FROM velostream.query('SELECT status, count(*) FROM payments GROUP BY status', 2) AS t(s text, n bigint);
SELECT wrong('SELECT status, amount FROM payments', 'status text, amount int');
RESET ROLE;
SELECT wrong('SELECT status, amount FROM payments', 'status text, amount int');

-- process() does the same for a query that exists: the workers rest
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.2);
CREATE TABLE steps (id int PRIMARY KEY, k text, v int, n numeric);
CREATE TABLE steps_groups WITH (velostream.continuous) AS
	SELECT k, count(*), sum(v), avg(n), max(v) FROM steps GROUP BY k HAVING count(*) <> 2;
CREATE TABLE steps_shown WITH (velostream.continuous) AS SELECT k, count(*), avg(v) FROM steps GROUP BY k;
CREATE TABLE steps_log WITH (velostream.continuous, velostream.kind = stream) AS SELECT k, sum(v) FROM steps GROUP BY k;
CREATE TABLE steps_one WITH (velostream.continuous) AS SELECT count(*), max(v) FROM steps WHERE v > 1;
CREATE TABLE steps_rows WITH (velostream.continuous) AS SELECT id, v FROM steps WHERE v > 1;
CREATE TABLE seen (op text, k text, total bigint);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO query.seen VALUES (TG_OP, NEW.k, NEW.sum);
	RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE ON steps_groups FOR EACH ROW EXECUTE FUNCTION see();
SELECT * FROM velostream.process('steps_one', 1);
INSERT INTO steps VALUES (1, 'a', 1, 1.5), (2, 'b', 2, 2.5), (3, 'a', 3, NULL), (4, 'a', 4, 4.5), (5, NULL, 5, 0);
SELECT * FROM velostream.process('steps_groups', 1);
SELECT * FROM velostream.process('steps_shown', 2);
SELECT op, "row" - '_timestamp' FROM velostream.process('steps_log', 1);
SELECT * FROM velostream.process('steps_one', 1);
SELECT * FROM velostream.process('steps_rows', 1);
-- groups that are there, from the cache and without it
INSERT INTO steps VALUES (6, 'a', 6, 1), (7, 'b', 7, 1), (8, 'a', 8, 1), (9, 'c', 9, 9);
SELECT * FROM velostream.process('steps_groups', 1);
SELECT * FROM velostream.process('steps_shown', 1);
SELECT op, "row" - '_timestamp' FROM velostream.process('steps_log', 1);
SELECT * FROM velostream.process('steps_one', 3);
SELECT * FROM velostream.process('steps_rows', 3);
SELECT op, k, total FROM seen;
VACUUM FULL steps_groups, steps_shown;
INSERT INTO steps SELECT i, chr(97 + i % 5), i, i / 4.0 FROM generate_series(10, 2000) i;
SELECT count(*) FROM velostream.process('steps_groups', 1);
SELECT count(*) FROM velostream.process('steps_shown', 1);
SELECT count(*) FROM velostream.process('steps_log', 3);
SELECT count(*) FROM velostream.process('steps_one', 1);
SELECT count(*) FROM velostream.process('steps_rows', 1);
-- rows that go
UPDATE steps SET v = v + 1 WHERE id % 7 = 0;
DELETE FROM steps WHERE id % 5 = 0;
SELECT count(*) > 0 FROM velostream.process('steps_groups', 1);
SELECT count(*) > 0 FROM velostream.process('steps_shown', 1);
SELECT count(*) > 0 FROM velostream.process('steps_log', 1);
SELECT count(*) > 0 FROM velostream.process('steps_one', 1);
SELECT count(*) > 0 FROM velostream.process('steps_rows', 1);
SELECT q, differences(q::regclass) FROM unnest(ARRAY['steps_groups', 'steps_shown', 'steps_one', 'steps_rows']) q;
SELECT rows_in, rows_out FROM velostream.stat_queries WHERE query = 'steps_shown'::regclass;

-- windows that close: rows come late by the batch they are in, whatever the plan
CREATE TABLE waves (id int, k int, ts int8, v int);
CREATE FUNCTION closed_windows(n int, delay int) RETURNS TABLE (k int, w int8, c int8, s int8) LANGUAGE sql AS $$
	WITH batch AS (SELECT (id - 1) / n AS batch, max(ts) AS latest FROM waves GROUP BY 1),
		mark AS (SELECT batch, max(latest) OVER (ORDER BY batch ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) - delay AS mark FROM batch),
		counted AS (SELECT k, v, velostream.tumble(ts, '5 s') AS w FROM waves JOIN mark ON batch = (id - 1) / n
			WHERE mark IS NULL OR velostream.tumble(ts, '5 s') + 5000 > mark)
	SELECT k, w, count(*), sum(v) FROM counted
	WHERE w + 5000 <= (SELECT max(ts) - delay FROM waves) GROUP BY 1, 2
$$;
CREATE TABLE waves_0 WITH (velostream.continuous, velostream.emit = final) AS
	SELECT k, velostream.tumble(ts, '5 s') AS w, count(*) AS c, sum(v) AS s FROM waves GROUP BY 1, 2;
CREATE TABLE waves_3 WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '3s') AS
	SELECT k, velostream.tumble(ts, '5 s') AS w, count(*) AS c, sum(v) AS s FROM waves GROUP BY 1, 2;
INSERT INTO waves SELECT i, i % 3, i * 200 + i * 7919 % 200 * 100, i FROM generate_series(1, 2000) i;
CREATE TABLE found (op text, row jsonb);
INSERT INTO found SELECT * FROM velostream.process('waves_0', 1);
SELECT op, count(*) FROM found GROUP BY op;
SELECT count(*), (SELECT count(*) FROM closed_windows(1, 0)) FROM waves_0;
(SELECT * FROM waves_0 EXCEPT ALL SELECT * FROM closed_windows(1, 0)) UNION ALL (SELECT * FROM closed_windows(1, 0) EXCEPT ALL SELECT * FROM waves_0);
SELECT count(*) FROM velostream.process('waves_3', 7);
(SELECT * FROM waves_3 EXCEPT ALL SELECT * FROM closed_windows(7, 3000)) UNION ALL (SELECT * FROM closed_windows(7, 3000) EXCEPT ALL SELECT * FROM waves_3);
-- what is late is kept
SELECT s.name, s.rows_in, s.late, (SELECT count(*) FROM velostream.dead_letters d WHERE d.query = s.query) AS letters
FROM velostream.stat_queries s WHERE s.name IN ('waves_0', 'waves_3') ORDER BY s.name;
-- or it corrects the window for which it came too late
CREATE TABLE waves_late WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous) AS
	SELECT k, velostream.tumble(ts, '5 s') AS w, count(*) AS c, sum(v) AS s FROM waves GROUP BY 1, 2;
SELECT count(*) FROM velostream.process('waves_late', 1);
SELECT count(*) FROM (SELECT k, velostream.tumble(ts, '5 s'), count(*), sum(v) FROM waves GROUP BY 1, 2 EXCEPT ALL SELECT * FROM waves_late) d
	WHERE tumble + 5000 <= (SELECT max(ts) FROM waves);
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();

-- it leaves nothing
SELECT count(*) AS relations FROM pg_class \gset
SELECT count(*) AS queries FROM velostream.query \gset
SELECT count(*) AS frontiers FROM velostream.frontier \gset
SELECT count(*) FROM velostream.query('SELECT k, count(*), avg(n) FROM many GROUP BY k') AS t(k text, n bigint, mean numeric);
SELECT (SELECT count(*) FROM pg_class) = :relations AS relations, (SELECT count(*) FROM velostream.query) = :queries AS queries,
	(SELECT count(*) FROM velostream.frontier) = :frontiers AS frontiers;

-- ----------
-- the dialect
-- ----------
CREATE TABLE readings (id serial PRIMARY KEY, k text, v int, at bigint);
INSERT INTO readings (k, v, at) VALUES ('A', 10, 100), ('A', 20, 500), ('A', 50, 2100), ('A', 5, 800), ('B', 30, 1200), ('B', 1, 9000);
SELECT * FROM velostream.query($$SELECT _window_start, k, count(*), sum(v) FROM readings GROUP BY k WINDOW TUMBLING(at, 1s) WITH ('watermark.max_out_of_orderness' = '1300 ms')$$) AS t(w bigint, k text, n bigint, s bigint);
SELECT * FROM velostream.query($$SELECT _window_start, k, count(*), sum(v) FROM readings GROUP BY k WINDOW TUMBLING(at, 1s) EMIT FINAL$$) AS t(w bigint, k text, n bigint, s bigint);
SELECT * FROM velostream.query($$SELECT _window_start, k, count(*), sum(v) FROM readings GROUP BY k WINDOW TUMBLING(at, 1s) EMIT CHANGES$$) AS t(w bigint, k text, n bigint, s bigint);
SELECT * FROM velostream.query('SELECT k, min(v), max(v), last(v) AS newest FROM readings GROUP BY k EMIT FINAL WITH (''event.time.field'' = ''at'')') AS t(k text, lo int, hi int, newest int);
SELECT * FROM velostream.query('SELECT k AS a, count(*) AS n, n + 1 AS m FROM readings GROUP BY a HAVING n > 2 EMIT CHANGES', 2) AS t(k text, n bigint, m bigint);
SELECT * FROM velostream.query('SELECT k PRIMARY KEY, count(*) FROM readings GROUP BY k') AS t(k text, n bigint);
SELECT * FROM velostream.query('SELECT k, count(*) FROM readings GROUP BY k WINDOW TUMBLING(at, 5x)') AS t(k text, n bigint);
SELECT * FROM velostream.query('SELECT ''ä'' AS k, nothing FROM readings WINDOW TUMBLING(at, 5s)') AS t(k text, n bigint);
DROP SCHEMA query CASCADE;
DROP ROLE query_user;
