# Windows through kills and stops: whatever happens between closing a window
# and committing that, each closed window is in the output exactly once, and
# is what plain SQL says.  Workers close windows also when nothing comes, and
# the state of closed windows is freed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my @points = qw(batch-begin delta-open between-writes after-merge
  before-frontier after-frontier batch-end before-publish);

my $node = new_node('window_crashes',
	conf => "velostream.workers_per_database = 3\nvelostream.max_backoff = 500ms\ntimezone = 'UTC'");
my $minutes = 0;

# Rows arrive up to 30 s out of order; each query allows for that.
$node->safe_psql('postgres', <<'END');
CREATE TABLE src (id bigserial PRIMARY KEY, k int, ts timestamptz, v int);
CREATE TABLE tumbled WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '30s') AS
	SELECT k, velostream.tumble(ts, '20s') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1, 2;
CREATE TABLE hopped WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '30s') AS
	SELECT k, velostream.hop(ts, '1 min', '20s') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1, 2;
CREATE TABLE cumulated WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '30s', velostream.source_mode = append) AS
	SELECT k, velostream.cumulate(ts, '20s', '1 min') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1, 2;
CREATE TABLE visits WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '30s', velostream.source_mode = append) AS
	SELECT k, velostream.session(ts, '3s') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1, 2;
CREATE TABLE tumble_log WITH (velostream.continuous, velostream.kind = stream, velostream.emit = final, velostream.max_out_of_orderness = '30s') AS
	SELECT k, velostream.tumble(ts, '20s') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1, 2;
CREATE TABLE corrected WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous) AS
	SELECT k, velostream.hop(ts, '1 min', '20s') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1, 2;
-- every change at once, and windows over windows that are final
CREATE TABLE changing WITH (velostream.continuous) AS
	SELECT k, velostream.hop(ts, '1 min', '20s') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1, 2;
CREATE TABLE changing_visits WITH (velostream.continuous) AS
	SELECT k, velostream.session(ts, '3s') AS w, count(*), sum(v), max(v) FROM src GROUP BY 1, 2;
CREATE TABLE chained WITH (velostream.continuous) AS
	SELECT velostream.tumble(w, '5 min') AS w, count(*), sum(sum), max(max) FROM tumbled GROUP BY 1;

CREATE SCHEMA oracle;
CREATE VIEW oracle.tumbled AS
	SELECT k, w, w + interval '20s' AS ends, count(*), sum(v), max(v) FROM src, velostream.tumble(ts, '20s') w GROUP BY k, w;
CREATE VIEW oracle.tumble_log AS TABLE oracle.tumbled;
CREATE VIEW oracle.hopped AS
	SELECT k, w, w + interval '1 min' AS ends, count(*), sum(v), max(v) FROM src, velostream.hop(ts, '1 min', '20s') w GROUP BY k, w;
CREATE VIEW oracle.corrected AS TABLE oracle.hopped;
CREATE VIEW oracle.changing AS TABLE oracle.hopped;
CREATE VIEW oracle.cumulated AS
	SELECT k, w, w AS ends, count(*), sum(v), max(v) FROM src, velostream.cumulate(ts, '20s', '1 min') w GROUP BY k, w;
CREATE VIEW oracle.visits AS
	SELECT k, min(ts) AS w, max(ts) + interval '3s' AS ends, count(*), sum(v), max(v)
	FROM (SELECT *, sum(starts) OVER (PARTITION BY k ORDER BY ts, id) AS session
		  FROM (SELECT *, coalesce(ts - lag(ts) OVER (PARTITION BY k ORDER BY ts, id) > '3s', true)::int AS starts FROM src) x) y
	GROUP BY k, session;
CREATE VIEW oracle.changing_visits AS TABLE oracle.visits;
-- what is wrong with the windows that are closed by the watermark
CREATE FUNCTION wrong_windows() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	q velostream.queries;
	n bigint;
BEGIN
	FOR q IN SELECT * FROM velostream.queries WHERE name IN (SELECT viewname FROM pg_views WHERE schemaname = 'oracle') LOOP
		EXECUTE format('WITH a AS (SELECT k, w, count, sum, max FROM %1$I), '
			'b AS (SELECT k, w, count, sum, max FROM oracle.%1$I WHERE $1 OR ends <= $2) '
			'SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d', q.name)
		INTO n USING q.emit = 'changes', q.watermark;
		IF n <> 0 OR (q.emit = 'final' AND q.late <> 0 AND q.late_data <> 'update_previous') OR q.state <> 'running' OR q.dead <> 0 THEN
			RETURN NEXT format('%s: %s rows differ, %s late, %s dead', q.name, n, q.late, q.dead);
		END IF;
		IF q.emit = 'final' AND q.watermark IS DISTINCT FROM (SELECT max(ts) FROM src) - q.max_out_of_orderness
			AND q.late_data <> 'update_previous' THEN
			RETURN NEXT format('%s: the watermark is %s', q.name, q.watermark);
		END IF;
	END LOOP;
	n := differences('chained');
	IF n <> 0 THEN
		RETURN NEXT format('chained: %s rows differ', n);
	END IF;
END $$;
END

# Another minute of rows, which overlaps the last one by less than 30 s.
sub change
{
	$node->safe_psql('postgres', <<"END");
INSERT INTO src (k, ts, v)
SELECT i % 3, '2024-03-31'::timestamptz + $minutes * interval '1 min' + floor(random() * 89) * interval '1s', i FROM generate_series(1, 40) i
END
	$minutes++;
	return;
}

sub right
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT velostream.wait(timeout => '60s'); SELECT wrong_windows()");

	$out =~ s/^\n//;
	return is($out . $err, '', $name);
}

# workers
change() for 1 .. 3;
right('before');
for my $point (@points)
{
	for my $how ('is terminated', 'is killed', 'loses its server')
	{
		my $offset = stop_at($node, $point);
		my $pid = wait_stopped($node, $point, $offset, \&change);

		change();
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)")
		  if $how eq 'is terminated';
		kill_9($node, $pid) if $how eq 'is killed';
		crash($node) if $how eq 'loses its server';
		go_on($node);
		right("a worker at $point $how");
	}
}
cmp_ok(value($node, 'postgres', "count(*) FROM tumbled"), '>', 100, 'many windows have closed');

# sessions that run a batch
workers_off($node);
my $all = 'SELECT count(*) FROM velostream.queries, velostream.process(query)';
for my $point (@points)
{
	for my $how ('terminated', 'killed')
	{
		# at the end of a commit nobody listens
		next if $point eq 'before-publish' && $how ne 'killed';
		for my $query ('tumbled', 'hopped', 'visits', 'corrected')
		{
			change();
			end_session_at($node, $query, $point, $how);
		}
		# chained takes what tumbled has written
		$node->safe_psql('postgres', "$all; $all");
		is($node->safe_psql('postgres', 'SELECT wrong_windows()'), '', "process() at $point is $how");
	}
}
set_guc($node, 'velostream.enabled' => 'on');
change();
right('workers go on');
$node->safe_psql('postgres', 'DROP TABLE src CASCADE; DROP SCHEMA oracle CASCADE');

# ----------
# The clock
# ----------
$node->safe_psql('postgres', <<'END');
CREATE TABLE src (k int, ts timestamptz);
CREATE TABLE idle WITH (velostream.continuous, velostream.emit = final, velostream.idle_timeout = '1s') AS
	SELECT velostream.tumble(ts, '2s') AS w, count(*) FROM src GROUP BY 1;
CREATE TABLE idle_visits WITH (velostream.continuous, velostream.emit = final, velostream.idle_timeout = '1s', velostream.max_out_of_orderness = '1s') AS
	SELECT velostream.session(ts, '2s') AS w, count(*) FROM src GROUP BY 1;
CREATE TABLE patient WITH (velostream.continuous, velostream.emit = final) AS
	SELECT velostream.tumble(ts, '2s') AS w, count(*) FROM src GROUP BY 1;
CREATE TABLE sober WITH (velostream.continuous, velostream.emit = final, velostream.max_future_skew = '1 min') AS
	SELECT velostream.tumble(ts, '2s') AS w, count(*) FROM src GROUP BY 1;
INSERT INTO src VALUES (1, '2024-01-01 00:00:00'), (2, '2024-01-01 00:00:01');
END
poll($node, 'postgres', "(SELECT count(*) FROM $_) = 1") for 'idle', 'idle_visits';
is(value($node, 'postgres', "concat(w, ' ', count) FROM $_"), '2024-01-01 00:00:00+00 2', "$_: closed without a new row") for 'idle', 'idle_visits';
is(value($node, 'postgres', 'count(*) FROM patient'), 0, 'without the option it is open');
poll($node, 'postgres', 'sum(open_windows) = 0 FROM velostream.queries WHERE idle_timeout IS NOT NULL');
# what comes then is late, and dead
$node->safe_psql('postgres', "INSERT INTO src VALUES (3, '2024-01-01 00:00:01')");
$node->safe_psql('postgres', "SELECT velostream.wait(timeout => '60s')");
is(value($node, 'postgres', "string_agg(row ->> 'k', ' ') FROM velostream.dead_letters WHERE query = 'idle'::regclass"), '3', 'what comes then is late');
# a clock that is wrong
$node->safe_psql('postgres', "INSERT INTO src VALUES (4, now() + interval '1 day'), (5, '2024-01-01 00:00:01.5')");
$node->safe_psql('postgres', "SELECT velostream.wait(timeout => '60s')");
is(value($node, 'postgres', 'count(*) FROM sober'), 0, 'a row far in the future closes nothing');
is(value($node, 'postgres', "concat(watermark, ' ', open_windows) FROM velostream.queries WHERE name = 'sober'"), '2024-01-01 00:00:01.5+00 2', 'but it is counted');
is(value($node, 'postgres', 'count(*) FROM patient'), 1, 'without the option it does');
$node->safe_psql('postgres', "INSERT INTO src VALUES (6, '2024-01-01 00:00:03')");
$node->safe_psql('postgres', "SELECT velostream.wait(timeout => '60s')");
is(value($node, 'postgres', "concat(w, ' ', count) FROM sober"), '2024-01-01 00:00:00+00 4', 'others do');
$node->safe_psql('postgres', 'DROP TABLE src CASCADE');
# where the clock cannot move the watermark, or not yet, no batch is tried again and again
sub rests
{
	my ($name) = @_;
	my $commits = "SELECT pg_stat_clear_snapshot(); SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'";
	my ($before, $after) = map { (split /\n/, $_)[-1] }
	  $node->safe_psql('postgres', $commits), $node->safe_psql('postgres', "SELECT pg_sleep(4); $commits");

	cmp_ok($after - $before, '<', 1000, "$name: no batch after the other");
	return;
}
$node->safe_psql('postgres', <<'END');
CREATE TABLE src (ts timestamptz);
CREATE TABLE ahead WITH (velostream.continuous, velostream.emit = final, velostream.idle_timeout = '1s', velostream.max_future_skew = '1 min') AS
	SELECT velostream.tumble(ts, '2s') AS w, count(*) FROM src GROUP BY 1;
INSERT INTO src SELECT now() + interval '1 day';
SELECT velostream.wait(timeout => '60s');
SELECT pg_sleep(2);
END
rests('only a row far in the future');
$node->safe_psql('postgres', "INSERT INTO src VALUES ('2024-01-01 00:00:00')");
poll($node, 'postgres', 'count(*) = 1 FROM ahead');
$node->safe_psql('postgres', <<'END');
INSERT INTO src VALUES ('2024-01-01 00:00:00');
SELECT velostream.wait(timeout => '60s');
SELECT pg_sleep(2);
END
rests('the watermark is ahead');
is(value($node, 'postgres', "concat(w, ' ', count) FROM ahead"), '2024-01-01 00:00:00+00 1', 'the window closed once');
$node->safe_psql('postgres', 'DROP TABLE src CASCADE');
# windows that are kept for corrections, for ever or for long, are no reason for batches
$node->safe_psql('postgres', <<'END');
CREATE TABLE src (k int, ts timestamptz);
CREATE TABLE kept WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous, velostream.idle_timeout = '1s') AS
	SELECT k, velostream.tumble(ts, '2s') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE kept_hop WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous, velostream.window_retention = '1h', velostream.idle_timeout = '1s') AS
	SELECT k, velostream.hop(ts, '2s', '1s') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE kept_cumulate WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous, velostream.window_retention = '1h', velostream.idle_timeout = '1s') AS
	SELECT k, velostream.cumulate(ts, '1s', '2s') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE kept_visits WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous, velostream.window_retention = '1h', velostream.idle_timeout = '1s') AS
	SELECT k, velostream.session(ts, '1s') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE kept_changes WITH (velostream.continuous, velostream.window_retention = '1h', velostream.idle_timeout = '1s') AS
	SELECT k, velostream.hop(ts, '2s', '1s') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE forgotten WITH (velostream.continuous, velostream.window_retention = '1s', velostream.idle_timeout = '1s') AS
	SELECT k, velostream.session(ts, '1s') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE hourly WITH (velostream.continuous, velostream.emit = final, velostream.idle_timeout = '1s') AS
	SELECT k, velostream.tumble(ts, '1h') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE FUNCTION batches() RETURNS numeric LANGUAGE sql AS 'SELECT sum(batches) FROM velostream.stat_queries';
INSERT INTO src SELECT i % 2, '2024-01-01'::timestamptz + i * interval '0.3 s' FROM generate_series(0, 9) i;
END
my %closed = (kept => 4, kept_hop => 8, kept_cumulate => 8, kept_visits => 2);
poll($node, 'postgres', "count(*) = $closed{$_} FROM $_") for sort keys %closed;
poll($node, 'postgres', "open_windows = 0 FROM velostream.queries WHERE name = 'forgotten'");
is(value($node, 'postgres', "string_agg(name || ' ' || open_windows, ', ' ORDER BY name) FROM velostream.queries WHERE name LIKE 'kept%'"),
	'kept 4, kept_changes 6, kept_cumulate 6, kept_hop 6, kept_visits 6', 'windows are closed, and kept');
my $batches = value($node, 'postgres', 'batches()');
$node->safe_psql('postgres', 'SELECT pg_sleep(3)');
# (a frontier at rest is renewed once)
cmp_ok(value($node, 'postgres', 'batches()') - $batches, '<=', 7, 'what is closed, and kept, is no reason for batches');
is(value($node, 'postgres', 'count(*) FROM hourly'), 0, 'nor what closes in an hour');
# a row for a window that is closed, and one for a new one
$node->safe_psql('postgres', "INSERT INTO src VALUES (0, '2024-01-01 00:00:00.5'), (0, '2024-01-01 00:01')");
poll($node, 'postgres', "count(*) = $closed{$_} + 1 FROM $_") for 'kept', 'kept_visits';
poll($node, 'postgres', "count(*) = $closed{$_} + 2 FROM $_") for 'kept_hop', 'kept_cumulate';
is(value($node, 'postgres', "sum(count) FROM $_"), 12, "$_: all rows are counted") for 'kept', 'kept_visits';
$node->safe_psql('postgres', 'DROP TABLE src CASCADE; DROP FUNCTION batches');

# ----------
# A year: state is bounded
# ----------
workers_off($node);
$node->safe_psql('postgres', <<'END');
CREATE TABLE src (k int, ts timestamptz);
CREATE TABLE year_tumble WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '1h') AS
	SELECT k, velostream.tumble(ts, '1h') AS w, count(*), max(ts) FROM src GROUP BY 1, 2;
CREATE TABLE year_hop WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '1h') AS
	SELECT k, velostream.hop(ts, '1d', '1h') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE year_cumulate WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '1h') AS
	SELECT k, velostream.cumulate(ts, '1h', '1d') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE year_visits WITH (velostream.continuous, velostream.emit = final, velostream.max_out_of_orderness = '1h') AS
	SELECT k, velostream.session(ts, '1h') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE year_kept WITH (velostream.continuous, velostream.emit = final, velostream.late_data = update_previous, velostream.window_retention = '1d') AS
	SELECT k, velostream.tumble(ts, '1h') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE year_changes WITH (velostream.continuous, velostream.window_retention = '1d') AS
	SELECT k, velostream.hop(ts, '1d', '1h') AS w, count(*), max(ts) FROM src GROUP BY 1, 2;
CREATE TABLE year_visit_changes WITH (velostream.continuous, velostream.window_retention = '1d') AS
	SELECT k, velostream.session(ts, '1h') AS w, count(*) FROM src GROUP BY 1, 2;
CREATE TABLE most (name text PRIMARY KEY, state bigint, open bigint, cached bigint);
CREATE PROCEDURE year() LANGUAGE plpgsql AS $$
DECLARE
	q record;
	n bigint;
BEGIN
	FOR week IN 0..52 LOOP
		-- three keys, a row of each in about every second hour
		FOR day IN 0..6 LOOP
			INSERT INTO src
			SELECT i % 3, '2024-01-01'::timestamptz + week * interval '7d' + day * interval '1d' + (i / 3) * interval '2h' + random() * interval '1h' FROM generate_series(0, 35) i;
			COMMIT;
			FOR q IN SELECT query, name FROM velostream.queries LOOP
				PERFORM velostream.process(q.query);
			END LOOP;
			COMMIT;
			CONTINUE WHEN day <> 6;
			FOR q IN SELECT s.name, state, open_windows, cache_groups FROM velostream.stat_queries s JOIN velostream.query ON output = query LOOP
				EXECUTE format('SELECT count(*) FROM %s', q.state) INTO n;
				INSERT INTO most VALUES (q.name, n, q.open_windows, q.cache_groups)
				ON CONFLICT (name) DO UPDATE SET state = greatest(most.state, excluded.state), open = greatest(most.open, excluded.open),
					cached = greatest(most.cached, excluded.cached);
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
END
$node->safe_psql('postgres', 'CALL year()');
note($node->safe_psql('postgres', 'SELECT * FROM most ORDER BY name'));
is(value($node, 'postgres', 'count(*) FROM most WHERE state > 300 OR open <> state'), 0, 'a year: the state tables stay small, and the statistic is right');
is(value($node, 'postgres', 'count(*) FROM most WHERE cached > 300 OR cached > state'), 0, 'and so does the cache');
cmp_ok(value($node, 'postgres', "count(*) FROM year_hop"), '>', 20_000, 'while the outputs have all windows');
is($node->safe_psql('postgres', <<'END'), '', 'which are right');
WITH a AS (SELECT k, w, count FROM year_hop),
	b AS (SELECT k, w, count(*) FROM src, velostream.hop(ts, '1d', '1h') w GROUP BY 1, 2
		  HAVING w + '1d' <= (SELECT watermark FROM velostream.queries WHERE name = 'year_hop'))
(TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)
END
is(value($node, 'postgres', q{count(*) FROM velostream.stat_queries WHERE late + dead <> 0}), 0, 'nothing was late');
is(value($node, 'postgres', "differences('year_changes')"), 0, 'windows that were changeable for a day are as all others');
is(value($node, 'postgres', "sum(count) = (SELECT count(*) FROM src) FROM year_visit_changes"), 't', 'sessions have all rows');

log_is_clean($node);
$node->stop;
done_testing();
