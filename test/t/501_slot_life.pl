# A slot that was dropped by hand and made again says nothing about the time in
# between, even if its xmin is as old as a frontier's: a transaction in another
# database holds back snapshots, but not VACUUM in this one.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('slot_life');
my $logged = 0;

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', <<'END_SQL');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int) WITH (autovacuum_enabled = off);
CREATE TABLE log (g int, v int) WITH (autovacuum_enabled = off);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src GROUP BY g;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*) FROM log GROUP BY g;
END_SQL
my $slot = 'velostream_' . value($node, 'postgres', 'oid FROM pg_database WHERE datname = current_database()');

sub control
{
	my ($function) = @_;
	return $node->safe_psql('postgres',
		"SELECT velostream.$function(output) FROM velostream.query ORDER BY output");
}

sub change
{
	$node->safe_psql('postgres', <<'END_SQL');
DELETE FROM src WHERE id IN (SELECT id FROM src ORDER BY id LIMIT 100);
INSERT INTO src (g, v) SELECT 3, 1 FROM generate_series(1, 10) i;
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 100) i;
END_SQL
	$logged += 100;
	return;
}

sub right
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return oracle($node, 'postgres', $name,
		totals => { 'SELECT coalesce(sum(count), 0) FROM log_totals' => $logged });
}

right('the beginning');

# from now on, every snapshot has the xmin of this transaction
my $old = $node->background_psql('other');
$old->query_safe('BEGIN; SELECT pg_current_xact_id()');

for my $how ('another query', 'a restart')
{
	my ($before, $xmin);

	change();
	right("before $how");
	$before = value($node, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'});
	control('pause');
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
	$node->safe_psql('postgres', 'DELETE FROM src WHERE id IN (SELECT id FROM src ORDER BY id LIMIT 100)');
	$node->safe_psql('postgres', 'VACUUM (FREEZE) src; VACUUM (FREEZE) log');
	change();
	if ($how eq 'another query')
	{
		$node->safe_psql('postgres', 'CREATE TABLE again WITH (velostream.continuous) AS SELECT count(*) FROM src');
	}
	else
	{
		$old->quit;
		$node->restart;
	}
	poll($node, 'postgres', "count(*) = 1 FROM pg_replication_slots WHERE slot_name = '$slot' AND xmin IS NOT NULL");
	cmp_ok(value($node, 'postgres', "age(xmin) - (SELECT min(age(snapshot_xmin::xid)) FROM velostream.frontier WHERE snapshot_xmin IS NOT NULL) FROM pg_replication_slots WHERE slot_name = '$slot'"),
		'>=', 0, 'the new slot is as old as a frontier') if $how eq 'another query';
	control('resume');
	right("the slot was made again by $how");
	cmp_ok(value($node, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'}),
		'>', $before, '... and the query in changes mode was rebuilt');
	change();
	$before = value($node, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'});
	right('... and goes on');
	is(value($node, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'}),
		$before, '... incrementally');
}

# a slot of this name that somebody made holds nothing, and becomes ours
control('pause');
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot'), pg_create_physical_replication_slot('$slot')");
$node->safe_psql('postgres', 'DELETE FROM src WHERE id IN (SELECT id FROM src ORDER BY id LIMIT 100)');
$node->safe_psql('postgres', 'VACUUM (FREEZE) src; VACUUM (FREEZE) log');
control('resume');
right('a slot made by hand');
poll($node, 'postgres', "xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = '$slot'");
crash($node);
change();
control('pause');
right_after_crash();
log_is_clean($node);
$node->stop;
done_testing();

# the slot's life is on disk: nothing is rebuilt after a crash
sub right_after_crash
{
	my $before = value($node, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'});

	control('resume');
	right('after a crash');
	is(value($node, 'postgres', q{rebuilds FROM velostream.stat_queries WHERE name = 'totals'}),
		$before, '... nothing was rebuilt');
	return;
}
