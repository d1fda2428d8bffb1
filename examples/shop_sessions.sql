-- Sessions of a web shop: what a visitor did without a pause of half an hour.
--
-- Run it with: ./dev psql -f examples/shop_sessions.sql
-- Everything is in a schema of its own; DROP SCHEMA shop_sessions CASCADE takes it away.
\set ON_ERROR_STOP on
CREATE SCHEMA shop_sessions;
SET search_path = shop_sessions;

CREATE TABLE clicks (id bigserial PRIMARY KEY, visitor int NOT NULL, page text NOT NULL, basket numeric NOT NULL, ts timestamptz NOT NULL);
INSERT INTO clicks (visitor, page, basket, ts) VALUES
    (1, 'home', 0, '2024-03-01 10:00+00'),
    (1, 'shoes', 80, '2024-03-01 10:10+00'),
    (2, 'home', 0, '2024-03-01 10:15+00'),
    (1, 'checkout', 80, '2024-03-01 11:05+00'),
    (2, 'hats', 25, '2024-03-01 10:45+00');

-- A session is one of a group: visitors do not share them. It ends half an
-- hour after its last click.
SELECT * FROM velostream.execute($$
    CREATE TABLE sessions AS
    SELECT visitor, _window_start, _window_end, count(*) AS clicks, max(basket) AS basket
    FROM clicks
    GROUP BY visitor
    WINDOW SESSION(ts, 30m)
    EMIT CHANGES
$$);
SELECT velostream.wait('sessions', timeout => '60s');
SELECT * FROM sessions ORDER BY visitor, _window_start;

-- A click that comes late joins the two sessions of visitor 1 ...
INSERT INTO clicks (visitor, page, basket, ts) VALUES (1, 'socks', 90, '2024-03-01 10:38+00');
SELECT velostream.wait('sessions', timeout => '60s');
SELECT * FROM sessions ORDER BY visitor, _window_start;

-- ... and without the first one of visitor 2, that session is shorter.
DELETE FROM clicks WHERE visitor = 2 AND page = 'home';
SELECT velostream.wait('sessions', timeout => '60s');
SELECT * FROM sessions ORDER BY visitor, _window_start;
