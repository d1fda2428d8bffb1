-- A delta has rows that are older than a constraint on them.
CREATE TABLE narrowed (id int, k int, v int) PARTITION BY RANGE (id);
CREATE TABLE narrowed_1 PARTITION OF narrowed FOR VALUES FROM (0) TO (50);
CREATE TABLE narrowed_2 PARTITION OF narrowed FOR VALUES FROM (50) TO (1000);
CREATE TABLE alone (id int, k int, v int);
INSERT INTO narrowed SELECT i, i % 3, nullif(i % 4, 0) FROM generate_series(1, 100) i;
INSERT INTO alone TABLE narrowed;
DO $$
DECLARE src text;
BEGIN
	FOREACH src IN ARRAY ARRAY['narrowed', 'alone'] LOOP
		EXECUTE format('CREATE TABLE %1$s_none WITH (velostream.continuous) AS SELECT k, count(*), sum(id) FROM %1$s WHERE v IS NULL GROUP BY k', src);
		EXECUTE format('CREATE TABLE %1$s_some WITH (velostream.continuous) AS SELECT k, count(*), sum(v), avg(v) FROM %1$s WHERE v IS NOT NULL GROUP BY k', src);
		EXECUTE format('CREATE TABLE %1$s_sums WITH (velostream.continuous) AS SELECT k, sum(v), avg(v), max(v) FROM %1$s GROUP BY k', src);
		EXECUTE format('CREATE TABLE %1$s_bag WITH (velostream.continuous) AS SELECT k FROM %1$s WHERE v IS NULL', src);
	END LOOP;
END $$;
CALL check_all();
SELECT count(velostream.pause(query)) FROM velostream.queries;
UPDATE narrowed SET v = 7 WHERE v IS NULL;
ALTER TABLE narrowed ALTER v SET NOT NULL;
UPDATE alone SET v = 7 WHERE v IS NULL;
ALTER TABLE alone ALTER v SET NOT NULL;
SELECT count(velostream.resume(query)) FROM velostream.queries;
CALL check_all();
SELECT count(*) FROM narrowed_none;
-- and the other way round
ALTER TABLE narrowed ALTER v DROP NOT NULL;
ALTER TABLE alone ALTER v DROP NOT NULL;
UPDATE narrowed SET v = NULL WHERE id % 5 = 0;
UPDATE alone SET v = NULL WHERE id % 5 = 0;
INSERT INTO narrowed SELECT i, i % 3, nullif(i % 4, 0) FROM generate_series(101, 200) i;
INSERT INTO alone SELECT i, i % 3, nullif(i % 4, 0) FROM generate_series(101, 200) i;
CALL check_all();
-- groups by a unique index, whose rows are unique at one time only
CREATE TABLE versions (id int NOT NULL UNIQUE, k int NOT NULL, v int);
INSERT INTO versions SELECT i, i, i FROM generate_series(1, 50) i;
CREATE TABLE by_version WITH (velostream.continuous) AS
SELECT id, k, v, count(*) FROM versions GROUP BY id, k, v;
CALL check_all();
UPDATE versions SET k = k + 1, v = NULL;
CALL check_all();
UPDATE versions SET v = id WHERE id % 2 = 0;
CALL check_all();
\set VERBOSITY terse
SET client_min_messages = warning;
DROP TABLE narrowed, alone, versions CASCADE;
