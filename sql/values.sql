-- Values: large, odd, many.
CREATE SCHEMA vals;
SET search_path = vals, public;

-- ----------
-- large values, which are stored out of line
-- ----------
-- does not compress
CREATE FUNCTION noise(int, int) RETURNS text LANGUAGE sql IMMUTABLE AS
$$SELECT string_agg(md5($1::text || ',' || i), '' ORDER BY i) FROM generate_series(1, $2) i$$;
CREATE TABLE big (id int PRIMARY KEY, k text, v text, n int);
ALTER TABLE big ALTER COLUMN k SET STORAGE EXTERNAL, ALTER COLUMN v SET STORAGE EXTERNAL;
INSERT INTO big SELECT i, noise(i % 4, 3000), noise(i % 7, 3200), i FROM generate_series(1, 40) i;
CREATE TABLE by_big WITH (velostream.continuous) AS SELECT k, count(*) AS c, sum(n) AS s FROM big GROUP BY k;
CREATE TABLE big_max WITH (velostream.continuous) AS SELECT n % 3 AS m, max(v) AS mx, min(k || v) AS mn, count(*) AS c FROM big GROUP BY 1;
CREATE TABLE big_all WITH (velostream.continuous) AS SELECT max(v) AS mx, max(length(k)) AS l FROM big;
CREATE TABLE big_rows WITH (velostream.continuous) AS SELECT id, v, k FROM big WHERE n > 5;
CREATE TABLE big_bag WITH (velostream.continuous) AS SELECT v, k, n % 2 AS odd FROM big;
CREATE TABLE big_distinct WITH (velostream.continuous) AS SELECT DISTINCT k, v FROM big;
CREATE TABLE big_stream WITH (velostream.continuous, velostream.kind = stream) AS SELECT n % 3 AS m, max(v) AS mx FROM big GROUP BY 1;
CREATE TABLE big_append WITH (velostream.continuous, velostream.source_mode = append) AS SELECT k, max(v) AS mx, count(*) AS c FROM big GROUP BY k;
CALL check_all();
SELECT count(*), sum(length(k)) FROM by_big;
UPDATE big SET n = n + 1;
CALL check_all();
UPDATE big SET v = noise(id, 3200) WHERE id % 5 = 0;
CALL check_all();
UPDATE big SET k = noise(100, 3000) WHERE id < 10;
CALL check_all();
DELETE FROM big WHERE id % 3 = 0;
CALL check_all();
DELETE FROM big WHERE v = (SELECT max(v) FROM big);
INSERT INTO big SELECT i, noise(i % 4, 3000), noise(i % 7, 3200), i FROM generate_series(101, 120) i;
CALL check_all();
-- two of the same
INSERT INTO big SELECT id + 1000, k, v, n FROM big;
CALL check_all();
DELETE FROM big WHERE id > 1000;
CALL check_all();
VACUUM FULL by_big, big_max, big_rows, big_bag;
VACUUM FULL big;
UPDATE big SET n = n + 1, v = v || 'x' WHERE id % 2 = 0;
CALL check_all();
SELECT count(*) = 4, sum(c) FROM big_append;
SELECT _op, count(*) > 0 AS some FROM big_stream GROUP BY 1 ORDER BY 1;
SELECT DISTINCT ON (m) m, mx = (SELECT max(v) FROM big WHERE n % 3 = m) AS last_is_right FROM big_stream ORDER BY m, _offset DESC;
-- the output's copies are its own
DROP TABLE by_big, big_max, big_all, big_bag, big_distinct, big_stream, big_append;
INSERT INTO big VALUES (5000, 'k', noise(12, 3200), 50);
DELETE FROM big WHERE id <> 5000;
SELECT velostream.wait('big_rows', '60s');
SELECT velostream.pause('big_rows');
TRUNCATE big;
VACUUM FULL big;
SELECT id, length(v), v = noise(12, 3200) AS right FROM big_rows;
SELECT velostream.resume('big_rows');
CALL check_all();
SET client_min_messages = warning;
DROP TABLE big CASCADE;
RESET client_min_messages;

-- ----------
-- wide and many
-- ----------
DO $$
BEGIN
	EXECUTE (SELECT 'CREATE TABLE wide (' || string_agg('c' || i || ' int', ', ') || ')' FROM generate_series(1, 1000) i);
	EXECUTE (SELECT 'INSERT INTO wide SELECT ' || string_agg('(x * ' || i || ') % 3', ', ') || ' FROM generate_series(1, 20) x' FROM generate_series(1, 1000) i);
	EXECUTE (SELECT 'CREATE TABLE wide_rows WITH (velostream.continuous) AS SELECT ' || string_agg('c' || i, ', ') || ' FROM wide' FROM generate_series(1, 1000) i);
	EXECUTE (SELECT 'CREATE TABLE wide_keys WITH (velostream.continuous) AS SELECT ' || string_agg('c' || i, ', ')
		|| ', count(*), sum(c200) FROM wide GROUP BY ' || string_agg(i::text, ', ') FROM generate_series(1, 100) i);
	EXECUTE (SELECT 'CREATE TABLE wide_aggs WITH (velostream.continuous) AS SELECT c1, ' || string_agg('sum(c' || i || ') AS s' || i, ', ')
		|| ', ' || string_agg('max(c' || i || ') AS m' || i, ', ') || ' FROM wide GROUP BY c1' FROM generate_series(1, 300) i);
END $$;
-- too many: each has a value for what comes and one for what goes
DO $$
BEGIN
	EXECUTE (SELECT 'CREATE TABLE wide_many WITH (velostream.continuous) AS SELECT c1, ' || string_agg('max(c' || i || ') AS m' || i, ', ')
		|| ' FROM wide GROUP BY c1' FROM generate_series(1, 900) i);
EXCEPTION WHEN too_many_columns THEN
	RAISE NOTICE '%', SQLERRM;
END $$;
CALL check_all();
UPDATE wide SET c1000 = 77, c50 = NULL WHERE c2 = 1;
CALL check_all();
DELETE FROM wide WHERE c1 = 2;
INSERT INTO wide (c1, c777) VALUES (1, 1), (NULL, 3);
CALL check_all();
SELECT count(*), count(c777) FROM wide_rows;
SET client_min_messages = warning;
DROP TABLE wide CASCADE;
RESET client_min_messages;

-- ----------
-- columns of all kinds in the source
-- ----------
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN label AS varchar(10) NOT NULL;
CREATE TYPE pair AS (a int, b text);
CREATE TABLE kinds (
	id int GENERATED ALWAYS AS IDENTITY,
	m mood DEFAULT 'ok',
	p positive,
	l label DEFAULT 'none',
	pr pair,
	ar int[],
	j json,
	jb jsonb,
	f float8,
	nu numeric,
	ch char(5),
	bo bool,
	u uuid,
	iv interval,
	ip inet,
	r int4range,
	bits bit varying,
	gen int GENERATED ALWAYS AS (p * 2) STORED,
	dropped int,
	added text);
ALTER TABLE kinds DROP COLUMN dropped;
INSERT INTO kinds (m, p, l, pr, ar, j, jb, f, nu, ch, bo, u, iv, ip, r, bits)
SELECT (ARRAY['sad', 'ok', 'happy', NULL])[i % 4 + 1]::mood, i % 5 + 1, 'l' || i % 3, ROW(i % 2, NULLIF('b' || i % 3, 'b0'))::pair, ARRAY[i % 3, NULL],
	format('{"a":   %s}', i % 2)::json, format('{"a": %s}', i % 2)::jsonb,
	(ARRAY['NaN', 'Infinity', '-Infinity', '-0', '0', '1.5'])[i % 6 + 1]::float8,
	(ARRAY['NaN', 'Infinity', '-Infinity', '0.0', '0.00', '1.50'])[i % 6 + 1]::numeric,
	'c' || i % 3, i % 2 = 0, md5((i % 4)::text)::uuid, (i % 3) * interval '1 month', ('10.0.0.' || i % 3)::inet,
	int4range(i % 3, i % 3 + 5), (i % 4)::bit(3)
FROM generate_series(1, 240) i;
CREATE TABLE k_m WITH (velostream.continuous) AS SELECT m, count(*), max(m), min(p), sum(p), max(gen) AS g, avg(gen) FROM kinds GROUP BY m;
CREATE TABLE k_dom WITH (velostream.continuous) AS SELECT p, l, count(*), max(l), max(p) AS mp FROM kinds GROUP BY p, l;
CREATE TABLE k_pair WITH (velostream.continuous) AS SELECT pr, ar, count(*), count(pr) AS c, max(ar) FROM kinds GROUP BY pr, ar;
CREATE TABLE k_f WITH (velostream.continuous) AS SELECT f, count(*), sum(f), max(f), min(f) FROM kinds GROUP BY f;
CREATE TABLE k_nu WITH (velostream.continuous) AS SELECT nu = 'NaN' AS nan, bo, count(*), sum(nu), avg(nu), max(nu), min(nu) FROM kinds GROUP BY 1, 2;
CREATE TABLE k_var WITH (velostream.continuous) AS SELECT bo, variance(nu) FILTER (WHERE nu < 100 AND nu > -100) AS v, stddev(f) FILTER (WHERE f < 100) AS sd, sum(nu) FILTER (WHERE nu > 0) FROM kinds GROUP BY bo;
CREATE TABLE k_misc WITH (velostream.continuous) AS SELECT ch, u, iv, count(*), max(ip), bit_or(bits::bit(3)), sum(iv), bool_and(bo), every(bo) FROM kinds GROUP BY ch, u, iv;
CREATE TABLE k_jb2 WITH (velostream.continuous) AS SELECT jb, r, count(*) FROM kinds GROUP BY jb, r;
CREATE TABLE k_bag WITH (velostream.continuous) AS SELECT m, p, l, pr, ar, jb, f, nu, ch, bo, u, iv, ip, r, bits, gen, added FROM kinds;
CREATE TABLE k_json WITH (velostream.continuous) AS SELECT j, p, p > 3 AS big FROM kinds;
CREATE TABLE k_const WITH (velostream.continuous) AS SELECT 1 AS one, 'x' AS x, NULL AS nothing, count(*) FROM kinds;
CREATE TABLE k_consts WITH (velostream.continuous) AS SELECT 1 AS one, 'x'::text AS x FROM kinds WHERE p = 1;
CREATE TABLE k_group_const WITH (velostream.continuous) AS SELECT 'all' AS a, count(*) FILTER (WHERE p > 2) AS n, count(*) FILTER (WHERE false) AS none FROM kinds GROUP BY 'all'::text;
CREATE TABLE k_whole WITH (velostream.continuous) AS SELECT kinds AS r FROM kinds;
CREATE TABLE k_none WITH (velostream.continuous) AS SELECT FROM kinds;
CREATE TABLE k_collate WITH (velostream.continuous) AS SELECT l COLLATE "C" AS l, max(added COLLATE "POSIX"), count(*) FROM kinds GROUP BY 1;
-- as check_all, but json has no equality
CREATE PROCEDURE check_json()
LANGUAGE plpgsql AS $$
DECLARE
	q regclass;
	n bigint;
BEGIN
	PERFORM velostream.wait(timeout => '60s');
	COMMIT;
	FOR q IN SELECT query FROM velostream.queries WHERE name NOT IN ('k_json', 'k_whole') ORDER BY query::text LOOP
		n := differences(q);
		IF n <> 0 THEN
			RAISE WARNING '% differs from its query in % rows', q, n;
		END IF;
	END LOOP;
	IF EXISTS ((SELECT j::text, p, big FROM vals.k_json EXCEPT ALL SELECT j::text, p, p > 3 FROM vals.kinds)
			   UNION ALL (SELECT j::text, p, p > 3 FROM vals.kinds EXCEPT ALL SELECT j::text, p, big FROM vals.k_json)) THEN
		RAISE WARNING 'k_json differs';
	END IF;
	IF EXISTS ((SELECT r::text FROM vals.k_whole EXCEPT ALL SELECT k::text FROM vals.kinds k)
			   UNION ALL (SELECT k::text FROM vals.kinds k EXCEPT ALL SELECT r::text FROM vals.k_whole)) THEN
		RAISE WARNING 'k_whole differs';
	END IF;
END $$;
CALL check_json();
SELECT f, count FROM k_f ORDER BY f;
SELECT * FROM k_const;
SELECT * FROM k_group_const;
SELECT DISTINCT * FROM k_consts;
INSERT INTO kinds (p, f, nu, added) SELECT i % 3 + 1, -0.0, 0.000, 'a' || i FROM generate_series(1, 10) i;
INSERT INTO kinds DEFAULT VALUES;
CALL check_json();
UPDATE kinds SET nu = nu + 1, m = 'sad' WHERE id % 7 = 0;
CALL check_json();
UPDATE kinds SET f = -f WHERE f = 0;
CALL check_json();
SELECT f, count FROM k_f WHERE f = 0;
UPDATE kinds SET nu = '0.000' WHERE nu = 0;
CALL check_json();
UPDATE kinds SET j = '{"a":1}', jb = NULL, r = 'empty', pr = NULL, ar = '{}' WHERE id % 5 = 0;
CALL check_json();
UPDATE kinds SET pr = ROW(NULL, NULL) WHERE id % 10 = 0;
CALL check_json();
DELETE FROM kinds WHERE id % 3 = 0;
CALL check_json();
DELETE FROM kinds WHERE nu IN ('NaN', 'Infinity', '-Infinity') OR f IN ('NaN', 'Infinity', '-Infinity');
CALL check_json();
SELECT * FROM k_nu ORDER BY 1, 2;
ALTER TYPE mood ADD VALUE 'ecstatic' BEFORE 'sad';
INSERT INTO kinds (m, p) VALUES ('ecstatic', 1);
CALL check_json();
ALTER TYPE pair ADD ATTRIBUTE c int;
ALTER TYPE mood RENAME VALUE 'ok' TO 'fine';
INSERT INTO kinds (m, p, pr) VALUES ('fine', 1, ROW(1, '2', 3));
CALL check_json();
DELETE FROM kinds;
CALL check_json();
SELECT * FROM k_const;
SET client_min_messages = warning;
DROP TABLE kinds CASCADE;
RESET client_min_messages;

-- ----------
-- equal is not the same
-- ----------
-- a collation, a type that takes different bytes for equal
CREATE TABLE words (id int PRIMARY KEY, w text, ch char(8), n numeric);
INSERT INTO words VALUES (1, 'a', 'x', 1.0), (2, 'A', 'x  ', 1.00), (3, 'b', 'y', 2), (4, 'a', 'x', 1);
CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE w_count WITH (velostream.continuous) AS SELECT count(*), sum(n) FROM words GROUP BY w COLLATE insensitive;
CREATE TABLE w_n WITH (velostream.continuous) AS SELECT n, count(*) FROM words GROUP BY n;
CREATE TABLE w_ch WITH (velostream.continuous) AS SELECT ch, count(*) FROM words GROUP BY ch;
CREATE TABLE w_distinct WITH (velostream.continuous) AS SELECT DISTINCT n FROM words;
CREATE TABLE w_bag WITH (velostream.continuous) AS SELECT n, ch, w FROM words;
CALL check_all();
SELECT count, sum FROM w_count ORDER BY 1, 2, sum::text DESC;
DELETE FROM words WHERE id = 1;
SELECT velostream.wait(timeout => '60s');
SELECT count, sum FROM w_count ORDER BY 1, 2, sum::text DESC;
SELECT count(*) FROM w_n;
DELETE FROM words WHERE id = 2;
CALL check_all();
INSERT INTO words VALUES (10, 'B', 'y ', 2.000), (11, 'a', 'X', 3);
SELECT velostream.wait(timeout => '60s');
SELECT count, sum FROM w_count ORDER BY 1, 2, sum::text DESC;
DELETE FROM words WHERE id IN (4, 10);
CALL check_all();
TABLE w_n ORDER BY n;
SET client_min_messages = warning;
DROP TABLE words CASCADE;
RESET client_min_messages;

-- ----------
-- aggregates of users
-- ----------
CREATE TABLE nums (id int PRIMARY KEY, g int, v int, t text, p point);
INSERT INTO nums SELECT i, i % 3, i, 't' || i, point(i, -i) FROM generate_series(1, 60) i;
-- the state is an array
CREATE FUNCTION vec_step(int8[], int) RETURNS int8[] LANGUAGE sql IMMUTABLE AS
'SELECT CASE WHEN $2 IS NULL THEN $1 ELSE ARRAY[$1[1] + 1, $1[2] + $2, $1[3] + $2 * $2] END';
CREATE FUNCTION vec_add(int8[], int8[]) RETURNS int8[] LANGUAGE sql IMMUTABLE AS
'SELECT ARRAY[$1[1] + $2[1], $1[2] + $2[2], $1[3] + $2[3]]';
CREATE FUNCTION vec_final(int8[]) RETURNS text LANGUAGE sql IMMUTABLE AS
'SELECT $1[1] || ''/'' || $1[2] || ''/'' || $1[3]';
CREATE AGGREGATE vec (int) (sfunc = vec_step, stype = int8[], combinefunc = vec_add, finalfunc = vec_final, initcond = '{0,0,0}', parallel = safe);
-- the state is large, in any order; strict functions, no initial value
CREATE FUNCTION longer(text, text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS
'SELECT CASE WHEN length($1) > length($2) OR length($1) = length($2) AND $1 > $2 THEN $1 ELSE $2 END';
CREATE AGGREGATE longest (text) (sfunc = longer, stype = text, combinefunc = longer);
-- a set as a sorted array, of any type
CREATE FUNCTION set_add(anycompatiblearray, anycompatible) RETURNS anycompatiblearray LANGUAGE sql IMMUTABLE AS
'SELECT array_agg(x ORDER BY x) FROM (SELECT unnest($1) AS x UNION SELECT $2) u';
CREATE FUNCTION set_union(anyarray, anyarray) RETURNS anyarray LANGUAGE sql IMMUTABLE AS
'SELECT array_agg(x ORDER BY x) FROM (SELECT unnest($1) AS x UNION SELECT unnest($2)) u';
CREATE AGGREGATE int_set (int) (sfunc = set_add, stype = int[], combinefunc = set_union, initcond = '{}');
CREATE AGGREGATE text_set (text) (sfunc = set_add, stype = text[], combinefunc = set_union, initcond = '{}');
-- two arguments, a composite state, plpgsql
CREATE TYPE best AS (score int, who text);
CREATE FUNCTION best_step(best, int, text) RETURNS best LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 IS NULL OR $2 > $1.score THEN RETURN ROW($2, $3)::vals.best; END IF;
	RETURN $1;
END $$;
CREATE FUNCTION best_combine(best, best) RETURNS best LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 IS NULL OR $2.score > $1.score THEN RETURN $2; END IF;
	RETURN $1;
END $$;
CREATE FUNCTION best_final(best) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1.who';
CREATE AGGREGATE winner (int, text) (sfunc = best_step, stype = best, combinefunc = best_combine, finalfunc = best_final);
CREATE TABLE u_agg WITH (velostream.continuous) AS
SELECT g, vec(v), vec(v) FILTER (WHERE v > 30) AS vec30, longest(t), winner(v, t), int_set(v % 7), text_set(t) AS ts FROM nums GROUP BY g;
CREATE TABLE u_all WITH (velostream.continuous) AS SELECT vec(v), longest(t), winner(-v, t), array_length(int_set(v), 1) AS n FROM nums;
CREATE TABLE u_having WITH (velostream.continuous) AS SELECT g, longest(t) FROM nums GROUP BY g HAVING longest(t) > 't5' AND vec(v) <> '';
CREATE TABLE u_stream WITH (velostream.continuous, velostream.kind = stream) AS SELECT g, vec(v) FROM nums GROUP BY g;
CALL check_all();
SELECT g, vec, vec30, longest, winner FROM u_agg ORDER BY g;
INSERT INTO nums SELECT i, i % 4, i, repeat('t', i) || i FROM generate_series(61, 100) i;
CALL check_all();
INSERT INTO nums VALUES (200, 1, NULL, NULL), (201, 9, NULL, NULL);
CALL check_all();
INSERT INTO nums VALUES (202, 1, 5000, noise(1, 4000)), (203, 2, NULL, noise(2, 3000));
CALL check_all();
UPDATE nums SET g = (g + 1) % 3 WHERE id % 4 = 0;
CALL check_all();
DELETE FROM nums WHERE id > 150;
CALL check_all();
SELECT g, vec, vec30, longest(longest) FROM u_agg WHERE g = 1 GROUP BY 1, 2, 3;
SELECT DISTINCT ON (g) g, vec FROM u_stream ORDER BY g, _offset DESC;
SELECT g, vec(v) FROM nums GROUP BY g ORDER BY g;
TRUNCATE nums;
CALL check_all();
TABLE u_all;
SET client_min_messages = warning;
DROP SCHEMA vals CASCADE;
SELECT count(*) FROM velostream.query;
