-- A rebuild changes only what was wrong: those who refer to an output, and
-- what users added to it, stay.
CREATE TABLE rb (id int PRIMARY KEY, k int, v int);
INSERT INTO rb SELECT i, i % 5, i FROM generate_series(1, 100) i;
CREATE TABLE rb_groups WITH (velostream.continuous) AS
SELECT k, count(*) AS n, sum(v) AS v FROM rb GROUP BY k;
CREATE TABLE rb_counts WITH (velostream.continuous) AS
SELECT k, count(*) AS n FROM rb GROUP BY k;
CREATE TABLE rb_state WITH (velostream.continuous) AS
SELECT k, avg(v) AS a, max(v) AS m FROM rb GROUP BY k HAVING count(*) > 3;
CREATE TABLE rb_rows WITH (velostream.continuous) AS
SELECT id, k FROM rb WHERE v > 50;
CREATE TABLE rb_bag WITH (velostream.continuous) AS SELECT k FROM rb;
CREATE TABLE rb_one WITH (velostream.continuous) AS SELECT count(*), sum(v) FROM rb;
CREATE TABLE rb_log WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT k, count(*) AS n FROM rb GROUP BY k;
CALL check_all();
ALTER TABLE rb_groups ADD PRIMARY KEY (k), ADD COLUMN added bigserial;
ALTER TABLE rb_rows ADD PRIMARY KEY (id);
CREATE TABLE rb_child (k int REFERENCES rb_groups ON DELETE CASCADE, id int REFERENCES rb_rows ON DELETE CASCADE);
INSERT INTO rb_child SELECT k, id FROM rb WHERE v > 50;
CREATE TABLE rb_before AS SELECT k, added FROM rb_groups;

VACUUM FULL rb;
CALL check_all();
SELECT count(*) FROM rb_child;
SELECT count(*) FROM (TABLE rb_before EXCEPT SELECT k, added FROM rb_groups) d;
SELECT velostream.rebuild(query) FROM velostream.queries WHERE name LIKE 'rb\_%';
CALL check_all();
SELECT count(*) FROM rb_child;
SELECT count(*) FROM (TABLE rb_before EXCEPT SELECT k, added FROM rb_groups) d;
SELECT name, rebuilds, changes FROM velostream.stat_queries WHERE name IN ('rb_groups', 'rb_rows', 'rb_one', 'rb_state') ORDER BY 1;

-- changes and a rebuild in one
BEGIN;
SELECT velostream.rebuild('rb_groups'), velostream.rebuild('rb_state'), velostream.rebuild('rb_rows'), velostream.rebuild('rb_one');
DELETE FROM rb WHERE k = 2;
UPDATE rb SET v = v + 1 WHERE k = 3;
UPDATE rb SET k = 7 WHERE id = 100;
INSERT INTO rb VALUES (200, 9, 99), (201, 9, 99), (202, 9, 99), (203, 9, 99);
COMMIT;
CALL check_all();
SELECT count(*) FROM rb_child WHERE k = 2;
SELECT count(*) FROM rb_child;
SELECT count(*) FROM (TABLE rb_before EXCEPT SELECT k, added FROM rb_groups) d;
-- after it, batches go on
UPDATE rb SET v = v + 1 WHERE k IN (3, 9);
DELETE FROM rb WHERE id = 203;
CALL check_all();
-- in steps
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.2);
SELECT velostream.rebuild('rb_groups'), velostream.rebuild('rb_counts'), velostream.rebuild('rb_rows');
DELETE FROM rb WHERE k = 1 AND id > 50;
SELECT count(*) > 0 FROM velostream.process('rb_groups', batch_rows => 7);
SELECT count(*) > 0 FROM velostream.process('rb_counts', batch_rows => 7);
SELECT count(*) > 0 FROM velostream.process('rb_rows', batch_rows => 7);
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();
SELECT pg_sleep(0.2);
CALL check_all();
TRUNCATE rb CASCADE;
CALL check_all();
SELECT count(*) FROM rb_child;
TABLE rb_one;
SELECT sum(n) FROM rb_log;
DROP TABLE rb, rb_child CASCADE;
DROP TABLE rb_before;
