-- Sliding averages: the mean temperature of the last ten minutes, every minute.
--
-- Run it with: ./dev psql -f examples/sliding_averages.sql
-- Everything is in a schema of its own; DROP SCHEMA sliding_averages CASCADE takes it away.
\set ON_ERROR_STOP on
CREATE SCHEMA sliding_averages;
SET search_path = sliding_averages;

CREATE TABLE readings (id bigserial PRIMARY KEY, sensor text NOT NULL, celsius numeric NOT NULL, ts timestamptz NOT NULL);
INSERT INTO readings (sensor, celsius, ts)
    SELECT 'sensor ' || i % 2, 20 + i % 11, timestamptz '2024-06-01 12:00+00' + i * interval '20 seconds'
    FROM generate_series(0, 89) i;

-- A reading belongs to ten windows; it is added up once, in its own minute.
SELECT * FROM velostream.execute($$
    CREATE TABLE averages AS
    SELECT sensor, _window_end AS at, avg(celsius) AS celsius, count(*) AS readings
    FROM readings
    GROUP BY sensor
    WINDOW SLIDING(ts, 10m, 1m)
    EMIT CHANGES
$$);
SELECT velostream.wait('averages', timeout => '60s');
SELECT sensor, at, round(celsius, 2) AS celsius, readings FROM averages WHERE sensor = 'sensor 0' ORDER BY at LIMIT 5;

-- A sensor was wrong: correct the readings, and every window is corrected.
UPDATE readings SET celsius = celsius - 5 WHERE sensor = 'sensor 0' AND ts < '2024-06-01 12:05+00';
SELECT velostream.wait('averages', timeout => '60s');
SELECT sensor, at, round(celsius, 2) AS celsius, readings FROM averages WHERE sensor = 'sensor 0' ORDER BY at LIMIT 5;
