-- Window functions over the last rows of each partition.
CREATE TABLE trade (id int, symbol text, ts int, price int);

-- what can be computed in one pass; everything else
CREATE VIEW row_functions AS SELECT * FROM (VALUES
	(true, 'lag(price) OVER ({P} {ID})'),
	(true, 'lag(price, 2, -1) OVER ({P} {ID})'),
	(true, 'lag(price, 0) OVER ({P} ORDER BY ts {TIE})'),
	(true, 'lead(price) OVER ({P} {ID})'),
	(true, 'lead(price, 1, id) OVER ({P} ORDER BY ts DESC {TIE})'),
	(true, 'row_number() OVER ({P} ORDER BY ts {TIE})'),
	(true, 'first_value(id) OVER ({P} ORDER BY ts {TIE})'),
	(true, 'last_value(id) OVER ({P} {ID})'),
	(true, 'nth_value(id, 2) OVER ({P} ORDER BY ts DESC NULLS LAST, price {TIE})'),
	(true, 'count(*) OVER ({P})'),
	(true, 'count(price) OVER ({P} ORDER BY ts)'),
	(true, 'sum(price) OVER ({P} ORDER BY ts)'),
	(true, 'avg(price::numeric) OVER ({P} ORDER BY ts, price)'),
	(true, 'max(price) OVER ({P} ORDER BY ts)'),
	(true, 'sum(price::float8 / 7) OVER ({P})'),
	(true, 'array_agg(id) FILTER (WHERE price > 20) OVER ({P} {ID} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)'),
	(true, 'sum(price) OVER ({P} ORDER BY ts {TIE} ROWS 2 PRECEDING)'),
	(true, 'sum(price) OVER ({P} {ID} ROWS BETWEEN 4 PRECEDING AND 2 PRECEDING)'),
	(true, 'sum(price) OVER ({P} {ID} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)'),
	(true, 'sum(price) OVER ({P} {ID} ROWS BETWEEN 1 PRECEDING AND 3 FOLLOWING)'),
	(true, 'coalesce(price - lag(price) OVER ({P} {ID}), ts + id)'),
	(false, 'rank() OVER ({P} ORDER BY ts)'),
	(false, 'dense_rank() OVER ({P} ORDER BY ts DESC)'),
	(false, 'percent_rank() OVER ({P} ORDER BY price)'),
	(false, 'cume_dist() OVER ({P} ORDER BY ts)'),
	(false, 'ntile(3) OVER ({P} ORDER BY ts {TIE})'),
	(false, 'rank() OVER ({P})'),
	(false, 'lag(id, price % 3) OVER ({P} {ID})'),
	(false, 'lag(id, 5000) OVER ({P} {ID})'),
	(false, 'sum(price) OVER ({P} ORDER BY ts RANGE BETWEEN 3 PRECEDING AND 1 FOLLOWING)'),
	(false, 'sum(price) OVER ({P} ORDER BY ts GROUPS 1 PRECEDING)'),
	(false, 'sum(price) OVER ({P} ORDER BY ts RANGE CURRENT ROW)'),
	(false, 'sum(price) OVER ({P} ORDER BY ts {TIE} ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING)'),
	(false, 'sum(price) OVER ({P} ORDER BY ts ROWS UNBOUNDED PRECEDING EXCLUDE TIES)'),
	(false, 'count(*) OVER ({P} ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW)'),
	(false, 'sum(price) FILTER (WHERE ts % 2 = 0) OVER ({P} ORDER BY ts RANGE UNBOUNDED PRECEDING)')
) f(fast, call);

-- The select list of a query, or of its reference, which runs over one buffer:
-- there, equal rows stand in the order of arrival because it says so.
CREATE FUNCTION row_functions(which boolean, partition text, by_id text, tie text) RETURNS text
LANGUAGE sql AS $$
	SELECT string_agg(replace(replace(replace(call, '{P}', partition), '{ID}', by_id), '{TIE}', tie)
					  || ' AS f' || n, ', ' ORDER BY n)
	FROM (SELECT *, row_number() OVER (ORDER BY call) AS n FROM row_functions WHERE fast = which) f
$$;

CREATE PROCEDURE make_row_windows(prefix text, size int, key text DEFAULT ', symbol') LANGUAGE plpgsql AS $$
DECLARE
	which boolean;
BEGIN
	FOREACH which IN ARRAY ARRAY[true, false] LOOP
		EXECUTE format('CREATE TABLE %I WITH (velostream.continuous, velostream.source_mode = append) AS '
			'SELECT id, symbol, %s FROM trade WHERE price IS DISTINCT FROM 13',
			prefix || CASE WHEN which THEN '_fast' ELSE '_exact' END,
			row_functions(which, format('PARTITION BY velostream.buffer(%s)%s', size, key), '', ''));
	END LOOP;
END $$;

-- Rows in which an output and its reference differ: for every row, the window
-- functions over the last rows of its partition up to it.
CREATE FUNCTION wrong_row_windows(prefix text, size int, key text DEFAULT 's.symbol IS NOT DISTINCT FROM r.symbol')
RETURNS TABLE (output text, rows bigint, wrong bigint) LANGUAGE plpgsql AS $$
DECLARE
	which boolean;
	reference text;
BEGIN
	FOREACH which IN ARRAY ARRAY[true, false] LOOP
		output := prefix || CASE WHEN which THEN '_fast' ELSE '_exact' END;
		reference := format('SELECT w.* FROM trade r CROSS JOIN LATERAL '
			'(SELECT id, symbol, %s FROM (SELECT * FROM trade s WHERE %s AND s.price IS DISTINCT FROM 13 AND s.id <= r.id ORDER BY s.id DESC LIMIT %s) b) w '
			'WHERE w.id = r.id AND r.price IS DISTINCT FROM 13',
			row_functions(which, '', 'ORDER BY id', ', id'), key, size);
		EXECUTE format('CREATE TEMP TABLE reference AS %s', reference);
		EXECUTE format('SELECT (SELECT count(*) FROM %1$I), (SELECT count(*) FROM '
			'((TABLE %1$I EXCEPT ALL TABLE reference) UNION ALL (TABLE reference EXCEPT ALL TABLE %1$I)) d)', output)
			INTO rows, wrong;
		DROP TABLE reference;
		RETURN NEXT;
	END LOOP;
END $$;

-- Rows, so many at a time, of which some are out of order.
CREATE PROCEDURE trade_in_batches(batches int, batch int, disorder float8, outputs text[]) LANGUAGE plpgsql AS $$
DECLARE
	size int;
	name text;
BEGIN
	FOR i IN 1 .. batches LOOP
		size := 1 + floor(random() * batch);
		INSERT INTO trade
		SELECT n, (ARRAY['a', 'b', 'c', NULL])[1 + floor(random() * 4)],
			CASE WHEN random() < 0.02 THEN NULL WHEN random() < disorder THEN n / 2 - floor(random() * 12) ELSE n / 2 END,
			CASE WHEN random() < 0.1 THEN NULL ELSE floor(random() * 50) END
		FROM (SELECT coalesce((SELECT max(id) FROM trade), 0) + j AS n FROM generate_series(1, size) j) j;
		COMMIT;
		FOREACH name IN ARRAY outputs LOOP
			PERFORM FROM velostream.process(name::regclass);
			COMMIT;
		END LOOP;
	END LOOP;
END $$;

SELECT setseed(0.25);
CALL make_row_windows('one', 1);
CALL make_row_windows('three', 3);
CALL make_row_windows('ten', 10);
CALL make_row_windows('all', 100000);
CALL make_row_windows('whole', 8, '');
SELECT * FROM velostream.explain('three_fast') WHERE explain NOT LIKE 'State%';
SELECT * FROM velostream.explain('whole_exact') WHERE explain NOT LIKE 'State%';

-- in order, row by row; then in batches of all sizes, in disorder
CALL trade_in_batches(30, 1, 0, ARRAY['one_fast', 'three_fast', 'three_exact', 'ten_fast', 'all_fast', 'whole_exact']);
CALL trade_in_batches(10, 20, 0, ARRAY['one_fast', 'three_fast', 'ten_fast', 'ten_exact', 'all_fast', 'whole_fast']);
SELECT velostream.wait(timeout => '120s');
SELECT * FROM wrong_row_windows('three', 3);
CALL trade_in_batches(20, 30, 0.2, ARRAY['one_exact', 'three_fast', 'ten_fast', 'ten_exact', 'all_exact', 'whole_fast']);
CALL make_row_windows('late', 10);
CALL trade_in_batches(2, 100, 0.9, ARRAY['ten_exact', 'all_fast']);
SELECT velostream.wait(timeout => '120s');
SELECT wrong FROM wrong_row_windows('one', 1);
SELECT wrong FROM wrong_row_windows('three', 3);
SELECT wrong FROM wrong_row_windows('ten', 10);
SELECT wrong FROM wrong_row_windows('all', 100000);
SELECT wrong FROM wrong_row_windows('whole', 8, 'true');
SELECT wrong FROM wrong_row_windows('late', 10);
SELECT count(*) > 300 AS enough, count(DISTINCT symbol) FROM trade;

-- the state is the last rows of each partition
SELECT state FROM velostream.query WHERE output = 'ten_fast'::regclass \gset
SELECT count(*), max(n) FROM (SELECT count(*) AS n FROM :state GROUP BY key_1) p;

-- whatever becomes of the source's rows, and after a rebuild from it
SELECT velostream.rebuild('ten_fast'), velostream.rebuild('whole_exact');
SELECT velostream.wait(timeout => '120s');
SELECT wrong FROM wrong_row_windows('ten', 10);
SELECT wrong FROM wrong_row_windows('whole', 8, 'true');
CALL trade_in_batches(3, 10, 0.2, ARRAY['ten_fast', 'whole_exact']);
SELECT velostream.wait(timeout => '120s');
SELECT wrong FROM wrong_row_windows('ten', 10);
SELECT wrong FROM wrong_row_windows('whole', 8, 'true');
CREATE TABLE before AS TABLE ten_fast;
DELETE FROM trade WHERE id % 3 = 0;
UPDATE trade SET price = -1;
SELECT velostream.wait(timeout => '120s');
SELECT count(*) FROM ((TABLE before EXCEPT ALL TABLE ten_fast) UNION ALL (TABLE ten_fast EXCEPT ALL TABLE before)) d;
DROP TABLE before;
DROP TABLE trade CASCADE;

-- A stream has the rows in the order of arrival, and so has process().
CREATE TABLE tick (symbol text, x int);
CREATE TABLE lags WITH (velostream.continuous, velostream.kind = stream, velostream.source_mode = append) AS
SELECT symbol, x, lag(x) OVER (PARTITION BY velostream.buffer(100), symbol) AS before FROM tick;
INSERT INTO tick VALUES ('b', 100), ('a', 1), ('b', 200), ('a', 2), ('b', 300), ('b', 400);
SELECT velostream.wait('lags', '60s');
INSERT INTO tick VALUES ('b', 500), ('a', 3);
SELECT velostream.wait('lags', '60s');
SELECT symbol, x, before, _op, _offset FROM lags ORDER BY _offset;
SELECT velostream.rebuild('lags');
SELECT velostream.wait('lags', '60s');
SELECT symbol, x, before, _op, _offset FROM lags WHERE _offset > 8 ORDER BY _offset;
-- once, in the caller's session
SELECT * FROM velostream.query('SELECT symbol, x, lag(x) OVER (PARTITION BY velostream.buffer(100), symbol) FROM tick') AS t(symbol text, x int, before int);
SELECT * FROM velostream.query('SELECT x, count(*) OVER (w ORDER BY x DESC), rank() OVER (w ORDER BY x DESC), sum(x) OVER w
	FROM tick WHERE symbol = ''b'' WINDOW w AS (PARTITION BY velostream.buffer(2, ''1 s''), symbol)', 2) AS t(x int, n bigint, r bigint, s bigint);
DROP TABLE tick CASCADE;

-- Views, expressions, keys of several columns, types that are not passed by value.
CREATE TABLE base (id int, a numeric, b text COLLATE "C", c int[], d int);
CREATE VIEW shown WITH (security_barrier) AS SELECT id, a + 1 AS a1, upper(b) AS b, c, d FROM base WHERE d > 0;
CREATE TABLE mixed WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT id, s AS row, a1 + 1 AS key, b, max(c) OVER w AS arrays, first_value(c) OVER (w ORDER BY id DESC) AS first, string_agg(b || id::text, ',') OVER (w ORDER BY b, c) AS texts,
	count(s) OVER w AS n, 100 / lag(d, 1, 1) OVER w AS div, 1 AS one
FROM shown s WINDOW w AS (PARTITION BY velostream.buffer(2 + 1), a1 + 1, b COLLATE "C");
INSERT INTO base VALUES (1, 1, 'x', '{1,2}', 1), (2, 1.0, 'X', '{3}', 2), (3, 2, 'x', NULL, 3), (4, 1, 'x', '{}', 0), (5, 1.00, 'x', '{5}', 5);
SELECT velostream.wait('mixed', '60s');
INSERT INTO base VALUES (6, 1, 'x', '{0}', 6), (7, NULL, NULL, '{7}', 7), (8, NULL, NULL, '{8}', 8);
SELECT velostream.wait('mixed', '60s');
SELECT * FROM mixed ORDER BY id;
DROP TABLE base CASCADE;

-- Rows that fail become dead letters, and are in no buffer.
CREATE TABLE risky (id int, x int);
CREATE TABLE kept WITH (velostream.continuous, velostream.source_mode = append, velostream.on_error = dead_letter) AS
SELECT id, 60 / x AS share, count(*) OVER w AS n, array_agg(id) OVER w AS ids, 6 / (x - lag(x, 1, 0) OVER w - 2) AS gap
FROM risky WINDOW w AS (PARTITION BY velostream.buffer(3));
INSERT INTO risky VALUES (1, 1), (2, 0), (3, 3), (4, 4), (5, 5), (6, 6), (7, 0), (8, 8), (9, 9);
SELECT velostream.wait('kept', '60s');
SELECT * FROM kept ORDER BY id;
SELECT row, message FROM velostream.dead_letters WHERE query = 'kept'::regclass ORDER BY row ->> 'id';
DROP TABLE risky CASCADE;

-- A buffer is forgotten when its partition is idle: by event time ...
CREATE TABLE visit (id int, who text, at timestamp);
CREATE TABLE visits WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT id, who, array_agg(id) OVER (PARTITION BY velostream.buffer(3, '1 hour', at), who) AS ids FROM visit;
SELECT * FROM velostream.explain('visits') WHERE explain NOT LIKE 'State%';
INSERT INTO visit VALUES (1, 'a', '2026-01-01 00:00'), (2, 'b', '2026-01-01 00:30'), (3, 'a', '2026-01-01 01:00'),
	(4, 'b', '2026-01-01 01:40'), (5, 'a', '2026-01-01 00:20'), (6, 'c', NULL), (7, 'c', 'infinity');
SELECT velostream.wait('visits', '60s');
SELECT state FROM velostream.query WHERE output = 'visits'::regclass \gset
SELECT key_1, key_2, active FROM :state ORDER BY 1, 2;
INSERT INTO visit VALUES (8, 'a', '2026-01-01 01:59'), (9, 'd', '2026-01-01 02:50'), (10, 'a', '2026-01-01 01:59'), (11, 'b', '2026-01-01 02:30'),
	(12, 'c', '2026-01-01 00:00'), (13, 'c', '2026-01-01 02:50'), (14, 'c', NULL);
SELECT velostream.wait('visits', '60s');
SELECT * FROM visits ORDER BY id;
INSERT INTO visit VALUES (15, 'e', '2026-01-02');
SELECT velostream.wait('visits', '60s');
SELECT state FROM velostream.query WHERE output = 'visits'::regclass \gset
SELECT key_1, key_2, active FROM :state ORDER BY 1, 2;
-- the same whatever the batches are
CREATE TABLE visits_at_once WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT id, who, array_agg(id) OVER (PARTITION BY velostream.buffer(3, '1 hour', at), who) AS ids FROM visit;
SELECT velostream.wait('visits_at_once', '60s');
SELECT count(*) FROM ((TABLE visits EXCEPT ALL TABLE visits_at_once) UNION ALL (TABLE visits_at_once EXCEPT ALL TABLE visits)) d;
-- ... or by the time of arrival
CREATE TABLE arrivals WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT id, who, count(*) OVER (PARTITION BY velostream.buffer(3, '1 ms'), who) AS n FROM visit WHERE id > 15;
SELECT velostream.wait('arrivals', '60s');
INSERT INTO visit VALUES (16, 'a', NULL), (17, 'a', NULL);
SELECT velostream.wait('arrivals', '60s');
SELECT pg_sleep(0.01);
INSERT INTO visit VALUES (18, 'a', NULL), (19, 'b', NULL);
SELECT velostream.wait('arrivals', '60s');
SELECT * FROM arrivals ORDER BY id;
SELECT state FROM velostream.query WHERE output = 'arrivals'::regclass \gset
SELECT count(*) FROM :state WHERE key_2 = 0;
DROP TABLE visit CASCADE;

-- What cannot be.
CREATE TABLE src (id int PRIMARY KEY, k text, x int, ts timestamp);
CREATE TABLE o WITH (velostream.continuous) AS SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(3), k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT id, lag(x) OVER (PARTITION BY k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(3), k), sum(x) OVER (PARTITION BY k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(3), k), sum(x) OVER (PARTITION BY velostream.buffer(4), k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(3), k), sum(x) OVER (PARTITION BY velostream.buffer(3)) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT id, lag(x) OVER (PARTITION BY k, velostream.buffer(3)) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(3), velostream.buffer(4)) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT id, velostream.buffer(3) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT count(*) FROM src GROUP BY velostream.buffer(3);
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(x), k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(0), k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(2, '1 month'), k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT k, sum(sum(x)) OVER (PARTITION BY velostream.buffer(2), k) FROM src GROUP BY k;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT DISTINCT lag(x) OVER (PARTITION BY velostream.buffer(2), k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT sum(x) OVER (PARTITION BY velostream.buffer(2), k ROWS BETWEEN (random() * 3)::int PRECEDING AND CURRENT ROW) FROM src;
-- a day may have 23 hours, or 25
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT sum(x) OVER (PARTITION BY velostream.buffer(2), k ORDER BY ts AT TIME ZONE 'UTC' RANGE '1 day' PRECEDING) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT sum(x) OVER (PARTITION BY velostream.buffer(2), k ORDER BY ts AT TIME ZONE 'UTC' RANGE BETWEEN CURRENT ROW AND '1 mon' FOLLOWING) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT sum(x) OVER (PARTITION BY velostream.buffer(2), k ORDER BY ts AT TIME ZONE 'UTC' RANGE '24 hours' PRECEDING) FROM src;
DROP TABLE o;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append, velostream.emit = final) AS SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(3), k) FROM src;
CREATE VIEW over_buffer AS SELECT id, lag(x) OVER (PARTITION BY velostream.buffer(3), k) FROM src;
CREATE TABLE o WITH (velostream.continuous, velostream.source_mode = append) AS SELECT * FROM over_buffer;
INSERT INTO src VALUES (1);
SELECT * FROM over_buffer;
DROP TABLE src CASCADE;
DROP FUNCTION wrong_row_windows, row_functions;
DROP PROCEDURE make_row_windows, trade_in_batches;
DROP VIEW row_functions;
