-- velostream.replay(): dead letters are tried again.
CREATE SCHEMA replay;
SET search_path = replay, public;
SET client_min_messages = warning;
CREATE TABLE src (id int PRIMARY KEY, g int, d int);
INSERT INTO src SELECT i, i % 3, CASE WHEN i % 10 = 0 THEN 0 ELSE i % 10 END FROM generate_series(1, 40) i;
-- what is wrong with a row can be put right without a change of the row
CREATE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1000 / d; END';
CREATE TABLE sums WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT g, count(*) AS n, sum(part(d)) AS s FROM src GROUP BY g;
CREATE TABLE maxima WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT g, max(part(d)) AS r FROM src GROUP BY g;
CREATE TABLE keyed WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT id, part(d) AS r FROM src;
CREATE TABLE bag WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT g, part(d) AS r FROM src;
CREATE TABLE hourly WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT velostream.hop(timestamp '2024-01-01' + id * interval '7 min', '1 hour', '20 min') AS w, sum(part(d)) AS s
FROM src GROUP BY 1;
CREATE TABLE log WITH (velostream.continuous, velostream.on_error = dead_letter, velostream.source_mode = append) AS
SELECT g, count(*) AS n, sum(part(d)) AS s FROM src GROUP BY g;
CREATE VIEW shown AS
SELECT s.name, s.dead, count(d.query) AS letters, s.rows_in - s.rows_out AS counted
FROM velostream.stat_queries s LEFT JOIN velostream.dead_letters d USING (query)
WHERE s.schema = 'replay' GROUP BY 1, 2, 4 ORDER BY 1;
CREATE PROCEDURE check_log() LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS ((TABLE replay.log EXCEPT ALL SELECT g, count(*), sum(replay.part(d)) FROM replay.logged GROUP BY g)
			   UNION ALL (SELECT g, count(*), sum(replay.part(d)) FROM replay.logged GROUP BY g EXCEPT ALL TABLE replay.log)) THEN
		RAISE WARNING 'log is wrong';
	END IF;
END $$;
SELECT velostream.wait(timeout => '60s');
SELECT source, row, sqlstate, message, source_ctid IS NOT NULL AND source_xmin IS NOT NULL AND at <= now() AS placed
FROM velostream.dead_letters WHERE query = 'keyed'::regclass ORDER BY row ->> 'id';
SET client_min_messages = notice;

-- still wrong: they stay, with the error that they have now.  What it says does not
-- make them rows without an event time.
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN IF d = 0 THEN RAISE EXCEPTION 'the event time is null' USING ERRCODE = '22004'; END IF; RETURN 1000 / d; END$$;
SELECT q, velostream.replay(q) FROM unnest('{sums,maxima,keyed,bag,hourly,log}'::regclass[]) q;
SELECT DISTINCT sqlstate, message FROM velostream.dead_letters;
TABLE shown;

-- one goes, one is put right by an update, one comes: the log keeps what it
-- cannot read any more
INSERT INTO src VALUES (50, 1, 0);
DELETE FROM src WHERE id = 10;
UPDATE src SET d = 5 WHERE id = 20;
SELECT velostream.wait(timeout => '60s');
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN RETURN CASE WHEN d = 0 THEN 7000 ELSE 1000 / d END; END$$;
INSERT INTO src VALUES (51, 2, 0);
-- a rollback leaves everything as it was
BEGIN;
SELECT velostream.replay('sums');
ROLLBACK;
SELECT name, dead, letters FROM shown WHERE name = 'sums';
SELECT q, velostream.replay(q) FROM unnest('{sums,maxima,keyed,bag,hourly,log}'::regclass[]) q;
CALL check_all();
CREATE TABLE logged AS SELECT id, g, d FROM src WHERE id NOT IN (10, 20);
CALL check_log();
TABLE shown;
-- once only
SELECT q, velostream.replay(q) FROM unnest('{sums,maxima,keyed,bag,hourly,log}'::regclass[]) q;
CALL check_all();
CALL check_log();
TABLE shown;
-- they are rows like others now
UPDATE src SET d = 8 WHERE id IN (30, 51);
DELETE FROM src WHERE id IN (40, 50);
CALL check_all();
CALL check_log();
TABLE shown;
DROP TABLE sums, maxima, keyed, bag, hourly, log;

-- frozen, on a page that no batch would look at, among many, in a partition
CREATE TABLE parted (id int, d int) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (5000);
CREATE TABLE high PARTITION OF parted FOR VALUES FROM (5000) TO (10000);
INSERT INTO parted SELECT i, i % 500 FROM generate_series(1, 9999) i;
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1000 / d; END';
CREATE TABLE many WITH (velostream.continuous, velostream.on_error = dead_letter) AS
SELECT id % 7 AS g, count(*) AS n, sum(part(d)) AS s FROM parted GROUP BY 1;
SELECT velostream.wait(timeout => '60s');
VACUUM (FREEZE) low, high;
SELECT count(*) FROM velostream.dead_letters;
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN RETURN CASE WHEN d = 0 THEN 7000 ELSE 1000 / d END; END$$;
SELECT velostream.replay('many');
CALL check_all();
TABLE shown;
DROP TABLE many;

-- late rows where they cannot be counted, and rows without a time, are kept
CREATE TABLE ev (id int, at timestamp, d int);
INSERT INTO ev VALUES (1, '2024-01-01 00:00', 1), (2, '2024-01-01 02:00', 0), (3, NULL, 1);
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1000 / d; END';
CREATE TABLE closed WITH (velostream.continuous, velostream.emit = final, velostream.source_mode = append,
	velostream.on_error = dead_letter, velostream.late_data = drop) AS
SELECT velostream.tumble(at, '1 hour') AS w, count(*) AS n, sum(part(d)) AS s FROM ev GROUP BY 1;
CREATE TABLE kept WITH (velostream.continuous, velostream.emit = final, velostream.source_mode = append) AS
SELECT velostream.tumble(at, '1 hour') AS w, count(*) AS n FROM ev GROUP BY 1;
SELECT velostream.wait(timeout => '60s');
INSERT INTO ev VALUES (4, '2024-01-01 02:30', 1);
SELECT velostream.wait(timeout => '60s');
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1000 / greatest(d, 1); END';
-- its window is open still
SELECT velostream.replay('closed');
INSERT INTO ev VALUES (5, '2024-01-01 05:00', 0), (6, '2024-01-01 00:30', 1);
SELECT velostream.wait(timeout => '60s');
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1000 / d; END';
INSERT INTO ev VALUES (7, '2024-01-01 05:10', 0);
SELECT velostream.wait(timeout => '60s');
INSERT INTO ev VALUES (8, '2024-01-01 09:00', 1);
SELECT velostream.wait(timeout => '60s');
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1000 / greatest(d, 1); END';
-- and these come too late, which does not make them vanish, even with late_data = drop
SELECT velostream.replay('closed');
TABLE closed ORDER BY w;
-- here they can be
SELECT velostream.replay('kept');
TABLE kept ORDER BY w;
SELECT query, row ->> 'id' AS id, sqlstate, message FROM velostream.dead_letters ORDER BY 1, 2;
SELECT name, dead, letters FROM shown;
DROP TABLE closed, kept;

-- rows that are tried again arrive then: before all that come later
CREATE TABLE arrivals (n int);
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN IF d < 0 THEN RAISE EXCEPTION 'negative'; END IF; RETURN d; END$$;
CREATE TABLE lasts WITH (velostream.continuous, velostream.source_mode = append, velostream.on_error = dead_letter) AS
SELECT count(*), velostream.last(part(n)) FROM arrivals;
INSERT INTO arrivals SELECT -i FROM generate_series(1, 3000) i;
SELECT velostream.wait('lasts', timeout => '60s');
INSERT INTO arrivals VALUES (1);
SELECT velostream.wait('lasts', timeout => '60s');
TABLE lasts;
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN d; END';
SELECT velostream.replay('lasts');
TABLE lasts;
INSERT INTO arrivals VALUES (2);
SELECT velostream.wait('lasts', timeout => '60s');
TABLE lasts;
DROP TABLE lasts, arrivals;

-- who may, and when
CREATE TABLE sums WITH (velostream.continuous) AS SELECT count(*) FROM src;
SELECT velostream.pause('sums');
SELECT velostream.replay('sums');
SELECT velostream.resume('sums');
SELECT velostream.replay('sums');
SELECT velostream.replay('src');
SELECT velostream.replay(NULL);
CREATE ROLE replay_other;
GRANT USAGE ON SCHEMA replay TO replay_other;
SET ROLE replay_other;
SELECT velostream.replay('sums');
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA replay CASCADE;
DROP ROLE replay_other;
