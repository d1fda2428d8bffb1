-- Every error of the dialect, with its place in the user's own text.
CREATE SCHEMA dialect_errors;
SET search_path = dialect_errors, public;
SET client_min_messages = warning;
CREATE TABLE trades (id bigint PRIMARY KEY, symbol text, price numeric, ts timestamptz, day date, ms bigint, word text);
CREATE TABLE other (id bigint PRIMARY KEY, symbol text);
\set SHOW_CONTEXT never

-- ----------
-- statements
-- ----------
SELECT velostream.execute('INSERT INTO trades VALUES (1)');
SELECT velostream.execute('SHOW STREAMS; CREATE VIEW v AS SELECT 1');
SELECT velostream.execute('CREATE OR STREAM s AS SELECT id FROM trades');
SELECT velostream.execute('CREATE TABLE plain (a int)');
SELECT velostream.execute('CREATE TABLE out WITH (velostream.continuous) AS SELECT id FROM trades');
SELECT velostream.execute('CREATE TABLE a.b.c.d AS SELECT id FROM trades');
SELECT velostream.execute('CREATE TABLE select AS SELECT id FROM trades');
SELECT velostream.execute('CREATE STREAM s AS');
SELECT velostream.execute('CREATE STREAM s AS INSERT INTO other SELECT 1');
SELECT velostream.execute('CREATE STREAM s AS SELECT id INTO t FROM trades');
SELECT velostream.execute('CREATE STREAM nowhere.s AS SELECT id FROM trades');
SELECT velostream.execute('CREATE OR REPLACE TABLE other AS SELECT id FROM trades');
SELECT velostream.execute('CREATE OR REPLACE TABLE IF NOT EXISTS t AS SELECT id FROM trades');
SELECT velostream.execute('CREATE OR REPLACE STREAM if not exists t AS SELECT id FROM trades');
SELECT velostream.execute('DROP VIEW v');
SELECT velostream.execute('DROP TABLE nothing');
SELECT velostream.execute('DROP TABLE trades');
SELECT velostream.execute('DROP TABLE trades now');
SELECT velostream.execute('START trades');
SELECT velostream.execute('STOP JOB nothing');
SELECT velostream.execute('PAUSE JOB trades FORCE');
SELECT velostream.execute('RESUME JOB other');
SELECT velostream.execute('SHOW QUERIES');
SELECT velostream.execute('SHOW TABLES LIKE x');
SELECT velostream.execute('SHOW STATUS');
SELECT velostream.execute('SHOW PROPERTIES other');
SELECT velostream.execute('DESCRIBE nothing');
SELECT velostream.execute('DESCRIBE 5');
SELECT velostream.execute('EXPLAIN UPDATE trades SET id = 1');
SELECT velostream.execute('EXPLAIN SELECT nothing FROM trades');
-- in no transaction block: nothing is left of the one that failed
SELECT 1 AS one;

-- ----------
-- what PostgreSQL says, at its place
-- ----------
SELECT velostream.execute('SHOW STREAMS; SELECT ''open');
SELECT velostream.execute('SHOW STREAMS; /* open');
SELECT velostream.execute('CREATE STREAM s AS SELECT id, FROM trades EMIT CHANGES');
SELECT velostream.execute('CREATE STREAM s AS SELECT 5m FROM trades');
SELECT velostream.execute($$
	-- the third line
	CREATE TABLE t AS SELECT 'äöü', nothing FROM trades
$$);
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING("tß", 5m) GROUP BY symbol, nothing');
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol, price FROM trades WINDOW TUMBLING(ts, 5m) GROUP BY symbol EMIT CHANGES');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM nothing WINDOW TUMBLING(5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM nothing WINDOW TUMBLING(ts, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT (count(*) FROM trades; SHOW STREAMS');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades ORDER BY id EMIT CHANGES');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades LIMIT 10');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades ORDER BY id LIMIT (SELECT 3)');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades ORDER BY id FETCH FIRST (SELECT 3) ROWS ONLY');
SELECT velostream.execute('SELECT id FROM trades ORDER BY id LIMIT (SELECT 3)');
SELECT velostream.execute('CREATE TABLE t AS SELECT (SELECT 1), id FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT now() FROM trades WINDOW TUMBLING(ts, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades, other');
SELECT velostream.execute('CREATE TABLE t AS SELECT first(price, 1, 2) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT sum(price) OVER w FROM trades WINDOW w AS (PARTITION BY symbol)');

SELECT velostream.execute('CREATE TABLE t AS SELECT first(price) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol, last_value(price) AS l FROM trades GROUP BY symbol');
SELECT velostream.execute('CREATE TABLE t AS SELECT velostream.first(price) FROM trades');

-- ----------
-- options without effect
-- ----------
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol, count(*) FROM trades GROUP BY symbol WITH (''watermark.max_out_of_orderness'' = ''5s'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol, count(*) FROM trades GROUP BY symbol WITH (''watermark.strategy'' = ''ascending'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''late.data.strategy'' = ''dead_letter'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5m) EMIT CHANGES WITH (''late.data.strategy'' = ''drop'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5m) EMIT CHANGES WITH (''watermark.max_future_skew'' = ''1h'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5m) WITH (''window.retention'' = ''1h'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5m) WITH (''late.data.strategy'' = ''include_in_next_window'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SESSION(ts, 5m) WITH (''late.data.strategy'' = ''include_in_next_window'', ''source.mode'' = ''append'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol, count(*) FROM trades GROUP BY symbol WINDOW TUMBLING(ts, 5m) ORDER BY 2 WITH (''late.data.strategy'' = ''update_previous'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol, count(*) FROM trades GROUP BY symbol WINDOW SESSION(ts, 5m) ORDER BY 2 LIMIT 5 EMIT CHANGES WITH (''watermark.max_out_of_orderness'' = ''5m'')');
SELECT velostream.execute('CREATE STREAM t AS SELECT symbol, count(*) FROM trades GROUP BY symbol WINDOW TUMBLING(ts, 5m) ORDER BY 2 LIMIT 5 EMIT CHANGES');
SET client_min_messages = notice;
SELECT command FROM velostream.execute('EXPLAIN SELECT symbol, count(*) FROM trades GROUP BY symbol WITH (''event.time.field'' = ''ts'')') LIMIT 1;
SELECT command FROM velostream.execute('EXPLAIN SELECT symbol, count(*) FROM trades GROUP BY symbol WINDOW TUMBLING(ts, 5m) WITH (''event.time.field'' = ''day'')') LIMIT 1;
SELECT command FROM velostream.execute('EXPLAIN SELECT symbol, last(price) FROM trades GROUP BY symbol WITH (''event.time.field'' = ''ts'')') LIMIT 1;
SELECT command FROM velostream.execute('SELECT symbol FROM trades WITH (''on.error'' = ''stop'', ''source.mode'' = ''append'')');
SET client_min_messages = warning;

-- ----------
-- windows
-- ----------
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLE(ts, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING()');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5m, 6m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SLIDING(5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW HOPPING(ts, 5m,)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SESSION(ts)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(date_trunc(''hour'', ts))');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(size)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(5m, 6m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SLIDING(ts)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SLIDING(ts, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW HOPPING(ts, 5m, 1m, 2m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW CUMULATE(ts)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW CUMULATE(1m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW CUMULATE(ts, 1m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SESSION()');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SESSION(ts, symbol)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING("5 minutes")');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, "5 minutes")');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, INTERVAL 5 MINUTES)');
-- as ksqlDB has it
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING (SIZE 30 SECONDS)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING (size 1 day, RETENTION 7 DAYS, GRACE PERIOD 10 MINUTES)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW HOPPING (SIZE 30 SECONDS, ADVANCE BY 10 SECONDS)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW HOPPING (SIZE 1 HOUR)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW HOPPING (ts, SIZE 1 HOUR, ADVANCE BY 1 MONTH)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING (5m, GRACE PERIOD 1 HOUR)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SESSION (30 SECONDS)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SESSION (500 MILLISECONDS, GRACE PERIOD 0 SECONDS)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW CUMULATE(ts, 2m, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5m');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5 m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5y)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 0)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, -5)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, -5s)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, ''-5s'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 1 month)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, ''1 month'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SESSION(ts, 30 seconds)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, INTERVAL ''1'' MONTH)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, INTERVAL ''soon'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, true)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, price)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, now() - now())');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 99999999999999999999s)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts FROM other, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts AS x, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(*, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(trades.*, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW SESSION(ts, 5m, *)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(word, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(day, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(5m) WITH (''event.time.field'' = ''nothing'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(5m) WITH (''event.time.field'' = '''')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 5m) WINDOW TUMBLING(ts, 6m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) WINDOW TUMBLING(ts, 5m) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WINDOW TUMBLING(ts, 5m) UNION SELECT id FROM other');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW 100 ROWS) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 0 ROWS) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER -5 ROWS) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 5m ROWS) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 99999999999 ROWS) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER ROWS) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 PARTITION BY symbol) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY symbol FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY nothing) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS ORDER BY id ROWS (SELECT 1) PRECEDING) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY velostream.buffer(5)) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS), max(price) OVER (ROWS WINDOW BUFFER 10 ROWS) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS), max(price) OVER (PARTITION BY symbol) AS m FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS EXPIRE AFTER INACTIVITY) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS EXPIRE AFTER 5m) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS EXPIRE AFTER 5m INACTIVITY ORDER BY id EXPIRE AFTER 6m INACTIVITY) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS EXPIRE AFTER 5 apples INACTIVITY) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS EXPIRE AFTER INTERVAL ''1'' MONTH INACTIVITY) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS EXPIRE AFTER 0 INACTIVITY) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS EXPIRE AFTER price INACTIVITY) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS EXPIRE AFTER 5m INACTIVITY) FROM trades WITH (''event.time.field'' = ''word'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT lower(ROWS WINDOW BUFFER 100 ROWS word) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT over (ROWS WINDOW BUFFER 100 ROWS word) FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT avg(price) OVER (ROWS WINDOW BUFFER 100 ROWS) FROM trades WITH (''source.mode'' = ''changes'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol, count(*) OVER (ROWS WINDOW BUFFER 100 ROWS) FROM trades GROUP BY symbol');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) OVER (ROWS WINDOW BUFFER 100 ROWS) FROM trades WINDOW TUMBLING(ts, 5m) EMIT CHANGES');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades JOIN other USING (id) EMIT CHANGES');
SELECT velostream.execute('CREATE TABLE t AS SELECT _window_start, count(*) FROM trades GROUP BY 1');
SELECT velostream.execute('CREATE TABLE t AS SELECT first(ms) AS a, count(*) FROM trades WINDOW TUMBLING(a, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WHERE _window_end > now() WINDOW SESSION(ts, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WHERE _window_start > now() WINDOW HOPPING(ts, 5m, 1m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FILTER (WHERE _window_start > now()) FROM trades WINDOW CUMULATE(ts, 1m, 5m)');
SELECT velostream.execute('CREATE TABLE t AS SELECT max(_window_start) AS m FROM trades WINDOW SESSION(ts, 5m)');

-- ----------
-- EMIT, WITH, PRIMARY KEY, aliases
-- ----------
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades EMIT FINAL');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades EMIT SOMETIMES');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades EMIT CHANGES EMIT FINAL');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades EMIT CHANGES WHERE id > 1');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (on.error = ''stop'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''on.error'', ''stop'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''on.error'' = )');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''on.error'' = ''stop''');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''on.eror'' = ''stop'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''something'' = 5)');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''on.error'' = ''stopp'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 1m) WITH (''watermark.idle_timeout'' = ''1 month'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''on.error'' = ''stop'', ''ON.ERROR'' = ''retry'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades WITH (''watermark.strategy'' = ''none'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 1m) WITH (''watermark.strategy'' = ''ascending'', ''watermark.max_out_of_orderness'' = ''5s'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) FROM trades WINDOW TUMBLING(ts, 1m) WITH (''watermark.max_out_of_orderness'' = ''5 apples'')');
SELECT velostream.execute('CREATE TABLE t AS SELECT id PRIMARY KEY AS k FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT id FROM trades PRIMARY KEY');
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol PRIMARY KEY, price FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT id, symbol PRIMARY KEY FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT symbol PRIMARY KEY, count(*) FROM trades GROUP BY symbol, day');
SELECT velostream.execute('CREATE TABLE t AS SELECT count(*) PRIMARY KEY FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT *, id + 0 AS k PRIMARY KEY FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT (t).* PRIMARY KEY FROM trades t');
SELECT velostream.execute('CREATE STREAM t AS SELECT id PRIMARY KEY FROM trades');
SELECT velostream.execute('SELECT id PRIMARY KEY FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT b + 1 AS a, id AS b FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT b + 1 AS b FROM trades');
SELECT velostream.execute('CREATE TABLE t AS SELECT id AS b FROM trades WHERE b > 1');
SELECT velostream.execute((SELECT 'CREATE TABLE t AS SELECT id AS a0' || string_agg(format(', a%s + a%s AS a%s', i - 1, i - 1, i), '' ORDER BY i)
	|| ' FROM trades' FROM generate_series(1, 40) i));

-- ----------
-- the place, however the text came
-- ----------
SELECT velostream.execute(E'CREATE TABLE t AS SELECT \'x\',\n nothing FROM trades');
PREPARE p(text) AS SELECT velostream.execute($1);
EXECUTE p('SHOW STREAMS; CREATE TABLE t AS SELECT nothing FROM trades');
\set SHOW_CONTEXT errors
DO $do$ BEGIN PERFORM velostream.execute($$SHOW STREAMS; CREATE TABLE t AS SELECT nothing FROM trades$$); END $do$;
-- all or nothing
SELECT velostream.execute('CREATE TABLE first_one AS SELECT id FROM trades; CREATE TABLE second_one AS SELECT nothing FROM trades');
SELECT to_regclass('first_one');
-- nothing is left
SELECT count(*) FROM velostream.queries WHERE schema = 'dialect_errors';
SELECT velostream.execute(NULL);
SELECT velostream.execute(' ; /* nothing */ ;; -- at all');
DROP TABLE trades, other;
