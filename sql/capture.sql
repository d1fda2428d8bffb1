-- What a batch sees, batch by batch: the workers rest, process() does the work.
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.2);
CREATE TABLE c (id int PRIMARY KEY, k int, v int) WITH (autovacuum_enabled = off, fillfactor = 50);
CREATE TABLE c_all WITH (velostream.continuous) AS
SELECT k, count(*) AS n, sum(v) AS v, min(v) AS lo FROM c GROUP BY k;
CREATE TABLE c_log WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT k, count(*) AS n, sum(v) AS v FROM c GROUP BY k;

-- one batch of each, and what it said of c_all
CREATE FUNCTION batch() RETURNS TABLE (op text, "row" jsonb)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM velostream.process('c_log');
	RETURN QUERY SELECT * FROM velostream.process('c_all');
END $$;
INSERT INTO c VALUES (1, 1, 10), (2, 1, 20), (3, 2, 30);
SELECT * FROM batch() ORDER BY "row";
SELECT differences('c_all');
SELECT * FROM batch();		-- nothing happened

-- insert then update, insert then delete, between two batches
INSERT INTO c VALUES (4, 3, 40);
UPDATE c SET v = 41 WHERE id = 4;
UPDATE c SET k = 4 WHERE id = 4;
INSERT INTO c VALUES (5, 3, 50);
DELETE FROM c WHERE id = 5;
SELECT * FROM batch() ORDER BY "row";
SELECT differences('c_all');
SELECT * FROM c_log ORDER BY k;

-- the same with VACUUM FREEZE after each step
INSERT INTO c VALUES (6, 5, 60), (7, 5, 70);
VACUUM FREEZE c;
UPDATE c SET v = v + 1 WHERE id = 6;
VACUUM FREEZE c;
DELETE FROM c WHERE id = 7;
VACUUM FREEZE c;
DELETE FROM c WHERE id = 1;
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) c;
SELECT * FROM batch() ORDER BY "row";
SELECT differences('c_all');
SELECT * FROM c_log ORDER BY k;

-- savepoints, aborts
BEGIN;
INSERT INTO c VALUES (10, 6, 1);
SAVEPOINT a;
INSERT INTO c VALUES (11, 6, 2);
ROLLBACK TO a;
INSERT INTO c VALUES (12, 6, 4);
SAVEPOINT b;
UPDATE c SET v = 8 WHERE id = 12;
RELEASE b;
COMMIT;
BEGIN;
INSERT INTO c SELECT i, 6, 1000 FROM generate_series(100, 1100) i;
ROLLBACK;
SELECT * FROM batch() ORDER BY "row";
SELECT differences('c_all');
SELECT * FROM c_log WHERE k = 6;

-- a row that is only locked
BEGIN;
SELECT id FROM c WHERE id = 10 FOR UPDATE;
SAVEPOINT s;
SELECT id FROM c WHERE id = 12 FOR SHARE;
COMMIT;
SELECT * FROM batch();
SELECT differences('c_all');

-- process() in a transaction that itself has written: its rows come later
BEGIN;
INSERT INTO c VALUES (20, 7, 1);
SELECT * FROM batch();
INSERT INTO c VALUES (21, 7, 2);
SELECT * FROM batch();
COMMIT;
SELECT * FROM batch();
SELECT differences('c_all');
SELECT * FROM c_log WHERE k = 7;

-- process() is rolled back with its transaction, shared state included
INSERT INTO c VALUES (30, 1, 100), (31, 8, 100);
BEGIN;
SELECT * FROM batch() ORDER BY "row";
ROLLBACK;
SELECT * FROM batch() ORDER BY "row";
UPDATE c SET v = v + 1 WHERE k = 1;
BEGIN;
SAVEPOINT s;
SELECT * FROM batch() ORDER BY "row";
ROLLBACK TO s;
INSERT INTO c VALUES (32, 9, 9);
SELECT * FROM batch() ORDER BY "row";
COMMIT;
SELECT * FROM batch() ORDER BY "row";
SELECT differences('c_all');
SELECT * FROM c_log ORDER BY k;

-- in REPEATABLE READ the snapshot of the batch is still a new one
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 FROM c;
SELECT * FROM batch() ORDER BY "row";
COMMIT;
SELECT differences('c_all');

-- COPY FREEZE into a new file
BEGIN;
TRUNCATE c;
COPY c FROM stdin (FREEZE);
1	1	1
2	1	2
3	2	3
\.
COMMIT;
SELECT * FROM c_log WHERE k IN (1, 2) ORDER BY k;
SELECT count(*) > 0 FROM batch();
SELECT differences('c_all');
SELECT * FROM c_log WHERE k IN (1, 2) ORDER BY k;

-- new files with old rows: nothing has changed
INSERT INTO c VALUES (50, 3, 3);
VACUUM FULL c;
UPDATE c SET v = 4 WHERE id = 50;
CLUSTER c USING c_pkey;
SELECT count(*) > 0 FROM batch();
SELECT differences('c_all');
SELECT * FROM c_log WHERE k = 3;
ALTER TABLE c SET TABLESPACE pg_default;
ALTER TABLE c SET (fillfactor = 90);
SELECT * FROM batch();
SELECT differences('c_all');

-- on a table of which VACUUM cuts off the end
DELETE FROM c;
INSERT INTO c SELECT i, i % 3, i FROM generate_series(1, 2000) i;
SELECT count(*) FROM batch();
DELETE FROM c WHERE id > 10;
VACUUM c;
SELECT count(*) FROM batch();
SELECT differences('c_all');
VACUUM c;
INSERT INTO c VALUES (3000, 1, 1);
SELECT count(*) FROM batch();
SELECT differences('c_all');

-- more subtransactions than a snapshot holds
BEGIN;
DO $$
BEGIN
	FOR i IN 1 .. 100 LOOP
		BEGIN
			INSERT INTO c VALUES (4000 + i, 11, 1);
			IF i % 10 = 0 THEN RAISE EXCEPTION 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
SELECT * FROM batch();
COMMIT;
SELECT * FROM batch();
SELECT differences('c_all');
SELECT * FROM c_log WHERE k = 11;

-- batches of few rows
INSERT INTO c SELECT i, 12, i FROM generate_series(5001, 5005) i;
SELECT op, "row" FROM velostream.process('c_all', batch_rows => 2);
SELECT differences('c_all');
SELECT velostream.process('c_all', batch_rows => 0);
SELECT count(*) FROM velostream.process('c_log');

-- retention: a log does not shrink
DELETE FROM c WHERE k = 12;
SELECT count(*) FROM velostream.process('c_log');
SELECT * FROM c_log WHERE k = 12;
SELECT ignored > 0 FROM velostream.stat_queries WHERE query = 'c_log'::regclass;

-- a function that the planner evaluates, and that plans to read the source, reads
-- the table, not the delta; in batches to come and after them as well
CREATE FUNCTION size_of_c(k int) RETURNS bigint LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$
DECLARE
	n bigint;
BEGIN
	SELECT count(*) INTO n FROM c;
	RETURN n + k;
END $$;
CREATE TABLE c_size WITH (velostream.continuous) AS
SELECT id, public.size_of_c(0) > 1 AS more, public.size_of_c(id) - id AS n FROM c WHERE k > 12;
SELECT count(*) FROM velostream.process('c_size');
INSERT INTO c VALUES (6001, 13, 1);
SELECT op, "row" ->> 'more' AS more, ("row" ->> 'n')::bigint = (SELECT count(*) FROM c) AS all_of_it FROM velostream.process('c_size');
SELECT size_of_c(0) = count(*) AS all_of_it FROM c;

ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();
DROP TABLE c CASCADE;
DROP FUNCTION batch();
DROP FUNCTION size_of_c(int);
