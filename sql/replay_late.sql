-- velostream.replay() and late rows: closed windows are corrected, where what was
-- counted is known, and left alone where it is not.
CREATE SCHEMA late;
SET search_path = late, public;
SET client_min_messages = warning;
CREATE TABLE src (id int, at timestamp, g int, x int, d int DEFAULT 1);
CREATE TABLE logged (LIKE src);
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO late.logged SELECT NEW.*; RETURN NULL; END';
CREATE TRIGGER log AFTER INSERT ON src FOR EACH ROW EXECUTE FUNCTION log();
CREATE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / d; END';
-- what each query is made of, and from when on its windows are not compared
CREATE TABLE made (name regclass, definition text, final bool);
CREATE PROCEDURE make(name text, options text, definition text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE late.%I WITH (velostream.continuous, %s) AS %s', name, options, definition);
	INSERT INTO late.made VALUES (format('late.%I', name)::regclass, definition, options ~ 'final');
END $$;
-- tables and streams; what they show; both modes
CALL make('t_append', 'velostream.emit = final, velostream.source_mode = append',
	$$SELECT velostream.tumble(at, '1 h') AS w, g, count(*) AS n, max(x) AS m FROM late.src GROUP BY 1, 2$$);
CALL make('s_append', 'velostream.emit = final, velostream.source_mode = append, velostream.kind = stream',
	$$SELECT velostream.tumble(at, '1 h') AS w, g, count(*) AS n, max(x) AS m FROM late.src GROUP BY 1, 2$$);
CALL make('c_append', 'velostream.max_out_of_orderness = 0, velostream.source_mode = append',
	$$SELECT velostream.tumble(at, '1 h') AS w, g, sum(x) AS s, bool_or(x > 5) AS b, sum(x::real) AS r FROM late.src GROUP BY 1, 2$$);
CALL make('t_changes', 'velostream.emit = final',
	$$SELECT velostream.tumble(at, '1 h') AS w, g, count(*) AS n, avg(x) AS a FROM late.src GROUP BY 1, 2 HAVING count(*) < 5$$);
CALL make('s_changes', 'velostream.emit = final, velostream.kind = stream',
	$$SELECT velostream.tumble(at, '1 h') AS w, g, count(*) AS n, avg(x) AS a, min(x) AS m FROM late.src GROUP BY 1, 2 HAVING count(*) < 5$$);
CALL make('c_changes', 'velostream.window_retention = ''30 min''',
	$$SELECT velostream.tumble(at, '1 h') AS w, g, count(*) AS n, avg(x) AS a FROM late.src GROUP BY 1, 2$$);
CALL make('c_avg', 'velostream.window_retention = ''30 min''',
	$$SELECT velostream.tumble(at, '1 h') AS w, avg(x) AS a, min(x) AS m FROM late.src GROUP BY 1$$);
CALL make('u_changes', 'velostream.emit = final, velostream.late_data = update_previous, velostream.window_retention = ''30 min''',
	$$SELECT velostream.tumble(at, '1 h') AS w, g, sum(x) AS n FROM late.src GROUP BY 1, 2$$);
CALL make('f_changes', 'velostream.emit = final, velostream.on_error = dead_letter',
	$$SELECT velostream.tumble(at, '1 h') AS w, count(*) AS n, sum(late.part(d)) AS p FROM late.src GROUP BY 1$$);
CALL make('f_append', 'velostream.emit = final, velostream.on_error = dead_letter, velostream.source_mode = append',
	$$SELECT velostream.tumble(at, '1 h') AS w, count(*) AS n, max(late.part(d)) AS p FROM late.src GROUP BY 1$$);
CALL make('t_hop_append', 'velostream.emit = final, velostream.source_mode = append',
	$$SELECT velostream.hop(at, '1 h', '20 min') AS w, g, count(*) AS n, max(x) AS m FROM late.src GROUP BY 1, 2$$);
CALL make('s_hop_append', 'velostream.emit = final, velostream.source_mode = append, velostream.kind = stream',
	$$SELECT velostream.hop(at, '1 h', '20 min') AS w, g, sum(x) AS n, min(x) AS m FROM late.src GROUP BY 1, 2$$);
CALL make('c_hop_append', 'velostream.window_retention = ''1 h'', velostream.source_mode = append',
	$$SELECT velostream.hop(at, '50 min', '20 min') AS w, g, sum(x) AS s, count(x) AS n FROM late.src GROUP BY 1, 2$$);
CALL make('u_hop_append', 'velostream.emit = final, velostream.late_data = update_previous, velostream.window_retention = ''1 h'', velostream.source_mode = append',
	$$SELECT velostream.hop(at, '1 h', '20 min') AS w, count(*) AS n FROM late.src GROUP BY 1$$);
CALL make('t_sum_append', 'velostream.emit = final, velostream.source_mode = append',
	$$SELECT velostream.cumulate(at, '20 min', '1 h') AS w, g, count(*) AS n, max(x) AS m FROM late.src GROUP BY 1, 2$$);
-- not to be corrected
CALL make('n_append', 'velostream.emit = final, velostream.source_mode = append',
	$$SELECT velostream.tumble(at, '1 h') AS w, avg(x) AS a FROM late.src GROUP BY 1$$);
CALL make('n_having', 'velostream.emit = final, velostream.source_mode = append',
	$$SELECT velostream.tumble(at, '1 h') AS w, count(*) AS n FROM late.src GROUP BY 1 HAVING count(*) > 1$$);
CALL make('n_hop', 'velostream.emit = final',
	$$SELECT velostream.hop(at, '1 h', '30 min') AS w, count(*) AS n FROM late.src GROUP BY 1$$);
CALL make('n_session', 'velostream.emit = final',
	$$SELECT velostream.session(at, '30 min') AS w, count(*) AS n FROM late.src GROUP BY 1$$);
CALL make('n_drop', 'velostream.emit = final, velostream.late_data = drop',
	$$SELECT velostream.tumble(at, '1 h') AS w, count(*) AS n FROM late.src GROUP BY 1$$);

CREATE VIEW shown AS
SELECT s.name, s.late, s.dead, count(d.query) AS letters, s.rows_in - s.rows_out AS rows, s.ignored
FROM velostream.stat_queries s LEFT JOIN velostream.dead_letters d USING (query)
WHERE s.schema = 'late' GROUP BY s.name, s.late, s.dead, s.rows_in, s.rows_out, s.ignored ORDER BY 1;
-- The output as it is, or as its stream tells, against the query over all rows but
-- dead letters; of what is final, the windows that are closed.
CREATE FUNCTION wrong(q regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	m late.made;
	seen text := (SELECT watermark AT TIME ZONE 'UTC' FROM velostream.stat_queries WHERE query = q);
	src text := CASE WHEN q::text ~ 'append' THEN 'late.logged' ELSE 'late.src' END;
	columns text;
	n bigint;
BEGIN
	SELECT * INTO m FROM late.made WHERE name = q;
	SELECT string_agg(attname, ', ') INTO columns FROM pg_attribute WHERE attrelid = q AND attnum > 0 AND attname NOT LIKE '\_%';
	EXECUTE format($q$
		WITH o AS (SELECT %1$s FROM %2$s %3$s),
			p AS (SELECT * FROM (%4$s) p %5$s)
		SELECT count(*) FROM ((TABLE o EXCEPT ALL TABLE p) UNION ALL (TABLE p EXCEPT ALL TABLE o)) d $q$,
		columns, q,
		CASE WHEN q::text ~ '^(late\.)?s_' THEN format($q$ l WHERE _op <> 'delete' AND NOT EXISTS (SELECT FROM %s k
			WHERE k._offset > l._offset AND ((k.w, k.g) IS NOT DISTINCT FROM (l.w, l.g) OR k._op = 'reset')) $q$, q) END,
		replace(m.definition, 'FROM late.src', format($q$FROM (SELECT * FROM %s s WHERE at IS NOT NULL AND NOT EXISTS (
			SELECT FROM velostream.dead_letters WHERE query = %L::regclass AND row ->> 'id' = s.id::text)) s $q$, src, q)),
		CASE WHEN m.final THEN format('WHERE w + interval %L <= %L::timestamp',
			CASE WHEN q::text ~ 'sum' THEN '0' ELSE '1 h' END, seen) END) INTO n;
	IF n > 0 THEN
		RETURN NEXT format('%s: %s rows differ', q, n);
	END IF;
	-- rows read are those of the source, but for those that failed
	EXECUTE format('SELECT count(*) FROM %s', src) INTO n;
	IF (SELECT rows_in - rows_out <> n - (SELECT count(*) FROM velostream.dead_letters WHERE query = q AND sqlstate = '22012')
		FROM velostream.stat_queries WHERE query = q) THEN
		RETURN NEXT format('%s: rows', q);
	END IF;
	RETURN QUERY SELECT format('%s: dead letters', q) FROM late.shown WHERE name = split_part(q::text, '.', 2)
		AND (dead <> letters OR late <> (SELECT count(*) FROM velostream.dead_letters WHERE query = q AND sqlstate = 'VS001'));
END $$;
CREATE FUNCTION wrong() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT late.wrong(name) FROM late.made WHERE name::text !~ 'n_' $$;

-- windows close; then come late rows, of groups that are there and others, one
-- that fails, and one without a time
INSERT INTO src SELECT i, timestamp '2024-01-01' + i * interval '9 min', i % 3, i FROM generate_series(0, 19) i;
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES (20, '2024-01-01 05:00', 0, 0);
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES (21, '2024-01-01 00:10', 0, 100), (22, '2024-01-01 00:20', 0, 200), (23, '2024-01-01 01:10', 9, 300),
	(24, '2024-01-01 01:20', NULL, 400), (25, '2024-01-01 02:30', 1, NULL), (27, NULL, 1, 1),
	(28, '2023-12-31 10:00', 1, 7), (29, '2024-01-01 05:01', 1, 7);
INSERT INTO src VALUES (26, '2024-01-01 02:40', 1, 1, 0);
SELECT velostream.wait(timeout => '60s');
TABLE shown;
SELECT wrong();
SELECT name, velostream.replay(name) FROM made ORDER BY name::text;
SET client_min_messages = notice;
SELECT velostream.replay('t_changes');
SELECT velostream.replay('n_append');
SELECT velostream.replay('n_hop');
SELECT velostream.replay('n_drop');
SET client_min_messages = warning;
TABLE shown;
SELECT wrong();
TABLE t_append ORDER BY w, g;
SELECT w, g, n, m, _op FROM s_append WHERE _offset > 9 ORDER BY w, g;
SELECT w, g, n, m, _op FROM s_changes WHERE _op <> 'insert' OR w < '2024-01-01' ORDER BY _op, w, g;

-- HAVING turns a window away; the one that failed is put right, and counts in
-- its closed window
INSERT INTO src SELECT i, '2024-01-01 00:30', 0, i FROM generate_series(30, 32) i;
SELECT velostream.wait(timeout => '60s');
CREATE OR REPLACE FUNCTION part(d int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / greatest(d, 1); END';
SELECT name, velostream.replay(name) FROM made WHERE name::text !~ 'n_' ORDER BY name::text;
SELECT wrong();
SELECT w, g, n, a, m, _op FROM s_changes WHERE w = '2024-01-01' AND g = 0 ORDER BY _offset;

-- nothing happens without a reason
SELECT name, velostream.replay(name) FROM made WHERE name::text !~ 'n_' ORDER BY name::text;
SELECT wrong();

-- Rows that change between the last batch and the replay: counted ones of closed
-- windows, late ones, all of a window, one without a time.
INSERT INTO src VALUES (40, '2024-01-01 00:40', 0, 40), (41, '2024-01-01 01:40', 1, 41), (42, '2024-01-01 02:50', 2, 42),
	(43, '2024-01-01 04:10', 3, 43);
SELECT velostream.wait(timeout => '60s');
SELECT velostream.pause(name) FROM made;
DELETE FROM src WHERE id IN (28, 1, 41) AND at IS NOT NULL;
UPDATE src SET x = -1 WHERE id IN (3, 42);
UPDATE src SET at = '2024-01-01 05:02' WHERE id = 27;
INSERT INTO src VALUES (44, '2023-12-31 09:00', 3, 44);
BEGIN;
SELECT velostream.resume(name) FROM made;
SELECT name, velostream.replay(name) FROM made WHERE name::text ~ 'changes|avg' ORDER BY name::text;
COMMIT;
SELECT wrong(name) FROM made WHERE name::text ~ 'changes|avg';
SELECT * FROM shown WHERE name ~ 'changes|avg';
SELECT velostream.wait(timeout => '60s');
-- the log keeps the letters that it cannot read any more
SET client_min_messages = notice;
SELECT velostream.replay('t_append');
SET client_min_messages = warning;
SELECT name, velostream.replay(name) FROM made WHERE name::text ~ '.*_append' AND name::text !~ 'n_' ORDER BY name::text;
SELECT wrong(name) FROM made WHERE name::text ~ '_append' AND name::text !~ 'n_';
SELECT * FROM shown WHERE name ~ '._append';

-- rows of closed windows go: from now on the source does not tell what was counted
DELETE FROM src WHERE id = 2;
INSERT INTO src VALUES (50, '2024-01-01 00:50', 0, 50);
SELECT velostream.wait(timeout => '60s');
SET client_min_messages = notice;
SELECT velostream.replay('t_changes');
SELECT velostream.replay('s_changes');
-- a letter whose row is gone can go as well
DELETE FROM src WHERE id = 50;
SELECT velostream.wait(timeout => '60s');
SELECT velostream.replay('t_changes');
SET client_min_messages = warning;
SELECT name, dead, letters FROM shown WHERE name = 't_changes';
-- all windows are computed anew
SELECT velostream.rebuild('t_changes'), velostream.rebuild('s_changes');
SELECT velostream.wait(timeout => '60s');
INSERT INTO src VALUES (51, '2024-01-01 00:50', 0, 50);
SELECT velostream.wait(timeout => '60s');
SELECT velostream.replay('t_changes'), velostream.replay('s_changes');
SELECT wrong(name) FROM made WHERE name::text ~ '[ts]_changes';
SELECT wrong(name) FROM made WHERE name::text ~ '_append' AND name::text !~ 'n_';

DROP SCHEMA late CASCADE;
