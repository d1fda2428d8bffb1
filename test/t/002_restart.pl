# The server is stopped in every way, and every process of it is killed: what
# was committed is in the output once, and only that.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my $node = new_node('restart');
my $count = 0;

$node->safe_psql('postgres', <<'END');
CREATE TABLE src (id serial PRIMARY KEY, g int, v int);
CREATE TABLE log (g int, v int);
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 1000) i;
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v), min(v) FROM src GROUP BY g;
CREATE TABLE rows WITH (velostream.continuous) AS SELECT id, v FROM src WHERE g < 5;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append) AS
	SELECT g, count(*), sum(v) FROM log GROUP BY g;
END

# A transaction for every source.
sub change
{
	$node->safe_psql('postgres', <<'END');
BEGIN;
INSERT INTO log SELECT i % 10, 1 FROM generate_series(1, 100) i;
INSERT INTO src (g, v) SELECT i % 10, i FROM generate_series(1, 50) i;
UPDATE src SET g = (g + 1) % 10 WHERE id % 7 = 0;
DELETE FROM src WHERE id % 11 = 0;
COMMIT;
END
	$count += 100;
	return;
}

sub right
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	change();
	oracle($node, 'postgres', $name, totals => {
			'SELECT sum(count) FROM log_totals' => $count,
			'SELECT sum(sum) FROM log_totals' => $count });
	return;
}

sub process_id
{
	my ($type) = @_;
	poll($node, 'postgres',
		"count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'velostream $type'");
	return value($node, 'postgres',
		"min(pid) FROM pg_stat_activity WHERE backend_type = 'velostream $type'");
}

right('a start');

change();
$node->restart;
right('restart');
change();
$node->stop('smart');
$node->start;
right('smart stop');
change();
crash($node);
right('immediate stop');
change();
$node->kill9;
start_again($node);
right('kill -9 of the postmaster');

# one process at a time
for my $i (1 .. 3)
{
	my $pid = process_id('worker');

	change();
	kill_9($node, $pid);
	right("kill -9 of a worker, $i");
}
for my $type ('worker', 'launcher')
{
	for my $i (1 .. 3)
	{
		my $pid = process_id($type);

		change();
		is(value($node, 'postgres', "pg_terminate_backend($pid)"), 't', "terminate a $type");
		right("pg_terminate_backend of a $type, $i");
		poll($node, 'postgres',
			"bool_and(pid <> $pid) FROM pg_stat_activity WHERE backend_type = 'velostream $type'");
	}
}
right('another launcher found the workers there');
change();
kill_9($node, process_id('launcher'));
right('kill -9 of the launcher');

my $writer = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $writer->query_safe('SELECT pg_backend_pid()');
$writer->query_safe(
	'BEGIN; INSERT INTO log SELECT 1, 1 FROM generate_series(1, 1000); UPDATE src SET v = 0 WHERE id < 7');
change();
oracle($node, 'postgres', 'while a transaction is open',
	totals => { 'SELECT sum(count) FROM log_totals' => $count });
kill_9($node, $pid);
right('kill -9 of a backend that wrote');
eval { $writer->quit };

# process() in a session
workers_off($node);
for my $how ('ROLLBACK', 'kill -9', 'terminate', 'COMMIT')
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$pid = $session->query_safe('SELECT pg_backend_pid()');
	change();
	$session->query_safe('BEGIN');
	$session->query_safe("SELECT count(*) FROM velostream.process('$_')")
	  for 'totals', 'rows', 'log_totals';
	$session->query_safe($how) if $how eq 'ROLLBACK' || $how eq 'COMMIT';
	kill_9($node, $pid) if $how eq 'kill -9';
	value($node, 'postgres', "pg_terminate_backend($pid, 10000)") if $how eq 'terminate';
	eval { $session->quit };
	$node->safe_psql('postgres',
		"SELECT count(*) FROM velostream.process('$_')") for 'totals', 'rows', 'log_totals';
	oracle($node, 'postgres', "process(), then $how",
		wait => [], totals => { 'SELECT sum(count) FROM log_totals' => $count });
}
set_guc($node, 'velostream.enabled' => 'on');
right('workers go on');

# a storm: a load, and random processes die
$node->safe_psql('postgres', 'CREATE TABLE done (n int)');
my $script = $node->basedir . '/storm.sql';
append_to_file($script, <<'END');
\set unsafe random(0, 1)
BEGIN;
\if :unsafe
SET LOCAL synchronous_commit = off;
\endif
INSERT INTO log SELECT i, 1 FROM generate_series(1, 10) i;
INSERT INTO src (g, v) SELECT i, i FROM generate_series(1, 5) i;
UPDATE src SET v = v + 1 WHERE id % 100 = 7;
INSERT INTO done VALUES (10);
COMMIT;
END
for my $i (1 .. 4)
{
	my ($out, $err) = ('', '');
	my $storm = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 3, '-T', 30, '-f', $script, $node->connstr('postgres') ],
		'<', \undef, '>', \$out, '2>', \$err);
	my $done = value($node, 'postgres', 'count(*) FROM done');

	poll($node, 'postgres', "count(*) > $done + 100 FROM done");
	if ($i == 4)
	{
		crash($node);
	}
	else
	{
		kill_9($node, $i == 3 ? value($node, 'postgres',
				q{min(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()})
			: process_id('worker'));
	}
	$storm->finish;
	$count += value($node, 'postgres', 'coalesce(sum(n), 0) FROM done');
	$node->safe_psql('postgres', 'TRUNCATE done');
	right("a crash under load, $i");
}

log_is_clean($node);
$node->stop;
done_testing();
