-- Velostream's first steps, here: a filtered stream, a job, a table of totals,
-- and a question that is asked once.  What was a topic there is a table here.
--
-- Run it with: ./dev psql -f examples/quick_start.sql
-- Everything is in a schema of its own; DROP SCHEMA quick_start CASCADE takes it away.
\set ON_ERROR_STOP on
CREATE SCHEMA quick_start;
SET search_path = quick_start;

CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id int NOT NULL, amount numeric NOT NULL, created_at timestamptz NOT NULL);
INSERT INTO orders (customer_id, amount, created_at)
    SELECT i % 5, 50 + 10 * i, timestamptz '2024-01-01 00:00+00' + i * interval '1 minute' FROM generate_series(1, 20) i;

-- What describes Kafka is ignored, with a NOTICE, so scripts can stay as they are.
SELECT * FROM velostream.execute($$
    CREATE STREAM large_orders AS
    SELECT id, customer_id, amount FROM orders WHERE amount > 100
    WITH ('orders_source.type' = 'kafka_source', 'orders_source.topic' = 'orders');

    CREATE TABLE customers AS
    SELECT customer_id PRIMARY KEY, count(*) AS orders, sum(amount) AS total FROM orders GROUP BY customer_id EMIT CHANGES;

    START JOB by_hour AS
    SELECT customer_id, _window_start, _window_end, sum(amount) AS total
    FROM orders GROUP BY customer_id WINDOW TUMBLING(created_at, 1h) EMIT CHANGES;

    SHOW STREAMS;
    SHOW TABLES;
    SHOW JOBS;
$$);

-- A stream is a log: what was emitted, in the order of _offset.
SELECT velostream.wait(timeout => '60s');
SELECT _op, id, customer_id, amount FROM large_orders ORDER BY _offset LIMIT 3;
SELECT * FROM customers ORDER BY customer_id;

-- A job can be paused, go on, and be stopped, which drops its output.
SELECT * FROM velostream.execute('PAUSE JOB by_hour; RESUME JOB by_hour; STOP JOB by_hour');

-- Once, over the rows that are there: record by record, and at the end.
SELECT * FROM velostream.query('SELECT customer_id, sum(amount) FROM orders WHERE id <= 7 GROUP BY customer_id EMIT CHANGES') AS t (customer int, total numeric);
SELECT * FROM velostream.query('SELECT customer_id, sum(amount) FROM orders GROUP BY customer_id EMIT FINAL') AS t (customer int, total numeric) ORDER BY customer;
