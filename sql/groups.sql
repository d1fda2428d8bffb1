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
