-- Group keys of all kinds: equal is what PostgreSQL's GROUP BY says is equal.
CREATE TYPE point3 AS (x int, y numeric, z text);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE k (
	id serial PRIMARY KEY, n numeric, f float8, t text, c text COLLATE nocase, ch char(5),
	vc varchar(20), comp point3, arr numeric[], j jsonb, iv interval, b bytea, bits varbit,
	m mood, d percent, r int4range, u uuid, ip inet, ts tsvector, mon money, x xid
);
INSERT INTO k (n, f, t, c, ch, vc, comp, arr, j, iv, b, bits, m, d, r, u, ip, ts, mon, x) VALUES
(1.0, 0, 'a', 'Abc', 'a', 'v', (1, 1.0, 'z'), '{1.0,2}', '{"a":1}', '1 day', 'b', B'101', 'ok', 5, '[1,5)', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1', 'a b', 5, '7'),
(1.00, -0.0, 'a', 'aBC', 'a  ', 'v', (1, 1.00, 'z'), '{1,2.0}', '{"a": 1.0}', '24 hours', 'b', B'101', 'ok', 5, '[1,4]', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1/32', 'b a', 5, '7'),
('NaN', 'NaN', 'A', 'other', 'b', NULL, NULL, NULL, 'null', '30 days', '', B'', 'sad', NULL, 'empty', NULL, '::1', '', NULL, NULL),
(NULL, NULL, NULL, NULL, NULL, NULL, (NULL, NULL, NULL), '{}', NULL, '1 month', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{NULL}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

DO $$
DECLARE c text;
BEGIN
	FOREACH c IN ARRAY '{n,f,t,c,ch,vc,comp,arr,j,iv,b,bits,m,d,r,u,ip,ts,mon,x}'::text[] LOOP
		EXECUTE format('CREATE TABLE by_%1$s WITH (velostream.continuous) AS '
					   'SELECT %1$I, count(*) AS cnt, sum(id) AS ids, max(id) AS last FROM k GROUP BY %1$I', c);
	END LOOP;
END $$;
CREATE TABLE by_all WITH (velostream.continuous) AS
SELECT n, c, arr, comp, count(*) FROM k GROUP BY n, c, arr, comp;
CALL check_all();
SELECT cnt, ids FROM by_c ORDER BY c;
SELECT cnt, ids FROM by_n ORDER BY ids;

-- equal keys that look different arrive in later batches
INSERT INTO k (n, f, t, c, ch, vc, comp, arr, j, iv, b, bits, m, d, r, u, ip, ts, mon, x)
SELECT n * 1.000, -f, t, upper(c), ch || ' ', vc, comp, arr, j, iv, b, bits, m, d, r, u, ip, ts, mon, x FROM k;
CALL check_all();
SELECT cnt, ids FROM by_c ORDER BY c;
DELETE FROM k WHERE id % 3 = 0;
CALL check_all();
UPDATE k SET n = n + 0.000, c = lower(c), f = -f, t = NULL;
CALL check_all();
-- long keys, longer than any index entry may be
INSERT INTO k (t) SELECT repeat(md5(i::text), 500) FROM generate_series(1, 5) i;
INSERT INTO k (t) SELECT repeat(md5(i::text), 500) FROM generate_series(1, 5) i;
CALL check_all();
SELECT cnt, length(t) FROM by_t WHERE length(t) > 1000 ORDER BY t;
DELETE FROM k WHERE length(t) > 1000 AND id % 2 = 0;
CALL check_all();
DELETE FROM k;
CALL check_all();
SELECT count(*) FROM by_t;
DROP TABLE k CASCADE;
DROP TYPE point3;
