# Between two batches VACUUM keeps what the query has not seen, also after a
# crash; and what happens when somebody drops the slot that takes care of it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('horizon');
my $count = 1000;

$node->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int) WITH (autovacuum_enabled = off);
CREATE TABLE log (id serial, g int, v int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
INSERT INTO log (g, v) SELECT i % 10, 1 FROM generate_series(1, 1000) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src GROUP BY g;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), sum(v) FROM log GROUP BY g;
END
my $slot = 'velostream_' . value($node, 'postgres', 'oid FROM pg_database WHERE datname = current_database()');

# Dead rows of src that VACUUM may not remove.
sub kept
{
	my ($rc, $out, $err) = $node->psql('postgres', 'VACUUM (VERBOSE, INDEX_CLEANUP on) src');
	return $err =~ /(\d+) are dead but not yet removable/ ? $1 : "no number in: $err";
}

sub change
{
	$node->safe_psql('postgres', <<'END');
UPDATE src SET v = v + 1 WHERE id % 10 = 1;
DELETE FROM src WHERE id % 10 = 2;
INSERT INTO src (g, v) SELECT 3, 1 FROM generate_series(1, 50) i;
INSERT INTO log (g, v) SELECT i % 10, 1 FROM generate_series(1, 100) i;
DELETE FROM log WHERE id IN (SELECT id FROM log ORDER BY id LIMIT 50);
END
	$count += 100;
	return;
}

sub rebuilds
{
	my ($query) = @_;
	return value($node, 'postgres', "rebuilds FROM velostream.stat_queries WHERE name = '$query'");
}

sub right
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return oracle($node, 'postgres', $name, totals => {
			'SELECT sum(count) FROM log_totals' => $count,
			'SELECT sum(sum) FROM log_totals' => $count });
}

sub pause { return $node->safe_psql('postgres', 'SELECT velostream.pause(output) FROM velostream.query') }
sub resume { return $node->safe_psql('postgres', 'SELECT velostream.resume(output) FROM velostream.query') }

right('the beginning');
poll($node, 'postgres', "count(*) = 1 FROM pg_replication_slots WHERE slot_name = '$slot' AND xmin IS NOT NULL AND restart_lsn IS NULL");
is(value($node, 'postgres', 'slot_name FROM velostream.horizon()'), $slot, 'the slot is shown');

pause();
change();
$node->safe_psql('postgres', 'SELECT pg_current_xact_id()') for 1 .. 20;
cmp_ok(kept(), '>=', 200, 'VACUUM keeps what a paused query has not seen');
$node->safe_psql('postgres', 'VACUUM (FREEZE) log');
cmp_ok(value($node, 'postgres', q{horizon_age FROM velostream.stat_queries WHERE name = 'totals'}),
	'>=', 20, 'how far back is shown');
cmp_ok(value($node, 'postgres', 'age FROM velostream.horizon()'), '>=', 20, '... for the database, too');

$node->restart;
cmp_ok(kept(), '>=', 200, 'after a restart');
$node->kill9;
start_again($node);
cmp_ok(kept(), '>=', 200, 'after kill -9');
crash($node);
change();
cmp_ok(kept(), '>=', 300, 'after an immediate stop, with more rows');
$node->safe_psql('postgres', 'VACUUM (FREEZE) log');
resume();
right('resumed');
is(rebuilds('totals'), 0, 'nothing was rebuilt');
for my $i (1 .. 100)
{
	last if kept() eq '0';
	Time::HiRes::usleep(100_000);
}
is(kept(), 0, 'then VACUUM may remove them');
right('vacuumed');

# idle queries do not hold back what happens elsewhere
$node->safe_psql('postgres', 'CREATE TABLE elsewhere (n int)');
$node->safe_psql('postgres', 'INSERT INTO elsewhere VALUES (1)') for 1 .. 10;
my $next = value($node, 'postgres', 'pg_current_xact_id()');
poll($node, 'postgres', "xmin::text::bigint > $next % (2::bigint ^ 32)::bigint FROM pg_replication_slots WHERE slot_name = '$slot'");
pass('the horizon follows while queries are idle');

# the slot is dropped by hand
for my $when ('running', 'paused', 'before a restart')
{
	my $before = rebuilds('totals');

	pause() if $when ne 'running';
	change() if $when ne 'running';
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
	$node->restart if $when eq 'before a restart';
	change();
	$node->safe_psql('postgres', 'VACUUM src; VACUUM (FREEZE) log');
	resume() if $when ne 'running';
	change();
	right("slot dropped, $when");
	cmp_ok(rebuilds('totals'), '>', $before, 'changes: rebuilt') if $when ne 'running';
	is(rebuilds('log_totals'), 0, 'append: goes on');
	poll($node, 'postgres', "count(*) = 1 FROM pg_replication_slots WHERE slot_name = '$slot' AND xmin IS NOT NULL");
	change();
	right('further on');
}

log_is_clean($node);
$node->stop;
done_testing();
