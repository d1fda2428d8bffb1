-- Constraints on outputs that can be deferred: a batch checks them at its end.
CREATE TABLE names (k int PRIMARY KEY);
INSERT INTO names SELECT generate_series(1, 5);
CREATE TABLE facts (id serial PRIMARY KEY, k int, v int);
INSERT INTO facts (k, v) SELECT i % 3 + 1, i FROM generate_series(1, 30) i;
CREATE TABLE sums WITH (velostream.continuous) AS
SELECT k, count(*) AS n, sum(v) AS v FROM facts GROUP BY k;
CREATE TABLE rows WITH (velostream.continuous) AS
SELECT id, k, v FROM facts WHERE v > 0;
SELECT velostream.wait(timeout => '60s');

CREATE TABLE heard (op text, id int, v int);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.heard SELECT tg_op, (coalesce(NEW, OLD)).id, (coalesce(NEW, OLD)).v;
	RETURN NULL;
END $$;
ALTER TABLE sums ADD FOREIGN KEY (k) REFERENCES names DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE sums ADD UNIQUE (k) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE rows ADD PRIMARY KEY (id) DEFERRABLE INITIALLY IMMEDIATE;
CREATE CONSTRAINT TRIGGER hear AFTER INSERT OR UPDATE OR DELETE ON rows
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hear();

INSERT INTO facts (k, v) VALUES (4, 100), (1, 200);
UPDATE facts SET v = v + 1 WHERE id = 1;
DELETE FROM facts WHERE id = 2;
CALL check_all();
SELECT * FROM heard ORDER BY id, op;
-- as a user who defers them all
SELECT velostream.pause('sums');
INSERT INTO facts (k, v) VALUES (5, 1);
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
SELECT velostream.resume('sums');
SELECT * FROM velostream.process('sums');
COMMIT;
-- one that does not hold fails the batch, until it does
INSERT INTO facts (k, v) VALUES (9, 1);
SELECT velostream.wait('sums', '60s');
INSERT INTO names VALUES (9);
SELECT velostream.wait('sums', '60s');
CALL check_all();
DROP TABLE facts CASCADE;
DROP TABLE names, heard;
DROP FUNCTION hear;

-- A session's own settings for the planner do not get into the plans that it
-- makes for a batch.
CREATE TABLE parts (id serial, k int, v int, PRIMARY KEY (k, id)) PARTITION BY RANGE (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (50);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (50) TO (100);
INSERT INTO parts (k, v) SELECT i % 100, i FROM generate_series(1, 1000) i;
CREATE TABLE best WITH (velostream.continuous) AS
SELECT k % 10 AS g, count(*), sum(v), max(v), min(v) FROM parts GROUP BY 1;
CALL check_all();
SELECT velostream.pause('best');
INSERT INTO parts (k, v) SELECT i % 100, i FROM generate_series(1, 100) i;
DELETE FROM parts WHERE v > 950;
SET enable_hashagg = off;
SET enable_sort = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SET enable_seqscan = off;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SET join_collapse_limit = 1;
SET from_collapse_limit = 1;
SET geqo_threshold = 2;
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET constraint_exclusion = on;
SET enable_partitionwise_aggregate = on;
SET enable_partitionwise_join = on;
SET work_mem = '64kB';
BEGIN;
SELECT velostream.resume('best');
SELECT count(*) FROM velostream.process('best');
SHOW enable_hashagg;
SHOW join_collapse_limit;
COMMIT;
SELECT differences('best');
RESET ALL;
CALL check_all();
DROP TABLE parts CASCADE;
