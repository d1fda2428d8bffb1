-- ORDER BY and LIMIT: the first rows of a result, or of each window.
CREATE SCHEMA first_rows;
SET search_path = first_rows, public;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';

-- ----------
-- what it means
-- ----------
CREATE TABLE score (player int PRIMARY KEY, team text, points int, note text);
INSERT INTO score SELECT i, 'team ' || i % 4, i * 7 % 20, repeat('n', i % 3) FROM generate_series(1, 40) i;
CREATE TABLE best WITH (velostream.continuous) AS SELECT player, points FROM score ORDER BY points DESC LIMIT 5;
CREATE TABLE worst WITH (velostream.continuous) AS SELECT team, points FROM score WHERE points > 3 ORDER BY points NULLS FIRST LIMIT 4;
CREATE TABLE teams WITH (velostream.continuous) AS SELECT team, sum(points) AS total FROM score GROUP BY team ORDER BY total DESC LIMIT 2;
CREATE TABLE crowded WITH (velostream.continuous) AS
	SELECT points, count(*) AS n FROM score GROUP BY points HAVING count(*) > 1 ORDER BY n DESC, points LIMIT 3;
-- what rows are ordered by must be there
CREATE TABLE hidden WITH (velostream.continuous) AS SELECT team FROM score GROUP BY team ORDER BY max(points) DESC FETCH FIRST 2 ROWS ONLY;
CREATE TABLE notes WITH (velostream.continuous) AS SELECT note FROM score ORDER BY points % 3, length(note) DESC LIMIT 6;
CREATE TABLE distincts WITH (velostream.continuous) AS SELECT DISTINCT points FROM score ORDER BY points LIMIT 3;
CREATE TABLE nothing WITH (velostream.continuous) AS SELECT player FROM score ORDER BY player LIMIT 0;
CREATE TABLE whole WITH (velostream.continuous) AS SELECT count(*) AS n FROM score ORDER BY n LIMIT 1;
CALL check_all();
SELECT * FROM best ORDER BY points DESC, player;
SELECT * FROM teams ORDER BY total DESC;
SELECT replace(substring(definition FROM 'ORDER BY.*'), 'score.', '') FROM velostream.queries WHERE query = 'best'::regclass;
SELECT e FROM unnest('{best,teams}'::regclass[]) q, velostream.explain(q) e WHERE e ~ '^ *Limit';
-- one comes in front, one behind
INSERT INTO score VALUES (100, 'new', 50, 'x'), (101, 'new', -1, NULL);
CALL check_all();
SELECT * FROM best ORDER BY points DESC, player;
-- one that stands there gets better, one goes: others move up
UPDATE score SET points = 60 WHERE player = 100;
CALL check_all();
DELETE FROM score WHERE player = 100;
CALL check_all();
SELECT * FROM best ORDER BY points DESC, player;
UPDATE score SET points = 0 WHERE team = 'team 3';
CALL check_all();
DELETE FROM score WHERE points > 10;
CALL check_all();
-- fewer than the limit, none, and again
DELETE FROM score WHERE player > 3;
CALL check_all();
SELECT * FROM best ORDER BY points DESC, player;
TRUNCATE score;
CALL check_all();
SELECT count(*) FROM best;
INSERT INTO score SELECT i, 'team ' || i % 4, i * 7 % 20, repeat('n', i % 3) FROM generate_series(1, 40) i;
CALL check_all();
-- a row is updated, not replaced, where it has a key
ALTER TABLE best ADD COLUMN seen timestamptz DEFAULT clock_timestamp();
SELECT max(seen) AS last FROM best \gset
UPDATE score SET points = points + 1 WHERE player IN (SELECT player FROM best);
CALL check_all();
SELECT count(*) FILTER (WHERE seen <= :'last') AS updated, count(*) FROM best;
SELECT velostream.rebuild('best');
CALL check_all();

-- ----------
-- random changes
-- ----------
CREATE TABLE ev (id int, k text, v numeric, j json, ts timestamptz);
CREATE TABLE r_bag WITH (velostream.continuous) AS SELECT k, v FROM ev ORDER BY v DESC LIMIT 7;
CREATE TABLE r_low WITH (velostream.continuous) AS SELECT v % 5 AS m, k COLLATE "C" AS k, id FROM ev WHERE v <> 3 ORDER BY 1 DESC NULLS LAST, 2 LIMIT 10;
CREATE TABLE r_sum WITH (velostream.continuous) AS SELECT k, count(*) AS n, sum(v) AS s FROM ev GROUP BY k ORDER BY s DESC NULLS LAST LIMIT 4;
CREATE TABLE r_max WITH (velostream.continuous) AS SELECT id % 11 AS i, max(v) AS m, min(k) AS f FROM ev GROUP BY 1 HAVING count(*) > 2 ORDER BY m, f DESC LIMIT 3;
CREATE TABLE r_letters WITH (velostream.continuous, velostream.on_error = dead_letter) AS SELECT id, 10 / (id % 13) AS d, k FROM ev ORDER BY d, k DESC LIMIT 6;
CREATE TABLE r_bad_groups WITH (velostream.continuous, velostream.on_error = dead_letter) AS
	SELECT k, sum(10 / (id % 13)) AS d FROM ev GROUP BY k ORDER BY d DESC LIMIT 6;
-- windows, and their oracle: the first rows of each
CREATE TABLE windowed (name text, keys text, agg text DEFAULT 'sum(v)');
INSERT INTO windowed VALUES ('tumble', $$velostream.tumble(ts, '1 hour')$$), ('hop', $$velostream.hop(ts, '1 hour', '20 min')$$),
	('cumulate', $$velostream.cumulate(ts, '20 min', '2 hour')$$), ('session', $$velostream.session(ts, '4 min')$$);
-- put together from panes, sums of float8 are not the same to the last bit each time
INSERT INTO windowed SELECT name || '_float', keys, $$sum((v * 0.1 + id * 0.3 + hashtext(k)::numeric / 1e10)::float8)$$ FROM windowed;
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM windowed LOOP
		EXECUTE format('CREATE TABLE w_%1$s WITH (velostream.continuous) AS SELECT %2$s AS w, k, %3$s AS s FROM ev '
					   'GROUP BY 1, 2 ORDER BY s DESC LIMIT 3', r.name, r.keys, r.agg);
		-- all rows: that this is right is seen elsewhere
		EXECUTE format('CREATE TABLE a_%1$s WITH (velostream.continuous) AS SELECT %2$s AS w, k, %3$s AS s FROM ev GROUP BY 1, 2',
					   r.name, r.keys, r.agg);
	END LOOP;
END $$;
CREATE FUNCTION window_differences() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	name text;
	n bigint;
	result bigint := 0;
BEGIN
	FOR name IN SELECT w.name FROM windowed w LOOP
		EXECUTE format('WITH right_rows AS (SELECT w, k, round(s::numeric, 6) FROM (SELECT *, row_number() OVER (PARTITION BY w ORDER BY s DESC, k) AS n '
					   'FROM a_%1$s) r WHERE n <= 3) '
					   'SELECT (SELECT count(*) FROM (SELECT w, k, round(s::numeric, 6) FROM w_%1$s EXCEPT ALL TABLE right_rows) a) '
					   '+ (SELECT count(*) FROM (TABLE right_rows EXCEPT ALL SELECT w, k, round(s::numeric, 6) FROM w_%1$s) b)', name) INTO n;
		IF n > 0 THEN
			RAISE WARNING '%: %', name, n;
		END IF;
		result := result + n;
	END LOOP;
	RETURN result;
END $$;
-- rows that fail are in none of the others
CREATE FUNCTION letter_differences() RETURNS bigint LANGUAGE sql AS $$
	WITH good AS (SELECT * FROM ev WHERE id % 13 <> 0),
		l AS (SELECT id, 10 / (id % 13) AS d, k FROM good ORDER BY d, k DESC, id LIMIT 6),
		g AS (SELECT k, sum(10 / (id % 13)) AS d FROM good GROUP BY k ORDER BY d DESC, k LIMIT 6)
	SELECT (SELECT count(*) FROM (TABLE r_letters EXCEPT ALL TABLE l) a) + (SELECT count(*) FROM (TABLE l EXCEPT ALL TABLE r_letters) a)
		+ (SELECT count(*) FROM (TABLE r_bad_groups EXCEPT ALL TABLE g) a) + (SELECT count(*) FROM (TABLE g EXCEPT ALL TABLE r_bad_groups) a)
$$;
CREATE PROCEDURE churn(steps int) LANGUAGE plpgsql AS $$
DECLARE
	i int;
BEGIN
	FOR n IN 1..steps LOOP
		i := (random() * 200)::int;
		CASE floor(random() * 10)::int
			WHEN 0, 1, 2, 3, 4 THEN
				INSERT INTO ev SELECT i + x, NULLIF('k' || (random() * 9)::int, 'k7'), NULLIF((random() * 30)::int, 15), '{}',
						'2024-01-01'::timestamptz + (i + x) * interval '3 min'
					FROM generate_series(1, (random() * 5)::int) x;
			WHEN 5, 6 THEN
				UPDATE ev SET v = v + (random() * 4)::int - 2 WHERE id % 17 = i % 17;
			WHEN 7 THEN
				UPDATE ev SET k = 'k' || i % 12 WHERE id BETWEEN i AND i + 3;
			WHEN 8 THEN
				DELETE FROM ev WHERE v = (SELECT max(v) FROM ev) OR id = i;
			ELSE
				DELETE FROM ev WHERE id BETWEEN i AND i + 4;
		END CASE;
		IF random() < 0.3 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;
CREATE PROCEDURE compare() LANGUAGE plpgsql AS $$
BEGIN
	IF differences('r_bag') + differences('r_low') + differences('r_sum') + differences('r_max')
		+ window_differences() + letter_differences() <> 0 THEN
		RAISE WARNING 'wrong: % % % % % %', differences('r_bag'), differences('r_low'), differences('r_sum'),
			differences('r_max'), window_differences(), letter_differences();
	END IF;
END $$;
CREATE PROCEDURE churn_and_check(rounds int, steps int) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1..rounds LOOP
		CALL churn(floor(random() * steps)::int);
		COMMIT;
		PERFORM velostream.wait(timeout => '60s');
		COMMIT;
		CALL compare();
	END LOOP;
END $$;
CALL churn_and_check(60, 20);
SELECT count(*) > 0 AS letters FROM velostream.dead_letters;
SELECT bool_and(recomputed > 0) AS moved_up FROM velostream.stat_queries WHERE query::text ~ '^[rw]_';
SELECT velostream.rebuild(query) FROM velostream.queries WHERE query::text ~ '^[rw]_';
CALL churn_and_check(3, 20);
-- step by step
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();
CALL churn(10);
DO $$
DECLARE
	q regclass;
BEGIN
	FOR q IN SELECT query FROM velostream.queries WHERE query::text ~ '^[raw]_' ORDER BY query::text LOOP
		PERFORM velostream.process(q, 1);
	END LOOP;
END $$;
CALL compare();
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();

-- ----------
-- windows that are emitted when they close
-- ----------
CREATE TABLE trade (ts timestamp, symbol text, price int) WITH (autovacuum_enabled = off);
CREATE TABLE f_table WITH (velostream.continuous, velostream.emit = final) AS
	SELECT velostream.tumble(ts, '1 min') AS w, symbol, max(price) AS top FROM trade GROUP BY 1, 2 ORDER BY top DESC LIMIT 2;
CREATE TABLE f_stream WITH (velostream.continuous, velostream.emit = final, velostream.kind = stream) AS
	SELECT velostream.tumble(ts, '1 min') AS w, symbol, max(price) AS top FROM trade GROUP BY 1, 2 ORDER BY top;
CREATE TABLE f_hop WITH (velostream.continuous, velostream.emit = final) AS
	SELECT velostream.hop(ts, '2 min', '1 min') AS w, symbol, count(*) AS n FROM trade GROUP BY 1, 2 ORDER BY n DESC LIMIT 1;
INSERT INTO trade SELECT '2024-01-01'::timestamp + i * interval '5 s', 's' || i % 5, i * 37 % 100 FROM generate_series(0, 59) i;
INSERT INTO trade VALUES ('2024-01-01 01:00', 'end', 0);
SELECT count(*) > 0 AS waited FROM (SELECT velostream.wait(timeout => '60s')) w;
SELECT * FROM f_table ORDER BY w, top DESC;
SELECT w, symbol, top FROM f_stream ORDER BY _offset LIMIT 10;
SELECT * FROM f_hop ORDER BY w;
-- the same from all rows
SELECT count(*) FROM (
	SELECT w, symbol, top FROM (SELECT *, row_number() OVER (PARTITION BY w ORDER BY top DESC, symbol) FROM (
		SELECT velostream.tumble(ts, '1 min') AS w, symbol, max(price) AS top FROM trade WHERE symbol <> 'end' GROUP BY 1, 2) g) r
	WHERE row_number <= 2 EXCEPT ALL TABLE f_table) d;
SELECT count(*) FROM (
	SELECT w, symbol, n FROM (SELECT *, row_number() OVER (PARTITION BY w ORDER BY n DESC, symbol) FROM (
		SELECT velostream.hop(ts, '2 min', '1 min') AS w, symbol, count(*) AS n FROM trade WHERE symbol <> 'end' GROUP BY 1, 2) g) r
	WHERE row_number <= 1 EXCEPT ALL TABLE f_hop) d;

-- ----------
-- velostream.query()
-- ----------
SELECT * FROM velostream.query('SELECT symbol, count(*) AS n FROM trade GROUP BY symbol ORDER BY n DESC LIMIT 2', 0) AS t(symbol text, n bigint);
SELECT * FROM velostream.query('SELECT symbol, price FROM trade ORDER BY price DESC LIMIT 3', 0) AS t(symbol text, price int);
-- row by row: whatever is among the first when it comes
SELECT * FROM velostream.query('SELECT symbol, price FROM trade ORDER BY price DESC LIMIT 1') AS t(symbol text, price int);
-- those that have few rows lose their place, and others move up
SELECT count(*), count(DISTINCT symbol) FROM velostream.query('SELECT symbol, count(*) AS n FROM trade GROUP BY symbol ORDER BY n LIMIT 2') AS t(symbol text, n bigint);
SELECT * FROM velostream.query('SELECT _window_start, symbol, max(price) AS top FROM trade GROUP BY symbol WINDOW TUMBLING(ts, 1m) ORDER BY top DESC LIMIT 1 EMIT FINAL')
	AS t(w timestamp, symbol text, top int);
SELECT count(*) FROM velostream.query('SELECT _window_start, symbol, max(price) AS top FROM trade GROUP BY symbol WINDOW TUMBLING(ts, 1m) ORDER BY top DESC LIMIT 1 EMIT CHANGES')
	AS t(w timestamp, symbol text, top int);

-- without a window, once and in order, whether there is a LIMIT or not
SELECT * FROM velostream.query('SELECT symbol, count(*) AS n, max(price) FROM trade GROUP BY symbol ORDER BY max(price) DESC EMIT FINAL') AS t(symbol text, n bigint, best int);
SELECT * FROM velostream.query('SELECT symbol, price FROM trade WHERE price > 90 ORDER BY symbol DESC, price LIMIT 5 EMIT FINAL') AS t(symbol text, price int);

SELECT * FROM velostream.execute('SELECT symbol, max(price) AS m FROM trade GROUP BY symbol ORDER BY m EMIT FINAL');
SELECT * FROM velostream.execute('SELECT symbol, max(price) AS m FROM trade GROUP BY symbol ORDER BY m');

-- ----------
-- what is refused
-- ----------
CREATE TABLE o WITH (velostream.continuous) AS SELECT player FROM score ORDER BY player;
CREATE TABLE o WITH (velostream.continuous) AS SELECT player FROM score LIMIT 3;
CREATE TABLE o WITH (velostream.continuous) AS SELECT player FROM score ORDER BY player LIMIT 3 OFFSET 1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT player FROM score ORDER BY player FETCH FIRST 3 ROWS WITH TIES;
CREATE TABLE o WITH (velostream.continuous) AS SELECT player FROM score ORDER BY player LIMIT -1;
CREATE TABLE o WITH (velostream.continuous) AS SELECT player FROM score ORDER BY player LIMIT 100000;
CREATE TABLE o WITH (velostream.continuous) AS SELECT player FROM score ORDER BY player LIMIT (random() * 10)::int;
CREATE TABLE o WITH (velostream.continuous, velostream.kind = stream) AS SELECT player FROM score ORDER BY player LIMIT 3;
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous) AS
	SELECT velostream.tumble(ts, '2 min') AS w, count(*) AS n FROM trade GROUP BY 1 ORDER BY n LIMIT 3;
CREATE TABLE o WITH (velostream.continuous, velostream.max_out_of_orderness = '0 s') AS
	SELECT velostream.session(ts, '2 min') AS w, symbol, count(*) AS n FROM trade GROUP BY 1, 2 ORDER BY n LIMIT 3;

SET client_min_messages = warning;
DROP SCHEMA first_rows CASCADE;
