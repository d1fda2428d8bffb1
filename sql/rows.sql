-- Filter and projection: keyed by the primary key, or as a bag.
CREATE TABLE items (id int, sub text, v int, note text, PRIMARY KEY (id, sub));
INSERT INTO items SELECT i, 's' || i % 3, i % 10, repeat('n', i % 5) FROM generate_series(1, 300) i;

CREATE TABLE keyed WITH (velostream.continuous) AS
SELECT sub, v * 2 AS v2, id, note FROM items WHERE v > 3;
CREATE TABLE bag WITH (velostream.continuous) AS
SELECT v, note FROM items WHERE v <> 5;
SELECT * FROM velostream.explain('keyed');
SELECT * FROM velostream.explain('bag');
CALL check_all();

UPDATE items SET v = v + 1 WHERE id % 2 = 0;	-- into and out of WHERE
CALL check_all();
UPDATE items SET id = id + 1000 WHERE id < 50;	-- the key itself
CALL check_all();
DELETE FROM items WHERE v = 7;
CALL check_all();
INSERT INTO items SELECT i, 'x', 4, NULL FROM generate_series(1, 20) i;
CALL check_all();
-- gone and back again, in one transaction and in two
BEGIN;
DELETE FROM items WHERE id = 1 AND sub = 'x';
INSERT INTO items VALUES (1, 'x', 8, 'again');
COMMIT;
CALL check_all();
DELETE FROM items WHERE id = 2 AND sub = 'x';
INSERT INTO items VALUES (2, 'x', 8, 'again');
CALL check_all();
-- one of many equal rows
DELETE FROM items WHERE id = 3 AND sub = 'x';
CALL check_all();
SELECT count(*) FROM bag WHERE v = 4 AND note IS NULL;
-- values that are toasted
UPDATE items SET note = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i) WHERE id % 50 = 0;
CALL check_all();
UPDATE items SET v = v + 1 WHERE id % 50 = 0;
CALL check_all();
DELETE FROM items WHERE id % 50 = 0;
CALL check_all();
-- a column that the user adds keeps its values
ALTER TABLE keyed ADD COLUMN remark text DEFAULT 'none';
UPDATE items SET v = 9 WHERE id = 60;
SELECT velostream.wait('keyed', '60s');
SELECT id, sub, v2, remark FROM keyed WHERE id = 60;
DROP TABLE keyed, bag;
DROP TABLE items;
