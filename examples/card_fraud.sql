-- A fraud pattern: cards with many payments, or a large sum, within five minutes.
--
-- Run it with: ./dev psql -f examples/card_fraud.sql
-- Everything is in a schema of its own; DROP SCHEMA card_fraud CASCADE takes it away.
\set ON_ERROR_STOP on
CREATE SCHEMA card_fraud;
SET search_path = card_fraud;

CREATE TABLE payments (id bigserial PRIMARY KEY, card int NOT NULL, amount numeric NOT NULL, ts timestamptz NOT NULL);

-- HAVING says which groups are in the table: one that falls out of it is
-- deleted. It may use the aliases of the select list.
SELECT * FROM velostream.execute($$
    CREATE TABLE suspicious AS
    SELECT card, _window_start, count(*) AS payments, sum(amount) AS total
    FROM payments
    WHERE amount > 0
    GROUP BY card
    WINDOW TUMBLING(ts, 5m)
    HAVING payments >= 5 OR total > 1000
    EMIT CHANGES
$$);

-- Fifty cards pay now and then; card 7 six times within a minute, card 9 a lot.
INSERT INTO payments (card, amount, ts)
    SELECT i % 50, 10 + i % 90, timestamptz '2024-05-01 08:00+00' + i * interval '3 seconds' FROM generate_series(0, 299) i;
INSERT INTO payments (card, amount, ts)
    SELECT 7, 20, timestamptz '2024-05-01 08:06+00' + i * interval '10 seconds' FROM generate_series(0, 5) i;
INSERT INTO payments (card, amount, ts) VALUES (9, 1500, '2024-05-01 08:11+00');
SELECT velostream.wait('suspicious', timeout => '60s');
SELECT * FROM suspicious ORDER BY card, _window_start;

-- The large payment is reversed: card 9 is no longer there.
UPDATE payments SET amount = 0 WHERE card = 9 AND amount = 1500;
SELECT velostream.wait('suspicious', timeout => '60s');
SELECT * FROM suspicious ORDER BY card, _window_start;
