-- A worker's batch gives way to who wants its output, or a source, for himself:
-- these commands do not wait until a slow backfill is through.
CREATE SCHEMA yield;
SET search_path = yield, public;
SET client_min_messages = warning;
-- two rows a page, 40 s altogether
CREATE TABLE src (id int PRIMARY KEY, ts timestamp, filler text);
ALTER TABLE src ALTER filler SET STORAGE PLAIN;
INSERT INTO src SELECT i, timestamp '2024-01-01' + i * interval '1 h', repeat('x', 3500) FROM generate_series(1, 2000) i;
CREATE FUNCTION slow(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.02); RETURN i; END';
-- until a worker has locked the output, and written to it, if it is to
CREATE PROCEDURE started(q regclass, bytes int DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_locks WHERE relation = q AND mode = 'RowExclusiveLock' AND granted)
		OR pg_relation_size(q) < bytes LOOP
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SET statement_timeout = '20s';

CREATE TABLE counts WITH (velostream.continuous) AS SELECT yield.slow(id) % 10 AS g, count(*) FROM src GROUP BY 1;
CALL started('counts');
ALTER TABLE counts ADD note text;
CALL started('counts');
TRUNCATE counts;
CALL started('counts');
ALTER TABLE src ADD more text;
CALL started('counts');
CREATE INDEX ON counts (g);
CALL started('counts');
BEGIN;
LOCK TABLE counts;
-- it did not fail
SELECT state, failures, last_error FROM velostream.queries WHERE query = 'counts'::regclass;
ROLLBACK;
CALL started('counts');
DROP TABLE counts;

-- between two rows of the delta
CREATE TABLE rows WITH (velostream.continuous) AS SELECT id, yield.slow(id) AS s FROM src;
CALL started('rows', 1);
DROP TABLE rows;
-- 200 million windows
CREATE TABLE windows WITH (velostream.continuous) AS SELECT velostream.hop(ts, '1 h', '36 ms') AS w, count(*) FROM src GROUP BY 1;
CALL started('windows', 1);
DROP SCHEMA yield CASCADE;
SELECT count(*) FROM velostream.queries WHERE schema = 'yield';
