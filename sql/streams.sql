-- Streams: an append-only log of what changed.
CREATE TABLE s (id int PRIMARY KEY, k text, v int);
CREATE TABLE s_groups WITH (velostream.continuous, velostream.kind = stream) AS
SELECT k, count(*) AS n, sum(v) AS v FROM s GROUP BY k HAVING sum(v) > 0;
CREATE TABLE s_rows WITH (velostream.continuous, velostream.kind = stream) AS
SELECT id, k FROM s WHERE v > 1;
CREATE TABLE s_log WITH (velostream.continuous, velostream.kind = stream, velostream.source_mode = append) AS
SELECT k, v FROM s;
\d s_groups
INSERT INTO s VALUES (1, 'a', 1), (2, 'a', 2), (3, 'b', 3);
SELECT velostream.wait(timeout => '60s');
UPDATE s SET v = v + 1 WHERE k = 'a';
SELECT velostream.wait(timeout => '60s');
UPDATE s SET v = -5 WHERE id = 3;
SELECT velostream.wait(timeout => '60s');
DELETE FROM s WHERE k = 'a';
SELECT velostream.wait(timeout => '60s');
SELECT k, n, v, _op, _offset, _timestamp IS NOT NULL AS t FROM s_groups ORDER BY _offset;
SELECT id, k, _op, _offset FROM s_rows ORDER BY _offset;
SELECT k, v, _op FROM s_log ORDER BY _offset;
INSERT INTO s_rows (id) VALUES (1);
TRUNCATE s;
INSERT INTO s VALUES (9, 'z', 9);
SELECT velostream.wait(timeout => '60s');
SELECT k, n, v, _op FROM s_groups WHERE _offset > 5 ORDER BY _offset;
DROP TABLE s CASCADE;

-- An update that changes nothing that is selected is no change.
CREATE TABLE s (id int PRIMARY KEY, k text, v int, note text);
CREATE TABLE s_rows WITH (velostream.continuous, velostream.kind = stream) AS
SELECT id, k, note FROM s;
INSERT INTO s SELECT i, 'k' || i, i, repeat('long', 1000 * i) FROM generate_series(1, 3) i;
SELECT velostream.wait('s_rows', '60s');
UPDATE s SET v = v + 1;
UPDATE s SET k = 'other' WHERE id = 2;
UPDATE s SET note = NULL WHERE id = 3;
SELECT velostream.wait('s_rows', '60s');
SELECT id, k, length(note), _op FROM s_rows ORDER BY _offset;
DROP TABLE s CASCADE;
