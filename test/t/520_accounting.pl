# Accounting: the counters of velostream.stat_queries are figures that one can
# add up, and a crash changes none of them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use VelostreamTest;

my @points = qw(batch-begin delta-open between-writes after-merge
  before-frontier after-frontier batch-end before-publish);
my $node = new_node('accounting', conf => 'velostream.max_backoff = 500ms');

$node->safe_psql('postgres', <<'END');
ALTER SYSTEM SET velostream.enabled = off;
SELECT pg_reload_conf();
CREATE TABLE src (id int PRIMARY KEY, g int, v int);
INSERT INTO src SELECT i, i % 10, i FROM generate_series(1, 1000) i;
UPDATE src SET v = 0 WHERE id IN (1, 2, 3);
CREATE TABLE totals WITH (velostream.continuous) AS
	SELECT g, count(*), sum(v) FROM src WHERE v < 900 GROUP BY g HAVING count(*) > 3;
CREATE TABLE letters WITH (velostream.continuous, velostream.on_error = dead_letter) AS
	SELECT id, 1000 / v AS r FROM src;
CREATE TABLE log_totals WITH (velostream.continuous, velostream.source_mode = append,
	velostream.on_error = dead_letter) AS
	SELECT g, sum(1000 / v), count(*) FROM src GROUP BY g;
CREATE TABLE chained WITH (velostream.continuous) AS SELECT count(*) FROM totals;
END
my @queries = qw(totals letters log_totals chained);

# All batches that there are to do, by hand.
sub process
{
	$node->safe_psql('postgres', "SELECT count(*) FROM velostream.process('$_')") for @queries;
	return;
}

# One test: rows_in, rows_out, ignored and dead of a query.
sub counters
{
	my ($name, %expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	for my $query (sort keys %expected)
	{
		is(value($node, 'postgres',
				"concat_ws(' ', rows_in, rows_out, ignored, dead) FROM velostream.stat_queries WHERE name = '$query'"),
			$expected{$query}, "$name: $query");
	}
	return;
}

# Tests: what must add up, whatever the batches were, and the oracle.
sub adds_up
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($node->safe_psql('postgres', <<'END'), '', "$name: the oracle");
SELECT name FROM (VALUES ('totals'), ('chained')) q (name) WHERE differences(name) <> 0
UNION ALL SELECT 'letters' FROM (SELECT id, r FROM letters EXCEPT ALL SELECT id, 1000 / v FROM src WHERE v <> 0) d
UNION ALL SELECT 'letters' FROM (SELECT id, 1000 / v FROM src WHERE v <> 0 EXCEPT ALL SELECT id, r FROM letters) d
END
	return is($node->safe_psql('postgres', <<'END'), '', "$name: it adds up");
WITH s AS (SELECT *, rows_in - rows_out AS counted FROM velostream.stat_queries),
	letters AS (SELECT query, count(*) AS kept FROM velostream.dead_letters GROUP BY query)
SELECT name, counted, ignored, dead, kept FROM s LEFT JOIN letters USING (query)
WHERE dead <> coalesce(kept, 0) OR counted <> CASE name
	WHEN 'totals' THEN (SELECT count(*) FROM src)
	WHEN 'letters' THEN (SELECT count(*) FROM src WHERE v <> 0)
	WHEN 'log_totals' THEN (SELECT sum(count) FROM log_totals)
	WHEN 'chained' THEN (SELECT count(*) FROM totals) END
END
}

process();
counters('backfill', totals => '1000 0 0 0', letters => '997 0 0 3', log_totals => '997 0 0 3', chained => '10 0 0 0');
adds_up('backfill');

# the filter of a query does not matter; an update is a row out and a row in,
# and what came and went between two batches is nothing, but not for a log
$node->safe_psql('postgres', <<'END');
UPDATE src SET v = 950 WHERE id BETWEEN 11 AND 20;
DELETE FROM src WHERE id IN (1, 30);
INSERT INTO src VALUES (2001, 1, 1), (2002, 1, 0), (2003, 1, 1);
UPDATE src SET v = v + 1 WHERE id = 2001;
DELETE FROM src WHERE id = 2003;
BEGIN;
INSERT INTO src VALUES (3000, 1, 1);
ROLLBACK;
END
process();
counters('changes', totals => '1012 12 0 0', letters => '1008 11 0 4', log_totals => '999 0 14 4');
adds_up('changes');

# a rebuild takes all rows out and in again; it begins without dead letters,
# and what was ignored before is not any more
$node->safe_psql('postgres', "SELECT velostream.rebuild('$_')") for @queries;
process();
counters('rebuild', totals => '2012 1012 0 0', letters => '2005 1008 0 3', log_totals => '1996 999 0 3');
adds_up('rebuild');

# killed in the middle, or rolled back, a batch counts nothing
$node->safe_psql('postgres', 'INSERT INTO src SELECT i, i % 10, 1 FROM generate_series(5001, 5100) i; DELETE FROM src WHERE id = 5001');
my $session = $node->background_psql('postgres');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('BEGIN');
$session->query_safe("SELECT count(*) FROM velostream.process('$_')") for @queries;
kill_9($node, $pid);
eval { $session->quit };
counters('kill -9 before the commit', totals => '2012 1012 0 0', log_totals => '1996 999 0 3');
$node->safe_psql('postgres', "BEGIN; SELECT count(*) FROM velostream.process('$_'); ROLLBACK") for @queries;
counters('rollback', totals => '2012 1012 0 0', log_totals => '1996 999 0 3');
process();
counters('once more', totals => '2111 1012 0 0', letters => '2104 1008 0 3', log_totals => '2096 999 1 3');
adds_up('once more');

# workers are killed at every step, and the server stops at once
my ($inserted, $ignored, $buried) = (2096 - 999, 1, 3);
set_guc($node, 'velostream.enabled' => 'on');
my $next = 10_000;

sub change
{
	my $first = $next;

	$next += 20;
	$node->safe_psql('postgres', <<"END");
BEGIN;
INSERT INTO src SELECT i, i % 10, i % 10 FROM generate_series($first, $first + 19) i;
UPDATE src SET g = (g + 1) % 10 WHERE id BETWEEN $first AND $first + 4;
DELETE FROM src WHERE id = $first + 7;
COMMIT;
END
	$inserted += 18;
	$buried += 2;
	$ignored += 6;
	return;
}

for my $point (@points)
{
	for my $how ('is killed', 'loses its server')
	{
		my $offset = stop_at($node, $point);
		$pid = wait_stopped($node, $point, $offset, \&change);

		change();
		kill_9($node, $pid) if $how eq 'is killed';
		crash($node) if $how eq 'loses its server';
		go_on($node);
		$node->safe_psql('postgres', "SELECT velostream.wait(timeout => '60s')");
		is(value($node, 'postgres', q{concat_ws(' ', rows_in - rows_out, ignored, dead)
				FROM velostream.stat_queries WHERE name = 'log_totals'}),
			"$inserted $ignored $buried", "a worker at $point $how: log_totals");
		adds_up("a worker at $point $how");
	}
}

log_is_clean($node);
$node->stop;
done_testing();
