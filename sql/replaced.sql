-- What a query rests on is replaced by something else: keys, constraints,
-- aggregates; and what it remembers of groups moves from one place to another.

-- keys that are TOASTed, of a group whose state row comes and goes
CREATE TABLE wide (id int, k text, v int);
CREATE TABLE wide_sums WITH (velostream.continuous) AS
SELECT k, sum(v), count(*) FROM wide GROUP BY k;
CREATE TABLE wide_key AS
SELECT string_agg(md5(i::text), '') || string_agg(md5((-i)::text), '') AS k FROM generate_series(1, 150) i;
INSERT INTO wide SELECT 1, k, NULL FROM wide_key UNION ALL SELECT 2, k, 1 FROM wide_key;
CALL check_all();
VACUUM FULL wide_sums;
DELETE FROM wide WHERE id = 1;
CALL check_all();
SELECT format('VACUUM %s', state) AS vacuum_state FROM velostream.query WHERE output = 'wide_sums'::regclass \gset
:vacuum_state;
INSERT INTO wide SELECT 3, k, 5 FROM wide_key;
CALL check_all();
DROP TABLE wide, wide_key CASCADE;

-- a constraint that the batch's snapshot does not know of, as our own
-- transaction made it
CREATE TABLE own (k int, v int);
CREATE TABLE own_sums WITH (velostream.continuous) AS
SELECT k, sum(v), avg(v), count(*) FROM own GROUP BY k;
CREATE TABLE own_part (k int, v int) PARTITION BY LIST (k);
CREATE TABLE own_part_1 PARTITION OF own_part FOR VALUES IN (1);
CREATE TABLE own_part_2 (k int, v int);
CREATE TABLE part_sums WITH (velostream.continuous) AS
SELECT k, sum(v), avg(v), count(*) FROM own_part GROUP BY k;
CALL check_all();
SELECT velostream.pause('own_sums'), velostream.pause('part_sums');
INSERT INTO own VALUES (1, 10), (1, NULL);
INSERT INTO own_part VALUES (1, 10), (1, NULL);
BEGIN;
UPDATE own SET v = 10 WHERE v IS NULL;
ALTER TABLE own ALTER v SET NOT NULL;
UPDATE own_part SET v = 10 WHERE v IS NULL;
ALTER TABLE own_part ALTER v SET NOT NULL;
SELECT velostream.resume('own_sums'), velostream.resume('part_sums');
SELECT count(*) FROM velostream.process('own_sums');
SELECT count(*) FROM velostream.process('part_sums');
COMMIT;
CALL check_all();
TABLE own_sums;
DROP TABLE own, own_part, own_part_2 CASCADE;

-- a primary key comes and goes: a bag, then rows by key, then a bag
CREATE TABLE keyed (id int NOT NULL, v text);
INSERT INTO keyed VALUES (1, 'b'), (1, 'a'), (2, 'x');
CREATE TABLE keyed_rows WITH (velostream.continuous) AS SELECT id, v FROM keyed;
CALL check_all();
BEGIN;
DELETE FROM keyed WHERE v = 'a';
ALTER TABLE keyed ADD PRIMARY KEY (id);
COMMIT;
CALL check_all();
UPDATE keyed SET v = 'y' WHERE id = 2;
CALL check_all();
ALTER TABLE keyed DROP CONSTRAINT keyed_pkey;
INSERT INTO keyed VALUES (2, 'z');
CALL check_all();
DELETE FROM keyed WHERE v = 'z';
CALL check_all();
DROP TABLE keyed CASCADE;

-- a key that the batch's snapshot does not know of
CREATE TABLE keyed (id int NOT NULL, v text);
INSERT INTO keyed VALUES (1, 'a'), (1, 'b');
BEGIN;
DELETE FROM keyed WHERE v = 'a';
ALTER TABLE keyed ADD PRIMARY KEY (id);
CREATE TABLE keyed_rows WITH (velostream.continuous) AS SELECT id, v FROM keyed;
SELECT count(*) FROM velostream.process('keyed_rows');
COMMIT;
CALL check_all();
TABLE keyed_rows;
UPDATE keyed SET v = 'c';
CALL check_all();
DROP TABLE keyed CASCADE;
BEGIN;
CREATE TABLE keyed (id int PRIMARY KEY, v text);
CREATE TABLE keyed_rows WITH (velostream.continuous) AS SELECT id, v FROM keyed;
INSERT INTO keyed VALUES (1, 'a');
SELECT split_part(explain, ',', 2) FROM velostream.explain('keyed_rows') WHERE explain LIKE 'Strategy%';
COMMIT;
CALL check_all();
DROP TABLE keyed CASCADE;

-- another final function: averages that could be read from the output, and can
-- no more
CREATE AGGREGATE myavg(int) (sfunc = int4_avg_accum, stype = int8[], initcond = '{0,0}',
	combinefunc = int4_avg_combine, finalfunc = int8_avg, parallel = safe);
CREATE TABLE vals (k int, v int);
INSERT INTO vals VALUES (1, 10), (1, 20), (2, 5);
CREATE TABLE my_avgs WITH (velostream.continuous) AS
SELECT k, myavg(v) AS a, count(*) FROM vals GROUP BY k;
CALL check_all();
CREATE FUNCTION myfin(int8[]) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
'SELECT round($1[2]::numeric / $1[1], 1)';
CREATE OR REPLACE AGGREGATE myavg(int) (sfunc = int4_avg_accum, stype = int8[], initcond = '{0,0}',
	combinefunc = int4_avg_combine, finalfunc = myfin, parallel = safe);
VACUUM FULL my_avgs;
INSERT INTO vals VALUES (1, 30);
CALL check_all();
SELECT * FROM my_avgs ORDER BY k;
DELETE FROM vals WHERE k = 2;
CALL check_all();
DROP TABLE vals CASCADE;

-- another transition type: an error, and no more than that
CREATE FUNCTION int_add(int8, int) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) + $2';
CREATE FUNCTION int_join(int8, int8) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE FUNCTION int_show(int8) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
CREATE FUNCTION text_add(text, int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $2';
CREATE FUNCTION text_join(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $2';
CREATE FUNCTION text_show(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE AGGREGATE shown(int) (sfunc = int_add, stype = int8, initcond = '0',
	combinefunc = int_join, finalfunc = int_show, parallel = safe);
CREATE TABLE vals (k int, v int);
INSERT INTO vals VALUES (1, 10), (1, 20), (2, 5);
CREATE TABLE shown_vals WITH (velostream.continuous) AS
SELECT k, shown(v) AS a, count(*) FROM vals GROUP BY k;
CALL check_all();
CREATE OR REPLACE AGGREGATE shown(int) (sfunc = text_add, stype = text, initcond = '',
	combinefunc = text_join, finalfunc = text_show, parallel = safe);
INSERT INTO vals VALUES (1, 30);
SELECT velostream.wait('shown_vals', '60s');
VACUUM FULL shown_vals;
INSERT INTO vals VALUES (1, 30);
SELECT velostream.wait('shown_vals', '60s');
CREATE OR REPLACE AGGREGATE shown(int) (sfunc = int_add, stype = int8, initcond = '0',
	combinefunc = int_join, finalfunc = int_show, parallel = safe);
SELECT velostream.resume('shown_vals');
CALL check_all();
DROP TABLE vals CASCADE;
DROP AGGREGATE myavg(int), shown(int);
DROP FUNCTION myfin, int_add, int_join, int_show, text_add, text_join, text_show;

-- a view by what cannot be kept up to date: an error, until it is changed back
CREATE TABLE base (id int PRIMARY KEY, g int, v int);
CREATE VIEW vw AS SELECT g, v FROM base;
INSERT INTO base SELECT i, i % 3, i % 2 FROM generate_series(1, 100) i;
CREATE TABLE over_view WITH (velostream.continuous) AS SELECT g, sum(v), count(*) FROM vw GROUP BY g;
CALL check_all();
CREATE OR REPLACE VIEW vw AS SELECT DISTINCT g, v FROM base;
SELECT velostream.wait('over_view', '60s');
CREATE OR REPLACE VIEW vw AS SELECT g, v FROM base LIMIT 10;
INSERT INTO base VALUES (101, 1, 1);
SELECT velostream.wait('over_view', '60s');
CREATE OR REPLACE VIEW vw AS SELECT g, max(v) AS v FROM base GROUP BY g;
SELECT velostream.wait('over_view', '60s');
CREATE OR REPLACE VIEW vw AS SELECT g, (sum(v) OVER ())::int AS v FROM base;
SELECT velostream.wait('over_view', '60s');
CREATE OR REPLACE VIEW vw AS SELECT a.g, a.v FROM base a JOIN base b USING (id);
SELECT velostream.wait('over_view', '60s');
CREATE OR REPLACE VIEW vw AS SELECT g, v FROM base WHERE EXISTS (SELECT FROM base b WHERE b.id = base.v);
SELECT velostream.wait('over_view', '60s');
CREATE OR REPLACE VIEW vw AS SELECT g, extract(epoch FROM clock_timestamp())::int AS v FROM base;
SELECT velostream.wait('over_view', '60s');
CREATE OR REPLACE VIEW vw AS SELECT g, v FROM base WHERE v > 0;
DELETE FROM base WHERE id = 7;
SELECT velostream.resume('over_view');
CALL check_all();
DROP TABLE base CASCADE;
