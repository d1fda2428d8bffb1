-- Nothing writes to an output but velostream, and nothing changes the rows it writes.
CREATE TABLE guarded_src (id serial PRIMARY KEY, g int, v int);
INSERT INTO guarded_src (g, v) VALUES (1, 1), (1, 2), (2, 3);
CREATE TABLE guarded WITH (velostream.continuous) AS
SELECT g, count(*) FROM guarded_src GROUP BY g;
SELECT velostream.wait('guarded');
CREATE FUNCTION guarded_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';

-- triggers and rules
CREATE TRIGGER t BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION guarded_trigger();
CREATE OR REPLACE TRIGGER t BEFORE UPDATE OR DELETE ON guarded FOR EACH ROW EXECUTE FUNCTION guarded_trigger();
CREATE TRIGGER t AFTER INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION guarded_trigger();
CREATE OR REPLACE TRIGGER t BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION guarded_trigger();
DROP TRIGGER t ON guarded;
CREATE RULE r AS ON INSERT TO guarded DO INSTEAD NOTHING;
CREATE OR REPLACE RULE r AS ON DELETE TO guarded DO ALSO NOTHING;
ALTER TABLE guarded ENABLE RULE r;
ALTER TABLE guarded ENABLE ALWAYS RULE r;

-- the triggers that guard it
CREATE OR REPLACE TRIGGER velostream_guard BEFORE INSERT ON guarded EXECUTE FUNCTION guarded_trigger();
CREATE OR REPLACE TRIGGER velostream_guard_row AFTER INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION guarded_trigger();
ALTER TRIGGER velostream_guard ON guarded RENAME TO t;
ALTER TRIGGER velostream_guard_row ON guarded RENAME TO t;
ALTER TABLE guarded DISABLE TRIGGER velostream_guard;
ALTER TABLE guarded ENABLE REPLICA TRIGGER velostream_guard_row;
ALTER TABLE guarded ENABLE TRIGGER velostream_guard_row;
ALTER TABLE guarded DISABLE TRIGGER ALL;
ALTER TABLE guarded ENABLE TRIGGER ALL;
ALTER TABLE guarded ENABLE TRIGGER USER;
DROP TRIGGER velostream_guard ON guarded;
DROP TRIGGER velostream_guard_row ON guarded;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'guarded'::regclass ORDER BY tgname;

-- partitions and children
CREATE TABLE guarded_parent (g int, count bigint) PARTITION BY LIST (g);
ALTER TABLE guarded_parent ATTACH PARTITION guarded FOR VALUES IN (1);
ALTER TABLE guarded_parent ATTACH PARTITION guarded DEFAULT;
CREATE TABLE guarded_child () INHERITS (guarded);
-- the extension's schema is not for outputs, whoever asks
CREATE TABLE velostream.guarded_out WITH (velostream.continuous) AS SELECT count(*) FROM guarded;
ALTER TABLE guarded SET SCHEMA velostream;
CREATE SCHEMA guarded_schema CREATE TABLE guarded_child () INHERITS (public.guarded);
CREATE TABLE guarded_other (g int, count bigint);
ALTER TABLE guarded_other INHERIT guarded;
ALTER TABLE guarded INHERIT guarded_other;
CREATE FOREIGN DATA WRAPPER guarded_wrapper;
CREATE SERVER guarded_server FOREIGN DATA WRAPPER guarded_wrapper;
CREATE FOREIGN TABLE guarded_child () INHERITS (guarded) SERVER guarded_server;
CREATE FOREIGN TABLE guarded_foreign (g int, count bigint) SERVER guarded_server;
ALTER FOREIGN TABLE guarded_foreign INHERIT guarded;

-- rows, whatever the session says it is
CREATE VIEW guarded_view AS SELECT * FROM guarded;
SET session_replication_role = replica;
INSERT INTO guarded VALUES (9, 9);
INSERT INTO guarded VALUES (9, 9) ON CONFLICT DO NOTHING;
UPDATE guarded SET count = 0;
DELETE FROM guarded WHERE false;
TRUNCATE guarded;
COPY guarded FROM stdin;
9	9
\.
MERGE INTO guarded USING guarded_src s ON false WHEN NOT MATCHED THEN INSERT VALUES (9, 9);
WITH w AS (INSERT INTO guarded VALUES (9, 9) RETURNING *) SELECT * FROM w;
INSERT INTO guarded_view VALUES (9, 9);
RESET session_replication_role;
UPDATE guarded_view SET count = 0;

-- actions of foreign keys
CREATE TABLE guarded_key (g int PRIMARY KEY);
INSERT INTO guarded_key VALUES (1), (2), (3);
ALTER TABLE guarded ADD FOREIGN KEY (g) REFERENCES guarded_key ON UPDATE CASCADE ON DELETE CASCADE;
UPDATE guarded_key SET g = 10 WHERE g = 1;
DELETE FROM guarded_key WHERE g = 2;
TRUNCATE guarded_key CASCADE;

-- after all of that it goes on
INSERT INTO guarded_src (g, v) VALUES (1, 3), (3, 1);
DELETE FROM guarded_src WHERE g = 2;
SELECT velostream.wait('guarded');
TABLE guarded ORDER BY g;

-- made by who prepares a transaction, kept by none
BEGIN;
DROP TABLE guarded CASCADE;
PREPARE TRANSACTION 'guarded';
BEGIN;
CREATE TABLE guarded_2 WITH (velostream.continuous) AS SELECT g FROM guarded_src;
PREPARE TRANSACTION 'guarded';
TABLE guarded ORDER BY g;

DROP TABLE guarded CASCADE;
DROP TABLE guarded_src, guarded_parent, guarded_other, guarded_key;
DROP FOREIGN DATA WRAPPER guarded_wrapper CASCADE;
DROP FUNCTION guarded_trigger;
