-- Three chained queries: orders, totals per minute, the busiest minute per hour.
--
-- Run it with: ./dev psql -f examples/pipeline.sql
-- Everything is in a schema of its own; DROP SCHEMA pipeline CASCADE takes it away.
\set ON_ERROR_STOP on
CREATE SCHEMA pipeline;
SET search_path = pipeline;

CREATE TABLE orders (id bigserial PRIMARY KEY, shop text NOT NULL, amount numeric NOT NULL, status text NOT NULL, ts timestamptz NOT NULL);
INSERT INTO orders (shop, amount, status, ts)
    SELECT 'shop ' || i % 4, 5 + i % 40, CASE WHEN i % 10 = 0 THEN 'cancelled' ELSE 'paid' END,
           timestamptz '2024-04-01 10:00+00' + i * interval '13 seconds'
    FROM generate_series(0, 599) i;

-- The output of a query is a table, so the next one can read it. A window over
-- windows names the column that says where they are.
SELECT * FROM velostream.execute($$
    CREATE TABLE paid AS
    SELECT id, shop, amount, ts FROM orders WHERE status = 'paid';

    CREATE TABLE minutes AS
    SELECT shop, _window_start, _window_end, count(*) AS orders, sum(amount) AS amount
    FROM paid GROUP BY shop WINDOW TUMBLING(ts, 1m) EMIT CHANGES;

    CREATE TABLE hours AS
    SELECT shop, _window_start, sum(orders) AS orders, sum(amount) AS amount, max(amount) AS best_minute
    FROM minutes GROUP BY shop WINDOW TUMBLING(_window_start, 1h) EMIT CHANGES
$$);
-- Each wait is for all that the one before has committed.
SELECT velostream.wait('paid', timeout => '60s');
SELECT velostream.wait('minutes', timeout => '60s');
SELECT velostream.wait('hours', timeout => '60s');
SELECT * FROM hours ORDER BY shop, _window_start;

-- A cancelled order goes through all three.
UPDATE orders SET status = 'cancelled' WHERE shop = 'shop 1' AND ts < '2024-04-01 10:30+00';
SELECT velostream.wait('paid', timeout => '60s');
SELECT velostream.wait('minutes', timeout => '60s');
SELECT velostream.wait('hours', timeout => '60s');
SELECT * FROM hours ORDER BY shop, _window_start;
