-- Groups of tumbling windows, which are found by window and hash: new windows,
-- windows that were over, rows that come late, change and go.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET client_min_messages = warning;
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();

-- event times of all types, before and after 1970
CREATE TABLE ticks (id int PRIMARY KEY, k text, v int, ts timestamptz, local timestamp, ms bigint, day date)
	WITH (autovacuum_enabled = off);
CREATE FUNCTION fill(first int, last int, since int, seconds int) RETURNS void LANGUAGE sql
AS $$
	INSERT INTO ticks
	SELECT i, 'k' || i % 7, i % 11, t, t AT TIME ZONE 'UTC', extract(epoch FROM t) * 1000, date '1970-01-01' + i / 10
	FROM generate_series(first, last) i,
		LATERAL (SELECT timestamptz '1970-01-01' + (since + (i - first) * seconds) * interval '1 s' AS t) t
$$;

CREATE TABLE sums WITH (velostream.continuous) AS
	SELECT k, velostream.tumble(ts, '1 min') AS w, count(*), avg(v), sum(v) FROM ticks GROUP BY 1, 2;
CREATE TABLE extremes WITH (velostream.continuous) AS
	SELECT velostream.tumble(local, '1 min') AS w, min(v), max(v) FROM ticks GROUP BY 1;
CREATE TABLE third WITH (velostream.continuous) AS
	SELECT k, velostream.tumble(ms, '1 min') AS w, sum(v) FROM ticks GROUP BY 1, 2 HAVING sum(v) % 3 <> 0;
CREATE TABLE days WITH (velostream.continuous) AS
	SELECT velostream.tumble(day, '2 days') AS w, id % 5 AS r, count(*) FROM ticks GROUP BY 1, 2;
CREATE TABLE alone WITH (velostream.continuous) AS
	SELECT id, velostream.tumble(ts, '1 min') AS w, count(*), sum(v) FROM ticks GROUP BY 1, 2;
CREATE TABLE keyed WITH (velostream.continuous) AS
	SELECT id / 2 AS pair, count(*), sum(v) FROM ticks GROUP BY 1;
CREATE TABLE careful WITH (velostream.continuous, velostream.on_error = dead_letter) AS
	SELECT k, velostream.tumble(ts, '1 min') AS w, sum(100 / v) FROM ticks GROUP BY 1, 2;
SELECT indexdef FROM pg_indexes WHERE tablename IN ('sums', 'extremes', 'third', 'days', 'alone', 'keyed') ORDER BY 1;

CREATE PROCEDURE check_now(step int DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	q regclass;
BEGIN
	FOR q IN SELECT query FROM velostream.queries ORDER BY query::text LOOP
		PERFORM velostream.process(q, step);
		COMMIT;
		IF q = 'careful'::regclass THEN
			IF EXISTS ((SELECT k, velostream.tumble(ts, '1 min'), sum(100 / v) FROM ticks WHERE v <> 0 GROUP BY 1, 2 EXCEPT ALL TABLE careful)
					   UNION ALL (TABLE careful EXCEPT ALL SELECT k, velostream.tumble(ts, '1 min'), sum(100 / v) FROM ticks WHERE v <> 0 GROUP BY 1, 2))
			THEN
				RAISE WARNING 'careful differs';
			END IF;
		ELSIF q::text <> 'corrected' AND differences(q) <> 0 THEN
			RAISE WARNING '% differs in % rows', q, differences(q);
		END IF;
	END LOOP;
END $$;

-- in time; then windows before, between and after them; rows by rows and in parts
SELECT fill(1, 2500, -3000, 1);
CALL check_now();
SELECT (SELECT count(*) FROM velostream.dead_letters) = (SELECT count(*) FROM ticks WHERE v = 0) AS letters;
SELECT fill(2501, 4000, -500, 1);
CALL check_now();
SELECT fill(4001, 4020, -5000, 60);
CALL check_now();
SELECT fill(4021, 4200, -100, 20);
CALL check_now(1);
SELECT fill(4201, 4800, 2000, 3);
CALL check_now(7);
SELECT fill(4801, 5300, 3500, 1);
CALL check_now(200);
-- few groups, after many
UPDATE ticks SET v = v + 1 WHERE id % 3 = 0;
DELETE FROM ticks WHERE id BETWEEN 700 AND 1500 OR id % 97 = 0;
CALL check_now();
SELECT fill(5301, 7300, 0, 0);
CALL check_now();
DELETE FROM ticks WHERE ts >= '1970-01-01 00:30';
CALL check_now();
SELECT fill(7301, 9500, 100, 2);
CALL check_now();
-- updates move rows to windows that were, are and will be
UPDATE ticks SET ts = ts + (id % 13 - 6) * interval '10 min', ms = ms + (id % 11 - 5) * 90000 WHERE id % 4 = 1;
CALL check_now();
UPDATE ticks SET ts = ts + interval '1 day' WHERE id % 50 = 1;
CALL check_now();

-- A batch that is rolled back: the next one finds nothing of it.
SELECT fill(9501, 12000, 100000, 1);
BEGIN;
SELECT count(*) FROM velostream.process('sums');
SELECT count(*) FROM velostream.process('alone');
SAVEPOINT s;
SELECT count(*) FROM velostream.process('extremes');
ROLLBACK TO s;
SELECT count(*) FROM velostream.process('extremes');
ROLLBACK;
CALL check_now();

-- Who begins windows does not look for their groups; who comes back to them does.
SELECT fill(12001, 14000, 200000, 1);
SELECT pg_stat_force_next_flush() \gset
BEGIN;
SELECT count(*) FROM velostream.process('alone');
SELECT pg_stat_get_xact_numscans('alone_w_key_hash_idx'::regclass) <= 2 AS new_ones;
COMMIT;
SELECT fill(14001, 16000, 150000, 1);
SELECT pg_stat_force_next_flush() \gset
BEGIN;
SELECT count(*) FROM velostream.process('alone');
SELECT pg_stat_get_xact_numscans('alone_w_key_hash_idx'::regclass) >= 2000 AS old_ones;
COMMIT;
CALL check_now();

-- Rebuilds, and a locator that was made again.
SELECT velostream.rebuild('sums'), velostream.rebuild('alone'), velostream.rebuild('third');
REINDEX INDEX alone_w_key_hash_idx;
CALL check_now();
REINDEX TABLE CONCURRENTLY sums;
SELECT fill(16001, 17500, 220000, 1);
VACUUM ticks, sums, alone, third;
CALL check_now();

-- EMIT FINAL: late rows and corrections.
CREATE TABLE corrected WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '5 min',
							 velostream.late_data = update_previous) AS
	SELECT k, velostream.tumble(ts, '1 min') AS w, count(*), sum(v) FROM ticks GROUP BY 1, 2;
CREATE FUNCTION uncorrected() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM ((SELECT k, velostream.tumble(ts, '1 min') AS w, count(*), sum(v) FROM ticks GROUP BY 1, 2
						   HAVING velostream.tumble(ts, '1 min') + interval '6 min' <= (SELECT max(ts) FROM ticks)
						   EXCEPT ALL TABLE corrected)
						  UNION ALL (TABLE corrected EXCEPT ALL
						  SELECT k, velostream.tumble(ts, '1 min'), count(*), sum(v) FROM ticks GROUP BY 1, 2)) d
$$;
SELECT count(*) > 0 AS emitted FROM velostream.process('corrected');
SELECT uncorrected();
SELECT fill(17501, 19000, 230000, 1);
SELECT count(*) > 0 AS emitted FROM velostream.process('corrected');
SELECT uncorrected();
SELECT fill(19001, 20500, 229000, 1);
SELECT count(*) > 0 AS emitted FROM velostream.process('corrected', 3);
SELECT uncorrected();
-- the locator finds the windows that end, too
SELECT count(*) FROM pg_index WHERE indrelid = (SELECT state FROM velostream.query WHERE output = 'corrected'::regclass);
CALL check_now();
DROP TABLE ticks CASCADE;

-- A table that is large enough for a look at its first rows, which is not to
-- count, nor to leave a letter.
CREATE TABLE large (id int, ts timestamptz, pad text) WITH (fillfactor = 10, autovacuum_enabled = off);
ALTER TABLE large ALTER pad SET STORAGE plain;
INSERT INTO large SELECT i, timestamptz '2024-01-01' + i * interval '1 s', repeat('x', 400) FROM generate_series(1, 5000) i;
INSERT INTO large VALUES (0, NULL), (0, 'infinity');
SELECT pg_relation_size('large') / 8192 >= 4000 AS large_enough;
CREATE TABLE many WITH (velostream.continuous) AS
	SELECT id, velostream.tumble(ts, '1 min') AS w, count(*) FROM large GROUP BY 1, 2;
CREATE TABLE few WITH (velostream.continuous) AS SELECT id % 5 AS r, count(*) FROM large GROUP BY 1;
CREATE TABLE pairs WITH (velostream.continuous) AS SELECT id / 2 AS pair, count(*) FROM large GROUP BY 1;
CREATE TABLE closed WITH (velostream.continuous, velostream.emit = final) AS
	SELECT id, velostream.tumble(ts, '1 min') AS w, count(*) FROM large GROUP BY 1, 2;
SELECT count(*) FROM velostream.process('many');
SELECT count(*) FROM velostream.process('few');
SELECT count(*) FROM velostream.process('pairs');
SELECT count(*) FROM velostream.process('closed');
SELECT query, rows_in, batches, differences(query) FROM velostream.stat_queries
	JOIN velostream.queries USING (query) WHERE query::text IN ('few', 'pairs') ORDER BY 1;
SELECT count(*) FROM ((TABLE many EXCEPT ALL SELECT id, velostream.tumble(ts, '1 min'), count(*) FROM large WHERE isfinite(ts) GROUP BY 1, 2)
	UNION ALL (SELECT id, velostream.tumble(ts, '1 min'), count(*) FROM large WHERE isfinite(ts) GROUP BY 1, 2 EXCEPT ALL TABLE many)) d;
SELECT query, sqlstate, count(*) FROM velostream.dead_letters GROUP BY 1, 2 ORDER BY query::text, 2;
DROP TABLE large CASCADE;

-- an index that looks like the locator, the other way round
CREATE TABLE ticking (ts timestamp, k int);
CREATE TABLE per_hour WITH (velostream.continuous) AS SELECT velostream.tumble(ts, '1 hour') AS w, k, count(*) AS n FROM ticking GROUP BY 1, 2;
CREATE INDEX ON per_hour (w DESC, velostream.key_hash(w, k));
REINDEX INDEX CONCURRENTLY per_hour_w_key_hash_idx;
INSERT INTO ticking VALUES ('2024-01-01 00:00', 1), ('2024-01-01 05:00', 1);
SELECT count(*) FROM velostream.process('per_hour');
INSERT INTO ticking TABLE ticking;
SELECT count(*) FROM velostream.process('per_hour');
SELECT * FROM per_hour ORDER BY w;
SELECT check_indexes();
DROP TABLE ticking CASCADE;

SELECT velostream.key_order();
SELECT velostream.key_order(1::bigint, 2::bigint), velostream.key_order(60, now(), 1) AS no_bigint,
	velostream.key_order(0::bigint, 1::bigint, 1), velostream.key_order(1::bigint, NULL::date, 1), velostream.key_order(1::bigint, 'a'::text, 1);
SELECT velostream.key_order(60::bigint, 60 * i::bigint, 1) < velostream.key_order(60::bigint, 60 * (i + 1)::bigint, 2) AS grows
	FROM generate_series(1, 3) i;
DROP PROCEDURE check_now;
DROP FUNCTION fill, uncorrected;
ALTER SYSTEM RESET velostream.enabled;
SELECT pg_reload_conf();
