-- Partitioned tables, views, chains.
CREATE TABLE ev (ts date NOT NULL, k int, v int) PARTITION BY RANGE (ts);
CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE ev_2 (v int, dropped text, k int, ts date NOT NULL);	-- other column order
ALTER TABLE ev_2 DROP COLUMN dropped;
ALTER TABLE ev ATTACH PARTITION ev_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
INSERT INTO ev SELECT '2024-01-01'::date + i % 60, i % 4, i FROM generate_series(1, 400) i WHERE i % 60 < 59;
CREATE TABLE ev_totals WITH (velostream.continuous) AS
SELECT k, count(*) AS n, sum(v) AS v, max(ts) AS last FROM ev GROUP BY k;
CREATE TABLE ev_log WITH (velostream.continuous, velostream.source_mode = append) AS
SELECT k, count(*) AS n, sum(v) AS v FROM ev GROUP BY k;
CALL check_all();
-- between partitions
UPDATE ev SET ts = ts + 31 WHERE k = 1 AND ts < '2024-01-20';
CALL check_all();
CREATE TABLE ev_3 PARTITION OF ev FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
INSERT INTO ev VALUES ('2024-03-05', 2, 7), ('2024-03-06', 9, 8);
CALL check_all();
CREATE TABLE ev_4 (LIKE ev);
INSERT INTO ev_4 VALUES ('2024-04-05', 2, 7), ('2024-04-06', 9, 8);
ALTER TABLE ev ATTACH PARTITION ev_4 FOR VALUES FROM ('2024-04-01') TO ('2024-05-01');
INSERT INTO ev VALUES ('2024-04-05', 2, 70);
CALL check_all();
ALTER TABLE ev DETACH PARTITION ev_1;
INSERT INTO ev_1 VALUES ('2024-01-05', 2, 1000000);
CALL check_all();
DROP TABLE ev_2;
CALL check_all();
SELECT * FROM ev_totals ORDER BY k;
TRUNCATE ev_3;
CALL check_all();

-- views over it
CREATE VIEW recent AS SELECT k AS key, v * 10 AS v10, ts FROM ev WHERE ts > '2024-02-10';
CREATE VIEW recent_even AS SELECT key, v10 + 1 AS w FROM recent WHERE key % 2 = 0;
CREATE TABLE from_view WITH (velostream.continuous) AS
SELECT key, sum(w), count(*), min(w) FROM recent_even GROUP BY key;
CREATE TABLE view_rows WITH (velostream.continuous) AS SELECT key, w FROM recent_even;
INSERT INTO ev SELECT '2024-03-01'::date + i % 30, i % 5, i FROM generate_series(1, 100) i;
CALL check_all();
DELETE FROM ev WHERE v % 3 = 0;
CALL check_all();
-- the view changes: the query is rebuilt
CREATE OR REPLACE VIEW recent AS SELECT k AS key, v * 100 AS v10, ts FROM ev WHERE ts > '2024-03-10';
CALL check_all();
SELECT rebuilds FROM velostream.stat_queries WHERE query = 'from_view'::regclass;

-- a chain
CREATE TABLE by_size WITH (velostream.continuous) AS
SELECT n, count(*) AS keys, sum(v) AS v FROM ev_totals GROUP BY n;
CREATE TABLE chain_end WITH (velostream.continuous) AS
SELECT count(*) AS sizes, sum(keys) AS keys FROM by_size;
CALL check_all();
INSERT INTO ev SELECT '2024-03-01'::date + i % 30, i % 50, i FROM generate_series(1, 500) i;
CALL check_all();
UPDATE ev SET k = k / 2;
CALL check_all();
TABLE chain_end;
DROP TABLE ev CASCADE;

-- plain inheritance
CREATE TABLE parent (a int, b int);
CREATE TABLE child (c int) INHERITS (parent);
INSERT INTO parent VALUES (1, 1);
INSERT INTO child VALUES (1, 2, 3);
CREATE TABLE family WITH (velostream.continuous) AS SELECT a, sum(b) FROM parent GROUP BY a;
CREATE TABLE only_parent WITH (velostream.continuous) AS SELECT a, sum(b) FROM ONLY parent GROUP BY a;
CALL check_all();
UPDATE parent SET b = b + 10;
INSERT INTO child VALUES (2, 2, 3);
CALL check_all();
SELECT * FROM family ORDER BY a;
TABLE only_parent;
DROP TABLE parent CASCADE;
