-- Trades per minute: what each symbol did in each minute, kept up to date.
--
-- Run it with: ./dev psql -f examples/trades_per_minute.sql
-- Everything is in a schema of its own; DROP SCHEMA trades_per_minute CASCADE takes it away.
\set ON_ERROR_STOP on
CREATE SCHEMA trades_per_minute;
SET search_path = trades_per_minute;

CREATE TABLE trades (id bigserial PRIMARY KEY, symbol text NOT NULL, price numeric NOT NULL, quantity int NOT NULL, ts timestamptz NOT NULL);

-- Rows that are there already count, too: a trade every seven seconds.
INSERT INTO trades (symbol, price, quantity, ts)
    SELECT (ARRAY['AAPL', 'MSFT', 'IBM'])[1 + i % 3], 100 + i % 17, 1 + i % 5, timestamptz '2024-01-02 09:00+00' + i * interval '7 seconds'
    FROM generate_series(0, 99) i;

SELECT * FROM velostream.execute($$
    CREATE TABLE per_minute AS
    SELECT symbol, _window_start AS minute, count(*) AS trades, sum(price * quantity) AS turnover, min(price) AS low, max(price) AS high
    FROM trades
    GROUP BY symbol
    WINDOW TUMBLING(ts, 1m)
    EMIT CHANGES
$$);

-- It is a table. wait() returns when all that was committed is in it.
SELECT velostream.wait('per_minute', timeout => '60s');
SELECT * FROM per_minute ORDER BY minute, symbol LIMIT 6;

-- A new trade, and one that is taken back: both minutes follow.
INSERT INTO trades (symbol, price, quantity, ts) VALUES ('IBM', 250, 10, '2024-01-02 09:00:30+00');
DELETE FROM trades WHERE id = 1;
SELECT velostream.wait('per_minute', timeout => '60s');
SELECT * FROM per_minute WHERE minute = '2024-01-02 09:00+00' ORDER BY symbol;
