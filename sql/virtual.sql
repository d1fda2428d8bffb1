-- PostgreSQL 18: columns that are computed when they are read, constraints
-- that are not valid, keys over time.
SELECT current_setting('server_version_num')::int < 180000 AS older \gset
\if :older
\quit
\endif
CREATE TABLE parts (
	id int PRIMARY KEY, a int, b int,
	c int GENERATED ALWAYS AS (a % 5) VIRTUAL,
	d int NOT NULL GENERATED ALWAYS AS (coalesce(a, 0) + coalesce(b, 0)) VIRTUAL,
	s int GENERATED ALWAYS AS (a * 2) STORED
);
INSERT INTO parts SELECT i, i, nullif(i % 3, 0) FROM generate_series(1, 200) i;
CREATE TABLE by_c WITH (velostream.continuous) AS
SELECT c, count(*), sum(d), avg(d), max(d), sum(s) AS s FROM parts WHERE d > 10 GROUP BY c;
CREATE TABLE by_pair WITH (velostream.continuous) AS
SELECT id, c, d, count(*) FROM parts GROUP BY id, c, d HAVING count(d) > 0;
CREATE TABLE by_id WITH (velostream.continuous) AS SELECT id, c, d * 2 AS d2, a FROM parts WHERE c <> 1;
CREATE TABLE as_bag WITH (velostream.continuous) AS SELECT c, d FROM parts;
CREATE TABLE whole WITH (velostream.continuous) AS SELECT (parts).c, parts AS p FROM parts;
CREATE VIEW seen AS SELECT c AS c1, d AS d1 FROM parts WHERE c > 0;
CREATE TABLE through WITH (velostream.continuous) AS SELECT c1, sum(d1), min(d1) FROM seen GROUP BY c1;
CREATE TABLE logged WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT c, count(*), sum(d) FROM parts GROUP BY c;
CREATE TABLE streamed WITH (velostream.continuous, velostream.kind = stream) AS SELECT id, c, d FROM parts;
CALL check_all();
SELECT * FROM by_c ORDER BY c;
INSERT INTO parts SELECT i, i, nullif(i % 3, 0) FROM generate_series(201, 300) i;
UPDATE parts SET a = a + 3 WHERE id % 4 = 0;
UPDATE parts SET a = NULL WHERE id % 7 = 0;
DELETE FROM parts WHERE id % 9 = 0;
CALL check_all();
SELECT * FROM by_c ORDER BY c;
SELECT * FROM logged ORDER BY c;
SELECT _op, c, d FROM streamed WHERE id = 4 ORDER BY _offset;
-- another expression: no row is touched, and all of them have changed
ALTER TABLE parts ALTER c SET EXPRESSION AS (a % 4);
CALL check_all();
INSERT INTO parts VALUES (1001, 1, 1);
CALL check_all();
SELECT * FROM by_c ORDER BY c;
SELECT sum(count) FROM logged;
-- row security by such a column
CREATE ROLE regress_velostream_virtual;
GRANT CREATE ON SCHEMA public TO regress_velostream_virtual;
GRANT SELECT (c, a, id) ON parts TO regress_velostream_virtual;
ALTER TABLE parts ENABLE ROW LEVEL SECURITY;
CREATE POLICY only_two ON parts USING (c = 2);
SET ROLE regress_velostream_virtual;
CREATE TABLE denied WITH (velostream.continuous) AS SELECT c, sum(d) FROM parts GROUP BY c;
CREATE TABLE allowed WITH (velostream.continuous) AS SELECT c, count(*) FROM parts GROUP BY c;
SELECT velostream.wait('allowed', '60s');
SELECT c FROM allowed;
RESET ROLE;
UPDATE parts SET a = a + 1 WHERE id < 20;
SELECT velostream.wait('allowed', '60s');
SELECT count = (SELECT count(*) FROM parts WHERE c = 2) AS same FROM allowed;
DROP TABLE allowed;
ALTER TABLE parts DISABLE ROW LEVEL SECURITY;
-- one that fails is a dead letter, which does not show it
CREATE TABLE inverse (id int PRIMARY KEY, d int, r int GENERATED ALWAYS AS (1000 / d) VIRTUAL);
INSERT INTO inverse SELECT i, i FROM generate_series(1, 20) i;
CREATE TABLE inverted WITH (velostream.continuous, velostream.on_error = dead_letter) AS SELECT id, r FROM inverse;
CREATE TABLE greatest_r WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT id % 2 AS odd, max(r) FROM inverse GROUP BY 1;
INSERT INTO inverse VALUES (100, 0), (101, 2);
UPDATE inverse SET d = d + 1 WHERE id BETWEEN 1 AND 3;
SELECT velostream.wait('inverted', '60s'), velostream.wait('greatest_r', '60s');
SELECT query, row, message FROM velostream.dead_letters ORDER BY query::text;
SELECT count(*), sum(r) FROM inverted;
TABLE greatest_r ORDER BY odd;
DROP TABLE inverse CASCADE;
-- NOT NULL of which older rows know nothing
CREATE TABLE late (id int PRIMARY KEY, k int, v int);
INSERT INTO late SELECT i, i % 3, nullif(i % 4, 0) FROM generate_series(1, 100) i;
ALTER TABLE late ADD CONSTRAINT late_v NOT NULL v NOT VALID;
CREATE TABLE late_sums WITH (velostream.continuous) AS SELECT k, count(*), sum(v), avg(v) FROM late GROUP BY k;
CREATE TABLE late_none WITH (velostream.continuous) AS SELECT k, count(*) FROM late WHERE v IS NULL GROUP BY k;
CALL check_all();
DELETE FROM late WHERE id % 5 = 0;
INSERT INTO late SELECT i, i % 3, 1 FROM generate_series(201, 220) i;
CALL check_all();
SELECT velostream.rebuild('late_sums');
CALL check_all();
UPDATE late SET v = 0 WHERE v IS NULL;
ALTER TABLE late VALIDATE CONSTRAINT late_v;
INSERT INTO late SELECT i, i % 3, 1 FROM generate_series(301, 320) i;
CALL check_all();
-- a key over time
CREATE TABLE stays (room int4range, at tstzrange, guests int, PRIMARY KEY (room, at WITHOUT OVERLAPS));
INSERT INTO stays SELECT int4range(i % 5, i % 5 + 1),
	tstzrange(timestamptz '2026-01-01' + i * interval '1 day', timestamptz '2026-01-02' + i * interval '1 day'), i
FROM generate_series(1, 50) i;
CREATE TABLE kept WITH (velostream.continuous) AS SELECT room, at, guests FROM stays WHERE guests > 10;
CREATE TABLE by_room WITH (velostream.continuous) AS SELECT room, at, guests, count(*) FROM stays GROUP BY room, at;
CALL check_all();
UPDATE stays SET guests = guests + 1;
CALL check_all();
DELETE FROM stays WHERE guests % 2 = 0;
CALL check_all();
-- triggers and columns of an output
CREATE TABLE rooms WITH (velostream.continuous) AS SELECT room, count(*), sum(guests) FROM stays GROUP BY room;
ALTER TABLE rooms ADD COLUMN twice bigint GENERATED ALWAYS AS (sum * 2) VIRTUAL,
	ADD COLUMN thrice bigint GENERATED ALWAYS AS (sum * 3) STORED;
UPDATE stays SET guests = guests + 1;
CALL check_all();
SELECT * FROM rooms ORDER BY room;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP TABLE parts, late, stays CASCADE;
REVOKE CREATE ON SCHEMA public FROM regress_velostream_virtual;
DROP OWNED BY regress_velostream_virtual;
DROP ROLE regress_velostream_virtual;
