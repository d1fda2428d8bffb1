-- What can be defined as a continuous query, and what is refused and how.
-- Nothing here depends on a batch having run.
CREATE SCHEMA definition;
SET search_path = definition;
CREATE TABLE src (id int PRIMARY KEY, g int, v numeric, t text, d timestamptz, p point);
CREATE TABLE other (id int PRIMARY KEY, x int);

-- ----------
-- options
-- ----------
CREATE TABLE q WITH (velostream.continous) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous, velostream.colour = red) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous = perhaps) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous, velostream.source_mode = apend) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous, velostream.source_mode) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous, velostream.on_error = 'explode') AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous, velostream.kind = view) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous, velostream.kind = table, velostream.kind = stream) AS SELECT g FROM src;
CREATE TABLE q WITH (velostream.source_mode = append) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous, fillfactor = 5) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g WITH NO DATA;
-- no continuous query at all
CREATE TABLE plain WITH (velostream.continuous = false, fillfactor = 80) AS SELECT g, count(*) FROM src GROUP BY g;
SELECT reloptions FROM pg_class WHERE oid = 'plain'::regclass;
SELECT count(*) FROM velostream.queries WHERE schema = 'definition';
DROP TABLE plain;
-- commands that make none
CREATE TABLE q (a int) WITH (velostream.continuous);
CREATE VIEW q WITH (security_barrier, velostream.continuous) AS SELECT g FROM src;
CREATE OR REPLACE RECURSIVE VIEW q (g) WITH (velostream.emit = final) AS SELECT g FROM src;
CREATE MATERIALIZED VIEW q WITH (velostream.continuous) AS SELECT g FROM src;
EXPLAIN CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src;
EXPLAIN (ANALYZE, COSTS OFF) CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src;
PREPARE s AS SELECT g FROM src;
CREATE TABLE q WITH (velostream.continuous) AS EXECUTE s;
DEALLOCATE s;

-- ----------
-- the output
-- ----------
CREATE TEMP TABLE q WITH (velostream.continuous) AS SELECT g FROM src;
CREATE TABLE pg_temp.q WITH (velostream.continuous) AS SELECT g FROM src;
CREATE UNLOGGED TABLE q WITH (velostream.continuous) AS SELECT g FROM src;
CREATE TEMP TABLE q WITH (velostream.continuous) ON COMMIT DROP AS SELECT g FROM src;
CREATE TABLE q (a, b, c) WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, count(*) AS g FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous, velostream.kind = stream) AS SELECT g AS _op FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT id, ROW(g, v) FROM src;
CREATE TABLE src WITH (velostream.continuous) AS SELECT g FROM other, src;
CREATE TABLE IF NOT EXISTS src WITH (velostream.continuous) AS SELECT x FROM other;

-- ----------
-- clauses
-- ----------
CREATE TABLE q WITH (velostream.continuous) AS SELECT s.g, o.x FROM src s JOIN other o ON o.id = s.id;
CREATE TABLE q WITH (velostream.continuous) AS SELECT s.g, o.x FROM src s, other o WHERE o.id = s.id;
CREATE TABLE q WITH (velostream.continuous) AS SELECT a.g FROM (src a LEFT JOIN other b USING (id));
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM (SELECT g FROM src) s;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src WHERE id IN (SELECT id FROM other);
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, (SELECT max(x) FROM other) FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g HAVING count(*) > (SELECT 1);
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src ORDER BY g LIMIT (SELECT 1);
CREATE TABLE q WITH (velostream.continuous) AS WITH w AS (SELECT g FROM src) SELECT g FROM w;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src UNION ALL SELECT x FROM other;
CREATE TABLE q WITH (velostream.continuous) AS (SELECT g FROM src) INTERSECT (SELECT x FROM other);
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src EXCEPT SELECT x FROM other;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, row_number() OVER (ORDER BY id) FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, t, count(*) FROM src GROUP BY ROLLUP (g, t);
CREATE TABLE q WITH (velostream.continuous) AS SELECT count(*) FROM src GROUP BY ();
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, grouping(g) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT DISTINCT ON (g) g, v FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT DISTINCT count(*) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src LIMIT 10;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src FETCH FIRST 10 ROWS ONLY;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src OFFSET 10;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src ORDER BY g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src FOR UPDATE;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, generate_series(1, 2) FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g IS DISTINCT FROM 1 AS b FROM src TABLESAMPLE SYSTEM (10);
CREATE TABLE q WITH (velostream.continuous) AS SELECT 1 AS one FROM src HAVING true;
CREATE TABLE q WITH (velostream.continuous) AS SELECT 1 AS one;
CREATE TABLE q WITH (velostream.continuous) AS VALUES (1), (2);

-- ----------
-- expressions
-- ----------
CREATE TABLE q WITH (velostream.continuous) AS SELECT id, random() FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT id FROM src WHERE d > now() - interval '1 day';
CREATE TABLE q WITH (velostream.continuous) AS SELECT id FROM src WHERE d > CURRENT_TIMESTAMP;
CREATE TABLE q WITH (velostream.continuous) AS SELECT date_trunc('hour', d) AS h, count(*) FROM src GROUP BY 1;
CREATE TABLE q WITH (velostream.continuous) AS SELECT d::date, count(*) FROM src GROUP BY 1;
CREATE TABLE q WITH (velostream.continuous) AS SELECT id, d::text FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT d + interval '1 day' AS tomorrow FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT xmin, id FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, count(*) FROM src GROUP BY g HAVING min(d) < now();
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, count(*) FILTER (WHERE random() < 0.5) FROM src GROUP BY g;
-- a variable of PL/pgSQL
DO $$
DECLARE
	lowest int := 5;
BEGIN
	CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM src WHERE g > lowest;
END $$;

-- ----------
-- aggregates
-- ----------
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, count(DISTINCT v) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, string_agg(t, ',' ORDER BY id) FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM src GROUP BY g;
CREATE AGGREGATE no_combine (int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, no_combine(id) FROM src GROUP BY g;
CREATE FUNCTION volatile_pl(int, int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1 + $2';
CREATE AGGREGATE volatile_sum (int) (sfunc = volatile_pl, combinefunc = int4pl, stype = int, initcond = '0');
CREATE TABLE q WITH (velostream.continuous) AS SELECT g, volatile_sum(id) FROM src GROUP BY g;

-- ----------
-- sources
-- ----------
CREATE TEMP TABLE tmp (a int);
CREATE TABLE q WITH (velostream.continuous) AS SELECT a FROM tmp;
CREATE UNLOGGED TABLE unlogged (a int);
CREATE TABLE q WITH (velostream.continuous) AS SELECT a FROM ONLY unlogged;
CREATE MATERIALIZED VIEW matview AS SELECT g FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM matview;
CREATE TABLE q WITH (velostream.continuous) AS SELECT relname FROM pg_class;
CREATE TABLE q WITH (velostream.continuous) AS SELECT output FROM velostream.frontier;
CREATE TABLE q WITH (velostream.continuous) AS SELECT i FROM generate_series(1, 10) i;
CREATE TABLE q WITH (velostream.continuous) AS SELECT a FROM (VALUES (1), (2)) v (a);
CREATE SEQUENCE seq;
CREATE TABLE q WITH (velostream.continuous) AS SELECT last_value FROM seq;
CREATE TABLE parted (a int, b int) PARTITION BY LIST (a);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE UNLOGGED TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
CREATE TABLE q WITH (velostream.continuous) AS SELECT a, b FROM parted;
CREATE TABLE q WITH (velostream.continuous) AS SELECT a, b FROM ONLY parted;
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE FOREIGN TABLE far (a int) SERVER dummy;
CREATE TABLE q WITH (velostream.continuous) AS SELECT a FROM far;
DROP MATERIALIZED VIEW matview;
DROP FOREIGN TABLE far;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
-- views
CREATE VIEW grouped AS SELECT g, count(*) AS n FROM src GROUP BY g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT n FROM grouped;
CREATE VIEW joined AS SELECT s.g, o.x FROM src s JOIN other o USING (id);
CREATE VIEW over_joined AS SELECT x FROM joined WHERE g > 1;
CREATE TABLE q WITH (velostream.continuous) AS SELECT count(*) FROM over_joined;
CREATE VIEW limited AS SELECT g FROM src ORDER BY g LIMIT 3;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM limited;
CREATE VIEW over_temp AS SELECT a FROM tmp;
CREATE TABLE q WITH (velostream.continuous) AS SELECT a FROM pg_temp.over_temp;
CREATE VIEW aged AS SELECT id, g, now() - d AS age, random() AS r FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT g FROM aged;
CREATE OR REPLACE VIEW aged AS SELECT id, g, now() - d AS age, 0::float8 AS r FROM src;
CREATE TABLE q WITH (velostream.continuous) AS SELECT id, age FROM aged;
CREATE TABLE q WITH (velostream.continuous) AS SELECT id FROM aged WHERE age > interval '1 day';
CREATE TABLE unaged WITH (velostream.continuous) AS SELECT id, g FROM aged;
DROP TABLE unaged;

-- ----------
-- permissions
-- ----------
CREATE ROLE regress_velostream_owner;
CREATE SCHEMA owned AUTHORIZATION regress_velostream_owner;
GRANT USAGE ON SCHEMA definition TO regress_velostream_owner;
SET ROLE regress_velostream_owner;
CREATE TABLE owned.q WITH (velostream.continuous) AS SELECT g FROM src;
RESET ROLE;
GRANT SELECT (id) ON src TO regress_velostream_owner;
GRANT SELECT ON other TO regress_velostream_owner;
SET ROLE regress_velostream_owner;
CREATE TABLE owned.q WITH (velostream.continuous) AS SELECT id, g FROM src;
CREATE TABLE definition.q WITH (velostream.continuous) AS SELECT id FROM src;
CREATE TABLE owned.q WITH (velostream.continuous) AS SELECT id FROM src;
SELECT relowner::regrole FROM pg_class WHERE oid = 'owned.q'::regclass;
DROP TABLE owned.q;
RESET ROLE;
-- row-level security
ALTER TABLE other ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON other USING (x < current_setting('work_mem')::int);
SET ROLE regress_velostream_owner;
CREATE TABLE owned.q WITH (velostream.continuous) AS SELECT x FROM other;
RESET ROLE;
DROP POLICY p ON other;
CREATE POLICY p ON other USING (x IN (SELECT g FROM src));
SET ROLE regress_velostream_owner;
CREATE TABLE owned.q WITH (velostream.continuous) AS SELECT x FROM other;
RESET ROLE;
DROP POLICY p ON other;
CREATE POLICY p ON other USING (CURRENT_USER = 'regress_velostream_owner' AND x > 0);
SET ROLE regress_velostream_owner;
CREATE TABLE owned.q WITH (velostream.continuous) AS SELECT x FROM other;
RESET ROLE;

-- ----------
-- what is kept
-- ----------
-- keys that are not selected are added
CREATE TABLE keyed WITH (velostream.continuous) AS
SELECT count(*), sum(v) AS lower FROM src GROUP BY g, lower(t), g % 3, g::text;
\d keyed
-- columns that the grouped primary key determines
CREATE TABLE dependent WITH (velostream.continuous) AS
SELECT upper(t) AS t, count(*) FROM src GROUP BY id HAVING max(v) > g;
CREATE TABLE q WITH (velostream.continuous) AS SELECT id, p FROM src GROUP BY id;
-- DISTINCT
CREATE TABLE uniq WITH (velostream.continuous) AS SELECT DISTINCT g, t FROM src;
CREATE TABLE uniq_groups WITH (velostream.continuous) AS SELECT DISTINCT g, count(*) FROM src GROUP BY g;
CREATE TABLE uniq_total WITH (velostream.continuous) AS SELECT DISTINCT count(*) FROM src;
-- names given to columns
CREATE TABLE named (a, b) WITH (velostream.continuous, fillfactor = 90) AS SELECT g, count(*) FROM src GROUP BY g;
CREATE TABLE log WITH (velostream.continuous, velostream.kind = stream, velostream.source_mode = append) AS
SELECT id, g FROM src WITH NO DATA;
\d named
\d log
SELECT relname, reloptions FROM pg_class WHERE oid IN ('keyed'::regclass, 'named'::regclass, 'log'::regclass) ORDER BY 1;
SELECT name, kind, source_mode, replace(definition, 'src.', '') AS definition
FROM velostream.queries WHERE schema = 'definition' ORDER BY name;
-- the same name twice
CREATE TABLE named WITH (velostream.continuous) AS SELECT g FROM src;
CREATE TABLE IF NOT EXISTS named WITH (velostream.continuous) AS SELECT g FROM src;

-- ----------
-- like any DDL
-- ----------
BEGIN;
CREATE TABLE undone WITH (velostream.continuous) AS SELECT g FROM src;
SAVEPOINT s;
CREATE TABLE undone_first WITH (velostream.continuous) AS SELECT g FROM src;
ROLLBACK TO s;
DROP TABLE named;
ROLLBACK;
SELECT name FROM velostream.queries WHERE schema = 'definition' ORDER BY name;
-- dropped and brought back, dropped for good
BEGIN;
SAVEPOINT s;
DROP TABLE uniq;
ROLLBACK TO s;
DROP TABLE uniq_groups;
COMMIT;
SELECT name FROM velostream.queries WHERE schema = 'definition' ORDER BY name;
SELECT count(*) FROM velostream.query WHERE output NOT IN (SELECT oid FROM pg_class);
-- in a function
DO $$
BEGIN
	CREATE TABLE from_do WITH (velostream.continuous) AS SELECT g FROM src;
	EXECUTE format('CREATE TABLE from_execute WITH (velostream.continuous) AS SELECT g FROM src WHERE g > %L', 5);
END $$;
DROP TABLE from_do, from_execute;

-- ----------
-- the output is not for writing
-- ----------
INSERT INTO named VALUES (1, 1);
UPDATE named SET b = 0;
DELETE FROM named;
MERGE INTO named USING other ON a = x WHEN MATCHED THEN DELETE;
TRUNCATE named;
COPY named FROM stdin;
\.
-- nor for changes that make it unfit
ALTER TABLE named SET UNLOGGED;
ALTER TABLE named DROP COLUMN b;
ALTER TABLE named ALTER COLUMN b TYPE numeric;
ALTER TABLE named DISABLE TRIGGER ALL;
ALTER TABLE named DISABLE TRIGGER velostream_guard;
DROP TRIGGER velostream_guard ON named;
ALTER TABLE named SET (velostream.source_mode = append);
CREATE TABLE child () INHERITS (named);
CREATE TABLE mother (a int, b bigint);
ALTER TABLE named INHERIT mother;
CREATE TABLE partitioned (a int, b bigint) PARTITION BY LIST (a);
ALTER TABLE partitioned ATTACH PARTITION named DEFAULT;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER before BEFORE INSERT ON named FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE RULE nothing AS ON INSERT TO named DO INSTEAD NOTHING;
-- but it is its owner's table
CREATE TRIGGER after AFTER INSERT ON named FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE named DISABLE TRIGGER after;
ALTER TABLE named ADD COLUMN note text DEFAULT 'x', ADD CHECK (b > 0);
ALTER TABLE named DROP COLUMN note;
CREATE INDEX ON named (b);
ALTER TABLE named RENAME COLUMN b TO n;
ALTER TABLE named RENAME TO renamed;
ALTER TABLE renamed SET SCHEMA owned;
ALTER TABLE owned.renamed ENABLE ROW LEVEL SECURITY;
SELECT name, schema FROM velostream.queries WHERE name = 'renamed';
DROP TABLE owned.renamed, mother, partitioned;

-- ----------
-- nor is a source for everything
-- ----------
ALTER TABLE src SET UNLOGGED;
CREATE TABLE child () INHERITS (src);
ALTER TABLE src ALTER COLUMN g TYPE bigint;
ALTER TABLE src DROP COLUMN g;
DROP TABLE src;
-- rewritten: new rows to a query in the mode "append" that has read it
ALTER TABLE src ADD COLUMN r float8 DEFAULT random();
ALTER TABLE src ADD COLUMN c int DEFAULT 1;
DROP TABLE log;
ALTER TABLE src ADD COLUMN r float8 DEFAULT random();

DROP TABLE src CASCADE;
SELECT name FROM velostream.queries WHERE schema = 'definition' ORDER BY name;
SET client_min_messages = warning;
DROP SCHEMA definition CASCADE;
DROP OWNED BY regress_velostream_owner;
DROP ROLE regress_velostream_owner;
