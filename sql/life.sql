-- The life around a query: what other commands do to its source and output.
CREATE SCHEMA life;
SET search_path = life, public;
CREATE DOMAIN kind AS text CHECK (VALUE <> '');
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE TABLE src (id int PRIMARY KEY, g kind, v int, spare int, other text);
INSERT INTO src SELECT i, 'g' || i % 4, i, i, 'o' FROM generate_series(1, 100) i;
CREATE TABLE q WITH (velostream.continuous) AS
SELECT g, count(*) AS n, sum(twice(v)) AS total, max(v) AS most FROM src GROUP BY g;
CREATE TABLE qrows WITH (velostream.continuous) AS SELECT id, v FROM src WHERE v > 10;
CALL check_all();
SELECT * FROM q ORDER BY g;

-- ----------
-- dependencies
-- ----------
DROP TABLE src;
ALTER TABLE src DROP COLUMN v;
ALTER TABLE src DROP COLUMN g;
DROP FUNCTION twice;
\set VERBOSITY terse
DROP DOMAIN kind;
ALTER TABLE src ALTER COLUMN v TYPE bigint;
\set VERBOSITY default
DROP EXTENSION velostream;
DROP SCHEMA velostream CASCADE;
DROP VIEW velostream.queries;
-- our own objects are not to be dropped alone
DO $$
DECLARE
	obj text;
BEGIN
	FOR obj IN SELECT 'VIEW ' || view FROM velostream.query WHERE output = 'q'::regclass
		UNION ALL SELECT 'TABLE ' || state FROM velostream.query WHERE output = 'q'::regclass
		UNION ALL SELECT 'INDEX ' || indexrelid::regclass FROM pg_index WHERE indrelid = 'q'::regclass
	LOOP
		BEGIN
			EXECUTE 'DROP ' || obj;
			RAISE NOTICE 'dropped %', obj;
		EXCEPTION WHEN OTHERS THEN
			RAISE NOTICE '%: %', regexp_replace(SQLERRM, '_\d+', '_N', 'g'), SQLSTATE;
		END;
	END LOOP;
END $$;
-- all that is not used can go
ALTER TABLE src DROP COLUMN other;
CALL check_all();
-- with CASCADE, rolled back
BEGIN;
\set VERBOSITY terse
SET LOCAL client_min_messages = warning;
ALTER TABLE src DROP COLUMN g CASCADE;
SELECT relname FROM pg_class WHERE relnamespace = 'life'::regnamespace AND relkind = 'r' ORDER BY 1;
ROLLBACK;
SELECT name, state FROM velostream.queries WHERE schema = 'life' ORDER BY name;
INSERT INTO src VALUES (101, 'g9', 5, 5);
CALL check_all();
SELECT n, total, most FROM q WHERE g = 'g9';
BEGIN;
DROP FUNCTION twice CASCADE;
SAVEPOINT s;
DROP TABLE qrows;
ROLLBACK;
BEGIN;
SAVEPOINT s;
DROP TABLE q;
INSERT INTO src VALUES (102, 'g9', 6, 6);
ROLLBACK TO s;
COMMIT;
INSERT INTO src VALUES (103, 'g9', 7, 7);
CALL check_all();
SELECT n, total, most FROM q WHERE g = 'g9';
-- dropped: nothing is left
SELECT count(*) AS before FROM pg_class WHERE relnamespace = 'velostream'::regnamespace \gset
CREATE TABLE short WITH (velostream.continuous) AS SELECT v % 3 AS m, max(v) FROM src GROUP BY 1;
SELECT velostream.wait('short', '60s');
SELECT count(*) - :before AS objects FROM pg_class WHERE relnamespace = 'velostream'::regnamespace;
DROP TABLE short;
SELECT count(*) - :before AS objects FROM pg_class WHERE relnamespace = 'velostream'::regnamespace;
SELECT count(*) FROM velostream.query WHERE output NOT IN (SELECT oid FROM pg_class);
SELECT count(*) FROM velostream.frontier WHERE output NOT IN (SELECT oid FROM pg_class);
CREATE TABLE short WITH (velostream.continuous) AS SELECT v % 3 AS m, max(v) FROM src GROUP BY 1;
SELECT velostream.wait('short', '60s');
SELECT velostream.drop('short');
SELECT count(*) - :before AS objects FROM pg_class WHERE relnamespace = 'velostream'::regnamespace;
\set VERBOSITY default

-- ----------
-- names
-- ----------
ALTER TABLE src RENAME TO source;
ALTER TABLE source RENAME COLUMN v TO val;
ALTER FUNCTION twice RENAME TO double;
ALTER TABLE q RENAME TO renamed;
ALTER TABLE renamed RENAME COLUMN n TO cnt;
ALTER TABLE renamed RENAME COLUMN g TO grp;
INSERT INTO source VALUES (201, 'g1', 1000, 1);
UPDATE source SET val = val + 1 WHERE id % 10 = 0;
CALL check_all();
ALTER SCHEMA life RENAME TO living;
SET search_path = living, public;
CREATE SCHEMA elsewhere;
ALTER TABLE source SET SCHEMA elsewhere;
ALTER TABLE renamed SET SCHEMA elsewhere;
DELETE FROM elsewhere.source WHERE id % 7 = 0;
CALL check_all();
SELECT name, schema, replace(definition, 'source.', '') AS definition FROM velostream.queries ORDER BY name;
SELECT * FROM elsewhere.renamed WHERE grp = 'g1';
ALTER TABLE elsewhere.source SET SCHEMA living;
ALTER TABLE elsewhere.renamed SET SCHEMA living;
ALTER TABLE renamed RENAME TO q;
ALTER TABLE source RENAME TO src;
DROP SCHEMA elsewhere;

-- ----------
-- ALTER TABLE on the source
-- ----------
CREATE FUNCTION rebuilds(q regclass) RETURNS bigint LANGUAGE sql AS
'SELECT rebuilds FROM velostream.stat_queries WHERE query = q';
CREATE TABLE appended WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT count(*) AS n, sum(val) AS total FROM src;
CALL check_all();
ALTER TABLE src ADD COLUMN a1 int;
ALTER TABLE src ADD COLUMN a2 int DEFAULT 7;
INSERT INTO src (id, g, val) VALUES (301, 'g1', 5);
CALL check_all();
SELECT rebuilds('q'), rebuilds('qrows'), rebuilds('appended');
SELECT n = (SELECT count(*) FROM src) AS all_counted FROM appended;
-- a rewrite gives every row a new xmin
ALTER TABLE src ADD COLUMN a3 float8 DEFAULT random();
ALTER TABLE src ALTER COLUMN spare TYPE bigint;
DROP TABLE appended;
ALTER TABLE src ADD COLUMN a3 float8 DEFAULT random();
ALTER TABLE src ALTER COLUMN spare TYPE bigint;
CALL check_all();
SELECT rebuilds('q') > 0 AS q, rebuilds('qrows') > 0 AS qrows;
INSERT INTO src (id, g, val) VALUES (302, 'g1', 5);
DELETE FROM src WHERE id = 50;
CALL check_all();
ALTER TABLE src SET UNLOGGED;
ALTER TABLE q SET UNLOGGED;
ALTER TABLE q SET ACCESS METHOD heap;
ALTER TABLE src ALTER COLUMN val SET STORAGE PLAIN, ALTER COLUMN spare SET DEFAULT 5, ADD CHECK (id > 0);
-- without the primary key, "id" does not tell the rows of qrows apart any more
ALTER TABLE src DROP CONSTRAINT src_pkey;
INSERT INTO src (id, g, val) VALUES (304, 'g1', 60), (304, 'g1', 61), (304, 'g1', 61), (304, 'g1', 62);
CALL check_all();
UPDATE src SET val = val + 1 WHERE id = 304 AND val > 60;
CALL check_all();
DELETE FROM src WHERE id = 304 AND val = 62;
CALL check_all();
ALTER TABLE src SET (fillfactor = 50);
VACUUM FULL src;
CREATE INDEX src_g ON src (g);
CLUSTER src USING src_g;
INSERT INTO src (id, g, val) VALUES (303, 'g2', 5);
UPDATE src SET val = 6 WHERE id = 303;
CALL check_all();
TRUNCATE src;
INSERT INTO src (id, g, val) VALUES (1, 'g2', 50), (2, 'g3', 51);
CALL check_all();
SELECT * FROM q ORDER BY grp;
SELECT * FROM qrows ORDER BY id;

-- partitions that come and go
CREATE TABLE parted (k int, v int) PARTITION BY LIST (k);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE part_2 (v int, junk text, k int);
ALTER TABLE part_2 DROP COLUMN junk;
INSERT INTO part_2 SELECT i, 2 FROM generate_series(1, 10) i;
INSERT INTO parted SELECT 1, i FROM generate_series(1, 10) i;
CREATE TABLE by_k WITH (velostream.continuous) AS SELECT k, count(*), sum(v), max(v) FROM parted GROUP BY k;
CREATE TABLE by_k_bag WITH (velostream.continuous) AS SELECT v, k FROM parted;
CALL check_all();
ALTER TABLE parted ATTACH PARTITION part_2 FOR VALUES IN (2);
CALL check_all();
SELECT * FROM by_k ORDER BY k;
UPDATE parted SET k = 3 - k WHERE v > 5;
CREATE TABLE part_3 PARTITION OF parted FOR VALUES IN (3);
INSERT INTO parted VALUES (3, 3);
CALL check_all();
ALTER TABLE parted DETACH PARTITION part_1;
INSERT INTO part_1 VALUES (1, 100);
CALL check_all();
SELECT * FROM by_k ORDER BY k;
CREATE UNLOGGED TABLE part_4 (k int, v int);
ALTER TABLE parted ATTACH PARTITION part_4 FOR VALUES IN (4);
SELECT velostream.wait('by_k', '60s');
ALTER TABLE parted DETACH PARTITION part_4;
SELECT velostream.resume('by_k'), velostream.resume('by_k_bag');
DROP TABLE part_2, part_4;
CALL check_all();
SELECT * FROM by_k ORDER BY k;
SET client_min_messages = warning;
DROP TABLE parted CASCADE;
RESET client_min_messages;
SELECT name FROM velostream.queries ORDER BY name;

-- ----------
-- the output is an ordinary table
-- ----------
CREATE TABLE ev (id serial PRIMARY KEY, k int, v int);
INSERT INTO ev (k, v) SELECT i % 5, i FROM generate_series(1, 50) i;
CREATE TABLE o WITH (velostream.continuous) AS SELECT k, count(*) AS n, sum(v) AS total FROM ev GROUP BY k;
CREATE INDEX o_total ON o (total);
ALTER TABLE o ADD PRIMARY KEY (k);
ALTER TABLE o ADD COLUMN note text DEFAULT 'new', ADD COLUMN twice bigint GENERATED ALWAYS AS (total * 2) STORED,
	ADD COLUMN at int GENERATED BY DEFAULT AS IDENTITY;
SELECT velostream.wait('o', '60s');
-- who owns the table may well have notes to make, but not by writing to it
UPDATE o SET note = 'x';
-- triggers see the rows
CREATE TABLE seen (op text, k int, old_n bigint, new_n bigint);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO living.seen VALUES (TG_OP, coalesce(NEW.k, OLD.k), OLD.n, NEW.n);
	RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON o FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see_when AFTER UPDATE ON o FOR EACH ROW WHEN (OLD.n > NEW.n) EXECUTE FUNCTION see();
CREATE TRIGGER see_statement AFTER UPDATE ON o EXECUTE FUNCTION see();
-- other tables refer to it
CREATE TABLE ref_cascade (k int REFERENCES o ON DELETE CASCADE);
CREATE TABLE ref_null (k int REFERENCES o ON DELETE SET NULL);
INSERT INTO ref_cascade VALUES (1), (2), (3);
INSERT INTO ref_null VALUES (1), (2), (3);
INSERT INTO ref_null VALUES (9);
INSERT INTO ev (k, v) VALUES (7, 7), (1, 100);
SELECT velostream.wait('o', '60s');
DELETE FROM ev WHERE k = 1;
DELETE FROM ev WHERE id = 2;
SELECT velostream.wait('o', '60s');
SELECT k, n, total, note, twice FROM o ORDER BY k;
SELECT * FROM seen ORDER BY op, k, new_n, old_n;
TABLE ref_cascade;
TABLE ref_null ORDER BY k;
-- a reference that does not let go
CREATE TABLE ref_no (k int CONSTRAINT ref_no REFERENCES o);
INSERT INTO ref_no VALUES (4);
DELETE FROM ev WHERE k = 4;
SELECT velostream.wait('o', '60s');
DELETE FROM ref_no;
SELECT velostream.resume('o');
SELECT velostream.wait('o', '60s');
SELECT k FROM o ORDER BY k;
-- a constraint of the output that a group violates
ALTER TABLE o ADD CONSTRAINT few CHECK (n < 20);
INSERT INTO ev (k, v) SELECT 3, 0 FROM generate_series(1, 20);
SELECT velostream.wait('o', '60s');
ALTER TABLE o DROP CONSTRAINT few;
SELECT velostream.resume('o');
SELECT velostream.wait('o', '60s');
SELECT k, n FROM o WHERE k = 3;
-- VACUUM FULL, CLUSTER, SET LOGGED and such leave it as it was
VACUUM FULL o;
CLUSTER o USING o_total;
INSERT INTO ev (k, v) VALUES (2, 2), (8, 8);
SELECT velostream.wait('o', '60s');
SELECT k, n, total, twice FROM o ORDER BY k;
ALTER TABLE o SET (fillfactor = 30);
REINDEX TABLE o;
TRUNCATE o;
TRUNCATE o CASCADE;
TRUNCATE ev, o;
COPY o (k) FROM stdin;
\.
COPY (SELECT k, n FROM o ORDER BY k) TO stdout;
WITH x AS (DELETE FROM o RETURNING 1) SELECT * FROM x;
MERGE INTO o USING ev ON o.k = ev.k WHEN MATCHED THEN UPDATE SET n = 1;
INSERT INTO o (k) VALUES (1) ON CONFLICT DO NOTHING;
SET session_replication_role = replica;
DELETE FROM o;
RESET session_replication_role;
SELECT k FROM o ORDER BY k FOR UPDATE;
-- what else reads it
CREATE VIEW v_o AS SELECT k, n FROM o WHERE n > 5;
CREATE TABLE copy_o AS SELECT * FROM o;
SELECT count(*) FROM copy_o;
INSERT INTO copy_o SELECT * FROM o;
CREATE TABLE like_o (LIKE o INCLUDING ALL);
INSERT INTO like_o (k, n, total) VALUES (1, 1, 1);
CREATE MATERIALIZED VIEW m_o AS SELECT sum(n) FROM o;
SET client_min_messages = error;		-- wal_level may be too low
CREATE PUBLICATION life_pub FOR TABLE o;
RESET client_min_messages;
ALTER TABLE o REPLICA IDENTITY FULL, DROP COLUMN twice;		-- generated columns are not published
CREATE TABLE chained WITH (velostream.continuous) AS SELECT n > 15 AS many, count(*), sum(total) AS total FROM o GROUP BY 1;
INSERT INTO ev (k, v) VALUES (2, 2);
DELETE FROM ev WHERE k = 8;
SELECT velostream.wait();
SELECT differences('chained');
SELECT k, n FROM v_o ORDER BY k;
DROP TABLE o;
ALTER TABLE o ENABLE ROW LEVEL SECURITY;
ALTER TABLE o FORCE ROW LEVEL SECURITY;
INSERT INTO ev (k, v) VALUES (11, 2);
SELECT velostream.wait('o', '60s');
SELECT k, n FROM o WHERE k = 11;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP TABLE o CASCADE;
RESET client_min_messages;
\set VERBOSITY default
DROP TABLE ref_cascade, ref_null, ref_no, copy_o, like_o;
SELECT name FROM velostream.queries ORDER BY name;

-- ----------
-- creation
-- ----------
CREATE TABLE IF NOT EXISTS q WITH (velostream.continuous) AS SELECT id FROM src;
-- with its source and rows, in one transaction
BEGIN;
CREATE TABLE born (a int, b int);
INSERT INTO born SELECT i % 3, i FROM generate_series(1, 30) i;
CREATE TABLE born_q WITH (velostream.continuous) AS SELECT a, sum(b), max(b) FROM born GROUP BY a;
CREATE TABLE born_bag WITH (velostream.continuous) AS SELECT b FROM born;
INSERT INTO born VALUES (9, 9);
DELETE FROM born WHERE b = 30;
SELECT count(*) FROM born_q;
SAVEPOINT s;
SELECT velostream.wait('born_q', '60s');
ROLLBACK TO s;
COMMIT;
CALL check_all();
SELECT * FROM born_q ORDER BY a;
BEGIN;
CREATE TABLE born_2 WITH (velostream.continuous) AS SELECT a, sum(b), max(b) FROM born GROUP BY a;
SAVEPOINT s;
DROP TABLE born_q;
ROLLBACK TO s;
ROLLBACK;
SELECT to_regclass('born_2'), count(*) FROM velostream.queries WHERE name = 'born_2';
-- functions
CREATE FUNCTION make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I WITH (velostream.continuous) AS SELECT a, count(*) FROM born GROUP BY a', name);
	CREATE TABLE made_static WITH (velostream.continuous) AS SELECT a, b FROM born;
END $$;
SELECT make('made');
SELECT make('made_2');
DO $$
BEGIN
	BEGIN
		CREATE TABLE made_2 WITH (velostream.continuous) AS SELECT b FROM born;
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	CREATE TABLE made_2 WITH (velostream.continuous) AS SELECT a FROM born;
END $$;
SET check_function_bodies = off;
CREATE FUNCTION make_sql() RETURNS void LANGUAGE sql AS
'CREATE TABLE made_sql WITH (velostream.continuous) AS SELECT max(b) FROM born';
RESET check_function_bodies;
SELECT make_sql();
CALL check_all();
SELECT name FROM velostream.queries WHERE name LIKE 'made%' ORDER BY name;
-- event triggers
CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	IF TG_EVENT = 'ddl_command_end' THEN
		FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
			RAISE NOTICE '% % %', TG_TAG, r.command_tag, regexp_replace(r.object_identity, '_\d+', '_N');
		END LOOP;
	ELSE
		FOR r IN SELECT * FROM pg_event_trigger_dropped_objects() WHERE original LOOP
			RAISE NOTICE '% %', TG_TAG, r.object_identity;
		END LOOP;
	END IF;
END $$;
CREATE EVENT TRIGGER life_ddl ON ddl_command_end EXECUTE FUNCTION tell();
CREATE EVENT TRIGGER life_drop ON sql_drop EXECUTE FUNCTION tell();
CREATE TABLE told WITH (velostream.continuous) AS SELECT a FROM born;
SELECT velostream.wait('told', '60s');
DROP TABLE told;
DROP EVENT TRIGGER life_ddl;
DROP EVENT TRIGGER life_drop;

-- WITH NO DATA: rows that were committed before are not there
CREATE TABLE log (id int, v int);
INSERT INTO log SELECT i, i FROM generate_series(1, 100) i;
CREATE TABLE log_all WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT count(*) AS n, sum(v) AS total FROM log;
CREATE TABLE log_new WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT count(*) AS n, sum(v) AS total FROM log WITH NO DATA;
CREATE TABLE log_groups WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT v % 2 AS odd, count(*) AS n FROM log GROUP BY 1 WITH NO DATA;
SELECT velostream.wait();
TABLE log_new;		-- one row, also of nothing
TABLE log_groups;
INSERT INTO log VALUES (101, 1), (102, 2);
UPDATE log SET v = v + 1000 WHERE id = 101;
DELETE FROM log WHERE id < 50;
SELECT velostream.wait();
TABLE log_all;
TABLE log_new;
TABLE log_groups ORDER BY odd;
BEGIN;
INSERT INTO log VALUES (103, 1);
CREATE TABLE log_newer WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT count(*) AS n, sum(v) AS total FROM log WITH NO DATA;
INSERT INTO log VALUES (104, 10);
COMMIT;
SELECT velostream.wait();
TABLE log_newer;
SELECT with_data FROM velostream.queries WHERE name LIKE 'log%' ORDER BY name;

-- ----------
-- the end
-- ----------
CREATE SCHEMA gone;
CREATE TABLE gone.a WITH (velostream.continuous) AS SELECT a, count(*) FROM born GROUP BY a;
CREATE TABLE gone.b WITH (velostream.continuous) AS SELECT count(*) FROM gone.a;
SELECT velostream.wait();
\set VERBOSITY terse
DROP SCHEMA gone;
\set VERBOSITY default
SET client_min_messages = warning;
BEGIN;
DROP SCHEMA gone CASCADE;
ROLLBACK;
CALL check_all();
DROP SCHEMA gone CASCADE;
DROP EXTENSION velostream;
BEGIN;
DROP EXTENSION velostream CASCADE;
SELECT to_regclass('q'), to_regclass('src');
ROLLBACK;
INSERT INTO src (id, g, val) VALUES (999, 'g2', 5);
CALL check_all();
-- owners
CREATE ROLE regress_velostream_life;
CREATE ROLE regress_velostream_life_2;
GRANT ALL ON SCHEMA living TO regress_velostream_life, regress_velostream_life_2;
GRANT SELECT ON born TO regress_velostream_life;
SET ROLE regress_velostream_life;
CREATE TABLE owned WITH (velostream.continuous) AS SELECT a, count(*), max(b) FROM born GROUP BY a;
RESET ROLE;
CREATE FUNCTION note_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE LOG 'written by %', current_user;
	INSERT INTO living.seen (op) VALUES (current_user);
	RETURN NULL;
END $$;
GRANT INSERT ON seen TO PUBLIC;
TRUNCATE seen;
SELECT velostream.wait('owned', '60s');
CREATE TRIGGER note AFTER INSERT OR UPDATE ON owned FOR EACH ROW EXECUTE FUNCTION note_user();
INSERT INTO born VALUES (20, 20);
SELECT velostream.wait('owned', '60s');
ALTER TABLE owned OWNER TO regress_velostream_life_2;
INSERT INTO born VALUES (21, 20);
SELECT velostream.wait('owned', '60s');
GRANT SELECT ON born TO regress_velostream_life_2;
SELECT velostream.resume('owned');
SELECT velostream.wait('owned', '60s');
SELECT op FROM seen;
SELECT differences('owned');
SET ROLE regress_velostream_life_2;
SELECT name, owner, state FROM velostream.queries;
RESET ROLE;
DROP OWNED BY regress_velostream_life;
REASSIGN OWNED BY regress_velostream_life_2 TO regress_velostream_life;
SELECT name, owner FROM velostream.queries WHERE name = 'owned';
DROP OWNED BY regress_velostream_life;
DROP OWNED BY regress_velostream_life_2;
DROP ROLE regress_velostream_life, regress_velostream_life_2;
SELECT to_regclass('owned');
DROP SCHEMA living CASCADE;
SELECT count(*) FROM velostream.queries;
SELECT count(*) FROM velostream.query;
SELECT count(*) FROM velostream.frontier;
SELECT count(*) FROM velostream.contexts();
