# EMIT FINAL against a model: windows in plain tables, one row after the other,
# over random orders of arrival and bounds of batches.  All kinds of windows,
# everything that can become of late rows, sources that lose rows.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my @seeds = split / /, $ENV{WINDOW_SEEDS} // '0.1 0.2';
my $rounds = $ENV{WINDOW_ROUNDS} // 25;

my $node = new_node('final_windows', conf => "velostream.enabled = off\nfsync = off\ntimezone = 'UTC'");

# ----------
# A known case: out of order within the bound, and beyond it
# ----------
$node->safe_psql('postgres', <<'END');
CREATE TABLE arrivals (id serial, k text, v int, ts bigint);
CREATE TABLE bound WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '1300ms') AS
	SELECT k, velostream.tumble(ts, '1s') AS w, count(*), sum(v) FROM arrivals GROUP BY 1, 2;
CREATE TABLE bare WITH (velostream.continuous, velostream.emit = final) AS
	SELECT k, velostream.tumble(ts, '1s') AS w, count(*), sum(v) FROM arrivals GROUP BY 1, 2;
CREATE TABLE dropped WITH (velostream.continuous, velostream.emit = final, velostream.late_data = drop) AS
	SELECT k, velostream.tumble(ts, '1s') AS w, count(*), sum(v) FROM arrivals GROUP BY 1, 2;
CREATE TABLE corrected WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous) AS
	SELECT k, velostream.tumble(ts, '1s') AS w, count(*), sum(v) FROM arrivals GROUP BY 1, 2;
CREATE TABLE log WITH (velostream.continuous, velostream.kind = stream, velostream.emit = final, velostream.late_data = update_previous) AS
	SELECT k, velostream.tumble(ts, '1s') AS w, count(*), sum(v) FROM arrivals GROUP BY 1, 2;
CREATE TABLE later WITH (velostream.continuous, velostream.emit = final, velostream.source_mode = append, velostream.late_data = include_in_next_window) AS
	SELECT k, velostream.tumble(ts, '1s') AS w, count(*), sum(v) FROM arrivals GROUP BY 1, 2;
CREATE TABLE together WITH (velostream.continuous, velostream.emit = final) AS
	SELECT k, velostream.tumble(ts, '1s') AS w, count(*), sum(v) FROM arrivals GROUP BY 1, 2;
INSERT INTO arrivals (k, v, ts) VALUES ('A', 10, 100), ('A', 20, 500), ('A', 50, 2100), ('A', 5, 800), ('B', 30, 1200);
END
my %steps = (bound => 1, bare => 1, dropped => 1, corrected => 1, log => 1, later => 1, together => 'NULL');
my $emitted = "string_agg(concat(op, ' ', row ->> 'w', ' ', row ->> 'k', ' ', row ->> 'count', ' ', row ->> 'sum'), ', ')";
my %known = (
	bound => '',
	bare => 'insert 0 A 2 30',
	dropped => 'insert 0 A 2 30',
	corrected => 'insert 0 A 2 30, update 0 A 3 35, insert 1000 B 1 30',
	log => 'insert 0 A 2 30, update 0 A 3 35, insert 1000 B 1 30',
	later => 'insert 0 A 2 30',
	together => '2');
# (what one step emits has no order)
is($node->safe_psql('postgres', 'SELECT ' . ($_ eq 'together' ? 'count(*)' : $emitted) . " FROM velostream.process('$_', $steps{$_})"),
	$known{$_}, "$_: what closes with the rows themselves")
  for sort keys %known;
$node->safe_psql('postgres', "INSERT INTO arrivals (k, v, ts) VALUES ('Z', 0, 10000)");
$node->safe_psql('postgres', "SELECT * FROM velostream.process('$_', $steps{$_})") for sort keys %steps;
my $content = "string_agg(concat(w, ' ', k, ' ', count, ' ', sum), ', ' ORDER BY w, k) FROM";
is(value($node, 'postgres', "$content bound"), '0 A 3 35, 1000 B 1 30, 2000 A 1 50', 'disorder within the bound loses nothing');
is(value($node, 'postgres', "$content $_"), '0 A 2 30, 2000 A 1 50', "$_: late rows are not in it") for 'bare', 'dropped';
is(value($node, 'postgres', "$content corrected"), '0 A 3 35, 1000 B 1 30, 2000 A 1 50', 'update_previous: late rows are in their windows');
is(value($node, 'postgres', "$content later"), '0 A 2 30, 2000 A 2 55, 2000 B 1 30', 'include_in_next_window: they are in the open one');
is(value($node, 'postgres', "$content together"), '0 A 3 35, 1000 B 1 30, 2000 A 1 50', 'rows of one batch are not late for one another');
is(value($node, 'postgres', "string_agg(concat(query, ' ', late, ' ', dead), ', ' ORDER BY query::text) FROM velostream.stat_queries"),
	'bare 2 2, bound 0 0, corrected 0 0, dropped 2 0, later 2 0, log 0 0, together 0 0', 'late rows are counted');
is($node->safe_psql('postgres', "SELECT row ->> 'v', sqlstate, message FROM velostream.dead_letters WHERE query = 'bare'::regclass ORDER BY 1"),
	"30|VS001|row of 1200 is late: its last window ended at 2000, and the watermark is at 2100\n"
	  . '5|VS001|row of 800 is late: its last window ended at 1000, and the watermark is at 2100', 'dead letters say why');
# what is closed stays, when its rows go; nothing is emitted twice when they come again
$node->safe_psql('postgres', 'DELETE FROM arrivals WHERE ts < 1000');
$node->safe_psql('postgres', "SELECT * FROM velostream.process('$_')") for sort keys %steps;
is(value($node, 'postgres', "$content bound"), '0 A 3 35, 1000 B 1 30, 2000 A 1 50', 'what was emitted is final');
is(value($node, 'postgres', "ignored FROM velostream.stat_queries WHERE name = 'bound'"), 3, 'rows that go too late are counted');
is(value($node, 'postgres', "$content corrected"), '1000 B 1 30, 2000 A 1 50', 'unless closed windows are corrected');
is(value($node, 'postgres', "string_agg(_op, ' ' ORDER BY _offset) FROM log"), 'insert update insert insert delete', 'also in a stream');
$node->safe_psql('postgres', 'DROP TABLE arrivals CASCADE');

# a session that loses its last rows closes all the same
$node->safe_psql('postgres', <<'END');
CREATE TABLE shrinking (k text, ts bigint);
CREATE TABLE shrunk WITH (velostream.continuous, velostream.emit = final) AS
	SELECT k, velostream.session(ts, '5s') AS w, count(*) FROM shrinking GROUP BY 1, 2;
CREATE TABLE shrunk_kept WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous, velostream.window_retention = '1s') AS
	SELECT k, velostream.session(ts, '5s') AS w, count(*) FROM shrinking GROUP BY 1, 2;
INSERT INTO shrinking VALUES ('A', 0), ('A', 5000), ('A', 9000), ('A', 12000);
END
for my $change ('SELECT', 'DELETE FROM shrinking WHERE ts > 8000', "INSERT INTO shrinking VALUES ('B', 100000)")
{
	$node->safe_psql('postgres', $change);
	$node->safe_psql('postgres', "SELECT * FROM velostream.process('$_')") for 'shrunk', 'shrunk_kept';
}
is(value($node, 'postgres', "string_agg(concat(k, ' ', w, ' ', count), ', ') FROM $_"), 'A 0 2', "$_: a session that lost rows") for 'shrunk', 'shrunk_kept';
is(value($node, 'postgres', 'sum(open_windows) FROM velostream.stat_queries'), 2, 'and is forgotten');
$node->safe_psql('postgres', 'DROP TABLE shrinking CASCADE');
for my $late ('dead_letter', 'drop')
{
	my ($rc, $out, $err) = $node->psql('postgres', <<"END");
CREATE TABLE IF NOT EXISTS s (ts bigint);
CREATE TABLE o WITH (velostream.continuous, velostream.emit = final, velostream.late_data = $late, velostream.window_retention = '1h') AS
	SELECT velostream.tumble(ts, '1s') AS w, count(*) FROM s GROUP BY 1;
END
	like($err, qr/velostream.window_retention with velostream.emit = final needs velostream.late_data = update_previous/, "$late and retention: refused");
}

# ----------
# The model
# ----------
$node->safe_psql('postgres', <<'END');
CREATE SCHEMA model;
-- "log" is only inserted into, "ev" takes the same rows and loses some again
CREATE TABLE log (id bigint, k text, ts timestamptz, v int);
CREATE TABLE ev (id bigint, k text, ts timestamptz, v int);
CREATE SEQUENCE ids;

CREATE TABLE model.query (
	name text PRIMARY KEY, source text, kind text, size interval, advance interval, delay interval, late_data text,
	allowed interval,			-- NULL: for ever
	step int,					-- rows of a step; NULL: all of a batch
	fails int,					-- a row with this v cannot be counted
	by_pane bool,				-- sessions: all rows of a pane are late, or none
	fewest int,					-- HAVING count(*) >= this
	watermark timestamptz, seen timestamptz, late bigint DEFAULT 0, partly_late bigint DEFAULT 0, dead bigint DEFAULT 0,
	timeless bigint DEFAULT 0, failed bigint DEFAULT 0, gaps bigint DEFAULT 0, ignored bigint DEFAULT 0, seen_id bigint DEFAULT 0);
-- a row in a window that takes rows ("ends" is NULL for sessions), and rows of windows that take none
CREATE TABLE model.assigned (name text, id bigint, k text, ts timestamptz, v int, w timestamptz, ends timestamptz);
CREATE TABLE model.frozen (name text, k text, w timestamptz, count bigint, sum bigint, max int);
CREATE TABLE model.gone (id bigint, ts timestamptz);

CREATE PROCEDURE model.make(name text, source text, kind text, size interval, advance interval, delay interval, late_data text DEFAULT 'dead_letter',
	retention interval DEFAULT NULL, step int DEFAULT NULL, fails int DEFAULT NULL, fewest int DEFAULT 1, more text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = %L, velostream.late_data = %s%s%s) AS '
		'SELECT k, %s AS w, count(*), sum(%s), max(v) FROM %I GROUP BY 1, 2 %s', name, delay, late_data, more,
		CASE WHEN retention IS NOT NULL THEN format(', velostream.window_retention = %L', retention) ELSE '' END,
		CASE kind WHEN 'tumble' THEN format('velostream.tumble(ts, %L)', size)
			WHEN 'hop' THEN format('velostream.hop(ts, %L, %L)', size, advance)
			WHEN 'cumulate' THEN format('velostream.cumulate(ts, %L, %L)', advance, size)
			ELSE format('velostream.session(ts, %L)', size) END,
		CASE WHEN fails IS NOT NULL THEN format('v + 0 / (v - %s)', fails) ELSE 'v' END, source,
		CASE WHEN fewest > 1 THEN format('HAVING count(*) >= %s', fewest) ELSE '' END);
	INSERT INTO model.query (name, source, kind, size, advance, delay, late_data, allowed, step, fails, fewest, by_pane)
	VALUES (name, source, kind, size, advance, delay, late_data,
		CASE WHEN late_data = 'update_previous' THEN retention ELSE '0' END, step, fails, fewest,
		kind = 'session' AND more !~ 'append' AND (late_data <> 'update_previous' OR retention IS NOT NULL));
END $$;

-- the windows around a time; what "w" shows, and when they end
CREATE FUNCTION model.windows(kind text, size interval, advance interval, ts timestamptz) RETURNS TABLE (w timestamptz, ends timestamptz) LANGUAGE sql AS $$
	SELECT w, w + size FROM generate_series(date_bin(coalesce(advance, size), ts - size, '1970-01-01'), ts, coalesce(advance, size)) w
	WHERE kind IN ('tumble', 'hop') AND ts < w + size
	UNION ALL
	SELECT e, e FROM (SELECT date_bin(size, ts, '1970-01-01') AS start) s, generate_series(start + advance, start + size, advance) e
	WHERE kind = 'cumulate' AND ts < e
$$;

-- the windows of a query that take rows, as they are
CREATE FUNCTION model.current(q text) RETURNS TABLE (k text, w timestamptz, ends timestamptz, count bigint, sum bigint, max int, ids bigint[]) LANGUAGE sql AS $$
	SELECT a.k, a.w, a.ends, count(*), sum(v), max(v), array_agg(a.id) FROM model.assigned a WHERE name = q AND a.ends IS NOT NULL GROUP BY a.k, a.w, a.ends
	UNION ALL
	SELECT k, min(ts), CASE WHEN by_pane THEN date_bin(size, max(ts), '1970-01-01') + size ELSE max(ts) END + size, count(*), sum(v), max(v), array_agg(id)
	FROM (SELECT *, sum(starts) OVER (PARTITION BY k ORDER BY ts, id) AS session
		  FROM (SELECT a.*, m.size, m.by_pane, coalesce(ts - lag(ts) OVER (PARTITION BY k ORDER BY ts, id) > m.size, true)::int AS starts
				FROM model.assigned a JOIN model.query m USING (name) WHERE name = q AND a.ends IS NULL) x) y
	GROUP BY k, session, size, by_pane
$$;

-- windows that hop may leave gaps
CREATE FUNCTION model.in_gap(m model.query, ts timestamptz) RETURNS bool LANGUAGE sql AS $$
	SELECT m.kind = 'hop' AND date_bin(m.advance, ts, '1970-01-01') + m.size <= ts
$$;

-- a row comes
CREATE FUNCTION model.take(m model.query, r log) RETURNS model.query LANGUAGE plpgsql AS $$
DECLARE
	last timestamptz;			-- when the last window of the row ends
	first timestamptz;
	late bool;
	at timestamptz := r.ts;
BEGIN
	IF NOT coalesce(isfinite(r.ts), false) THEN
		m.timeless := m.timeless + 1;
		m.dead := m.dead + 1;
		RETURN m;
	END IF;
	IF model.in_gap(m, r.ts) THEN
		m.gaps := m.gaps + 1;
		m.seen := greatest(m.seen, r.ts);
		RETURN m;
	END IF;
	last := CASE m.kind WHEN 'session' THEN CASE WHEN m.by_pane THEN date_bin(m.size, r.ts, '1970-01-01') + m.size ELSE r.ts END + m.size WHEN 'hop' THEN date_bin(m.advance, r.ts, '1970-01-01') + m.size
		ELSE date_bin(m.size, r.ts, '1970-01-01') + m.size END;
	late := m.allowed IS NOT NULL AND coalesce(r.ts <= m.watermark AND last + m.allowed <= m.watermark, false);
	IF late AND m.late_data = 'drop' THEN
		m.late := m.late + 1;
		m.seen := greatest(m.seen, r.ts);
		RETURN m;
	ELSIF late AND m.late_data <> 'include_in_next_window' THEN
		m.late := m.late + 1;
		m.dead := m.dead + 1;
		m.seen := greatest(m.seen, r.ts);
		RETURN m;
	END IF;
	IF r.v = m.fails THEN
		m.failed := m.failed + 1;
		m.dead := m.dead + 1;
		RETURN m;
	END IF;
	m.seen := greatest(m.seen, r.ts);
	IF late THEN
		-- into the windows around the watermark; where that is between two, into the next
		m.late := m.late + 1;
		at := m.watermark;
		IF m.size < m.advance AND date_bin(m.advance, at, '1970-01-01') + m.size <= at THEN
			at := date_bin(m.advance, at, '1970-01-01') + m.advance;
		END IF;
	END IF;
	IF m.kind = 'session' THEN
		INSERT INTO model.assigned VALUES (m.name, r.id, r.k, r.ts, r.v, r.ts, NULL);
		RETURN m;
	END IF;
	INSERT INTO model.assigned
	SELECT m.name, r.id, r.k, r.ts, r.v, w, ends FROM model.windows(m.kind, m.size, m.advance, at)
	WHERE coalesce(ends + m.allowed > m.watermark, true);
	SELECT min(ends) INTO first FROM model.windows(m.kind, m.size, m.advance, r.ts);
	IF NOT late AND m.kind IN ('hop', 'cumulate') AND coalesce(r.ts <= m.watermark AND first + m.allowed <= m.watermark, false) THEN
		m.partly_late := m.partly_late + 1;
	END IF;
	RETURN m;
END $$;

-- a row goes
CREATE FUNCTION model.give(m model.query, r model.gone) RETURNS model.query LANGUAGE plpgsql AS $$
DECLARE
	last timestamptz := CASE m.kind WHEN 'session' THEN CASE WHEN m.by_pane THEN date_bin(m.size, r.ts, '1970-01-01') + m.size ELSE r.ts END + m.size WHEN 'hop' THEN date_bin(m.advance, r.ts, '1970-01-01') + m.size
		ELSE date_bin(m.size, r.ts, '1970-01-01') + m.size END;
BEGIN
	IF NOT coalesce(isfinite(r.ts), false) OR model.in_gap(m, r.ts) THEN
		RETURN m;
	END IF;
	IF coalesce(r.ts <= m.watermark AND last + m.allowed <= m.watermark, false) THEN
		m.ignored := m.ignored + 1;
	ELSE
		DELETE FROM model.assigned WHERE name = m.name AND id = r.id;
	END IF;
	RETURN m;
END $$;

-- a batch of one query
CREATE PROCEDURE model.process(q text) LANGUAGE plpgsql AS $$
DECLARE
	m model.query;
	r log;
	g model.gone;
	n int := 0;
BEGIN
	SELECT * INTO m FROM model.query WHERE name = q;
	IF m.source = 'ev' THEN
		FOR g IN SELECT * FROM model.gone LOOP
			m := model.give(m, g);
		END LOOP;
	END IF;
	FOR r IN EXECUTE format('SELECT * FROM %I WHERE id > %s ORDER BY id', m.source, m.seen_id) LOOP
		m.seen_id := r.id;
		m := model.take(m, r);
		n := n + 1;
		IF n % m.step = 0 THEN
			CALL model.close(m);
		END IF;
	END LOOP;
	CALL model.close(m);
	DELETE FROM model.query WHERE name = q;
	INSERT INTO model.query SELECT m.*;
END $$;

-- the end of a step
CREATE PROCEDURE model.close(INOUT m model.query) LANGUAGE plpgsql AS $$
BEGIN
	m.watermark := greatest(m.watermark, m.seen - m.delay);
	WITH closed AS (
		SELECT * FROM model.current(m.name) c WHERE c.ends + m.allowed <= m.watermark),
	forgotten AS (
		DELETE FROM model.assigned a USING closed c
		WHERE a.name = m.name AND a.id = ANY (c.ids) AND a.ends IS NOT DISTINCT FROM CASE WHEN m.kind <> 'session' THEN c.ends END)
	INSERT INTO model.frozen SELECT m.name, k, w, count, sum, max FROM closed;
END $$;

-- what the output must be
CREATE FUNCTION model.output(m model.query) RETURNS TABLE (k text, w timestamptz, count bigint, sum bigint, max int) LANGUAGE sql AS $$
	SELECT * FROM (SELECT k, w, count, sum, max FROM model.frozen WHERE name = m.name
				   UNION ALL SELECT k, w, count, sum, max FROM model.current(m.name) WHERE ends <= m.watermark) x
	WHERE count >= m.fewest
$$;

CREATE FUNCTION model.wrong() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	m model.query;
	s velostream.stat_queries;
	n bigint;
BEGIN
	FOR m IN SELECT * FROM model.query ORDER BY name LOOP
		EXECUTE format('WITH a AS (SELECT k, w, count, sum, max FROM %I), b AS (SELECT * FROM model.output($1)) '
			'SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d', m.name) INTO n USING m;
		SELECT * INTO s FROM velostream.stat_queries WHERE name = m.name;
		IF n > 0 THEN
			RETURN NEXT format('%s: %s rows differ', m.name, n);
		END IF;
		IF (s.watermark, s.late, s.partly_late, s.dead, s.ignored) IS DISTINCT FROM (m.watermark, m.late, m.partly_late, m.dead, m.ignored) THEN
			RETURN NEXT format('%s: %s, not %s', m.name, (s.watermark, s.late, s.partly_late, s.dead, s.ignored), (m.watermark, m.late, m.partly_late, m.dead, m.ignored));
		END IF;
		-- rows that came are counted, dead, or dropped; those that fail are not in rows_in
		IF m.kind IN ('tumble', 'session') AND m.source = 'log' AND m.late_data <> 'include_in_next_window' AND m.fewest = 1 THEN
			EXECUTE format('SELECT coalesce(sum(count), 0) FROM %I', m.name) INTO n;
			n := n + (SELECT coalesce(sum(c.count), 0) FROM model.current(m.name) c WHERE c.ends > m.watermark);
			IF (SELECT count(*) FROM log) <> n + s.dead + (CASE m.late_data WHEN 'drop' THEN s.late ELSE 0 END)
				OR s.rows_in <> (SELECT count(*) FROM log) - m.failed THEN
				RETURN NEXT format('%s: %s rows in, %s counted, %s dead, %s late', m.name, s.rows_in, n, s.dead, s.late);
			END IF;
		END IF;
		IF (SELECT count(*) FROM velostream.dead_letters WHERE query = s.query) <> s.dead THEN
			RETURN NEXT format('%s: dead letters', m.name);
		END IF;
	END LOOP;
END $$;

-- some rows come and go, and every query takes a batch
CREATE PROCEDURE model.batch(n int) LANGUAGE plpgsql AS $$
DECLARE
	q model.query;
	base float;
BEGIN
	SELECT coalesce(max(extract(epoch FROM seen - '1969-12-31 23:40+00')), 0) INTO base FROM model.query;
	INSERT INTO log
	SELECT nextval('ids'), CASE WHEN random() > 0.05 THEN 'k' || floor(random() * 3) END,
		CASE WHEN random() < 0.02 THEN NULL WHEN random() < 0.01 THEN 'infinity'
		ELSE '1969-12-31 23:40+00'::timestamptz + floor(base + random() * 60 - 40 - CASE WHEN random() < 0.1 THEN 80 ELSE 0 END) * interval '1s' END,
		floor(random() * 50)
	FROM generate_series(1, n);
	DELETE FROM model.gone;
	WITH gone AS (DELETE FROM ev WHERE id IN (SELECT id FROM ev ORDER BY random() * (1 + id) DESC LIMIT floor(random() * n / 3)) RETURNING id, ts)
	INSERT INTO model.gone SELECT * FROM gone;
	WITH moved AS (SELECT id, ts FROM ev ORDER BY random() * (1 + id) DESC LIMIT floor(random() * n / 4)),
	kept AS (UPDATE ev SET id = nextval('ids'), v = floor(random() * 50), ts = ev.ts + floor(random() * 3) * interval '5s' FROM moved WHERE ev.id = moved.id)
	INSERT INTO model.gone SELECT * FROM moved;
	INSERT INTO ev SELECT nextval('ids'), k, ts, v FROM log WHERE id > (SELECT coalesce(max(seen_id), 0) FROM model.query WHERE source = 'log');
	COMMIT;
	FOR q IN SELECT * FROM model.query LOOP
		PERFORM velostream.process(q.name::regclass, q.step);
		CALL model.process(q.name);
		COMMIT;
	END LOOP;
END $$;
END

my $queries = <<'END';
CALL model.make('tumble_0', 'log', 'tumble', '10s', NULL, '0');
CALL model.make('tumble_25', 'log', 'tumble', '10s', NULL, '25s', more => ', velostream.source_mode = append');
CALL model.make('tumble_rows', 'log', 'tumble', '10s', NULL, '25s', step => 1);
CALL model.make('tumble_drop', 'log', 'tumble', '10s', NULL, '10s', 'drop', step => 3);
CALL model.make('tumble_update', 'log', 'tumble', '10s', NULL, '0', 'update_previous', step => 2);
CALL model.make('tumble_kept', 'log', 'tumble', '10s', NULL, '0', 'update_previous', '20s', fewest => 2);
CALL model.make('tumble_next', 'log', 'tumble', '10s', NULL, '5s', 'include_in_next_window', step => 1, more => ', velostream.source_mode = append');
CALL model.make('tumble_fails', 'log', 'tumble', '10s', NULL, '5s', fails => 7, more => ', velostream.on_error = dead_letter');
CALL model.make('tumble_log', 'log', 'tumble', '10s', NULL, '5s', more => ', velostream.kind = stream');
CALL model.make('hop_0', 'log', 'hop', '30s', '10s', '0');
CALL model.make('hop_odd', 'log', 'hop', '30s', '7s', '25s', more => ', velostream.source_mode = append');
CALL model.make('hop_gaps', 'log', 'hop', '5s', '15s', '5s', step => 1);
CALL model.make('hop_gaps_next', 'log', 'hop', '5s', '15s', '0', 'include_in_next_window', step => 2, more => ', velostream.source_mode = append');
CALL model.make('hop_next', 'log', 'hop', '30s', '20s', '0', 'include_in_next_window', more => ', velostream.source_mode = append');
CALL model.make('hop_update', 'log', 'hop', '30s', '10s', '5s', 'update_previous', step => 1);
CALL model.make('hop_kept', 'log', 'hop', '30s', '20s', '0', 'update_previous', '20s', fewest => 2);
CALL model.make('hop_fails', 'log', 'hop', '30s', '10s', '5s', fails => 7, more => ', velostream.on_error = dead_letter');
CALL model.make('cumulate_5', 'log', 'cumulate', '1 min', '10s', '5s');
CALL model.make('cumulate_rows', 'log', 'cumulate', '1 min', '10s', '5s', step => 1);
CALL model.make('cumulate_update', 'log', 'cumulate', '1 min', '10s', '0', 'update_previous', '15s', step => 3);
CALL model.make('session_0', 'log', 'session', '8s', NULL, '0');
CALL model.make('session_25', 'log', 'session', '8s', NULL, '25s', step => 1, more => ', velostream.source_mode = append');
CALL model.make('session_drop', 'log', 'session', '4s', NULL, '5s', 'drop', step => 2);
CALL model.make('session_update', 'log', 'session', '4s', NULL, '5s', 'update_previous');
CALL model.make('session_update_rows', 'log', 'session', '4s', NULL, '0', 'update_previous', step => 1);
CALL model.make('session_kept', 'log', 'session', '4s', NULL, '0', 'update_previous', '20s', fewest => 2);
CALL model.make('session_fails', 'log', 'session', '4s', NULL, '5s', fails => 7, more => ', velostream.on_error = dead_letter');
CALL model.make('ev_tumble', 'ev', 'tumble', '10s', NULL, '10s');
CALL model.make('ev_tumble_update', 'ev', 'tumble', '10s', NULL, '5s', 'update_previous');
CALL model.make('ev_tumble_kept', 'ev', 'tumble', '10s', NULL, '5s', 'update_previous', '30s');
CALL model.make('ev_hop', 'ev', 'hop', '30s', '10s', '10s', 'drop');
CALL model.make('ev_hop_kept', 'ev', 'hop', '30s', '10s', '10s', 'update_previous', '20s');
CALL model.make('ev_cumulate', 'ev', 'cumulate', '1 min', '20s', '10s');
CALL model.make('ev_session', 'ev', 'session', '8s', NULL, '20s');
CALL model.make('ev_session_update', 'ev', 'session', '4s', NULL, '0', 'update_previous');
CALL model.make('ev_session_kept', 'ev', 'session', '4s', NULL, '0', 'update_previous', '20s');
CALL model.make('ev_session_drop', 'ev', 'session', '4s', NULL, '0', 'drop');
-- windows over what is final
CREATE TABLE over WITH (velostream.continuous) AS
	SELECT k, velostream.hop(w, '5 min', '1 min') AS w, count(*), sum(sum), max(max) FROM tumble_update GROUP BY 1, 2;
END

for my $seed (@seeds)
{
	my $wrong = '';

	$node->safe_psql('postgres', "$queries; SELECT setseed($seed)");
	for my $round (1 .. $rounds)
	{
		$node->safe_psql('postgres', "SELECT setseed($seed + $round / 1000.0); CALL model.batch((1 + random() * random() * 60)::int)");
		$wrong = $node->safe_psql('postgres', 'SELECT model.wrong()');
		last if $wrong ne '';
	}
	is($wrong, '', "seed $seed: always as the model says");
	is(value($node, 'postgres', "count(*) FROM model.query WHERE (late = 0 AND late_data <> 'update_previous') OR timeless = 0 OR (fails IS NOT NULL AND failed = 0) OR (name LIKE 'ev%' AND allowed < '1h' AND ignored = 0) OR (kind IN ('hop', 'cumulate') AND allowed < '1h' AND partly_late = 0 AND size > advance)"),
		0, 'rows of every sort were met');
	cmp_ok(value($node, 'postgres', 'min(n) FROM (SELECT count(*) AS n FROM model.query m, model.output(m) GROUP BY name) x'), '>', 10, 'windows of every query closed');
	$node->safe_psql('postgres', "SELECT * FROM velostream.process('over')");
	is(value($node, 'postgres', "differences('over')"), 0, 'a query over one that is final');
	# rebuilt, everything came in one batch: nothing is late
	$node->safe_psql('postgres', "SELECT velostream.rebuild(query) FROM velostream.queries; SELECT velostream.process(query) FROM velostream.queries WHERE name = 'over'");
	is($node->safe_psql('postgres', <<'END'), '', 'rebuilt');
UPDATE model.query SET watermark = NULL, seen = NULL, dead = 0, late = 0, partly_late = 0, step = NULL, seen_id = 0;
DELETE FROM model.assigned;
DELETE FROM model.frozen;
DELETE FROM model.gone;
DO $$
DECLARE
	q model.query;
	n bigint;
BEGIN
	FOR q IN SELECT * FROM model.query LOOP
		PERFORM velostream.process(q.name::regclass);
		CALL model.process(q.name);
		SELECT * INTO q FROM model.query WHERE name = q.name;
		EXECUTE format('WITH a AS (SELECT k, w, count, sum, max FROM %I %s), b AS (SELECT * FROM model.output($1)) '
			'SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d', q.name,
			CASE q.name WHEN 'tumble_log' THEN 'WHERE _offset > (SELECT max(_offset) FROM tumble_log WHERE _op = ''reset'')' ELSE '' END) INTO n USING q;
		IF n > 0 THEN
			RAISE '% differs', q.name;
		END IF;
	END LOOP;
END $$;
END
	$node->safe_psql('postgres', <<'END');
DROP TABLE over;
SELECT velostream.drop(query) FROM velostream.queries;
TRUNCATE log, ev, model.query, model.assigned, model.frozen, model.gone;
END
	last if $wrong ne '';
}

# ----------
# replay(): late rows in the windows they belong to, whatever happens meanwhile
# ----------
$node->safe_psql('postgres', <<'END');
CREATE SCHEMA replayed;
CREATE TABLE replayed.src (id int, at timestamp, k int, x int, d int);
CREATE TABLE replayed.log (LIKE replayed.src);
CREATE FUNCTION replayed.log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO replayed.log SELECT NEW.*; RETURN NULL; END';
CREATE TRIGGER log AFTER INSERT ON replayed.src FOR EACH ROW EXECUTE FUNCTION replayed.log();
CREATE TABLE replayed.made (query regclass, definition text, source text, final bool, stream bool, letters bool);
CREATE PROCEDURE replayed.make(name text, definition text, options text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE replayed.%I WITH (velostream.continuous, %s) AS %s', name, options, definition);
	INSERT INTO replayed.made VALUES (('replayed.' || name)::regclass, definition, CASE WHEN options ~ 'append' THEN 'replayed.log' ELSE 'replayed.src' END,
		options ~ 'final', options ~ 'kind = stream', options ~ 'dead_letter');
END $$;
-- what an output has that it should not have, or lacks; rows that were read; counters
CREATE FUNCTION replayed.wrong() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	m replayed.made;
	s velostream.stat_queries;
	rows text;					-- of the source, that are no dead letters
	columns text;
	n bigint;
BEGIN
	FOR m IN SELECT * FROM replayed.made LOOP
		SELECT * INTO s FROM velostream.stat_queries WHERE query = m.query;
		rows := format('SELECT * FROM %s s WHERE NOT EXISTS (SELECT FROM velostream.dead_letters d WHERE d.query = %s AND d.row = to_jsonb(s)', m.source, m.query::oid);
		SELECT string_agg(attname, ', ') INTO columns FROM pg_attribute WHERE attrelid = m.query AND attnum > 0 AND attname NOT LIKE '\_%';
		EXECUTE format($q$WITH a AS (SELECT %1$s FROM %2$s o %3$s), b AS (SELECT %1$s FROM (%4$s) b %5$s)
			SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d$q$,
			columns, m.query,
			CASE WHEN m.stream THEN format($q$WHERE _op NOT IN ('delete', 'reset') AND NOT EXISTS (SELECT FROM %s l
				WHERE l._offset > o._offset AND ((l.w, l.k) IS NOT DISTINCT FROM (o.w, o.k) OR l._op = 'reset'))$q$, m.query) END,
			replace(m.definition, 'FROM replayed.src', format('FROM (%s) AND at IS NOT NULL) s', rows)),
			CASE WHEN m.final THEN format($q$WHERE w + '1 h' <= %L::timestamptz AT TIME ZONE 'UTC'$q$, s.watermark) END) INTO n;
		IF n > 0 THEN
			RETURN NEXT format('%s: %s rows', m.query, n);
		END IF;
		-- letters of rows that failed were not read; those of others that went are not taken away with on_error = dead_letter
		EXECUTE format('SELECT count(*) FROM (%s AND sqlstate = ''22012'')) r', rows) INTO n;
		IF m.letters AND m.source = 'replayed.src' THEN
			n := n + (SELECT count(*) FROM velostream.dead_letters d WHERE query = m.query AND sqlstate <> '22012'
				AND NOT EXISTS (SELECT FROM replayed.src r WHERE d.row = to_jsonb(r)));
		END IF;
		IF s.rows_in - s.rows_out <> n OR s.dead <> (SELECT count(*) FROM velostream.dead_letters WHERE query = m.query)
			OR s.late <> (SELECT count(*) FROM velostream.dead_letters WHERE query = m.query AND sqlstate = 'VS001') THEN
			RETURN NEXT format('%s: counted', m.query);
		END IF;
	END LOOP;
END $$;
CREATE PROCEDURE replayed.run(steps int) LANGUAGE plpgsql AS $$
DECLARE
	newest timestamp := '2024-01-01 10:00';
	i int := 0;
	what text;
BEGIN
	FOR step IN 1 .. steps LOOP
		FOR j IN 1 .. 1 + (random() * 4)::int LOOP
			i := i + 1;
			CASE (random() * 10)::int
				WHEN 0, 1, 2 THEN
					newest := newest + random() * interval '30 min';
					INSERT INTO replayed.src VALUES (i, newest, (random() * 3)::int, (random() * 9)::int, 1);
				WHEN 3, 4, 5, 6 THEN
					INSERT INTO replayed.src VALUES (i, newest - random() * interval '8 h', nullif((random() * 4)::int, 4), (random() * 9)::int, (random() > 0.1)::int);
				WHEN 7 THEN
					INSERT INTO replayed.src VALUES (i, NULL, 1, 1, 1);
				WHEN 8 THEN
					UPDATE replayed.src SET at = newest WHERE at IS NULL;
				ELSE	-- rows of windows that are open
					UPDATE replayed.src SET x = x + 1 WHERE at > date_trunc('hour', newest) AND random() < 0.3;
					DELETE FROM replayed.src WHERE at > date_trunc('hour', newest) AND random() < 0.1;
			END CASE;
		END LOOP;
		COMMIT;
		IF random() < 0.25 THEN
			-- any row may change in the batch that replays
			DELETE FROM replayed.src WHERE d = 1 AND random() < 0.02;
			UPDATE replayed.src SET x = 5 WHERE random() < 0.02;
			COMMIT;
			PERFORM velostream.replay(query) FROM replayed.made;
		ELSE
			PERFORM velostream.process(query) FROM replayed.made;
		END IF;
		COMMIT;
		SELECT string_agg(w, ', ') INTO what FROM replayed.wrong() w;
		IF what IS NOT NULL THEN
			RAISE 'step %: %', step, what;
		END IF;
	END LOOP;
END $$;
END
$node->safe_psql('postgres', <<"END") for
CALL replayed.make('$_->[0]', \$\$SELECT velostream.tumble(at, '1 h') AS w, k, $_->[1]\$\$, \$\$$_->[2]\$\$)
END
  [ 't_append', 'count(*) AS n, max(x) AS m FROM replayed.src GROUP BY 1, 2', 'velostream.emit = final, velostream.source_mode = append' ],
  [ 's_append', 'count(*) AS n, sum(x) AS m FROM replayed.src GROUP BY 1, 2', 'velostream.emit = final, velostream.source_mode = append, velostream.kind = stream' ],
  [ 'f_append', 'count(*) AS n, max(10 / d) AS m FROM replayed.src GROUP BY 1, 2', 'velostream.emit = final, velostream.source_mode = append, velostream.on_error = dead_letter' ],
  [ 't_changes', 'avg(x) AS m FROM replayed.src GROUP BY 1, 2 HAVING count(*) < 3', 'velostream.emit = final' ],
  [ 's_changes', 'avg(x) AS m, min(x) AS l FROM replayed.src GROUP BY 1, 2 HAVING count(*) < 3', 'velostream.emit = final, velostream.kind = stream' ],
  [ 'c_changes', 'avg(x) AS m FROM replayed.src GROUP BY 1, 2', q{velostream.window_retention = '30 min'} ],
  [ 'u_changes', 'sum(x) AS m FROM replayed.src GROUP BY 1, 2', q{velostream.emit = final, velostream.late_data = update_previous, velostream.window_retention = '30 min'} ],
  [ 'f_changes', 'count(*) AS n, sum(10 / d) AS m FROM replayed.src GROUP BY 1, 2', 'velostream.emit = final, velostream.on_error = dead_letter' ];
for my $seed (@seeds)
{
	my ($stdout, $stderr);

	$node->psql('postgres', "SELECT setseed($seed); CALL replayed.run(2 * $rounds)", stdout => \$stdout, stderr => \$stderr);
	unlike($stderr, qr/ERROR/, "replay, seed $seed: every late row in its window");
	is(value($node, 'postgres', "count(*) FROM velostream.stat_queries WHERE schema = 'replayed' AND name LIKE '%changes' AND ignored <> 0"), 0, 'all of them can be replayed');
	$node->safe_psql('postgres', 'TRUNCATE replayed.src, replayed.log; SELECT velostream.rebuild(query) FROM replayed.made; SELECT velostream.process(query) FROM replayed.made');
}
log_is_clean($node);
$node->stop;
done_testing();
