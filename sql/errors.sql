-- Errors: of rows, of groups, of callers.
CREATE SCHEMA errors;
SET search_path = errors, public;
-- what a query's views show; "wait" raises the error that is shown
CREATE VIEW shown AS
SELECT name, state, last_error, sqlstate, failures > 0 AS failures, failed_at IS NOT NULL AS failed_at,
	retry_at IS NOT NULL AS retry_at
FROM velostream.queries;

-- ----------
-- retry
-- ----------
CREATE TABLE src (id int PRIMARY KEY, g int, d int);
INSERT INTO src SELECT i, i % 5, i % 10 + 1 FROM generate_series(1, 1000) i;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, count(*) AS n, sum(1000 / d) AS s FROM src GROUP BY g;
CREATE TABLE qrows WITH (velostream.continuous) AS SELECT id, 1000 / d AS r FROM src;
CALL check_all();
SELECT * FROM shown ORDER BY name;
INSERT INTO src VALUES (2001, 1, 5), (2002, 2, 0), (2003, 3, 5);
SELECT velostream.wait('q', '60s');
SELECT velostream.wait('qrows', '60s');
SELECT velostream.process('q');
SELECT * FROM shown ORDER BY name;
-- the others are not kept from their work, and the output is as it was
SELECT count(*) FROM qrows WHERE id > 2000;
SELECT sum(n) FROM q;
UPDATE src SET d = 1 WHERE id = 2002;
SELECT velostream.resume('q'), velostream.resume('qrows');
CALL check_all();
SELECT * FROM shown ORDER BY name;
-- without resume: the next try comes by itself
INSERT INTO src VALUES (2004, 2, 0);
SELECT velostream.wait('q', '60s');
DELETE FROM src WHERE id = 2004;
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM velostream.queries WHERE state <> 'running');
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
SELECT * FROM shown ORDER BY name;
CALL check_all();
-- an overflow in a sum
CREATE TABLE over WITH (velostream.continuous) AS SELECT g, sum(id::int8 * 1000000000000) AS s, count(*)::int2 AS n FROM src GROUP BY g;
CREATE TABLE narrow WITH (velostream.continuous) AS SELECT g, (count(*) * 100)::int2 AS n FROM src GROUP BY g;
CALL check_all();
INSERT INTO src SELECT i, 1, 1 FROM generate_series(3001, 3200) i;
SELECT velostream.wait('narrow', '60s');
SELECT velostream.wait('over', '60s');
DELETE FROM src WHERE id > 3000;
SELECT velostream.resume('narrow');
CALL check_all();
DROP TABLE over, narrow;

-- ----------
-- stop
-- ----------
CREATE PROCEDURE until_stopped(name text)
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT state = 'stopped' FROM velostream.queries q WHERE q.name = until_stopped.name);
		COMMIT;
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
CREATE TABLE stopped WITH (velostream.continuous, velostream.on_error = stop) AS
SELECT g, sum(1000 / d) AS s FROM src GROUP BY g;
CALL check_all();
INSERT INTO src VALUES (2005, 2, 0);
CALL until_stopped('stopped');
SELECT velostream.wait('stopped', '60s');
-- with its schema, where the name alone does not tell which
SET search_path = public;
SELECT velostream.wait('errors.stopped', '60s');
SET search_path = errors, public;
SELECT velostream.process('stopped');
SELECT * FROM shown WHERE name = 'stopped';
SELECT velostream.resume('stopped');
CALL until_stopped('stopped');
SELECT * FROM shown WHERE name = 'stopped';
DELETE FROM src WHERE id = 2005;
SELECT velostream.resume('stopped');
SELECT velostream.resume('q'), velostream.resume('qrows');
CALL check_all();
SELECT * FROM shown ORDER BY name;
DROP TABLE q, qrows, stopped;

-- ----------
-- dead letters
-- ----------
CREATE FUNCTION dead(q regclass) RETURNS TABLE (source regclass, "row" jsonb, sqlstate text, message text)
LANGUAGE sql AS 'SELECT source, row, sqlstate, message FROM velostream.dead_letters WHERE query = q ORDER BY row ->> ''id''';
-- from the beginning: several in the backfill
UPDATE src SET d = 0 WHERE id IN (1, 17, 500, 501, 999);
CREATE TABLE q WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT g, count(*) AS n, sum(1000 / d) AS s FROM src GROUP BY g;
CREATE TABLE qrows WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT id, 1000 / d AS r FROM src;
CREATE TABLE qbag WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT g, 1000 / d AS r FROM src;
CREATE TABLE qmax WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT g, max(1000 / d) AS r FROM src GROUP BY g;
-- what they should hold
CREATE PROCEDURE check_dead()
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM velostream.wait('errors.q', '60s'), velostream.wait('errors.qrows', '60s'),
		velostream.wait('errors.qbag', '60s'), velostream.wait('errors.qmax', '60s');
	COMMIT;
	IF EXISTS (TABLE errors.q EXCEPT SELECT g, count(*), sum(1000 / d) FROM errors.src WHERE d <> 0 GROUP BY g)
		OR EXISTS (SELECT g, count(*), sum(1000 / d) FROM errors.src WHERE d <> 0 GROUP BY g EXCEPT TABLE errors.q) THEN
		RAISE WARNING 'q is wrong';
	END IF;
	IF EXISTS (TABLE errors.qrows EXCEPT SELECT id, 1000 / d FROM errors.src WHERE d <> 0)
		OR EXISTS (SELECT id, 1000 / d FROM errors.src WHERE d <> 0 EXCEPT TABLE errors.qrows) THEN
		RAISE WARNING 'qrows is wrong';
	END IF;
	IF EXISTS (TABLE errors.qbag EXCEPT ALL SELECT g, 1000 / d FROM errors.src WHERE d <> 0)
		OR EXISTS (SELECT g, 1000 / d FROM errors.src WHERE d <> 0 EXCEPT ALL TABLE errors.qbag) THEN
		RAISE WARNING 'qbag is wrong';
	END IF;
	IF EXISTS (TABLE errors.qmax EXCEPT SELECT g, max(1000 / d) FROM errors.src WHERE d <> 0 GROUP BY g)
		OR EXISTS (SELECT g, max(1000 / d) FROM errors.src WHERE d <> 0 GROUP BY g EXCEPT TABLE errors.qmax) THEN
		RAISE WARNING 'qmax is wrong';
	END IF;
END $$;
CALL check_dead();
SELECT * FROM dead('q');
SELECT name, dead FROM velostream.stat_queries ORDER BY name;
SELECT * FROM shown ORDER BY name;
-- among thousands of good ones
INSERT INTO src SELECT i, i % 5, CASE WHEN i % 777 = 0 THEN 0 ELSE 7 END FROM generate_series(5001, 9000) i;
CALL check_dead();
SELECT * FROM dead('qrows') WHERE row ->> 'id' > '5';
SELECT name, dead FROM velostream.stat_queries ORDER BY name;
-- later: the dead rows go, are put right, become bad, stay bad
DELETE FROM src WHERE id = 17;
CALL check_dead();
UPDATE src SET d = 4 WHERE id IN (500, 501);
CALL check_dead();
UPDATE src SET d = 0 WHERE id IN (20, 21);
CALL check_dead();
UPDATE src SET g = g + 1 WHERE d = 0;
CALL check_dead();
UPDATE src SET g = 9 WHERE id % 5 = 1;
CALL check_dead();
DELETE FROM src WHERE id % 3 = 0;
CALL check_dead();
SELECT name, state, last_error FROM shown ORDER BY name;
SELECT DISTINCT message FROM velostream.dead_letters;
-- a rebuild begins with nothing
SELECT velostream.rebuild('q');
CALL check_dead();
SELECT count(*) = (SELECT count(*) FROM src WHERE d = 0) AS only_those_there FROM dead('q');
DELETE FROM src WHERE d = 0;
CALL check_dead();
DROP TABLE qrows, qbag, qmax, q;
SELECT count(*) FROM velostream.dead_letters;

-- rows that fail not by themselves but in their group, or in the output
TRUNCATE src;
CREATE TABLE narrow WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT g, sum(d)::int2 AS s, count(*) AS n FROM src GROUP BY g;
SELECT velostream.wait('narrow', '60s');
INSERT INTO src SELECT i, i % 3, 100 FROM generate_series(1, 30) i;
INSERT INTO src VALUES (31, 1, 40000);
INSERT INTO src SELECT i, i % 3, 100 FROM generate_series(32, 40) i;
SELECT velostream.wait('narrow', '60s');
SELECT * FROM dead('narrow');
SELECT * FROM narrow ORDER BY g;
DELETE FROM src WHERE id = 31;
SELECT velostream.wait('narrow', '60s');
CALL check_all();
SELECT * FROM narrow ORDER BY g;
INSERT INTO src VALUES (50, 1, 40000);
SELECT velostream.wait('narrow', '60s');
UPDATE src SET d = 5 WHERE id = 50;
CALL check_all();
SELECT * FROM narrow ORDER BY g;
DROP TABLE narrow;
-- overflow in the aggregate itself
CREATE TABLE big (id int PRIMARY KEY, g int, v int8);
CREATE AGGREGATE sum8 (int8) (sfunc = int8pl, combinefunc = int8pl, stype = int8, initcond = '0');
CREATE TABLE bigq WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT g, sum8(v) AS s FROM big GROUP BY g;
INSERT INTO big SELECT i, i % 2, 9000000000000000000 FROM generate_series(1, 4) i;
SELECT velostream.wait('bigq', '60s');
SELECT * FROM bigq ORDER BY g;
SELECT * FROM dead('bigq');
INSERT INTO big VALUES (5, 1, 5), (6, 0, 9223372036854775807);
SELECT velostream.wait('bigq', '60s');
SELECT * FROM bigq ORDER BY g;
DELETE FROM big WHERE id > 2 AND id <> 5;
SELECT velostream.wait('bigq', '60s');
SELECT * FROM bigq ORDER BY g;
DROP TABLE bigq;
-- a constraint on the output
TRUNCATE big;
CREATE TABLE names WITH (velostream.continuous, velostream.on_error = dead_letter) AS SELECT id, g FROM big;
SELECT velostream.wait('names', '60s');
ALTER TABLE names ADD UNIQUE (g);
INSERT INTO big VALUES (10, 10, 1), (11, 11, 1), (12, 10, 1), (13, 13, 1);
SELECT velostream.wait('names', '60s');
TABLE names ORDER BY id;
SELECT * FROM dead('names');
DELETE FROM big WHERE id = 12;
SELECT velostream.wait('names', '60s');
TABLE names ORDER BY id;
INSERT INTO big VALUES (12, 11, 1);
SELECT velostream.wait('names', '60s');
UPDATE big SET g = 12 WHERE id = 12;
CALL check_all();
TABLE names ORDER BY id;
SELECT * FROM dead('names');
DROP TABLE names;
-- what no row is to blame for is no dead letter
CREATE TABLE other (id int PRIMARY KEY, x int);
CREATE FUNCTION reads_other(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x FROM errors.other WHERE id = $1';
CREATE TABLE blameless WITH (velostream.continuous, velostream.on_error = dead_letter) AS SELECT id, reads_other(g) AS x FROM big;
SELECT velostream.wait('blameless', '60s');
ALTER TABLE other RENAME TO elsewhere;
INSERT INTO big VALUES (20, 20, 20);
SELECT velostream.wait('blameless', '60s');
SELECT count(*) FROM velostream.dead_letters;
ALTER TABLE elsewhere RENAME TO other;
SELECT velostream.resume('blameless');
SELECT velostream.wait('blameless', '60s');
SELECT count(*) FROM blameless WHERE id = 20;
DROP TABLE blameless;
-- streams, append
CREATE TABLE log (id int, d int);
CREATE TABLE logged WITH (velostream.continuous, velostream.on_error = dead_letter, velostream.source_mode = append) AS
SELECT count(*) AS n, sum(10 / d) AS s FROM log;
CREATE TABLE logstream WITH (velostream.continuous, velostream.on_error = dead_letter, velostream.kind = stream) AS
SELECT id, 10 / d AS r FROM log;
SELECT velostream.wait();
INSERT INTO log SELECT i, i % 5 FROM generate_series(1, 20) i;
SELECT velostream.wait();
TABLE logged;
SELECT count(*) FROM logstream;
SELECT * FROM dead('logstream');
UPDATE log SET d = 5 WHERE d = 0 AND id < 15;
DELETE FROM log WHERE d = 0;
SELECT velostream.wait();
TABLE logged;
SELECT _op, count(*), sum(r) FROM logstream GROUP BY 1 ORDER BY 1;
SELECT query, count(*) FROM velostream.dead_letters GROUP BY 1 ORDER BY 1;
DROP TABLE log CASCADE;

-- ----------
-- arguments
-- ----------
CREATE TABLE plain (a int);
SELECT velostream.wait(query => NULL);
SELECT velostream.wait('plain');
SELECT velostream.wait('nowhere');
SELECT velostream.wait(0::regclass);
SELECT velostream.wait(999999999::regclass);
SELECT velostream.process(NULL);
SELECT velostream.process('plain');
SELECT velostream.process(999999999::regclass);
SELECT velostream.pause(NULL);
SELECT velostream.pause('plain');
SELECT velostream.resume(NULL);
SELECT velostream.resume('plain');
SELECT velostream.rebuild(NULL);
SELECT velostream.rebuild('plain');
SELECT velostream.drop(NULL);
SELECT velostream.drop('plain');
SELECT * FROM velostream.explain(NULL);
SELECT * FROM velostream.explain('plain');
SELECT * FROM velostream.explain(999999999::regclass);
SELECT velostream.key_hash(), velostream.row_hash();
SELECT velostream.key_hash(VARIADIC ARRAY[1, 2]) = velostream.key_hash(VARIADIC ARRAY[1, 2]) AS same;
SELECT velostream.key_hash('{}'::json);
SELECT velostream.key_hash(NULL) = velostream.key_hash(NULL) AS same;
SELECT velostream.guard();
CREATE TRIGGER guarded BEFORE INSERT ON plain FOR EACH STATEMENT EXECUTE FUNCTION velostream.guard();
INSERT INTO plain VALUES (1);
SELECT velostream.on_table_rewrite();
CREATE TABLE q WITH (velostream.continuous) AS SELECT id FROM src;
SELECT velostream.process('q', 0);
SELECT velostream.process('q', -1);
SELECT count(*) >= 0 AS processed FROM velostream.process('q', 7);
SELECT velostream.wait('q', NULL);
BEGIN;
LOCK TABLE q;
\set VERBOSITY terse
SELECT velostream.wait('q', '-1s');
\set VERBOSITY default
ROLLBACK;
BEGIN READ ONLY;
SELECT velostream.wait('q', '60s');
SAVEPOINT s;
SELECT velostream.process('q');
ROLLBACK TO s;
SELECT velostream.pause('q');
ROLLBACK TO s;
SELECT velostream.resume('q');
ROLLBACK TO s;
SELECT velostream.rebuild('q');
ROLLBACK TO s;
SELECT velostream.drop('q');
ROLLBACK;
-- paused
SELECT velostream.pause('q');
SELECT velostream.pause('q');
INSERT INTO src VALUES (1000, 1, 1);
SELECT velostream.wait('q', '60s');
SELECT velostream.wait();
SELECT velostream.process('q');
SELECT velostream.rebuild('q');
SELECT * FROM shown ORDER BY name;
BEGIN;
SELECT velostream.resume('q');
ROLLBACK;
SELECT * FROM shown ORDER BY name;
SELECT velostream.resume('q');
SELECT velostream.resume('q');
CALL check_all();
BEGIN;
SELECT velostream.pause('q');
ROLLBACK;
CALL check_all();
SELECT * FROM shown ORDER BY name;
-- a timeout: the batch waits for a lock that somebody else, or we, hold
BEGIN;
INSERT INTO src VALUES (1001, 1, 1);
LOCK TABLE src;
SELECT velostream.wait('q', '10s');
ROLLBACK;
SET lock_timeout = '1s';
SET statement_timeout = '50ms';
BEGIN;
LOCK TABLE q;
SELECT velostream.wait('q');
ROLLBACK;
RESET statement_timeout;
BEGIN;
LOCK TABLE q;
\set VERBOSITY terse
SELECT velostream.wait('q', '100ms');
\set VERBOSITY default
ROLLBACK;
RESET lock_timeout;
CALL check_all();
-- a batch in a batch
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM velostream.process('errors.q');
	RETURN NULL;
END $$;
CREATE TRIGGER again AFTER INSERT ON q FOR EACH ROW EXECUTE FUNCTION again();
INSERT INTO src VALUES (1002, 1, 1), (1003, 1, 1);
SELECT velostream.wait('q', '60s');
DROP TRIGGER again ON q;
SELECT velostream.resume('q');
CALL check_all();
SELECT count(*) FROM q;
CREATE TABLE q2 WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g;
CALL check_all();
CREATE TRIGGER again AFTER INSERT OR UPDATE ON q2 FOR EACH ROW EXECUTE FUNCTION again();
SELECT velostream.pause('q');
SELECT velostream.resume('q');
INSERT INTO src VALUES (1004, 1, 1), (1005, 2, 1);
SELECT velostream.wait('q2', '60s');
DROP TRIGGER again ON q2;
SELECT velostream.resume('q2');
CALL check_all();
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE TG_ARGV[0];
	RETURN NULL;
END $$;
CREATE TRIGGER meddle AFTER INSERT ON q FOR EACH ROW EXECUTE FUNCTION meddle('SELECT velostream.rebuild(''errors.q'')');
INSERT INTO src VALUES (1006, 1, 1);
SELECT velostream.wait('q', '60s');
DROP TRIGGER meddle ON q;
SELECT velostream.resume('q');
CALL check_all();
CREATE TRIGGER meddle AFTER INSERT ON q FOR EACH ROW EXECUTE FUNCTION meddle('SELECT velostream.pause(''errors.q'')');
INSERT INTO src VALUES (1007, 1, 1);
SELECT velostream.wait('q', '60s');
SELECT state FROM shown WHERE name = 'q';
DROP TRIGGER meddle ON q;
SELECT velostream.resume('q');
CREATE TRIGGER meddle AFTER INSERT ON q FOR EACH ROW EXECUTE FUNCTION meddle('DELETE FROM errors.q');
INSERT INTO src VALUES (1008, 1, 1);
SELECT velostream.wait('q', '60s');
DROP TRIGGER meddle ON q;
CREATE TRIGGER meddle AFTER INSERT ON q FOR EACH ROW EXECUTE FUNCTION meddle('SELECT velostream.drop(''errors.q'')');
SELECT velostream.resume('q');
INSERT INTO src VALUES (1009, 1, 1);
SELECT velostream.wait('q', '60s');
DROP TRIGGER meddle ON q;
SELECT velostream.resume('q');
CALL check_all();
SET client_min_messages = warning;
DROP SCHEMA errors CASCADE;
SELECT count(*) FROM velostream.query;

-- a dead letter that goes, behind a row that was counted
CREATE TABLE twenty (id int, v int, n numeric);
INSERT INTO twenty SELECT i, i % 5, i FROM generate_series(1, 40) i;
CREATE TABLE twelfths WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT id % 2 AS g, avg(n), max(12 / v) FROM twenty GROUP BY 1;
SELECT velostream.wait('twelfths', '60s');
DELETE FROM twenty WHERE id IN (19, 20);
SELECT velostream.wait('twelfths', '60s');
SELECT count(*) FROM (TABLE twelfths EXCEPT SELECT id % 2, avg(n), max(12 / v) FROM twenty WHERE v <> 0 GROUP BY 1) d;
DROP TABLE twenty CASCADE;
-- rows that fail after all have been read, as their groups were put on disk
CREATE TABLE many (k int, v int, n numeric);
CREATE TABLE spilled WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT k, v, sum(n), avg(n), sum(12 / v) AS twelfths FROM many GROUP BY k, v;
INSERT INTO many SELECT 1, 1, 1 FROM generate_series(1, 10) i;
SELECT velostream.wait('spilled', '60s');
SELECT velostream.pause('spilled');
DELETE FROM many WHERE ctid = '(0,7)';
INSERT INTO many SELECT i % 30, (i * 7) % 25, i FROM generate_series(1, 2000) i;
SET work_mem = '64kB';
BEGIN;
SELECT velostream.resume('spilled');
SELECT count(*) FROM velostream.process('spilled');
COMMIT;
RESET work_mem;
SELECT count(*) FROM (TABLE spilled EXCEPT SELECT k, v, sum(n), avg(n), sum(12 / v) FROM many WHERE v <> 0 GROUP BY 1, 2) d;
SELECT count(*) FROM velostream.dead_letters WHERE query = 'spilled'::regclass;
SELECT count(*) FROM many WHERE v = 0;
DROP TABLE many CASCADE;

-- rows that are known by a key: when a delta is read in parts, the new version
-- may come before the old one, in the source and in the output
CREATE TABLE keyed (id int PRIMARY KEY, d int, pad text) WITH (fillfactor = 10);
ALTER TABLE keyed ALTER pad SET STORAGE PLAIN;
INSERT INTO keyed SELECT i, 1, '' FROM generate_series(1, 500) i;
CREATE TABLE keyed_out WITH (velostream.continuous, velostream.on_error = dead_letter, fillfactor = 10) AS
SELECT id, 12 / d AS d, pad FROM keyed;
SELECT velostream.wait('keyed_out', '60s');
ALTER TABLE keyed_out ALTER pad SET STORAGE PLAIN, SET (fillfactor = 100);
ALTER TABLE keyed SET (fillfactor = 100);
VACUUM keyed, keyed_out;
SELECT velostream.pause('keyed_out');
UPDATE keyed SET pad = repeat('x', 4000), d = (id <> 495)::int WHERE id > 490;
BEGIN;
SELECT velostream.resume('keyed_out');
SELECT count(*) > 0 FROM velostream.process('keyed_out');
COMMIT;
SELECT id, length(pad) FROM (TABLE keyed_out EXCEPT ALL SELECT id, 12 / d, pad FROM keyed WHERE d <> 0) d;
SELECT count(*), count(DISTINCT id) FROM keyed_out;
SELECT rows_in - rows_out AS counted, dead FROM velostream.stat_queries WHERE name = 'keyed_out';
DROP TABLE keyed_out;
CREATE TABLE keyed_out WITH (velostream.continuous, fillfactor = 10) AS SELECT id, pad FROM keyed;
SELECT velostream.wait('keyed_out', '60s');
ALTER TABLE keyed_out ALTER pad SET STORAGE PLAIN, SET (fillfactor = 100);
VACUUM keyed, keyed_out;
SELECT velostream.pause('keyed_out');
UPDATE keyed SET pad = repeat('y', 4000) WHERE id BETWEEN 471 AND 489;
BEGIN;
SELECT velostream.resume('keyed_out');
SELECT count(*) > 0 FROM velostream.process('keyed_out', batch_rows => 3);
COMMIT;
SELECT id, length(pad) FROM (TABLE keyed_out EXCEPT ALL SELECT id, pad FROM keyed) d;
SELECT count(*), count(DISTINCT id) FROM keyed_out;
DROP TABLE keyed CASCADE;

-- ----------
-- above the aggregates, when a window closes: no row is to blame, the group is told
-- ----------
CREATE SCHEMA closing;
SET search_path = closing, public;
CREATE TABLE src (k text, at timestamp, x int);
CREATE TABLE retried WITH (velostream.continuous, velostream.emit = final) AS
SELECT k, velostream.tumble(at, '1 h') AS hour, 100 / sum(x) AS part FROM src GROUP BY 1, 2;
CREATE TABLE lettered WITH (velostream.continuous, velostream.emit = final, velostream.on_error = dead_letter) AS
SELECT k AS key, velostream.hop(at, '1 h', '30 min') AS since, count(*) AS n FROM src GROUP BY 1, 2 HAVING 100 / sum(x) > 0;
CREATE TABLE stopped WITH (velostream.continuous, velostream.emit = final, velostream.on_error = stop) AS
SELECT velostream.session(at, '10 min') AS since, 100 / (sum(x) - 5) AS part FROM src GROUP BY 1;
CREATE TABLE changing WITH (velostream.continuous) AS SELECT k, 100 / sum(x) AS part FROM src GROUP BY 1;
INSERT INTO src VALUES ('a', '2024-01-01 00:10', 5), ('b', '2024-01-01 00:10', 2), ('b', '2024-01-01 00:15', 3), (repeat('long', 50), '2024-01-01 00:20', 7);
SELECT velostream.wait(timeout => '60s');
UPDATE src SET x = 0 WHERE k = 'a';
SELECT velostream.wait('retried', '60s');
SELECT velostream.wait('changing', '60s');
DELETE FROM src WHERE k = 'a';
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES (repeat('long', 50), '2024-01-01 00:20', -7);
INSERT INTO src VALUES ('c', '2024-01-01 05:00', 1);
SELECT velostream.wait('retried', '60s');
SELECT velostream.wait('lettered', '60s');
SELECT velostream.wait('changing', '60s');
DO $$
BEGIN
	WHILE (SELECT state <> 'stopped' FROM velostream.queries WHERE query = 'closing.stopped'::regclass) LOOP
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SELECT velostream.wait('stopped', '60s');
SELECT name, state, last_error, regexp_replace(error_context, 'longlong.*long', 'long') AS context FROM velostream.queries WHERE schema = 'closing' ORDER BY name;
SELECT count(*) FROM velostream.dead_letters;
-- who may see that there was an error does not see keys
CREATE ROLE closing_monitor IN ROLE pg_monitor;
SET ROLE closing_monitor;
SELECT name, last_error, error_context FROM velostream.queries WHERE schema = 'closing' AND name IN ('retried', 'stopped') ORDER BY name;
RESET ROLE;
DROP ROLE closing_monitor;
-- the source is put right
UPDATE src SET x = x + 1;
SELECT velostream.resume('stopped');
SELECT velostream.wait(timeout => '60s');
SELECT left(k, 4) AS k, hour, part FROM retried ORDER BY hour, k;
SELECT since, n FROM lettered ORDER BY since, n;
TABLE stopped ORDER BY since;
SET client_min_messages = warning;
DROP SCHEMA closing CASCADE;
