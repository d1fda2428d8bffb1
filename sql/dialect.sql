-- The dialect: what its statements, clauses and properties do.
CREATE SCHEMA dialect;
SET search_path = dialect, public;
\pset format unaligned
CREATE TABLE trades (id bigint PRIMARY KEY, symbol text, price numeric, qty int, ts timestamptz, local timestamp, day date, ms bigint, seconds int);
INSERT INTO trades SELECT i, 'S' || i % 3, 100 + i % 7, i % 11, t, t AT TIME ZONE 'UTC', (t AT TIME ZONE 'UTC')::date, extract(epoch FROM t) * 1000, i
FROM generate_series(1, 500) i, LATERAL (SELECT '2024-01-01 00:00+00'::timestamptz + i * interval '37 seconds') AS x(t);
-- the plain SQL that a SELECT becomes
CREATE FUNCTION lowered(query text) RETURNS SETOF text LANGUAGE sql AS $$
	-- PostgreSQL 18 does not name the only table
	SELECT regexp_replace(regexp_replace(split_part(result, ';', 1), '\s+', ' ', 'g'), '\m(trades|t)\.', '', 'g')
	FROM velostream.execute('EXPLAIN ' || query)
$$;

-- ----------
-- scripts
-- ----------
SELECT * FROM velostream.execute($script$
-- a comment; with a semicolon
CREATE TABLE one AS SELECT id, 'a;b' || $x$;$x$ AS "c;d" /* ; /* ; */ */ FROM trades WHERE id < 3;;
create stream if not exists two as select id from trades;
CREATE STREAM IF NOT EXISTS two AS SELECT id FROM trades ;
DESCRIBE one; DESCRIBE trades;
SHOW TABLES LIKE 'on_'
$script$);
SELECT velostream.wait('one', '60s');
TABLE one ORDER BY id;
SELECT kind, emit FROM velostream.queries WHERE schema = 'dialect' ORDER BY name;
-- annotations
SELECT * FROM velostream.execute($$
--@job_mode: simple
/* -- @batch_size: 5 */
-- @Batch_Size: 100
-- @num_partitions: 4
-- @partitioning_strategy: hash
-- @author: me
-- mail: me@home: no annotation
SHOW TABLES LIKE 'none';
-- @job_mode: again
SHOW STREAMS LIKE 'none';
-- @job_mode: for nothing
$$);
-- both are dropped with the names that they have
SELECT * FROM velostream.execute('DROP STREAM two; DROP STREAM IF EXISTS two; DROP TABLE one RESTRICT; SHOW JOBS LIKE ''%''');

-- ----------
-- windows
-- ----------
SELECT lowered('SELECT symbol, _window_start, _WINDOW_END, count(*) FROM trades GROUP BY symbol WINDOW TUMBLING(ts, 5m) EMIT CHANGES');
SELECT lowered('SELECT symbol, _window_start AS a, _window_end AS b, count(*) FROM trades WINDOW HOPPING(ts, 10m, 5m) GROUP BY symbol HAVING count(*) > 1');
SELECT lowered('SELECT _window_start, _window_end, count(*) FROM trades WHERE qty > 1 WINDOW CUMULATE(ms, 5m, 1h)');
SELECT lowered('SELECT symbol, _window_start, _window_end, count(*) FROM trades WINDOW SESSION(local, 30s, symbol)');
SELECT lowered('SELECT symbol, _window_start, count(*) FROM trades GROUP BY symbol WINDOW SESSION(local, 30s, symbol, qty % 2)');
SELECT lowered('SELECT count(*) FROM trades WINDOW SLIDING(day, 7d, 1d)');
SELECT lowered('SELECT count(*) FROM trades WINDOW CUMULATE(seconds, 1s, 1m)');
-- durations
SELECT lowered(format('SELECT _window_start FROM trades WINDOW TUMBLING(ts, %s)', d)) AS lowered
FROM unnest('{500ms, 30s, 5M, 1h, 2d, 1w, 90, 1.5, ''5m'', ''1 hour'', INTERVAL ''5'' MINUTE, INTERVAL ''5 minutes'', INTERVAL ''1:30'' HOUR TO MINUTE, ''1 hour''::interval * 2}'::text[]) d;
-- a number with letters in strings, names and comments stays what it is
SELECT lowered('SELECT ''every 5m'' AS "the 5m one", _window_start FROM trades /* 5m */ WINDOW TUMBLING(ts, 5m) -- 5m
	WITH (''event.time.field'' = ''ts'')');
-- the event time: as said, of the property, of the source
SELECT lowered('SELECT _window_start, first(price), last(price), last(price, id) AS by_id, first_value(qty) AS fv FROM trades WINDOW TUMBLING(ts, 5m)');
SELECT lowered('SELECT _window_start, first(price) FROM trades AS t WINDOW TUMBLING(5m) WITH (''event.time.field'' = ''T.Local'')');
SELECT lowered('SELECT symbol, first(price), last_value(price) AS lv FROM trades GROUP BY symbol WITH (''event.time.field'' = ''ts'')');
SELECT lowered('SELECT symbol, first(price) FROM trades GROUP BY symbol');
SELECT lowered('SELECT _window_start, count(*) FROM trades WINDOW TUMBLING(local + interval ''1s'', 5m)');
-- aliases
SELECT lowered('SELECT symbol AS s, qty % 2 AS odd, sum(price * qty) AS total, total / 2 AS half, half + 1 AS more FROM trades GROUP BY s, odd HAVING total > 5 AND half > 2');
SELECT lowered('SELECT to_timestamp(ms / 1000) AT TIME ZONE ''UTC'' AS t, t + interval ''1s'' AS later FROM trades');
SELECT lowered('SELECT local + interval ''1s'' AS t, _window_start AS w, count(*) FROM trades WINDOW TUMBLING(t, 1m) GROUP BY t');
-- a column comes before an alias of that name
SELECT lowered('SELECT seconds AS id, id + 1 AS next FROM trades');
-- and an alias before the rows of a table of that name
SELECT lowered('SELECT symbol, count(*) AS trades, trades + 1 AS more FROM trades GROUP BY symbol HAVING trades > 1');
-- functions without prefix; one of the user's own comes first
SELECT lowered('SELECT median(price), delta(qty), count_distinct(symbol), approx_count_distinct(symbol), group_concat(symbol), listagg(symbol), collect(id) FROM trades');
SELECT lowered('SELECT tumble_start(ts, ''5m''), tumble_end(ts, ''5m'') FROM trades');
SELECT lowered('SELECT from_unixtime(ms), unix_timestamp(local), datediff(''day'', local, local), date_format(local, ''yyyy'') FROM trades');
CREATE AGGREGATE median(numeric) (SFUNC = numeric_add, STYPE = numeric, COMBINEFUNC = numeric_add);
CREATE FUNCTION delta(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 - $2';
SELECT lowered('SELECT median(price), velostream.median(price) AS ours, delta(count(*)::int, 2) AS d, delta(qty) AS e FROM trades');
DROP AGGREGATE median(numeric);
DROP FUNCTION delta(int, int);

-- ----------
-- what they do
-- ----------
SET client_min_messages = warning;
SELECT * FROM velostream.execute($$
CREATE TABLE t_tumble AS SELECT symbol, _window_start, _window_end, count(*) AS n, sum(price * qty) AS total, total / n AS mean
	FROM trades WINDOW TUMBLING(ts, 5m) GROUP BY symbol HAVING n > 1 EMIT CHANGES;
CREATE TABLE t_hop AS SELECT symbol, _window_start, count(*) AS n, max(price) AS top FROM trades GROUP BY symbol WINDOW SLIDING(local, 10m, 3m) EMIT CHANGES;
CREATE TABLE t_cumulate AS SELECT _window_start, _window_end, count(*) AS n FROM trades WINDOW CUMULATE(ms, 15m, 1h) EMIT CHANGES;
CREATE TABLE t_day AS SELECT _window_end, count(*) AS n FROM trades WINDOW TUMBLING(day, 1d) EMIT CHANGES;
CREATE TABLE t_session AS SELECT symbol, _window_start, _window_end, count(*) AS n FROM trades GROUP BY symbol WINDOW SESSION(ts, 40s) EMIT CHANGES;
CREATE TABLE t_final AS SELECT symbol, _window_start, count(*) AS n FROM trades GROUP BY symbol WINDOW TUMBLING(ts, 1h)
	WITH ('source.mode' = 'append', 'watermark.strategy' = 'bounded_out_of_orderness', 'watermark.max_out_of_orderness' = '10s', 'late.data.strategy' = 'update_previous',
		'watermark.idle_timeout' = '1h', 'watermark.max_future_skew' = '1d', 'window.retention' = '2 days', 'on.error' = 'stop',
		'trades_source.type' = 'kafka_source', 'trades_source.bootstrap.servers' = 'broker:9092', 'trades_source.schema.value' = 'x', 'topic' = 't');
CREATE TABLE t_keyed AS SELECT id PRIMARY KEY, price FROM trades WHERE qty > 5;
CREATE TABLE t_key AS SELECT symbol PRIMARY KEY, _window_start AS "from" PRIMARY KEY, count(*) FROM trades GROUP BY symbol WINDOW TUMBLING(ts, 1h) EMIT CHANGES WITH ('on.error' = dead_letter);
DESCRIBE t_key;
SHOW PROPERTIES t_final;
SHOW PROPERTIES t_key LIKE 'on%';
$$);
RESET client_min_messages;
INSERT INTO trades SELECT i, 'S' || i % 4, 100 + i % 7, i % 11, t, t AT TIME ZONE 'UTC', (t AT TIME ZONE 'UTC')::date, extract(epoch FROM t) * 1000, i
FROM generate_series(501, 600) i, LATERAL (SELECT '2024-01-01 00:00+00'::timestamptz + i * interval '41 seconds') AS x(t);
UPDATE trades SET price = price + 1 WHERE id % 5 = 0;
DELETE FROM trades WHERE id % 9 = 0;
SELECT velostream.wait(timeout => '60s');
SELECT q, differences(q) FROM unnest('{t_tumble, t_hop, t_cumulate, t_day, t_keyed, t_key}'::regclass[]) q;
-- every row is in one session, and there is a gap between two
SELECT sum(n) = (SELECT count(*) FROM trades) AS all_rows,
	bool_and((SELECT count(*) FROM trades t WHERE t.symbol = s.symbol AND t.ts >= _window_start AND t.ts < _window_end) = n) AS each,
	count(DISTINCT (symbol, _window_start)) = count(*) AS distinct_ones
FROM t_session s;
-- windows that the watermark has passed, with what was inserted in time
TABLE t_final ORDER BY symbol, _window_start;
-- the key is a primary key
SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid IN ('t_keyed'::regclass, 't_key'::regclass) ORDER BY 1;
-- a window over windows: their end is the event time
SELECT * FROM velostream.execute($$
CREATE TABLE t_chain AS SELECT _window_start, count(*) AS windows, sum(n) AS n FROM t_tumble WINDOW TUMBLING(1h) EMIT CHANGES;
CREATE TABLE t_chain2 AS SELECT t._window_start AS first, _window_start, sum(n) AS n FROM t_tumble t WINDOW TUMBLING(_window_start, 1h) GROUP BY t._window_start EMIT CHANGES;
CREATE TABLE t_events AS SELECT id, symbol, ts AS _EVENT_TIME FROM trades;
CREATE TABLE t_over_events AS SELECT _window_start, count(*) AS n FROM t_events WINDOW TUMBLING(30m) EMIT CHANGES;
CREATE STREAM s_rows AS SELECT id FROM trades;
-- the end of a window that is not a column
CREATE TABLE t_hours AS SELECT symbol, _window_start AS since, count(*) AS n FROM trades GROUP BY symbol WINDOW TUMBLING(ts, 1h) EMIT CHANGES;
CREATE TABLE t_over_hours AS SELECT _window_start, sum(n) AS n FROM t_hours WINDOW TUMBLING(1d) EMIT CHANGES;
CREATE TABLE t_slid AS SELECT symbol, _window_start AS since, count(*) AS n FROM trades GROUP BY symbol WINDOW SLIDING(local, 10m, 3m) EMIT CHANGES;
CREATE TABLE t_over_slid AS SELECT _window_start, symbol, sum(n) AS n FROM t_slid WINDOW TUMBLING(1h) GROUP BY symbol EMIT CHANGES;
CREATE TABLE t_grown AS SELECT _window_end AS until, count(*) AS n FROM trades WINDOW CUMULATE(day, 1d, 7d) EMIT CHANGES;
CREATE TABLE t_over_grown AS SELECT _window_start, max(n) AS n FROM t_grown WINDOW TUMBLING(7d) EMIT CHANGES;
CREATE TABLE t_bursts AS SELECT symbol, _window_end AS _EVENT_TIME, _window_start, count(*) AS n FROM trades GROUP BY symbol WINDOW SESSION(ts, 40s) EMIT CHANGES;
CREATE TABLE t_over_bursts AS SELECT _window_start, sum(n) AS n FROM t_bursts WINDOW TUMBLING(1h) EMIT CHANGES;
CREATE STREAM s_hours AS SELECT symbol, _window_start AS since, count(*) AS n FROM trades GROUP BY symbol WINDOW TUMBLING(ms, 1h);
CREATE TABLE t_over_s_hours AS SELECT _window_start, sum(n) AS n FROM s_hours WINDOW TUMBLING(1d) EMIT CHANGES;
CREATE TABLE t_last AS SELECT symbol, last(symbol) AS l, first(n) AS f FROM t_tumble GROUP BY symbol;
CREATE TABLE t_over_stream AS SELECT _window_end > '2024-01-01' AS recent, _window_start, count(*) AS n FROM s_rows WINDOW TUMBLING(36500d) GROUP BY 1 EMIT CHANGES;
$$);
SELECT velostream.wait(timeout => '60s');
SELECT q, differences(q) FROM unnest('{t_chain, t_chain2, t_events, t_over_events}'::regclass[]) q;
SELECT q, differences(q) FROM unnest('{t_hours, t_over_hours, t_over_slid, t_over_grown, t_over_bursts, t_over_s_hours, t_last}'::regclass[]) q;
SELECT output, regexp_replace(substring(pg_get_viewdef(view) FROM '(?:tumble|first)\([^;]*\) AS [_f]'), '\m\w+\.', '', 'g') AS by FROM velostream.query
WHERE output IN ('t_over_hours'::regclass, 't_over_slid'::regclass, 't_over_grown'::regclass, 't_over_bursts'::regclass, 't_over_s_hours'::regclass, 't_last'::regclass)
ORDER BY output::text;
SELECT recent, n = (SELECT count(*) FROM s_rows) AS all_rows FROM t_over_stream;
SELECT pg_get_viewdef(view) ~ 'tumble\((t_tumble\.)?_window_end, ' AS chain FROM velostream.query WHERE output = 't_chain'::regclass;

-- ----------
-- ROWS WINDOW
-- ----------
SELECT lowered('SELECT symbol, avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY symbol ORDER BY ts) AS a, first_value(price) OVER (ROWS WINDOW /* all */ BUFFER 100 ROWS PARTITION BY symbol ORDER BY id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS f FROM trades');
SELECT lowered('SELECT _window_start FROM trades WINDOW SLIDING(ts, 1.5h, 0.5h)');
SELECT lowered('SELECT lag(price) OVER w AS l, l + 1 AS more FROM trades WINDOW w AS (rows window buffer 7 rows)');
SELECT lowered('SELECT count(*) OVER (ROWS WINDOW BUFFER 10 ROWS EXPIRE AFTER 5m INACTIVITY PARTITION BY symbol) FROM trades');
SELECT lowered('SELECT count(*) OVER (ROWS WINDOW BUFFER 10 ROWS PARTITION BY symbol ORDER BY id EXPIRE AFTER INTERVAL ''5'' MINUTE INACTIVITY) FROM trades WITH (''event.time.field'' = ''ms'')');
CREATE TABLE ticks (symbol text, price numeric, _event_time timestamp);
SELECT lowered('SELECT last_value(price) OVER (ROWS WINDOW BUFFER 10 ROWS ORDER BY price EXPIRE AFTER ''1 hour'' INACTIVITY ROWS 2 PRECEDING) FROM ticks t');
INSERT INTO ticks SELECT 'SYM', x, '2024-01-01'::timestamp + x * interval '1s' FROM unnest('{100, 200}'::int[]) x;
SELECT * FROM velostream.execute($$
CREATE TABLE t_lag AS SELECT symbol, price, lag(price) OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY symbol ORDER BY _event_time) AS before,
	price - before AS step FROM ticks;
CREATE STREAM s_lag AS SELECT price, lag(price) OVER (ROWS WINDOW BUFFER 100 ROWS) AS before FROM ticks;
CREATE TABLE t_expire AS SELECT price, count(*) OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY symbol EXPIRE AFTER 1m INACTIVITY) AS n FROM ticks WITH ('source.mode' = 'append');
$$);
SELECT velostream.wait(timeout => '60s');
INSERT INTO ticks SELECT 'SYM', x, '2024-01-01'::timestamp + x * interval '1s' FROM unnest('{300, 400, 410}'::int[]) x;
SELECT velostream.wait(timeout => '60s');
TABLE t_lag ORDER BY price;
SELECT price, before, _op FROM s_lag ORDER BY _offset;
TABLE t_expire ORDER BY price;
SELECT source_mode FROM velostream.queries WHERE query = 't_lag'::regclass;
SELECT * FROM velostream.execute('SELECT price, lag(price) OVER (ROWS WINDOW BUFFER 100 ROWS ORDER BY price) FROM ticks WHERE price <= 400');
SELECT * FROM velostream.query('SELECT price, lag(price) OVER (ROWS WINDOW BUFFER 100 ROWS ORDER BY price) FROM ticks') AS t(price numeric, before numeric);
DROP TABLE ticks CASCADE;
-- an average over the last rows of each symbol: by the worker, by process() and once
CREATE TABLE market (i int, symbol text, price numeric, at bigint);
SELECT * FROM velostream.execute($$
CREATE TABLE t_moving AS SELECT i, symbol, avg(price) OVER (ROWS WINDOW BUFFER 10 ROWS PARTITION BY symbol ORDER BY at) AS average FROM market;
$$);
INSERT INTO market SELECT i, 'SYM' || i % 10, 100 + i % 50, 1000 * i FROM generate_series(0, 299) i;
SELECT velostream.wait('t_moving', '60s');
INSERT INTO market SELECT i, 'SYM' || i % 10, 100 + i % 50, 1000 * i FROM generate_series(300, 999) i;
SELECT velostream.wait('t_moving', '60s');
BEGIN;
SELECT * FROM velostream.execute('CREATE TABLE t_by_hand AS SELECT i, symbol, avg(price) OVER (ROWS WINDOW BUFFER 10 ROWS PARTITION BY symbol ORDER BY at) AS average FROM market');
SELECT count(*) FROM velostream.process('t_by_hand', batch_rows => 77);
COMMIT;
CREATE TEMP VIEW moving AS SELECT i, symbol, avg(price) OVER (PARTITION BY symbol ORDER BY at ROWS 9 PRECEDING) AS average FROM market;
CREATE TEMP TABLE once AS SELECT * FROM velostream.query('SELECT i, symbol, avg(price) OVER (ROWS WINDOW BUFFER 10 ROWS PARTITION BY symbol ORDER BY at) FROM market') AS t(i int, symbol text, average numeric);
SELECT count(*) FROM ((TABLE t_moving EXCEPT ALL TABLE moving) UNION ALL (TABLE moving EXCEPT ALL TABLE t_moving)) d;
SELECT count(*) FROM ((TABLE t_by_hand EXCEPT ALL TABLE moving) UNION ALL (TABLE moving EXCEPT ALL TABLE t_by_hand)) d;
SELECT count(*) FROM ((TABLE once EXCEPT ALL TABLE moving) UNION ALL (TABLE moving EXCEPT ALL TABLE once)) d;
SELECT count(*) FROM once;
DROP VIEW moving;
-- functions of ours as well
SELECT lowered('SELECT median(price) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY symbol) AS m, first(price) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY symbol ORDER BY id) AS f, last(price) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY symbol) AS l FROM trades');
SELECT lowered('SELECT first(price) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY symbol) AS f, last_value(price) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY symbol) AS l FROM trades WITH (''event.time.field'' = ''ms'')');
SELECT * FROM velostream.execute('CREATE TABLE t_ours AS SELECT i, median(price) OVER w AS m, first(price) OVER w AS f, delta(price) OVER w AS d FROM market WINDOW w AS (ROWS WINDOW BUFFER 3 ROWS PARTITION BY symbol ORDER BY at)');
SELECT velostream.wait('t_ours', '60s');
CREATE TEMP VIEW ours AS SELECT i, (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM unnest(xs) x)::numeric AS m, xs[1] AS f,
	(SELECT max(x) - min(x) FROM unnest(xs) x) AS d
FROM (SELECT i, array_agg(price) OVER (PARTITION BY symbol ORDER BY at ROWS 2 PRECEDING) FROM market) x(i, xs);
SELECT count(*) FROM ((TABLE t_ours EXCEPT ALL TABLE ours) UNION ALL (TABLE ours EXCEPT ALL TABLE t_ours)) d;
DROP VIEW ours;
DROP TABLE market CASCADE;

-- ----------
-- jobs
-- ----------
SELECT * FROM velostream.execute($$
START JOB big AS SELECT id, price FROM trades WHERE price > 103;
PAUSE JOB big;
SHOW STATUS big LIKE 'k%';
SHOW STATUS big LIKE 'st%';
SHOW JOBS LIKE 'big';
RESUME JOB big;
$$);
SELECT velostream.wait('big', '60s');
SELECT count(*) = (SELECT count(*) FROM trades WHERE price > 103) AS all_rows, min(_op) FROM big;
SELECT * FROM velostream.execute('SHOW STATUS big LIKE ''state''; STOP JOB big; SHOW JOBS LIKE ''big''');
CREATE VIEW over AS SELECT * FROM t_events;
SELECT * FROM velostream.execute('STOP JOB t_events');
SELECT * FROM velostream.execute('STOP JOB t_events FORCE');
SELECT to_regclass('over'), to_regclass('t_events');

-- ----------
-- a SELECT by itself: run once, row by row, over what is there
-- ----------
CREATE TABLE temps (id serial PRIMARY KEY, city text, temp int, at bigint);
INSERT INTO temps (city, temp, at) VALUES ('London', 15, 1000), ('London', 10, 2000), ('Paris', 20, 2500), ('London', 20, 7000), ('Paris', NULL, 8000), ('Paris', 15, 13000);
SELECT * FROM velostream.execute($$
SELECT city, count(*) AS n, min(temp), max(temp) FROM temps GROUP BY city;
SELECT city, count(*) AS n, min(temp), max(temp) FROM temps GROUP BY city EMIT CHANGES;
SELECT city, sum(temp) FROM temps WHERE city = 'London' GROUP BY city EMIT FINAL;
SELECT city, _window_start, _window_end, count(*) AS n, last(temp) FROM temps WINDOW TUMBLING(at, 5s) GROUP BY city;
SELECT city, _window_start, count(*) AS n FROM temps WINDOW TUMBLING(at, 5s) GROUP BY city EMIT CHANGES;
SELECT id, temp + 1 AS more FROM temps WHERE temp > 15;
SELECT nullif(temp, 15) FROM temps WHERE city = 'London';
SELECT id FROM temps WHERE temp > 1500
$$);

-- ----------
-- OR REPLACE
-- ----------
CREATE ROLE dialect_reader;
GRANT USAGE ON SCHEMA dialect TO dialect_reader;
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE swapped AS SELECT symbol PRIMARY KEY, count(*) AS n FROM trades GROUP BY symbol');
GRANT SELECT ON swapped TO dialect_reader;
SELECT velostream.wait('swapped', '60s');
BEGIN;
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE swapped AS SELECT symbol PRIMARY KEY, sum(qty) AS n, count(*) AS m FROM trades GROUP BY symbol');
-- filled before anybody can see it
SELECT differences('swapped');
COMMIT;
SET ROLE dialect_reader;
SELECT count(*) FROM swapped;
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE swapped AS SELECT 1 FROM trades');
SELECT * FROM velostream.execute('DROP TABLE swapped');
SELECT * FROM velostream.execute('PAUSE JOB swapped');
SELECT * FROM velostream.execute('CREATE TABLE mine AS SELECT id FROM trades');
SELECT * FROM velostream.execute('SHOW TABLES; SHOW STREAMS; SHOW JOBS');
RESET ROLE;
GRANT CREATE ON SCHEMA dialect TO dialect_reader;
GRANT SELECT ON trades TO dialect_reader;
SET ROLE dialect_reader;
SELECT * FROM velostream.execute('CREATE TABLE theirs AS SELECT id FROM trades');
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE theirs AS SELECT id, symbol FROM trades');
RESET ROLE;
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE theirs AS SELECT id FROM trades');
SELECT * FROM velostream.execute('DROP TABLE theirs');
REVOKE SELECT ON trades FROM dialect_reader;
INSERT INTO trades SELECT 1000 + id, 'new', price, qty, ts, local, day, ms, seconds FROM trades WHERE id < 9;
SELECT velostream.wait('swapped', '60s');
SELECT differences('swapped');
-- the names are as before
SELECT conname FROM pg_constraint WHERE conrelid = 'swapped'::regclass AND contype = 'p';
SELECT count(*) FROM pg_class WHERE relname LIKE 'swapped%' AND relkind = 'r';
SELECT * FROM velostream.execute($$
CREATE TABLE swapped_too AS SELECT symbol PRIMARY KEY, sum(qty) AS n, avg(price) AS mean, _window_start PRIMARY KEY FROM trades WINDOW SESSION(ts, 1m) GROUP BY symbol EMIT CHANGES;
CREATE OR REPLACE TABLE swapped AS SELECT symbol PRIMARY KEY, sum(qty) AS n, avg(price) AS mean, _window_start PRIMARY KEY FROM trades WINDOW SESSION(ts, 1m) GROUP BY symbol EMIT CHANGES;
$$);
CREATE FUNCTION names(q regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s', c.relkind, regexp_replace(replace(c.relname, q::text, '?'), '\d+', '#'))
	FROM velostream.query JOIN pg_class c ON c.oid IN (output, view, state)
		OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN (output, state))
	WHERE output = q ORDER BY 1
$$;
SELECT names('swapped');
SELECT count(*) FROM (SELECT names('swapped') EXCEPT SELECT names('swapped_too')) d;
DROP TABLE swapped_too;
-- what depends on it is named
CREATE VIEW over AS SELECT * FROM swapped;
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE swapped AS SELECT symbol, count(*) AS n FROM trades GROUP BY symbol');
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE swapped AS SELECT symbol, count(*) AS n FROM over GROUP BY symbol');
DROP VIEW over;
-- from table to stream; rolled back; onto itself
SELECT * FROM velostream.execute('CREATE OR REPLACE STREAM swapped AS SELECT symbol, count(*) AS n FROM trades GROUP BY symbol');
SELECT symbol, n, _op FROM swapped ORDER BY symbol;
BEGIN;
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE swapped AS SELECT id FROM trades');
ROLLBACK;
SELECT count(*), (SELECT kind FROM velostream.queries WHERE query = 'swapped'::regclass) FROM swapped;
SELECT * FROM velostream.execute('CREATE OR REPLACE TABLE t_keyed AS SELECT id FROM t_keyed');
-- a table that nobody else may read stays one, whatever holds for new tables by now
ALTER DEFAULT PRIVILEGES IN SCHEMA dialect GRANT SELECT ON TABLES TO dialect_reader;
SELECT command FROM velostream.execute('CREATE OR REPLACE TABLE t_keyed AS SELECT id PRIMARY KEY, price FROM trades WHERE qty > 5');
SELECT has_table_privilege('dialect_reader', 't_keyed', 'SELECT');
ALTER DEFAULT PRIVILEGES IN SCHEMA dialect REVOKE SELECT ON TABLES FROM dialect_reader;
-- policies would be lost, and whoever may read the table would see all of it
ALTER TABLE t_keyed ENABLE ROW LEVEL SECURITY;
SELECT command FROM velostream.execute('CREATE OR REPLACE TABLE t_keyed AS SELECT id PRIMARY KEY, price FROM trades WHERE qty > 5');
ALTER TABLE t_keyed DISABLE ROW LEVEL SECURITY;
SELECT velostream.wait(timeout => '60s');
SELECT q, differences(q) FROM unnest('{t_tumble, t_hop, t_cumulate, t_day, t_keyed, t_key, t_chain, t_chain2}'::regclass[]) q;
-- PRIMARY KEY is for the table that is made, not for one that is there, nor for a temporary one of its name
CREATE TABLE there (id bigint);
CREATE TEMP TABLE made (id bigint);
SELECT * FROM velostream.execute($$
CREATE TABLE IF NOT EXISTS there AS SELECT id PRIMARY KEY FROM trades;
CREATE TABLE IF NOT EXISTS t_keyed AS SELECT id PRIMARY KEY, price FROM trades WHERE qty > 5;
CREATE TABLE made AS SELECT id PRIMARY KEY FROM trades
$$);
SELECT conrelid::regclass FROM pg_constraint WHERE contype = 'p' AND conname ~ '^(there|made)';
DROP TABLE made, dialect.made;

-- ----------
-- SHOW
-- ----------
SELECT * FROM velostream.execute('SHOW FUNCTIONS LIKE ''tumble%''; SHOW TABLES LIKE ''t\_chain%''; SHOW STREAMS');
-- operators of others are not called, even if no other is as near
CREATE FUNCTION evil(regclass, regclass) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'called as %', current_user; END$$;
CREATE FUNCTION evil(oid, regclass) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'called as %', current_user; END$$;
CREATE FUNCTION evil(oid, regnamespace) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'called as %', current_user; END$$;
CREATE OPERATOR = (LEFTARG = regclass, RIGHTARG = regclass, FUNCTION = evil);
CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = evil);
CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regnamespace, FUNCTION = evil);
SELECT result FROM velostream.execute($$
SHOW TABLES LIKE 't_chain'; SHOW JOBS LIKE 't_chain'; SHOW STATUS t_keyed LIKE 'kind'; SHOW PROPERTIES t_keyed LIKE 'kind'; DESCRIBE t_keyed; SHOW FUNCTIONS LIKE 'listagg'
$$);
SELECT lowered('SELECT qty FROM trades');
SET client_min_messages = warning;
DROP SCHEMA dialect CASCADE;
DROP ROLE dialect_reader;
