-- Groups: every kind of aggregate, under inserts, updates and deletes.
CREATE TABLE sales (
	id int PRIMARY KEY,
	region text,
	product int,
	small int2,
	qty int4,
	big int8,
	amount numeric(12,2),
	price float8,
	sold_at timestamp,
	tags text[]
);
INSERT INTO sales
SELECT i, 'r' || i % 5, i % 7, i % 10, i % 11, i * 1000000::bigint, i * 1.25, i * 0.5,
	   '2024-01-01'::timestamp + i * interval '1 minute', ARRAY['t' || i % 3]
FROM generate_series(1, 1000) i;
INSERT INTO sales (id) VALUES (1001), (1002);

CREATE TABLE sums WITH (velostream.continuous) AS
SELECT region, count(*) AS n, count(qty) AS nq, sum(small) AS s2, sum(qty) AS s4,
	   sum(big) AS s8, sum(amount) AS sn, avg(small) AS a2, avg(qty) AS a4,
	   avg(big) AS a8, avg(amount) AS an
FROM sales GROUP BY region;
CREATE TABLE spread WITH (velostream.continuous) AS
SELECT product, variance(qty) AS v4, stddev(amount) AS sd, var_pop(big) AS vb,
	   stddev_pop(small) AS sp
FROM sales GROUP BY product;
CREATE TABLE extremes WITH (velostream.continuous) AS
SELECT region, min(qty), max(qty), min(sold_at) AS first, max(sold_at) AS last,
	   min(region || product::text) AS a, max(amount) AS b
FROM sales GROUP BY region;
CREATE TABLE floats WITH (velostream.continuous) AS
SELECT product, sum(price), avg(price), max(price), bit_or(qty), bit_and(qty)
FROM sales GROUP BY product;
CREATE TABLE filtered WITH (velostream.continuous) AS
SELECT region, count(*) FILTER (WHERE qty > 5) AS many, sum(amount) FILTER (WHERE product = 3) AS p3,
	   max(qty) FILTER (WHERE product <> 2) AS m
FROM sales WHERE small < 8 GROUP BY region;
CREATE TABLE big_groups WITH (velostream.continuous) AS
SELECT region, product, count(*) AS n, sum(amount) AS total
FROM sales GROUP BY region, product HAVING count(*) > 28 AND sum(amount) > 100;
CREATE TABLE everything WITH (velostream.continuous) AS
SELECT count(*) AS n, sum(amount) AS total, max(id) AS last, avg(price) AS price FROM sales;
CREATE TABLE expressions WITH (velostream.continuous) AS
SELECT upper(region) || '!' AS r, product % 3 AS p, sum(qty) * 2 + count(*) AS x,
	   CASE WHEN count(*) > 50 THEN 'many' ELSE 'few' END AS size
FROM sales GROUP BY region, product % 3;
CREATE TABLE products WITH (velostream.continuous) AS
SELECT DISTINCT product, region FROM sales;
-- a key that is not selected is added
CREATE TABLE hidden_key WITH (velostream.continuous) AS
SELECT sum(qty) AS total FROM sales GROUP BY region;
CALL check_all();
SELECT * FROM sums ORDER BY region;
SELECT * FROM everything;

INSERT INTO sales
SELECT i, 'r' || i % 6, i % 8, i % 10, i % 11, i * 1000000::bigint, i * 1.25, i * 0.5,
	   '2024-01-01'::timestamp + i * interval '1 minute', ARRAY['t' || i % 3]
FROM generate_series(2001, 2500) i;
CALL check_all();
UPDATE sales SET qty = qty + 1, amount = amount * 2 WHERE id % 3 = 0;
CALL check_all();
UPDATE sales SET region = 'r9' WHERE id % 17 = 0;
CALL check_all();
DELETE FROM sales WHERE id % 4 = 1;
CALL check_all();
-- the extremes of a group go
DELETE FROM sales WHERE qty = (SELECT max(qty) FROM sales);
CALL check_all();
-- whole groups go, and one comes back
DELETE FROM sales WHERE region = 'r2';
CALL check_all();
INSERT INTO sales (id, region, qty) VALUES (5000, 'r2', NULL);
CALL check_all();
UPDATE sales SET qty = NULL;
CALL check_all();
SELECT region, n, nq, s4, a4 FROM sums ORDER BY region;
DELETE FROM sales;
CALL check_all();
SELECT count(*) FROM sums;
SELECT * FROM everything;
INSERT INTO sales (id, region, qty) VALUES (1, 'x', 1);
CALL check_all();
TRUNCATE sales;
CALL check_all();
INSERT INTO sales (id, region, qty) VALUES (2, 'y', 1);
CALL check_all();
SELECT region, n, s4 FROM sums;
DROP TABLE sales CASCADE;
SELECT count(*) FROM velostream.queries;

-- Sums beside count(*) are kept in the output alone; the state table has the
-- groups with a NULL in a sum.  Each step runs with what is in the cache, and,
-- after their tables got new files, without.
CREATE TABLE pay (id serial PRIMARY KEY, k int, a int, b smallint NOT NULL);
CREATE TABLE paid WITH (velostream.continuous) AS
SELECT k, count(*) AS n, sum(a) AS a, sum(b) AS b FROM pay GROUP BY k;
CREATE TABLE means WITH (velostream.continuous) AS
SELECT k % 3 AS k, count(*) AS n, avg(a) AS a, avg(b) AS b FROM pay GROUP BY 1;
CREATE FUNCTION in_state(q regclass DEFAULT 'paid') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
	EXECUTE (SELECT format('SELECT count(*) FROM %s', state) FROM velostream.query WHERE output = q) INTO n;
	RETURN n;
END $$;
SELECT regexp_replace(explain, '_\d+$', '') AS explain FROM velostream.explain('paid') WHERE explain LIKE 'State:%';
INSERT INTO pay (k, a, b) SELECT i % 5, i, i FROM generate_series(1, 50) i;
CALL check_all();
SELECT in_state();
VACUUM FULL paid, means;
UPDATE pay SET a = NULL WHERE k = 1 AND id < 20;
CALL check_all();
SELECT in_state();
VACUUM FULL paid, means;
UPDATE pay SET b = b + 1 WHERE k IN (1, 2);
CALL check_all();
SELECT in_state();
UPDATE pay SET a = NULL WHERE k IN (1, 2);
CALL check_all();
SELECT in_state();
VACUUM FULL paid, means;
DELETE FROM pay WHERE k = 3 OR (k = 2 AND id < 30);
INSERT INTO pay (k, a, b) VALUES (1, 7, 7), (5, NULL, 1), (NULL, 3, 3), (NULL, NULL, 3);
CALL check_all();
SELECT in_state();
VACUUM FULL paid, means;
SELECT velostream.rebuild('paid');
CALL check_all();
SELECT in_state();
VACUUM FULL paid, means;
UPDATE pay SET a = 0 WHERE a IS NULL;
CALL check_all();
SELECT in_state();
VACUUM FULL paid, means;
DELETE FROM pay WHERE k <> 1;
CALL check_all();
-- NOT NULL comes and goes, with rows from before and after it in one batch
ALTER TABLE pay ALTER b DROP NOT NULL;
INSERT INTO pay (k, a, b) VALUES (1, 1, NULL), (6, 1, NULL);
CALL check_all();
VACUUM FULL paid, means;
BEGIN;
UPDATE pay SET b = 2 WHERE b IS NULL;
ALTER TABLE pay ALTER b SET NOT NULL;
COMMIT;
CALL check_all();
SELECT in_state(), (SELECT count(*) FROM paid);
VACUUM FULL paid, means;
BEGIN;
INSERT INTO pay (k, a, b) VALUES (1, 2, 2);
ALTER TABLE pay ALTER b DROP NOT NULL;
INSERT INTO pay (k, a, b) VALUES (1, 2, NULL);
COMMIT;
CALL check_all();
SELECT in_state();
-- averages are rounded, and give their sums back nevertheless
DELETE FROM pay;
INSERT INTO pay (k, a, b)
SELECT i % 7919, (i * 2654435761 % 4294967296 - 2147483648)::int, (i * 40503 % 65536 - 32768)::smallint
FROM generate_series(1::bigint, 20000) i;
CREATE TABLE finer WITH (velostream.continuous) AS
SELECT k, count(*) AS n, avg(a) AS a, avg(b) AS b FROM pay GROUP BY k;
CALL check_all();
SELECT in_state('finer'), in_state('means');
VACUUM FULL finer, means;
UPDATE pay SET a = a / 3, b = b / 2 WHERE id % 2 = 0;
DELETE FROM pay WHERE id % 5 = 0;
CALL check_all();
SELECT in_state('finer'), in_state('means');
DROP FUNCTION in_state;
DROP TABLE pay CASCADE;
